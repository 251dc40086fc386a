"""`collect` that is killed, that is run twice at once, and that hears Ctrl-C, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from collection.processes import run_collect
from collection.sites import Page, Site, open_site
from collection.test_collecting import check_whole, count, draw, read
from openaffect.collection.collecting import CollectSummary, collect_images
from openaffect.project import Project, schema
from openaffect.project.project import change_settings
from openaffect.project.urls import HitRow, add_hits

IMAGES = 300
LIMIT_S = 60.0
WAITING = 128 + 4 + 4  # results of a transaction that was not committed, waiting, or being answered


@pytest.fixture
def host() -> Iterator[Site]:
    with open_site({f"/{n}.jpg": Page(draw(n, side=64)) for n in range(IMAGES)}) as site:
        yield site


@pytest.fixture
def waiting(project: Project, host: Site) -> Project:
    """A project in whose queue all images of the host are."""
    rows = [HitRow("x", f"{host.base}/{n}.jpg", license="CC0-1.0") for n in range(IMAGES)]
    with project.database.write() as connection:
        add_hits(connection, rows)
    settings = {"contact": "a@b.org", "collect.per_host": 300.0, "collect.connections": 4}
    return change_settings(project, settings)


def start(project: Project, host: Site, **options: Any) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(
        target=run_collect, args=(project.path, host.port), kwargs=options
    )
    process.start()
    return process


def wait_for(condition: Any, process: BaseProcess | None = None) -> None:
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until
        assert process is None or process.is_alive(), "it ended too early"
        time.sleep(0.005)


def finish(project: Project, host: Site) -> CollectSummary:
    return collect_images(project, allow=host.allow)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_stores_nothing_twice(waiting: Project, host: Site) -> None:
    for after in (20, 110, 200):
        process = start(waiting, host)
        wait_for(lambda after=after: host.images().total() >= after, process)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    finish(waiting, host)
    check_whole(waiting)
    assert count(waiting, schema.images) == IMAGES
    assert set(host.images()) == {f"/{n}.jpg" for n in range(IMAGES)}
    assert host.images().total() - IMAGES <= 3 * WAITING
    stored = read(waiting, schema.attempts.c.url_id, schema.attempts.c.status)
    assert len(stored) == IMAGES
    assert {status for _, status in stored} == {"stored"}


@pytest.mark.slow
def test_two_runs_share_the_work(waiting: Project, host: Site) -> None:
    processes = [start(waiting, host), start(waiting, host)]
    for process in processes:
        process.join(LIMIT_S)
        assert process.exitcode == 0
    assert count(waiting, schema.images) == IMAGES
    assert set(host.images().values()) == {1}
    check_whole(waiting)


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_once_finishes_what_is_in_flight_and_twice_ends_at_once(
    presses: int, sqlite_project: Project, host: Site
) -> None:
    slow = threading.Event()

    def answer(number: int) -> Page:
        slow.wait(3.0)
        return Page(draw(1_000 + number, side=64))

    host.pages["/slow.jpg"] = answer
    urls = [f"{host.base}/{n}.jpg" for n in range(60)]
    rows = [HitRow("x", url, license="CC0-1.0") for url in (f"{host.base}/slow.jpg", *urls)]
    with sqlite_project.database.write() as connection:
        add_hits(connection, rows)
    settings = {"contact": "a@b.org", "collect.per_host": 20.0, "collect.connections": 4}
    project = change_settings(sqlite_project, settings)
    process = start(project, host, shown=True)
    wait_for(lambda: host.count("/slow.jpg") == 1 and host.images().total() > 5, process)
    assert process.pid is not None
    for press in range(presses):
        time.sleep(1.0 * press)
        os.kill(process.pid, signal.SIGINT)
    began = time.monotonic()
    if presses == 1:
        time.sleep(0.7)
        asked = host.images().total()
        slow.set()
    process.join(LIMIT_S)
    assert process.exitcode == 130
    took = time.monotonic() - began
    check_whole(project)
    slow_one = [
        image
        for url, image in read(project, schema.urls.c.url, schema.urls.c.image_id)
        if url.endswith("/slow.jpg")
    ]
    if presses == 1:
        assert slow_one != [None]  # it was finished
        assert host.images().total() == asked  # and nothing else begun
    else:
        assert slow_one == [None]
        assert took < 2.5
    slow.set()
    finish(project, host)
    assert count(project, schema.images) == 61
    check_whole(project)
