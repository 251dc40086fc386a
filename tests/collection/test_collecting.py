"""`collect` on both databases, against an engine and a host of images on this computer."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from collection.sites import Page, Site, open_site
from openaffect.collection.collecting import CollectSummary, collect_images, plan_collection
from openaffect.collection.providers import BadAnswer, KeyRefused
from openaffect.errors import InputError, StoreError, UnknownName
from openaffect.forgetting import forget
from openaffect.images import encode_image
from openaffect.progress import Progress
from openaffect.project import Project, schema, tombstones, work
from openaffect.project.database import Connection
from openaffect.project.project import change_settings
from openaffect.project.queries import Query, set_queries
from openaffect.project.store import FolderStore
from openaffect.project.urls import HitRow, add_hits, claim_urls
from openaffect.withdrawals import describe_withdrawal

QUERIES = [Query("happy man", "en", "happy"), Query("sad woman", "en", "sad")]
CC_BY = {"license": "by", "license_version": "4.0"}


def draw(number: int, side: int = 96) -> bytes:
    """A photograph of its own."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    image = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return encode_image(image.astype(np.uint8), ".jpg")


class Engine:
    """What speaks Openverse's language, with 20 results on a page."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.statuses: list[int] = []
        site.answer = self._answer

    @property
    def asked(self) -> list[tuple[str, int]]:
        """Queries and pages, as they were asked for."""
        found = [parse_qs(urlsplit(path).query) for path, _ in self.site.asked]
        return [(one["q"][0].split(" -")[0], int(one["page"][0])) for one in found if "q" in one]

    def _answer(self, path: str) -> Page | None:
        parts = urlsplit(path)
        if parts.path != "/v1/images/":
            return None
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return Page(b"{}", status=status)
        asked = parse_qs(parts.query)
        found = self.results.get(asked["q"][0].split(" -")[0], [])
        page = int(asked["page"][0])
        pages = -(-len(found) // 20)
        body = {
            "result_count": len(found),
            "page_count": pages,
            "page_size": 20,
            "page": page,
            "results": found[20 * (page - 1) : 20 * page],
        }
        return Page(json.dumps(body).encode())


@pytest.fixture
def host() -> Iterator[Site]:
    """Where the images are."""
    with open_site() as site:
        yield site


@pytest.fixture
def engine() -> Iterator[Engine]:
    with open_site() as site:
        yield Engine(site)


@pytest.fixture
def asking(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a contact, two queries and no patience."""
    for name in ("OPENVERSE_CLIENT_ID", "OPENVERSE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    _hurry(monkeypatch)
    set_queries(project, QUERIES)
    return change_settings(
        project,
        {"contact": "lab@example.org", "collect.per_host": 5_000.0, "collect.seconds": 10.0},
    )


def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the engine at once: its pace has its own tests."""
    from openaffect.collection.providers import openverse

    caps = openverse.get_caps
    monkeypatch.setattr(
        openverse,
        "get_caps",
        lambda keys, options: dataclasses.replace(caps(keys, options), per_minute=1e6),
    )


def result(host: Site, name: str, **fields: Any) -> dict[str, Any]:
    return {"url": f"{host.base}/{name}", "title": f"Title of {name}", **CC_BY, **fields}


def fill_host(host: Site, engine: Engine, text: str, numbers: range, **fields: Any) -> None:
    """Give a query results whose images are on the host."""
    found = engine.results.setdefault(text, [])
    for number in numbers:
        host.pages[f"/{number}.jpg"] = Page(draw(number))
        found.append(result(host, f"{number}.jpg", **fields))


def collect(project: Project, engine: Engine, host: Site, **options: Any) -> CollectSummary:
    return collect_images(
        project,
        "openverse",
        base=engine.site.base,
        allow=host.allow | engine.site.allow,
        **options,
    )


def read(project: Project, *columns: Any, order: Any = None) -> list[Any]:
    statement = sa.select(*columns).order_by(columns[0] if order is None else order)
    with project.database.read() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def count(project: Project, table: sa.Table) -> int:
    with project.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def check_whole(project: Project) -> None:
    """Every row has its file, every file its row, and the counters say what the rows say."""
    files = set(project.store.iterate())
    assert files == set(read(project, schema.images.c.sha256, schema.images.c.suffix))
    for sha256, suffix in files:
        project.store.read(sha256, suffix)
    status = project.status()
    assert status["images"]["total"] == len(files)
    assert status["found"]["urls"] == count(project, schema.urls)
    assert status["found"]["hits"] == count(project, schema.hits)
    states: Counter[str] = Counter()
    for step, state in read(project, schema.work.c.step, schema.work.c.state):
        if step == "download":
            states[state] += 1
    download = status["steps"]["download"]
    assert states["claimed"] == 0
    assert (
        states["pending"],
        states["done"],
        states["failed"],
        states["refused"],
    ) == (
        download["pending"],
        download["done"],
        sum(download["failed"].values()),
        sum(download["refused"].values()),
    )


def test_queries_become_images_with_their_provenance(
    asking: Project, engine: Engine, host: Site
) -> None:
    fill_host(host, engine, "happy man", range(25))
    fill_host(host, engine, "sad woman", range(25, 30), creator="<b>Ada</b>")
    done = collect(asking, engine, host)
    assert done.search is not None
    assert done.downloads is not None
    assert (done.search.queries, done.search.requests) == (2, 3)
    assert (done.search.hits, done.search.urls, done.search.ended) == (30, 30, None)
    assert (done.downloads.stored, done.downloads.known, done.downloads.done) == (30, 0, 30)
    assert engine.asked == [("happy man", 1), ("happy man", 2), ("sad woman", 1)]
    check_whole(asking)
    images = schema.images.c
    rows = {row[0]: row[1:] for row in read(asking, images.url, *images)}
    assert len(rows) == 30
    columns = [column.name for column in images]
    row = dict(zip(columns, rows[f"{host.base}/27.jpg"], strict=True))
    data = draw(27)
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert (row["bytes"], row["width"], row["height"], row["suffix"]) == (len(data), 96, 96, "jpg")
    assert (row["query"], row["intended"]) == ("sad woman", "sad")
    assert (row["provider"], row["source"], row["name"]) == ("openverse", "openverse", row["url"])
    assert (row["title"], row["author"]) == ("Title of 27.jpg", "Ada")
    assert (row["license"], row["copy_of"]) == ("CC-BY-4.0", None)
    assert None not in (row["dhash"], row["mirrored"], row["pixels"])
    assert count(asking, schema.thumbnails) == 30
    attempts = schema.attempts.c
    tried = read(asking, attempts.status, attempts.http_status, attempts.bytes, attempts.seconds)
    assert len(tried) == 30
    assert {(status, http) for status, http, _, _ in tried} == {("stored", 200)}
    assert sum(size for _, _, size, _ in tried) == sum(len(draw(n)) for n in range(30))
    assert asking.status()["steps"]["detect"]["pending"] == 30


def test_a_second_run_asks_nothing_again(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(25))
    collect(asking, engine, host)
    requests, images = len(engine.asked), host.images()
    again = collect(asking, engine, host)
    assert again.search is not None
    assert again.downloads is not None
    assert (again.search.requests, again.downloads.done) == (0, 0)
    assert (len(engine.asked), host.images()) == (requests, images)
    set_queries(asking, [Query("angry man", "en", "anger")], keep_others=True)
    fill_host(host, engine, "angry man", range(20, 30))
    more = collect(asking, engine, host)
    assert engine.asked[requests:] == [("angry man", 1)]
    assert more.search is not None
    assert more.downloads is not None
    assert (more.search.hits, more.search.urls, more.downloads.stored) == (10, 5, 5)
    check_whole(asking)


def test_it_works_in_a_notebook(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(3))

    async def cell() -> CollectSummary:
        return collect(asking, engine, host)

    done = asyncio.run(cell())
    assert done.downloads is not None
    assert done.downloads.stored == 3


def test_equal_bytes_are_stored_once(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(3))
    host.pages["/copy.jpg"] = Page(draw(1))
    engine.results["happy man"].append(result(host, "copy.jpg"))
    done = collect(asking, engine, host)
    assert done.downloads is not None
    assert (done.downloads.stored, done.downloads.known) == (3, 1)
    check_whole(asking)
    assert asking.status()["found"]["known_images"] == 1
    urls = schema.urls.c
    of_image = Counter(image for _, image in read(asking, urls.url, urls.image_id))
    assert sorted(of_image.values()) == [1, 1, 2]


def test_what_comes_to_nothing_has_its_reason(asking: Project, engine: Engine, host: Site) -> None:
    trouble = {
        "small.jpg": Page(draw(1, side=40)),
        "cut.jpg": Page(draw(2)[:900]),
        "page.jpg": Page(b"<html>" * 20),
        "gone.jpg": Page(status=404),
        "no.jpg": Page(draw(3), headers=(("X-Robots-Tag", "noai"),)),
        "wide.jpg": Page(encode_image(np.zeros((70, 3_000, 3), np.uint8), ".png")),
    }
    host.pages |= {f"/{name}": page for name, page in trouble.items()}
    engine.results["happy man"] = [result(host, name) for name in trouble]
    project = change_settings(asking, {"collect.max_pixels": 200_000})
    done = collect(project, engine, host)
    assert done.downloads is not None
    assert done.downloads.failed == {
        "too small": 1,
        "unreadable image": 2,
        "no image": 1,
        "HTTP 404": 1,
    }
    assert done.downloads.refused == {"X-Robots-Tag": 1}
    assert (done.downloads.stored, done.downloads.done) == (0, 6)
    check_whole(project)
    tried = read(project, schema.attempts.c.status, schema.attempts.c.rules)
    assert [rules for status, rules in tried if status == "refused"] == ["X-Robots-Tag: noai"]
    steps = project.status()["steps"]["download"]
    assert steps["failed"] == dict(done.downloads.failed)
    assert steps["refused"] == {"X-Robots-Tag": 1}


def test_what_has_ended_is_tried_again_when_asked(
    asking: Project, engine: Engine, host: Site
) -> None:
    host.pages["/a.jpg"] = Page(status=404)
    host.pages["/b.jpg"] = Page(draw(2), headers=(("X-Robots-Tag", "noai"),))
    engine.results["happy man"] = [result(host, "a.jpg"), result(host, "b.jpg")]
    collect(asking, engine, host)
    host.pages["/a.jpg"] = Page(draw(1))
    host.pages["/b.jpg"] = Page(draw(2))
    assert collect(asking, engine, host).retried == 0
    assert count(asking, schema.images) == 0
    failed = collect(asking, engine, host, retry=["failed"])
    assert failed.downloads is not None
    assert (failed.retried, failed.downloads.stored, failed.downloads.done) == (1, 1, 1)
    refused = collect(asking, engine, host, retry=["refused"])
    assert refused.downloads is not None
    assert (refused.retried, refused.downloads.stored, refused.downloads.done) == (1, 1, 1)
    assert count(asking, schema.attempts) == 4
    check_whole(asking)
    with pytest.raises(InputError, match="'done'"):
        collect(asking, engine, host, retry=["done"])


LICENSES: dict[str, dict[str, Any]] = {
    "cc0.jpg": {"license": "cc0", "license_version": "1.0"},
    "by.jpg": {"license": "by", "license_version": "2.0"},
    "nc.jpg": {"license": "by-nc", "license_version": "4.0"},
    "nd.jpg": {"license": "by-nd", "license_version": "4.0"},
    "odd.jpg": {"license": "all rights reserved", "license_version": None},
    "none.jpg": {"license": None, "license_version": None},
}


@pytest.mark.parametrize(
    ("licenses", "stored", "refused"),
    [
        (None, "by cc0 nc nd", {"unknown license": 1, "no license": 1}),
        ("open", "by cc0 nc nd", {"unknown license": 1, "no license": 1}),
        (
            "CC0-1.0,CC-BY",
            "by cc0",
            {"license not wanted": 2, "unknown license": 1, "no license": 1},
        ),
        ("CC-BY-4.0", "", {"license not wanted": 4, "unknown license": 1, "no license": 1}),
        ("any", "by cc0 nc nd none odd", {}),
    ],
)
def test_licenses_choose_what_is_downloaded(
    licenses: str | None,
    stored: str,
    refused: dict[str, int],
    asking: Project,
    engine: Engine,
    host: Site,
) -> None:
    for number, name in enumerate(LICENSES):
        host.pages[f"/{name}"] = Page(draw(number))
    engine.results["happy man"] = [result(host, name, **one) for name, one in LICENSES.items()]
    reason: dict[str, Any] = {"because": "a court order"} if licenses == "any" else {}
    done = collect(asking, engine, host, licenses=licenses, **reason)
    assert done.downloads is not None
    assert done.downloads.refused == refused
    names = [
        url.rpartition("/")[2].partition(".")[0] for (url,) in read(asking, schema.images.c.url)
    ]
    assert " ".join(sorted(names)) == stored
    assert set(host.images()) == {f"/{name}.jpg" for name in stored.split()}
    (event,) = [one for one in asking.events() if one["kind"] == "collect"]
    assert event["details"]["licenses"] == (licenses or "open")
    assert event["details"]["because"] == reason.get("because", "")


def test_of_several_hits_one_that_may_be_used_is_used(
    asking: Project, engine: Engine, host: Site
) -> None:
    host.pages["/a.jpg"] = Page(draw(1))
    engine.results["happy man"] = [result(host, "a.jpg", license=None, title="without")]
    engine.results["sad woman"] = [result(host, "a.jpg", title="with")]
    # Both are asked before anything is downloaded: else the first would have been refused.
    collect(asking, engine, host, retry=["refused"])
    collect(asking, engine, host, retry=["refused"])
    columns = (schema.images.c.title, schema.images.c.intended, schema.images.c.license)
    assert read(asking, *columns) == [("with", "sad", "CC-BY-4.0")]
    assert count(asking, schema.hits) == 2
    assert count(asking, schema.urls) == 1


def test_what_was_forgotten_does_not_come_back(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(4))
    collect(asking, engine, host)
    forget(asking, [f"{host.base}/1.jpg"], because="asked by the person")
    assert count(asking, schema.urls) == 3
    # The same address, the same bytes elsewhere, and the same picture in another file.
    host.pages["/elsewhere.jpg"] = Page(draw(1))
    again = cv2.imdecode(np.frombuffer(draw(1), np.uint8), cv2.IMREAD_COLOR)
    assert again is not None
    host.pages["/again.png"] = Page(cv2.imencode(".png", again)[1].tobytes())
    names = ("1.jpg", "elsewhere.jpg", "again.png")
    engine.results["sad woman"] = [result(host, name) for name in names]
    set_queries(asking, [Query("sad woman", "en", "sad")])
    other = Query("sad woman", "de", "sad")  # a query that was not asked yet
    set_queries(asking, [other])
    host.asked.clear()
    done = collect(asking, engine, host)
    assert done.downloads is not None
    assert done.search is not None
    assert done.search.withdrawn == 1
    assert done.downloads.refused == {"withdrawn": 2}
    assert set(host.images()) == {"/elsewhere.jpg", "/again.png"}
    assert count(asking, schema.images) == count(asking, schema.urls) == 3
    texts = [url for (url,) in read(asking, schema.hits.c.url)]
    assert not any(name in url for url in texts for name in names)  # only their hashes are kept
    set_queries(asking, [Query("sad woman", "es", "sad")])
    again_asked = collect(asking, engine, host)
    assert again_asked.search is not None
    assert again_asked.search.withdrawn == 3
    assert set(host.images().values()) == {1}
    check_whole(asking)


def test_addresses_that_wait_are_forgotten_too(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(4))
    collect(asking, engine, host, limit=1)
    status = asking.status()
    assert status["steps"]["download"]["pending"] == 3
    waiting = [
        url for url, image in read(asking, schema.urls.c.url, schema.urls.c.image_id) if not image
    ]
    done = forget(asking, waiting[:2], because="asked")
    assert (done.urls, done.images, done.unknown) == (2, 0, [])
    assert asking.status()["steps"]["download"]["pending"] == 1
    collect(asking, engine, host)
    assert count(asking, schema.images) == 2
    check_whole(asking)


def test_an_address_that_was_forgotten_while_it_waited_is_not_asked_for(
    asking: Project, engine: Engine, host: Site
) -> None:
    fill_host(host, engine, "happy man", range(4))
    collect(asking, engine, host, limit=1)
    today = datetime.date(2026, 11, 26)
    with asking.database.write() as connection:  # as a restored list of withdrawals may do
        gone = describe_withdrawal(today, urls=[f"{host.base}/{n}.jpg" for n in range(4)])
        tombstones.add_tombstones(connection, gone, "asked")
    before = host.images()
    done = collect(asking, engine, host)
    assert done.downloads is not None
    assert done.downloads.refused == {"withdrawn": 3}
    assert host.images() == before
    assert count(asking, schema.urls) == 1


def test_a_redirect_and_the_rights_are_written_down(
    asking: Project, engine: Engine, host: Site
) -> None:
    host.pages["/a.jpg"] = Page(status=301, headers=(("Location", "/b.jpg"),))
    host.pages["/b.jpg"] = Page(draw(1))
    with asking.database.write() as connection:
        hit = HitRow(
            "x",
            f"{host.base}/a.jpg",
            license_url="https://creativecommons.org/licenses/by/4.0/",
            restrictions="personality",
        )
        odd = HitRow("x", f"{host.base}/odd.jpg", rights="All rights reserved")
        add_hits(connection, [hit, odd])
    host.pages["/odd.jpg"] = Page(draw(2))
    done = collect_images(asking, allow=host.allow)
    assert done.downloads is not None
    assert done.downloads.refused == {"unknown license": 1}
    assert done.downloads.bytes == len(draw(1))
    assert done.copies is not None
    attempts = schema.attempts.c
    rows = read(asking, attempts.final_url, attempts.seconds, attempts.status)
    (stored,) = [row for row in rows if row[2] == "stored"]
    assert stored[0] == f"{host.base}/b.jpg"
    assert 0 <= stored[1] < 10
    images = schema.images.c
    assert read(asking, images.license_url, images.restrictions) == [
        ("https://creativecommons.org/licenses/by/4.0/", "personality")
    ]
    collect_images(asking, allow=host.allow, licenses="any", because="a test", retry=["refused"])
    assert ("All rights reserved",) in read(asking, images.license)


def test_the_callback_hears_how_much_is_left(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(25))
    events: list[Progress] = []
    collect(asking, engine, host, on_progress=events.append)
    last = [event for event in events if event.phase == "downloading"][-1]
    assert (last.done, last.total) == (25, 25)
    totals = [event.total for event in events if event.phase == "downloading"]
    assert max(total or 0 for total in totals) == 25


def test_an_address_that_no_index_takes_is_dropped(
    asking: Project, engine: Engine, host: Site, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    letters = "".join(random.choice(list("abcdefghij0123456789"), 1_999))
    longest = f"{host.base}/{letters}"[:1_996] + ".jpg"
    umlauts = f"{host.base}/{'ä' * 990}{letters[:900]}.jpg"  # of fewer characters than bytes
    host.pages[longest.removeprefix(host.base)] = Page(draw(1))
    engine.results["happy man"] = [{"url": url, **CC_BY} for url in (longest, umlauts)]
    done = collect(asking, engine, host)
    assert done.search is not None
    assert done.downloads is not None
    assert (done.search.urls, done.search.dropped, done.downloads.stored) == (1, 1, 1)
    listed = tmp_path / "list.txt"
    listed.write_text(f"{umlauts}\n{longest}\n")
    again = collect_images(asking, "urls", source=listed, allow=host.allow)
    assert again.search is not None
    assert (again.search.hits, again.search.dropped) == (1, 1)
    assert "too long" in (asking.path / "rejected.csv").read_text()


def test_the_limit_ends_search_and_downloads(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(50))
    done = collect(asking, engine, host, limit=25)
    assert done.search is not None
    assert done.downloads is not None
    assert engine.asked == [("happy man", 1), ("happy man", 2)]
    assert (done.search.urls, done.downloads.done) == (40, 25)
    assert host.images().total() == 25
    more = collect(asking, engine, host)
    assert more.downloads is not None
    assert engine.asked[2:] == [("happy man", 3), ("sad woman", 1)]
    assert more.downloads.stored == 25
    check_whole(asking)


def test_the_requests_of_a_day_are_counted_over_runs(
    asking: Project, engine: Engine, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openaffect.collection.providers import openverse

    caps = openverse.get_caps
    monkeypatch.setattr(
        openverse,
        "get_caps",
        lambda keys, options: dataclasses.replace(caps(keys, options), per_day=3),
    )
    fill_host(host, engine, "happy man", range(50))
    first = collect(asking, engine, host, limit=30)
    assert first.search is not None
    assert first.search.ended is None
    assert plan_collection(asking, "openverse").asked_today == 2
    second = collect(asking, engine, host)
    assert second.search is not None
    assert second.downloads is not None
    assert second.search.requests == 1
    assert "3 requests a day" in (second.search.ended or "")
    assert second.downloads.stored == 20  # what was found is downloaded all the same
    third = collect(asking, engine, host)
    assert third.search is not None
    assert third.search.requests == 0
    assert len(engine.asked) == 3
    assert plan_collection(asking, "openverse").asked_today == 3


def test_other_options_ask_the_queries_anew(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(3))
    collect(asking, engine, host)
    collect(asking, engine, host, licenses="any", because="for a test")
    assert engine.asked == [("happy man", 1), ("sad woman", 1)] * 2
    plan = plan_collection(asking, "openverse")
    assert (plan.open_queries, plan.queries) == (0, 2)
    plan = plan_collection(asking, "openverse", licenses="CC0-1.0")
    assert (plan.open_queries, plan.search.requests, plan.search.hits) == (2, 24, 480)
    assert (plan.full.hits, plan.full.queries, plan.full.requests) == (1_800_000, 7_500, 90_000)


def test_a_wrong_key_ends_the_run_after_what_is_waiting(
    asking: Project, engine: Engine, host: Site
) -> None:
    fill_host(host, engine, "happy man", range(50))
    engine.statuses = [200, 401]
    with pytest.raises(KeyRefused, match="401"):
        collect(asking, engine, host)
    assert count(asking, schema.images) == 20
    check_whole(asking)
    collect(asking, engine, host)
    assert engine.asked == [
        *[("happy man", page) for page in (1, 2, 2, 3)],
        ("sad woman", 1),
    ]
    assert count(asking, schema.images) == 50


def test_a_query_that_is_refused_does_not_stop_the_others(
    asking: Project, engine: Engine, host: Site
) -> None:
    fill_host(host, engine, "sad woman", range(3))
    engine.statuses = [400]
    done = collect(asking, engine, host)
    assert done.search is not None
    assert list(done.search.refused) == ["happy man"]
    assert (done.search.queries, done.search.urls) == (1, 3)
    assert plan_collection(asking, "openverse").open_queries == 0


def test_an_engine_that_fails_is_left_alone(
    asking: Project, engine: Engine, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openaffect.collection.search._FIRST_WAIT_S", 0.0)
    engine.statuses = [500] * 20
    with pytest.raises(BadAnswer):
        collect(asking, engine, host)
    assert 0 < len(engine.asked) <= 5
    check_whole(asking)


class Interrupting:
    """What Ctrl-C does to the callback, after so many images."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.events: list[Progress] = []

    def __call__(self, event: Progress) -> None:
        self.events.append(event)
        if event.phase == "downloading" and event.done >= self.after:
            raise KeyboardInterrupt


def test_an_interruption_ends_what_is_in_flight_and_nothing_is_lost(
    asking: Project, engine: Engine, host: Site
) -> None:
    fill_host(host, engine, "happy man", range(60))
    project = change_settings(asking, {"collect.per_host": 40.0, "collect.connections": 2})
    interrupting = Interrupting(5)
    with pytest.raises(KeyboardInterrupt):
        collect(project, engine, host, on_progress=interrupting)
    assert all(event.stop_at_next for event in interrupting.events)
    stored = count(project, schema.images)
    assert 5 <= stored < 60
    check_whole(project)
    fast = change_settings(project, {"collect.per_host": 5_000.0})
    collect(fast, engine, host)
    assert count(project, schema.images) == 60
    assert set(host.images().values()) == {1}  # nothing was asked for twice
    check_whole(project)


def test_a_full_disk_is_an_error_and_no_row_is_without_its_file(
    asking: Project, engine: Engine, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_host(host, engine, "happy man", range(30))
    put_all = FolderStore.put_all
    calls: list[int] = []

    def fill_up(store: FolderStore, images: dict[tuple[str, str], bytes]) -> None:
        calls.append(len(images))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        put_all(store, images)

    monkeypatch.setattr("openaffect.collection.downloads._BATCH", 8)
    monkeypatch.setattr(FolderStore, "put_all", fill_up)
    with pytest.raises(OSError, match="No space left"):
        collect(asking, engine, host)
    monkeypatch.undo()
    assert 0 < count(asking, schema.images) < 30
    check_whole(asking)


def test_a_store_that_is_gone_is_an_error(
    asking: Project, engine: Engine, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("no bucket")

    fill_host(host, engine, "happy man", range(3))
    monkeypatch.setattr(FolderStore, "put_all", refuse)
    with pytest.raises(StoreError, match="no bucket"):
        collect(asking, engine, host)
    assert asking.status()["steps"]["download"]["pending"] == 3
    check_whole(asking)


def test_one_process_at_a_time_asks_an_engine(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(3))
    from openaffect.project import searches
    from openaffect.storage import process_name

    with asking.database.write() as connection:
        assert searches.begin_search(connection, "openverse", f"{process_name()}.other")
    done = collect(asking, engine, host)
    assert done.searching_elsewhere
    assert engine.asked == []
    with asking.database.write() as connection:
        assert searches.begin_search(connection, "commons", "x.1.1")  # another engine may be
        searches.end_search(connection, "openverse", f"{process_name()}.other")
    assert not collect(asking, engine, host).searching_elsewhere
    assert len(engine.asked) == 2


def test_claims_are_kept_while_an_answer_is_awaited(
    asking: Project, engine: Engine, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_host(host, engine, "happy man", range(1))
    host.pages["/0.jpg"] = Page(status=404, pause=1.5)
    renewed: list[str] = []
    renew = work.renew

    def note(connection: Connection, step: str, owner: str) -> None:
        renewed.append(step)
        renew(connection, step, owner)

    monkeypatch.setattr(work, "renew", note)
    monkeypatch.setattr("openaffect.collection.downloads._RENEW_S", 0.1)
    monkeypatch.setattr("openaffect.collection.collecting._RENEW_S", 0.1)
    collect(asking, engine, host, limit=1)  # with the limit reached, nothing more is claimed
    assert renewed.count("download") >= 2
    assert renewed.count("search.openverse") >= 2 + 1  # and once for its page


def test_what_a_dead_process_had_claimed_is_downloaded_at_once(
    asking: Project, engine: Engine, host: Site
) -> None:
    fill_host(host, engine, "happy man", range(3))
    collect(asking, engine, host, limit=1)
    from openaffect.storage import process_name

    computer = process_name().split(".")[0]
    with asking.database.write() as connection:
        assert len(work.claim(connection, "download", f"{computer}.999999.1.x", 9)) == 2
    done = collect(asking, engine, host)
    assert done.downloads is not None
    assert done.downloads.stored == 2


def test_hosts_on_a_list_are_left_out(asking: Project, engine: Engine, host: Site) -> None:
    fill_host(host, engine, "happy man", range(3))
    (asking.path / "hosts").mkdir()
    (asking.path / "hosts" / "mine.txt").write_text("127.0.0.1\n")
    done = collect(asking, engine, host)
    assert done.downloads is not None
    assert done.downloads.refused == {"host list mine": 3}
    assert host.asked == []
    assert (asking.path / "hosts" / "stock.txt").is_file()


def test_permission_for_a_host_is_recorded(asking: Project, engine: Engine, host: Site) -> None:
    host.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /")
    fill_host(host, engine, "happy man", range(2))
    collect(asking, engine, host)
    assert count(asking, schema.images) == 0
    collect(asking, engine, host, allow_hosts=["127.0.0.1"], because="a letter", retry=["refused"])
    assert count(asking, schema.images) == 2
    event = [one for one in asking.events() if one["kind"] == "collect"][-1]
    assert event["details"]["allow_hosts"] == ["127.0.0.1"]
    assert event["details"]["because"] == "a letter"
    rules = [text for _, text in read(asking, schema.attempts.c.id, schema.attempts.c.rules)]
    assert [(text or "").startswith("passed over by permission") for text in rules] == [
        *[False] * 2,
        *[True] * 2,
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"licenses": "any"}, "--because"),
        ({"allow_hosts": ["a.b"]}, "--because"),
        ({"licenses": "nonsense"}, "CC0-1.0,CC-BY"),
        ({"source": "x"}, "--source"),
        ({"options": {"engine": "bing"}}, "engine"),
        ({"because": "x" * 1_001}, "1000 characters"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_asked(
    options: dict[str, Any], text: str, asking: Project, engine: Engine, host: Site
) -> None:
    with pytest.raises((InputError, UnknownName), match=text):
        collect(asking, engine, host, **options)
    assert engine.site.asked == []
    assert [one["kind"] for one in asking.events()].count("collect") == 0


def test_nobody_is_asked_without_a_contact(asking: Project, engine: Engine, host: Site) -> None:
    project = change_settings(asking, {"contact": ""})
    with pytest.raises(InputError, match="contact"):
        collect(project, engine, host)
    with pytest.raises(InputError, match="contact"):
        collect_images(project)
    with pytest.raises(InputError, match="contact"):
        plan_collection(project, "openverse")
    assert engine.site.asked == []


def test_a_key_is_written_nowhere(
    asking: Project, engine: Engine, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENVERSE_CLIENT_ID", "canary-id-77aa")
    monkeypatch.setenv("OPENVERSE_CLIENT_SECRET", "canary-secret-77aa")
    engine.site.pages["/v1/auth_tokens/token/"] = Page(status=500)
    monkeypatch.setattr("openaffect.collection.search._FIRST_WAIT_S", 0.0)
    with pytest.raises(Exception) as error:
        collect(asking, engine, host)
    texts = [str(error.value), repr(error.value), json.dumps(asking.events(), default=str)]
    for table in schema.metadata.sorted_tables:
        with asking.database.read() as connection:
            texts += [str(row) for row in connection.execute(sa.select(table))]
    assert "canary" not in "\n".join(texts)


def test_the_queue_goes_round_the_hosts(asking: Project) -> None:
    names = ["a", "a", "a", "b", "a", "c", "b"]
    rows = [HitRow("x", f"https://{name}.example/{n}") for n, name in enumerate(names)]
    with asking.database.write() as connection:
        add_hits(connection, rows[:4])
    with asking.database.write() as connection:
        add_hits(connection, rows[4:])
    with asking.database.write() as connection:
        first = claim_urls(connection, "me", 3)
        assert sorted(one.host for one in first) == ["a.example", "b.example", "c.example"]
        rest = claim_urls(connection, "me", 9, busy_hosts=["a.example"])
        assert [one.host for one in rest] == ["b.example"]
        last = claim_urls(connection, "me", 9)
        assert [one.host for one in last] == ["a.example"] * 3
