"""Work that is shared out: a function over items by threads, processes or Ray, results in order.

This is the one room that knows how work is spread, and the only one that speaks to a cluster. What
crosses to another process is pickled: plain dataclasses and paths, never a session or a dataset.

Ray is used by its core alone: actors that hold the function and get one item after the other. A
worker that is killed begins again, and what it had not answered is given to it once more. Ray Data
is not used: where its actors take every core of a small machine, it waits for ever
(ray-project/ray#44687).
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import platform
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from openaffect.errors import InputError, OpenAffectError, UnknownName, WorkerError, reason
from openaffect.extras import needs

ENGINES = ("threads", "processes", "ray")
"""Who does the work. Threads suit what releases the interpreter's lock, as OpenCV does."""

RAY_NOTICE = (
    "Ray listens on every network interface of this computer; use it where a firewall keeps "
    "strangers out"
)
"""What a user is told before Ray is started or joined: there is no setting that prevents it."""

_DEATHS = 10  # of workers over the same item, before it is taken for the cause
_PLACE_S = 300  # for the first worker to find a free core of a cluster
_ANSWER_S = 5  # for the address of a cluster to take a connection
_STORE_BYTES = 128 * 2**20  # of a cluster of our own: items and results are small

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_is_worker = False


def map_in_order(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    workers: int | None = None,
    ahead: int = 0,
    engine: str = "threads",
    ray_address: str | None = None,
) -> Generator[_Result, None, None]:
    """The results of a function over items, computed by several workers, in the order of the items.

    Args:
        function: called by a worker; what it raises is raised here.
        items: taken lazily.
        workers: number of workers; None for one per CPU core of this computer, or of the cluster.
        ahead: items taken beyond those that are worked on; this bounds the memory.
        engine: one of `ENGINES`. Processes are worth their start where an item takes milliseconds
            in Python; a single one is not started, the work is done here. Ray is for several
            computers; the function may be called more than once with an item whose worker died.
        ray_address: `host:port` of a Ray cluster to join, `auto` for one that runs on this
            computer; None for the one that RAY_ADDRESS names, or else one that is started here
            and stopped at the end. A process that has joined a cluster already uses that one.

    Raises:
        UnknownName: no such engine.
        InputError: `ray_address` without Ray, no cluster there, or more workers than it has cores.
        MissingExtra: Ray is not installed.
        WorkerError: the worker of an item ended without an answer, with Ray again and again.

    >>> list(map_in_order(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    check_engine(engine, ray_address)
    if engine == "ray":
        return _map_by_ray(function, items, workers, ahead, ray_address)
    count = workers or os.cpu_count() or 1
    if engine == "processes" and count == 1:
        return (function(item) for item in items)
    return _map_by_pool(function, items, count, ahead, engine)


def check_engine(engine: str, ray_address: str | None = None) -> None:
    """Whether this computer can use an engine; see `map_in_order` for what is raised."""
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    if engine == "ray":
        _import_ray()
    elif ray_address is not None:
        raise InputError(
            f"the address of a Ray cluster is for the engine ray, but the engine is {engine}"
        )


def is_worker() -> bool:
    """Whether this process is one of several that share the cores: it takes one thread for itself."""
    return _is_worker


def _map_by_pool(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    count: int,
    ahead: int,
    engine: str,
) -> Generator[_Result, None, None]:
    pending: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(count) if engine == "threads" else _processes(count)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= count + ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker ended before its answer: it was killed, or this computer has too little "
            "memory for so many; try fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _processes(count: int) -> Executor:
    """A pool of processes that begin afresh: one forked here would have the locks of our threads.

    OpenCV, for one, waits for ever in a fork of a process in which it has run before.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    # The server that forks them was started by the first pool, and has the environment of then.
    environment = dict(os.environ)
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin_worker, initargs=(environment,)
    )


def _begin_worker(environment: dict[str, str] | None = None) -> None:
    """What a worker does first: the other cores have workers of their own.

    Args:
        environment: of the process that it works for, such as the keys of a store.
    """
    import cv2

    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)

    global _is_worker  # noqa: PLW0603 - of this process alone, set once
    _is_worker = True
    cv2.setNumThreads(1)


class _Worker(Generic[_Item, _Result]):
    """What becomes a Ray actor: it holds the function and calls it with one item after the other."""

    def __init__(self, function: Callable[[_Item], _Result], home: str) -> None:
        _begin_worker()
        self._function = function
        self._home = home

    def begin(self) -> None:
        """Answer once this worker has a core and a process."""

    def work(self, item: _Item) -> _Result:
        """The result for an item; an error of ours says on which computer it came up."""
        try:
            return self._function(item)
        except OpenAffectError as error:
            if platform.node() != self._home:
                error.args = (f"{error} (on the computer {platform.node()})",)
            raise


