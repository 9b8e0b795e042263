"""Shares work between processes on the command line; under Airflow mapped tasks do the same."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_out(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, module: str
) -> Iterator[Result]:
    """Yields function(item) of each item, in no particular order; `workers` processes work, and this is one of them.

    The others start from a process that has imported `module` already. They are not forked from this one, which may
    hold database connections and threads; and as that takes most of a second, this one begins at once, at the end of
    the items, and takes what no other has begun.
    """
    if workers == 1:
        yield from map(function, items)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    with ProcessPoolExecutor(workers - 1, mp_context=context) as pool:
        try:
            calls = [(pool.submit(function, item), item) for item in items]
            for call, item in reversed(calls):
                yield function(item) if call.cancel() else call.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
