"""The queue, the batches, the meters, and the files that npm brings, each by itself."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import re
import stat
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import FormatError, InputError
from openaffect.inference import FaceOutputs
from openaffect.labels import EMOTIONS
from openaffect.web import browser
from openaffect.web.analysis.admission import AdmissionQueue
from openaffect.web.analysis.batching import Batcher
from openaffect.web.analysis.fair_semaphore import FairSemaphore
from openaffect.web.analysis.metrics import BUCKETS_S, Metrics
from openaffect.web.metrics import Registry
from openaffect.web.origins import check_origin
from openaffect.web.problems import ServiceUnavailable


def number(value: float) -> np.ndarray:
    """A crop that `read` knows again."""
    return np.full((1, 1, 3), value, np.uint8)


def read(crops) -> FaceOutputs:
    values = np.array([[crop[0, 0, 0] / 255, 0] for crop in crops])
    return FaceOutputs(EMOTIONS, None, values, [None] * len(crops))


def values(face_outputs: FaceOutputs) -> list[int]:
    assert face_outputs.affect is not None
    return [round(255 * v) for v in face_outputs.affect[:, 0]]


async def run_all(batcher: Batcher, pictures: list[list[int]]) -> list[list[int]]:
    batcher.start()
    jobs = (batcher.predict([number(n) for n in picture]) for picture in pictures)
    found = await asyncio.gather(*jobs)
    await batcher.close()
    return [values(one) for one in found]


@given(
    pictures=st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=9), max_size=30),
    most=st.integers(1, 8),
)
def test_everyone_gets_their_own_verdicts(pictures, most):
    sizes: list[int] = []
    batcher = Batcher(read, most=most, wait_s=0.001, seen=sizes.append)
    assert asyncio.run(run_all(batcher, pictures)) == pictures
    assert sum(sizes) == sum(map(len, pictures))
    largest = max(map(len, pictures), default=0)
    assert all(size <= max(most, largest) for size in sizes)


def test_crops_that_come_together_go_together():
    sizes: list[int] = []
    batcher = Batcher(read, most=32, wait_s=0.2, seen=sizes.append)
    asyncio.run(run_all(batcher, [[n] for n in range(20)]))
    assert sizes == [20]


def test_a_full_batch_does_not_wait():
    batcher = Batcher(read, most=4, wait_s=60, seen=lambda _: None)
    pictures = [[n] for n in range(8)]
    assert asyncio.run(asyncio.wait_for(run_all(batcher, pictures), 10)) == pictures


def test_closing_finishes_what_waits():
    async def scenario():
        batcher = Batcher(read, most=100, wait_s=60, seen=lambda _: None)
        batcher.start()
        jobs = [asyncio.create_task(batcher.predict([number(n)])) for n in range(5)]
        await asyncio.sleep(0.05)
        await asyncio.wait_for(batcher.close(), 10)
        return [values(await job) for job in jobs]

    assert asyncio.run(scenario()) == [[n] for n in range(5)]


def test_a_job_whose_client_has_gone_is_left_out():
    seen: list[int] = []
    busy, go_on = threading.Event(), threading.Event()

    def slow(crops) -> FaceOutputs:
        busy.set()
        go_on.wait(10)
        return read(crops)

    async def scenario():
        batcher = Batcher(slow, most=4, wait_s=0, seen=seen.append)
        batcher.start()
        first = asyncio.create_task(batcher.predict([number(1)]))
        await asyncio.to_thread(busy.wait, 10)
        gone = asyncio.create_task(batcher.predict([number(2), number(2)]))
        last = asyncio.create_task(batcher.predict([number(3)]))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        go_on.set()
        found = [values(await first), values(await last)]
        await batcher.close()
        return found

    assert asyncio.run(scenario()) == [[1], [3]]
    assert seen == [1, 1]  # the two crops of the one that went were never judged


def test_a_model_that_fails_is_told_to_all_of_the_batch_and_the_next_one_works():
    calls: list[int] = []

    def fails_once(crops) -> FaceOutputs:
        calls.append(len(crops))
        if len(calls) == 1:
            raise FormatError("no probabilities")
        return read(crops)

    async def scenario():
        batcher = Batcher(fails_once, most=2, wait_s=0.05, seen=lambda _: None)
        batcher.start()
        jobs = [batcher.predict([number(n)]) for n in range(2)]
        errors = await asyncio.gather(*jobs, return_exceptions=True)
        found = values(await batcher.predict([number(7)]))
        await batcher.close()
        return errors, found

    errors, found = asyncio.run(scenario())
    assert [type(error) for error in errors] == [FormatError] * 2
    assert found == [7]


def test_the_gate_counts_and_says_when_to_come_back():
    queue = AdmissionQueue(5)
    with queue.enter(4), queue.enter(1):
        assert queue.in_use == 5
        with pytest.raises(ServiceUnavailable, match="5 pictures") as busy:
            queue.enter(1).__enter__()
        assert 1 <= int(busy.value.headers["Retry-After"]) <= 60
        assert queue.in_use == 5
    assert queue.in_use == 0
    with queue.enter(1):
        with pytest.raises(ServiceUnavailable):
            queue.enter(5).__enter__()  # all or none
        assert queue.in_use == 1
        with queue.enter(4):
            assert queue.in_use == 5


def test_a_rest_does_not_count_as_slowness(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("openaffect.web.analysis.admission.time.monotonic", lambda: now[0])
    queue = AdmissionQueue(100)

    def work(seconds: float, count: int) -> None:
        for _ in range(count):
            with queue.enter(1):
                now[0] += seconds

    work(0.5, 10)  # two pictures a second
    with queue.enter(20):
        assert queue.retry_after() == pytest.approx(10, abs=2)
    now[0] += 3600
    work(0.01, 10)
    with queue.enter(100):
        assert queue.retry_after() <= 2


def test_places_are_given_back_when_something_fails():
    queue = AdmissionQueue(3)
    with contextlib.suppress(ZeroDivisionError), queue.enter(3):
        _ = 1 / 0
    assert queue.in_use == 0


async def order_of(slots: int, requests: dict[str, int]) -> list[str]:
    """The order in which the pictures of requests have their turn, if all wait from the start."""
    semaphore, order = FairSemaphore(slots), []

    async def work(request: str) -> None:
        async with semaphore.acquire(request):
            order.append(request)
            await asyncio.sleep(0)

    async with semaphore.acquire("first"), asyncio.TaskGroup() as group:
        for _ in range(slots - 1):
            await semaphore.acquire("first").__aenter__()
        for request, count in requests.items():
            for _ in range(count):
                group.create_task(work(request))
        await asyncio.sleep(0)
        semaphore._free += 1  # as if the first had ended
        semaphore._wake()
    return order


def test_requests_take_turns_whatever_the_number_of_their_pictures():
    order = asyncio.run(order_of(1, {"large": 5, "small": 1, "middle": 2}))
    assert order[:5] == ["large", "small", "middle", "large", "middle"]
    assert order[5:] == ["large"] * 3


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_every_picture_has_its_turn_and_nobody_waits_for_more_than_one_of_each(counts):
    requests = {f"r{number}": count for number, count in enumerate(counts)}
    order = asyncio.run(order_of(1, requests))
    assert {name: order.count(name) for name in requests} == requests
    assert set(order[: len(counts)]) == set(requests)


def test_a_turn_of_a_request_that_has_gone_goes_to_the_next():
    async def scenario() -> list[str]:
        semaphore, order = FairSemaphore(1), []

        async def work(name: str) -> None:
            async with semaphore.acquire(name):
                order.append(name)

        async with semaphore.acquire("now"):
            gone, stays = asyncio.create_task(work("gone")), asyncio.create_task(work("stays"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
        await asyncio.wait_for(stays, 5)
        async with asyncio.timeout(5), semaphore.acquire("again"):
            order.append("again")
        # Cancelled in the very moment in which it was given the slot.
        async with semaphore.acquire("now"):
            late = asyncio.create_task(work("late"))
            await asyncio.sleep(0)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        async with asyncio.timeout(5), semaphore.acquire("free"):
            order.append("free")
        return order

    assert asyncio.run(scenario()) == ["stays", "again", "free"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Lab.example/", "https://lab.example"),
        ("http://lab.example:80", "http://lab.example"),
        ("https://lab.example:8443", "https://lab.example:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_origins_are_written_as_browsers_do(url, origin):
    assert check_origin(url) == origin


@pytest.mark.parametrize(
    "url", ["", "null", "*", "lab.example", "ftp://a", "https://a/b", "https://a:b", "http://[::1"]
)
def test_what_is_no_origin_is_refused(url):
    with pytest.raises(InputError, match="origin"):
        check_origin(url)


def test_the_metrics_are_text_that_prometheus_reads():
    registry, queue = Registry(), AdmissionQueue(10)
    metrics = Metrics(registry, queue)
    for seconds in (0.02, 0.3, 99):
        metrics.seconds.observe(seconds)
    with queue.enter(3):
        text = bytes(registry.response().body).decode()
    assert text.endswith("\n")
    line = re.compile(
        r'# (HELP|TYPE) openaffect_\w+ .+|openaffect_\w+({\w+="[^"]*"(,\w+="[^"]*")*})? [\d.e+-]+'
    )
    assert [one for one in text.splitlines() if not line.fullmatch(one)] == []
    counts = [float(n) for n in re.findall(r'_bucket{le="[\d.]+"} ([\d.]+)', text)]
    assert counts == [sum(s <= end for s in (0.02, 0.3, 99)) for end in BUCKETS_S]
    assert 'le="+Inf"} 3.0' in text
    assert "openaffect_queue_pictures 3.0" in text
    assert "_created" not in text


def test_every_application_has_metrics_of_its_own():
    first, second = Registry(), Registry()
    first.requests.labels("/", "200").inc()
    assert b'status="200"' in first.response().body
    assert b'status="200"' not in second.response().body


def fake_npm(folder, script: str, monkeypatch) -> None:
    """An `npm` that does as a script says; it is found before any other."""
    folder.mkdir(exist_ok=True)
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def archive_of(package: browser.Package, path) -> browser.Package:
    """An archive with the files of a package; returns the package with its hash."""
    with tarfile.open(path, "w:gz") as tar:
        for name in ("package.json", *package.files):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    return replace(package, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_fetching_keeps_what_is_used_and_does_it_once(tmp_path, monkeypatch):
    made = {}
    for name in ("RUNTIME", "API_PAGE"):
        package = getattr(browser, name)
        archive = tmp_path / f"{package.name}-{package.version}.tgz"
        made[name] = archive_of(package, archive)
        monkeypatch.setattr(browser, name, made[name])
    # npm pack --silent --pack-destination FOLDER NAME@VERSION
    fake_npm(tmp_path / "bin", f'cp {tmp_path}/"$(echo $5 | tr @ -)".tgz "$4"/', monkeypatch)
    folder = tmp_path / "vendor"
    assert browser.fetch_packages(folder) == list(made.values())
    assert browser.fetch_packages(folder) == []
    kept = sorted(p.name for p in (folder / "onnxruntime-web").iterdir())
    assert kept == ["VERSION", *sorted(n.split("/")[1] for n in browser.RUNTIME.files)]
    newer = replace(made["RUNTIME"], version="99")
    assert not browser.is_installed(newer, folder)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo offline >&2; exit 1", "offline"),
        ("exit 0", "no reason given"),
        ('echo other > "$4"/onnxruntime-web-1.30.0.tgz', "SHA-256"),
    ],
)
def test_fetching_that_fails_changes_nothing(tmp_path, monkeypatch, script, message):
    fake_npm(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(browser.CannotFetch, match=message):
        browser.fetch_packages(tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_without_npm_there_is_one_friendly_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(browser, "is_installed", lambda *_: False)
    assert browser._main() == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "npm is not installed" in said
    assert "make web" in said
