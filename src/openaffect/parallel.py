"""Work that is shared out: a function over items by threads or processes, results in order.

This is the one room that knows how work is spread. What crosses to processes is pickled: plain
dataclasses and paths, never a session or a dataset.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

from openaffect.errors import UnknownName

ENGINES = ("threads", "processes")
"""Who does the work. Threads suit what releases the interpreter's lock, as OpenCV does."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_in_order(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    workers: int | None = None,
    ahead: int = 0,
    engine: str = "threads",
) -> Generator[_Result, None, None]:
    """The results of a function over items, computed by several workers, in the order of the items.

    Args:
        function: called by a worker; what it raises is raised here.
        items: taken lazily.
        workers: number of workers; None for one per CPU core.
        ahead: items taken beyond those that are worked on; this bounds the memory.
        engine: one of `ENGINES`. Processes are worth their start where an item takes milliseconds
            in Python; a single one is not started, the work is done here.

    Raises:
        UnknownName: no such engine.

    >>> list(map_in_order(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    count = workers or os.cpu_count() or 1
    if engine == "processes" and count == 1:
        yield from map(function, items)
        return
    pending: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(count) if engine == "threads" else _processes(count)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= count + ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _processes(count: int) -> Executor:
    """A pool of processes that begin afresh: one forked here would have the locks of our threads.

    OpenCV, for one, waits for ever in a fork of a process in which it has run before.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context(method))
