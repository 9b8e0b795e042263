"""Work that is shared between processes is all done, each item once, and an error ends it."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from smki.processes import map_in_processes

PREPARED = "smki.errors"  # what the other processes import beforehand: something small


def square(number: int) -> tuple[int, int]:
    time.sleep(0.01)
    return number * number, os.getpid()


def fail(process: int, only_here: bool, number: int) -> int:
    """Fails in the process of that id, or in every other one."""
    time.sleep(0.01)
    if (os.getpid() == process) is only_here:
        raise ValueError(number)
    return number


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_item_is_worked_on_once_and_every_process_works(workers: int) -> None:
    results = list(map_in_processes(square, range(200 * workers), workers, PREPARED))
    assert sorted(number for number, _ in results) == [number * number for number in range(200 * workers)]
    assert len({process for _, process in results}) == workers


def test_fewer_items_than_processes_are_worked_on_too() -> None:
    assert [number for number, _ in map_in_processes(square, [3], 3, PREPARED)] == [9]
    assert list(map_in_processes(square, [], 2, PREPARED)) == []


@pytest.mark.parametrize("here", [True, False], ids=["in this process", "in another one"])
def test_error_ends_the_work_and_is_raised(here: bool) -> None:
    begun, finished = time.monotonic(), 0
    with pytest.raises(ValueError, match=r"\d+"):  # noqa: PT012  # the results before it are counted
        for _ in map_in_processes(partial(fail, os.getpid(), here), range(3_000), 2, PREPARED):
            finished += 1
    assert finished < 3_000
    assert time.monotonic() - begun < 10


def test_caller_that_wants_no_more_is_let_go() -> None:
    begun = time.monotonic()
    results = map_in_processes(square, range(3_000), 2, PREPARED)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("sign", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", -signal.SIGINT)])
def test_signal_that_comes_in_a_callback_ends_the_process_all_the_same(sign: str, status: int) -> None:
    """Python runs such callbacks at every import, and drops what they raise."""
    program = f"""
import signal, time, weakref
from smki.processes import end_in_order

class Garbage: pass

end_in_order()
garbage = Garbage()
callback = weakref.ref(garbage, lambda _: signal.raise_signal(signal.{sign}))
del garbage
time.sleep(60)
"""
    ended = subprocess.run(["env", "--default-signal", sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode == status
