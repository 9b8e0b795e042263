"""Worker processes for the command line; under Airflow the same work is spread over mapped tasks instead."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def worker_pool(workers: int, module: str) -> ProcessPoolExecutor:
    """A pool whose processes start from one that has imported `module` already.

    They are not forked from this process: it may hold database connections and threads, which do not survive a fork.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    return ProcessPoolExecutor(workers, mp_context=context)
