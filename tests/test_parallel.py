"""Work that is shared out: the same results, in order, whoever does it."""

from __future__ import annotations

import itertools
import os
import pickle
import platform
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from openaffect import errors, parallel
from openaffect.errors import InputError, MissingExtra, OpenAffectError, UnknownName, WorkerError
from openaffect.parallel import map_in_order


def square(number: int) -> int:
    return number * number


def sleep_then_square(number: int) -> int:
    time.sleep(0.05 if number % 3 == 0 else 0)
    return number * number


def fail_at_five(number: int) -> int:
    if number == 5:
        raise UnknownName("detector", "harr", ["haar"])
    return number


def fail_plainly(number: int) -> int:
    raise ZeroDivisionError(f"item {number}")


def look_around(_: int) -> tuple[int, bool, int, int]:
    time.sleep(0.05)
    return os.getpid(), parallel.is_worker(), cv2.getNumThreads(), os.getppid()


def end_the_worker(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def workers_seen(folder: Path) -> set[int]:
    """The processes that left a file there."""
    return {int(path.name.split("-")[1]) for path in folder.iterdir()}


def meet(task: tuple[str, int]) -> tuple[int, bool, int]:
    """Leave a file with this worker's number, and wait until a second worker has begun."""
    folder, number = task
    Path(folder, f"{number}-{os.getpid()}").touch()
    deadline = time.monotonic() + 120  # else the first worker may do all the work
    while len(workers_seen(Path(folder))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return os.getpid(), parallel.is_worker(), cv2.getNumThreads()


def note_and_wait(task: tuple[str, int]) -> int:
    """Leave a file with this worker's number, then take a while."""
    meet(task)
    time.sleep(0.03)
    return task[1]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray as a module, without a cluster."""
    module = pytest.importorskip("ray", reason='Ray is not installed: the extra "scale" brings it')
    yield module
    module.shutdown()


@pytest.fixture(scope="module")
def cluster(ray: Any) -> Iterator[Any]:
    """Two cores of a cluster that this process has joined; the others of this file use it."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=parallel._STORE_BYTES,
    )
    yield ray
    ray.shutdown()


def check_order(engine: str) -> None:
    for ahead, count in ((0, 7), (40, 12)):
        results = map_in_order(
            sleep_then_square, range(count), workers=2, ahead=ahead, engine=engine
        )
        found = list(results)
        assert found == [number * number for number in range(count)]


def check_laziness(engine: str) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = map_in_order(square, items(), workers=2, ahead=3, engine=engine)
    assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    assert len(taken) <= 4 + 2 + 3
    results.close()
    assert len(taken) <= 4 + 2 + 3


def check_errors(engine: str) -> None:
    results = map_in_order(fail_at_five, range(9), workers=2, ahead=2, engine=engine)
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(UnknownName, match="did you mean 'haar'") as caught:
        next(results)
    assert caught.value.nearest == "haar"
    with pytest.raises(ZeroDivisionError, match="item 0"):
        list(map_in_order(fail_plainly, range(3), workers=2, engine=engine))


@pytest.mark.parametrize("engine", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
@pytest.mark.parametrize("check", [check_order, check_laziness, check_errors])
def test_local_workers(engine: str, check: Callable[[str], None]) -> None:
    check(engine)


def test_an_engine_is_checked_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="did you mean 'threads'"):
        map_in_order(square, [], engine="thread")
    with pytest.raises(InputError, match="engine ray"):
        map_in_order(square, [], engine="processes", ray_address="auto")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match="scale"):
        map_in_order(square, [], engine="ray")


def test_every_error_crosses_to_another_process_whole() -> None:
    samples: list[OpenAffectError] = [
        UnknownName("label", "hapy", ["happy"]),
        errors.DestinationExists("x", "hint, "),
        MissingExtra("scale", "work"),
    ]
    known = {type(one) for one in samples}
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, OpenAffectError) and kind not in known:
            samples.append(kind(f"message of {name}"))
    assert len(samples) > 12
    for one in samples:
        again = pickle.loads(pickle.dumps(one))
        assert (type(again), str(again), vars(again)) == (type(one), str(one), vars(one))


def test_workers_take_one_thread_each_and_threads_are_no_workers() -> None:
    found = list(map_in_order(look_around, range(6), workers=2, engine="processes"))
    assert len(found) == 6
    assert {(worker, threads) for _, worker, threads, _ in found} == {(True, 1)}
    assert os.getpid() not in {pid for pid, *_ in found}
    here = list(map_in_order(look_around, range(2), workers=2, engine="threads"))
    assert {(pid, worker) for pid, worker, *_ in here} == {(os.getpid(), False)}


@pytest.mark.slow
def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(WorkerError, match="ended before its answer"):
        list(map_in_order(end_the_worker, range(9), workers=2, engine="processes"))


def read_variable(name: str) -> str | None:
    return os.environ.get(name)