def _map_by_ray(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int | None,
    ahead: int,
    address: str | None,
) -> Generator[_Result, None, None]:
    rest = iter(items)
    first = list(itertools.islice(rest, 1))
    if not first:
        return  # nothing to start a cluster for
    with _cluster(workers, address) as (count, is_ours):
        crew = _Crew(function, count, ahead)
        try:
            yield from crew.results(itertools.chain(first, rest))
        finally:
            if not is_ours:  # else leaving the cluster ends them, and with less noise
                crew.dismiss()


class _Crew(Generic[_Item, _Result]):
    """The actors of one call, and what each of them is at."""

    def __init__(self, function: Callable[[_Item], _Result], count: int, ahead: int) -> None:
        self._ray = _import_ray()
        options = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": _DEATHS}
        actor = self._ray.remote(**options)(_Worker)
        self._actors = [actor.remote(function, platform.node()) for _ in range(count)]
        # Who has what to do; an actor that is not placed yet has nothing but to begin.
        self._running = {one.begin.remote(): one for one in self._actors}
        self._load: dict[Any, int] = {}  # of the actors that have begun
        self._taken = count + ahead  # items taken and not given back, at most
        self._each = -(-self._taken // count)  # the same, of one actor
        self._until = time.monotonic() + _PLACE_S

    def results(self, items: Iterator[_Item]) -> Iterator[_Result]:
        waiting: deque[Any] = deque()  # references to results, in the order of the items
        exhausted = False
        while waiting or not exhausted:
            while not exhausted and len(waiting) < self._taken and (actor := self._idlest()):
                try:
                    reference = actor.work.remote(next(items))
                except StopIteration:
                    exhausted = True
                    break
                waiting.append(reference)
                self._running[reference] = actor
                self._load[actor] += 1
            self._collect()
            while waiting and waiting[0] not in self._running:
                yield self._get(waiting.popleft())

    def dismiss(self) -> None:
        """End the actors, whatever they are at."""
        for actor in self._actors:
            self._ray.kill(actor)

    def _idlest(self) -> Any:
        """The actor with the least to do, or None where each has enough."""
        actor = min(self._load, key=lambda one: self._load[one], default=None)
        return actor if actor is not None and self._load[actor] < self._each else None

    def _collect(self) -> None:
        """Wait until something is done, and note all that is."""
        if not self._running:
            return
        running = list(self._running)
        patience = None if self._load else max(0.0, self._until - time.monotonic())
        done, _ = self._ray.wait(running, num_returns=1, timeout=patience)
        if not done:
            raise InputError(
                f"no core of the Ray cluster became free in {_PLACE_S} s: others use it; try again "
                "later, or another --ray-address"
            )
        done, _ = self._ray.wait(running, num_returns=len(running), timeout=0)
        for reference in done:
            actor = self._running.pop(reference)
            if actor in self._load:
                self._load[actor] -= 1
            else:
                self._get(reference)  # raises what keeps it from beginning
                self._load[actor] = 0

    def _get(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from error
        except errors.RayActorError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise WorkerError(
                "a worker of Ray cannot begin, or ended again and again at the same item; every "
                "computer of the cluster needs this openaffect, and memory for its workers: "
                + reason(ValueError(lines[-1] if lines else ""))
            ) from error
        except errors.RayError as error:
            raise WorkerError(f"Ray lost what a worker answered: {reason(error)}") from error


@contextlib.contextmanager
def _cluster(workers: int | None, address: str | None) -> Iterator[tuple[int, bool]]:
    """Join a cluster or start one, and leave it at the end.

    Yields:
        The number of workers, and whether the cluster is left: not where the caller had joined it.
    """
    ray = _import_ray()
    if ray.is_initialized():  # by whoever called us: theirs to leave
        yield _count_workers(ray, workers), False
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {
            "num_cpus": workers or os.cpu_count() or 1,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    else:
        _check_answer(address)
    try:
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        what = "start Ray" if address == "local" else f"join the Ray cluster at {address}"
        raise InputError(
            f"cannot {what}: {reason(error)}; see that `ray status` works here, with "
            "RAY_AUTH_MODE=token where the cluster asks for its token"
        ) from error
    try:
        yield _count_workers(ray, workers), True
    finally:
        ray.shutdown()


def _count_workers(ray: Any, workers: int | None) -> int:
    cores = int(ray.cluster_resources().get("CPU", 0))
    if not cores or (workers or 0) > cores:
        raise InputError(
            f"expected a Ray cluster with a core per worker, but it has {cores} cores for "
            f"{workers or 1} workers"
        )
    return workers or cores


def _check_answer(address: str) -> None:
    """Ray itself waits for minutes where nothing answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or what Ray refuses at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"expected a Ray cluster at {address}, but nothing answers there: {reason(error)}; "
            "`ray start --head` starts one and prints its address"
        ) from error


def _import_ray() -> Any:
    # Read by Ray when it is imported or started; what a user has set stays.
    for name, value in (
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("RAY_NUM_REDIS_GET_RETRIES", "1"),  # of 40 s each, to join what is no Ray
    ):
        os.environ.setdefault(name, value)
    with needs("scale", "the engine ray"):
        import ray
        import ray.exceptions
    return ray
