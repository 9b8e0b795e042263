"""`smki` in a shell: where its output goes, and how Ctrl-C ends it, as a real process."""

import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import cut_off, day, during, lodge_bodies, look_alikes
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows

SMKI = [sys.executable, "-m", "smki"]
BAD = ["verify", __file__, "--workers", "1"]  # exit code 1


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("smki", " ".join(SMKI))],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_reader_that_goes_away_changes_no_exit_code() -> None:
    done = shell(f"smki {' '.join(BAD)} --json | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [["--help"], [*BAD, "--json"]])
def test_output_on_a_full_disk_has_exit_code_4_and_says_so(arguments: list[str]) -> None:
    done = shell(f"smki {' '.join(arguments)} > /dev/full")
    assert done.returncode == 4
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_error_that_cannot_be_shown_keeps_its_exit_code() -> None:
    assert shell(f"smki {' '.join(BAD)} >&- 2> /dev/full").returncode == 1


def test_ctrl_c_says_what_it_left_and_leaves_no_file(repository: Engine, tmp_path: Path) -> None:
    """A pipe in the place of the unfinished file takes less than all, and holds the command up meanwhile."""
    lodge_bodies(repository, look_alikes(100), during(2))
    close_windows(repository, day(2), cut_off)
    out, store = tmp_path / "out", tmp_path / "store"
    out.mkdir()
    unfinished = out / f".SMKIKR_DELT_{day(2)}.xml.gz.part"
    os.mkfifo(unfinished)
    pipe = os.open(unfinished, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    running = subprocess.Popen(
        ["env", "--default-signal", *SMKI, "produce", "delta", "--date", str(day(2)), "--out", str(out), "--workers=2"],
        env=os.environ | {"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_STORE": str(store)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert select.select([pipe], [], [], 120)[0]
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: all of them
        said, complained = running.communicate(timeout=120)
    finally:
        running.kill()
        os.close(pipe)
    assert (running.returncode, said) == (130, "")
    assert complained.startswith("Interrupted. ")
    assert "Traceback" not in complained
    assert list(out.iterdir()) == []
