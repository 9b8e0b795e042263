"""Has a process of its own judge: it loads Great Expectations while the evidence is still being gathered.

* Loading takes seconds and 200 MB. So the process begins before there is anything to judge, and what it takes is not on
  top of what this process needs.
* A process that has loaded it already, as those have that are forked from one that has, judges by itself.
* Evidence goes in and judgements come out, pickled; what judging raises is raised here. The process ends with its
  input, so it does not outlive this one.
* What Great Expectations loads and no check of ours uses is left until somebody does: a quarter of the time.
"""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module, util
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, cast

from smki.errors import JudgingEndedError

if TYPE_CHECKING:  # the process is to begin before this one loads pandas
    from smki.gate.evidence import Evidence
    from smki.gate.model import Judgement

# What `judging.judge` is: the judgement of evidence by whoever the text names, at an instant (UTC).
Judge = Callable[["Evidence", str, datetime], "Judgement"]

_JUDGING = "smki.gate.judging"
_UNUSED = "scipy.stats"
_STDERR = 2


@contextmanager
def begin_judging() -> Iterator[Judge]:
    """Begins to load what judges, and gives what then does. That raises JudgingEndedError."""
    if _JUDGING in sys.modules:
        yield _load_judge()
        return
    ours, theirs = Pipe()
    command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (
        ours,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=_STDERR, env=environment, pass_fds=[theirs.fileno()]
        ) as process,
    ):
        theirs.close()
        try:
            yield lambda evidence, run, now: _ask(ours, evidence, run, now)
        finally:
            process.kill()


def _ask(other: "Connection[object, object]", evidence: "Evidence", run: str, now: datetime) -> "Judgement":
    try:
        other.send((evidence, run, now))
        answer = other.recv()
    except (EOFError, ConnectionError):
        raise JudgingEndedError(evidence.name, "the process that judges ended before it had judged it.") from None
    if isinstance(answer, Exception):
        raise answer
    return cast("Judgement", answer)


def _answer_all(other: "Connection[object, object]") -> None:
    """The other side: loads, then judges what comes until nothing more does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to both; the other one decides what becomes of it
    gc.disable()  # it would look through all that is loaded, time and again, and find nothing
    _postpone(_UNUSED)
    judge = _load_judge()
    gc.freeze()
    gc.enable()
    while True:
        try:
            asked = cast("tuple[Evidence, str, datetime]", other.recv())
        except EOFError:
            return
        try:
            other.send(judge(*asked))
        except Exception as error:  # noqa: BLE001  # whatever it is, the other side has to hear of it
            other.send(error)


def _load_judge() -> Judge:
    return cast("Judge", import_module(_JUDGING).judge)


def _postpone(name: str) -> None:
    """Has a module loaded when something of it is used for the first time; nothing where there is no such module."""
    if (spec := util.find_spec(name)) is None or spec.loader is None:
        return
    spec.loader = util.LazyLoader(spec.loader)
    module = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    package, _, stem = name.rpartition(".")
    setattr(sys.modules[package], stem, module)


if __name__ == "__main__":
    _answer_all(Connection(int(sys.argv[1])))