def test_processes_have_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an earlier pool began with another one: keys of a store may be set meanwhile."""
    for value in ("one", "two", None):
        if value is None:
            monkeypatch.delenv("OPENAFFECT_TRIED")
        else:
            monkeypatch.setenv("OPENAFFECT_TRIED", value)
        found = map_in_order(read_variable, ["OPENAFFECT_TRIED"] * 4, workers=2, engine="processes")
        assert list(found) == [value] * 4


def test_an_error_says_on_which_other_computer_it_came_up() -> None:
    with pytest.raises(UnknownName, match=r"on the computer \S+") as caught:
        parallel._Worker(fail_at_five, "elsewhere").work(5)
    assert caught.value.nearest == "haar"
    here = parallel._Worker(fail_at_five, platform.node())
    with pytest.raises(UnknownName) as plain:
        here.work(5)
    assert "on the computer" not in str(plain.value)


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """`_Worker` in this process must not leave it as a worker."""
    threads, worker = cv2.getNumThreads(), parallel._is_worker
    yield
    cv2.setNumThreads(threads)
    parallel._is_worker = worker


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_order, check_laziness, check_errors])
def test_workers_of_ray(cluster: Any, check: Callable[[str], None]) -> None:
    check("ray")


@pytest.mark.slow
def test_workers_of_ray_take_one_thread_each(cluster: Any, tmp_path: Path) -> None:
    tasks = [(str(tmp_path), number) for number in range(8)]
    found = list(map_in_order(meet, tasks, workers=2, engine="ray"))
    assert len(found) == 8
    assert {(worker, threads) for _, worker, threads in found} == {(True, 1)}
    assert len({pid for pid, *_ in found}) == 2


@pytest.mark.slow
def test_what_a_killed_actor_had_is_given_again(cluster: Any, tmp_path: Path) -> None:
    tasks = [(str(tmp_path), number) for number in range(100)]
    results = map_in_order(note_and_wait, iter(tasks), workers=2, ahead=10, engine="ray")
    found = [next(results) for _ in range(30)]
    pid = int(max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime).name.split("-")[1])
    os.kill(pid, signal.SIGKILL)
    found += list(results)
    assert found == list(range(100))
    assert len(workers_seen(tmp_path)) == 3  # one began again


@pytest.mark.slow
def test_an_item_that_ends_every_worker_is_not_tried_for_ever(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_DEATHS", 1)
    with pytest.raises(WorkerError, match="same item"):
        list(map_in_order(end_the_worker, range(9), workers=2, engine="ray"))


def is_gone(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] == "Z"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close", "interrupt", "error"])
def test_actors_end_with_the_call(cluster: Any, how: str) -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        if how == "interrupt":
            raise KeyboardInterrupt
        raise ZeroDivisionError

    results = map_in_order(look_around, items(), workers=2, ahead=2, engine="ray")
    pids = {next(results)[0] for _ in range(10)}
    assert not any(map(is_gone, pids))
    if how == "close":
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt if how == "interrupt" else ZeroDivisionError):
            list(results)
    deadline = time.monotonic() + 20
    while not all(map(is_gone, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The cores are free for the next call, and the cluster is still joined.
    assert list(map_in_order(square, range(5), workers=2, engine="ray")) == [0, 1, 4, 9, 16]


@pytest.mark.slow
def test_more_workers_than_cores_and_cores_that_are_taken_are_told(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="2 cores for 3 workers"):
        list(map_in_order(square, range(3), workers=3, engine="ray"))
    hog = cluster.remote(num_cpus=2)(parallel._Worker).remote(square, "")
    cluster.get(hog.begin.remote())
    monkeypatch.setattr(parallel, "_PLACE_S", 1)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    with pytest.raises(InputError, match="no core"):
        list(map_in_order(square, items(), workers=2, engine="ray"))
    assert len(taken) == 1
    cluster.kill(hog)


@pytest.mark.slow
def test_a_cluster_of_our_own_ends_with_the_call(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    results = map_in_order(look_around, range(6), workers=2, engine="ray")
    raylet = next(results)[3]
    assert not is_gone(raylet)
    assert len(list(results)) == 5
    assert not ray.is_initialized()
    deadline = time.monotonic() + 20
    while not is_gone(raylet):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(map_in_order(square, [], engine="ray")) == []  # starts none
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.slow
def test_an_address_without_a_cluster_is_told_at_once(
    ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.shutdown()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(InputError, match="nothing answers"):
            list(map_in_order(square, range(3), engine="ray", ray_address=address))
    for address in ("nonsense", "a:99999999"):
        with pytest.raises(InputError, match="Ray cluster at"):
            list(map_in_order(square, range(3), engine="ray", ray_address=address))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(InputError, match=f"127.0.0.1:{port}"):
        list(map_in_order(square, range(3), engine="ray"))
    assert time.monotonic() - start < 15
