"""Runs a command and measures it from outside: `python observing.py COMMAND…`; prints one JSON object.

* `wall_s`: from just before the command's process is made until it has ended.
* `cpu_s`: user + system time of the whole process tree. This process is the subreaper of what it starts, so descendants
  that outlive their parents (multiprocessing's forkserver) are waited for here, and nothing of the tree is missed.
  The server's side (PostgreSQL, sshd) is not in the tree.
* `peak_rss_bytes`: the kernel's own high-water mark of the largest single process of the tree, not a sampled one.
* `status`: the command's exit status; `output`: what it wrote to stdout.

It imports next to nothing: a process that is made from a large one begins with the large one's high-water mark.
"""

import ctypes
import json
import os
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def observe(command: list[str]) -> dict[str, object]:
    """Runs the command to its end, and all that it started."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    output = os.memfd_create("output")
    cpu_s = wall_s = 0.0
    peak_kib = status = 0
    begun = time.perf_counter()
    main = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)])
    while True:
        try:
            ended, code, usage = os.wait4(-1, 0)  # each with what it has waited for itself
        except ChildProcessError:
            break
        if ended == main:
            wall_s, status = time.perf_counter() - begun, os.waitstatus_to_exitcode(code)
        cpu_s += usage.ru_utime + usage.ru_stime
        peak_kib = max(peak_kib, usage.ru_maxrss)
    written = os.pread(output, os.fstat(output).st_size, 0).decode(errors="replace")
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_rss_bytes": peak_kib * 1024, "status": status, "output": written}


if __name__ == "__main__":
    json.dump(observe(sys.argv[1:]), sys.stdout)
