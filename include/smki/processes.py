"""Processes of the command line: how one ends, work that several share, and what hears how far it is.

Under Airflow mapped tasks share the work.
"""

import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOMENT_S = 0.05
Progress = Callable[[int, int], object]  # hears what is done, and of how many: segments, or bytes


def end_in_order() -> None:
    """Makes SIGTERM and SIGHUP end this process as an exception does, once: what is begun is undone and stopped.

    By themselves they end it at once, and the embedded PostgreSQL goes on running. Python drops an exception that comes
    in a callback, of an import or of garbage: that one, and Ctrl-C's, is raised again a moment later.
    """
    dropped: list[BaseException] = []

    def try_again(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, SystemExit | KeyboardInterrupt):
            dropped.append(unraisable.exc_value)
            signal.setitimer(signal.ITIMER_REAL, _MOMENT_S)
        else:
            sys.__unraisablehook__(unraisable)

    def raise_again(_number: int, _frame: object) -> None:
        raise dropped.pop()

    def end(number: int, _frame: object) -> None:
        for sign in ends:
            signal.signal(sign, signal.SIG_IGN)  # a second one would cut off what the first has begun
        sys.exit(128 + number)

    ends = [sign for sign in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(sign) is signal.SIG_DFL]  # not `nohup`
    for sign in ends:
        signal.signal(sign, end)
    signal.signal(signal.SIGALRM, raise_again)
    sys.unraisablehook = try_again


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, module: str
) -> Iterator[Result]:
    """Yields function(item) of each item, in no particular order; `workers` processes work, and this is one of them.

    The others start from a process that has imported `module` already. They are not forked from this one, because it
    may hold database connections and threads. Starting them takes most of a second, so this one begins at once. Each
    process takes the next item when it is done with one, so that all end together.
    """
    if workers == 1:
        return map(function, items)
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    return _with_others(function, items, ProcessPoolExecutor(workers - 1, mp_context=context), workers - 1)


def _with_others(
    function: Callable[[Item], Result], items: Sequence[Item], pool: ProcessPoolExecutor, others: int
) -> Iterator[Result]:
    waiting, done = deque(items), SimpleQueue[Future[Result]]()

    def take() -> list[Item]:
        """The next item; none where there is none."""
        try:
            return [waiting.popleft()]
        except IndexError:
            return []

    def hand_out(finished: Future[Result] | None = None) -> None:
        if finished is not None:
            done.put(finished)
        for item in take():
            pool.submit(function, item).add_done_callback(hand_out)

    with pool:
        try:
            for _ in range(others):
                hand_out()
            for _ in items:
                if done.empty() and (item := take()):
                    yield function(*item)
                else:
                    yield done.get().result()
        except BaseException:
            waiting.clear()
            pool.shutdown(cancel_futures=True)
            raise
