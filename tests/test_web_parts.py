"""The queue, the batches, the meters, and the files that npm brings, each by itself."""

from __future__ import annotations

import asyncio
import contextlib
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

from openaffect.errors import FormatError
from openaffect.inference import Verdicts
from openaffect.labels import EMOTIONS
from openaffect.web import browser
from openaffect.web.batching import Batcher
from openaffect.web.gate import Gate
from openaffect.web.meters import BUCKETS_S, Meters
from openaffect.web.problems import Busy


def number(value: float) -> np.ndarray:
    """A crop that `read` knows again."""
    return np.full((1, 1, 3), value, np.uint8)


def read(crops) -> Verdicts:
    values = np.array([[crop[0, 0, 0] / 255, 0] for crop in crops])
    return Verdicts(EMOTIONS, None, values, [None] * len(crops))


def values(verdicts: Verdicts) -> list[int]:
    assert verdicts.affect is not None
    return [round(255 * v) for v in verdicts.affect[:, 0]]


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

    def slow(crops) -> Verdicts:
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

    def fails_once(crops) -> Verdicts:
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
    gate = Gate(5)
    with gate.enter() as first, gate.enter():
        first.add(3)
        assert gate.taken == 5
        with pytest.raises(Busy, match="5 pictures") as busy:
            first.add(1)
        with pytest.raises(Busy):
            gate.enter().__enter__()
        assert 1 <= int(busy.value.headers["Retry-After"]) <= 60
        assert gate.taken == 5
    assert gate.taken == 0
    with gate.enter() as places:
        with pytest.raises(Busy):
            places.add(5)  # all or none
        assert gate.taken == 1
        places.add(4)


def test_a_rest_does_not_count_as_slowness(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("openaffect.web.gate.time.monotonic", lambda: now[0])
    gate = Gate(100)

    def work(seconds: float, count: int) -> None:
        for _ in range(count):
            with gate.enter():
                now[0] += seconds

    work(0.5, 10)  # two pictures a second
    with gate.enter() as places:
        places.add(19)
        assert gate.retry_after() == pytest.approx(10, abs=2)
    now[0] += 3600
    work(0.01, 10)
    with gate.enter() as places:
        places.add(99)
        assert gate.retry_after() <= 2


def test_places_are_given_back_when_something_fails():
    gate = Gate(3)
    with contextlib.suppress(ZeroDivisionError), gate.enter() as places:
        places.add(2)
        _ = 1 / 0
    assert gate.taken == 0


def test_the_meters_are_text_that_prometheus_reads():
    meters = Meters()
    meters.time_analysis(0.02)
    meters.time_analysis(0.3)
    meters.time_analysis(99)
    text = meters.to_text(3, 10)
    assert text.endswith("\n")
    line = re.compile(
        r'# (HELP|TYPE) openaffect_\w+ .+|openaffect_\w+({\w+="[^"]*"(,\w+="[^"]*")*})? [\d.e+-]+'
    )
    assert [one for one in text.splitlines() if not line.fullmatch(one)] == []
    counts = [int(n) for n in re.findall(r'_bucket{le="[\d.]+"} (\d+)', text)]
    assert counts == [sum(s <= end for s in (0.02, 0.3, 99)) for end in BUCKETS_S]
    assert 'le="+Inf"} 3' in text
    assert "openaffect_queue_pictures 3" in text


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
    return replace(package, sha256=browser.hashlib.sha256(path.read_bytes()).hexdigest())


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
