"""`collect` against servers, clocks and neighbors that mean harm, or only behave as the web does."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

from collection.sites import Page, Site, open_site
from collection.test_collecting import check_whole, count, draw, read
from collection.test_fetcher import CONTACT, IMAGE, Clock
from openaffect.collection import downloads, fetcher, sessions
from openaffect.collection.answers import Answer
from openaffect.collection.collecting import collect_images
from openaffect.collection.downloads import ImageDownloader
from openaffect.collection.fetcher import Fetched, ImageFetcher
from openaffect.collection.hosts import HostLists, Pace
from openaffect.collection.license_filter import parse_licenses
from openaffect.errors import StoreError
from openaffect.forgetting import forget
from openaffect.project import Project, schema, urls
from openaffect.project.project import change_settings
from openaffect.project.settings import CollectSettings
from openaffect.project.store import FolderStore
from openaffect.project.urls import HitRow

FAST = CollectSettings(per_host=10_000.0, seconds=5.0)
NOBODY = Answer(404, {}, b"")
PICTURE = Answer(200, {}, IMAGE)


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as opened:
        yield opened


@pytest.fixture
def waiting(sqlite_project: Project) -> Project:
    """A project that asks at once."""
    wanted = {"contact": CONTACT, "collect.per_host": 5_000.0, "collect.seconds": 5.0}
    return change_settings(sqlite_project, wanted)


def queue(project: Project, *addresses: str) -> None:
    with project.database.write() as connection:
        urls.add_hits(connection, [HitRow("list", url, license="CC-BY-4.0") for url in addresses])


def collect(project: Project, site: Site, **options: Any) -> Any:
    done = collect_images(project, allow=site.allow, **options).downloads
    assert done is not None
    return done


@dataclasses.dataclass
class Web:
    """Servers that are no sockets: each request takes as long as `takes` says, by a clock of its own."""

    monkeypatch: pytest.MonkeyPatch
    answers: dict[str, Answer] = dataclasses.field(default_factory=dict)
    takes: Callable[[str], float] = lambda _: 0.0
    asked: list[tuple[str, float]] = dataclasses.field(default_factory=list)

    def fetch(self, *addresses: str, settings: CollectSettings) -> list[Fetched]:
        """All of them at the same time."""

        async def answer(_: object, url: str, **options: Any) -> Answer:
            loop = asyncio.get_running_loop()
            self.asked.append((url, loop.time()))
            await asyncio.sleep(self.takes(url))
            is_rule = url.endswith(("/robots.txt", "/tdmrep.json"))
            found = self.answers.get(url, NOBODY if is_rule else PICTURE)
            if "look" in options:
                options["look"](dataclasses.replace(found, body=b""))
            return found

        async def fetch_all() -> list[Fetched]:
            self.monkeypatch.setattr(sessions, "fetch", answer)
            session: Any = None
            loop = asyncio.get_running_loop()
            one = ImageFetcher(session, settings, lists=HostLists({}), clock=loop.time)

            async def fetch_one(url: str) -> Fetched:
                async with one.fetch(url) as found:
                    return found

            return await asyncio.gather(*map(fetch_one, addresses))

        return asyncio.run(fetch_all())

    def gaps(self, host: str) -> list[float]:
        """Seconds between two requests of a host."""
        times = [at for url, at in self.asked if urlsplit(url).hostname == host]
        return [after - before for before, after in pairwise(times)]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(monkeypatch)


def test_turns_are_not_saved_up_while_every_connection_is_in_use(web: Web) -> None:
    # One answer of another host takes as long as ten turns.
    web.takes = lambda url: 0.6 if "slow.jpg" in url else 0.0
    settings = CollectSettings(per_host=20.0, connections=1)
    addresses = [f"http://a.example/{n}.jpg" for n in range(8)]
    found = web.fetch(addresses[0], "http://b.example/slow.jpg", *addresses[1:], settings=settings)
    assert {one.status for one in found} == {"stored"}
    gaps = web.gaps("a.example")
    assert len(gaps) == 9  # two files of rules and eight images
    assert max(gaps) > 0.3  # it did wait
    assert min(gaps) > 0.045


def test_both_schemes_of_a_host_are_asked_at_one_pace(web: Web) -> None:
    for n in range(4):
        web.answers[f"http://a.example/{n}.jpg"] = Answer(
            301, {"location": f"https://a.example/{n}.jpg"}, b""
        )
    addresses = [f"http://a.example/{n}.jpg" for n in range(4)]
    found = web.fetch(*addresses, settings=CollectSettings(per_host=25.0))
    assert [one.final_url for one in found] == [f"https://a.example/{n}.jpg" for n in range(4)]
    gaps = web.gaps("a.example")
    assert len(gaps) == 2 * 4 + 2 * 2 - 1
    assert min(gaps) > 0.035


def test_who_asks_to_wait_is_not_asked_by_those_who_wait_for_a_connection(web: Web) -> None:
    # One host has a connection for .2 s and asks to wait; the other host has the second for .5 s.
    web.answers["http://a.example/0.jpg"] = Answer(429, {"retry-after": "1"}, b"")
    web.takes = lambda url: {"/0.jpg": 0.2, "/slow.jpg": 0.5}.get(urlsplit(url).path, 0.0)
    settings = CollectSettings(per_host=100.0, connections=2)
    addresses = ("http://a.example/0.jpg", "http://b.example/slow.jpg", "http://a.example/1.jpg")
    web.fetch(*addresses, settings=settings)
    times: dict[str, float] = {}
    for url, at in web.asked:
        times.setdefault(url, at)
    assert times["http://a.example/1.jpg"] - times["http://a.example/0.jpg"] >= 1.1


def test_another_port_is_another_host(web: Web) -> None:
    addresses = ["http://a.example/a.jpg", "http://a.example:8080/a.jpg"]
    began = time.monotonic()
    web.fetch(*addresses, settings=CollectSettings(per_host=5.0))
    assert 0.4 <= time.monotonic() - began < 0.75  # three turns, side by side


def test_where_many_robots_lead_a_host_is_asked_at_its_pace(web: Web) -> None:
    rules = {"location": "https://rules.example/robots.txt"}
    hosts = [f"h{n}.example" for n in range(6)]
    web.answers = {f"http://{host}/robots.txt": Answer(302, rules, b"") for host in hosts}
    addresses = [f"http://{host}/a.jpg" for host in hosts]
    found = web.fetch(*addresses, settings=CollectSettings(per_host=25.0))
    assert {one.status for one in found} == {"stored"}
    gaps = web.gaps("rules.example")
    assert len(gaps) == 5
    assert min(gaps) > 0.035


def test_robots_behind_a_password_cannot_be_read(web: Web) -> None:
    web.answers["http://a.example/robots.txt"] = Answer(
        302, {"location": "http://me:pw@b.example/robots.txt"}, b""
    )
    first, second = web.fetch("http://a.example/a.jpg", "http://a.example/b.jpg", settings=FAST)
    assert first.reason == second.reason
    assert (first.reason or "").startswith("robots.txt not readable: a redirect to")
    assert [url for url, _ in web.asked] == ["http://a.example/robots.txt"]  # once for both


def test_rules_that_never_come_fail_no_other_host(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(fetcher, "_RULES_S", 0.4)
    site.pages["/a.jpg"] = Page(IMAGE)
    with open_site({"/robots.txt": Page(pause=9.0)}) as one, open_site(one.pages) as other:
        sites = (one, other, site)
        allow = set().union(*(each.allow for each in sites))

        async def run() -> list[Fetched]:
            async with sessions.open_session(CONTACT, allow, connections=2) as session:
                settings = CollectSettings(per_host=1_000.0, connections=2)
                asking = ImageFetcher(session, settings, lists=HostLists({}), allow=allow)

                async def fetch_one(each: Site) -> Fetched:
                    async with asking.fetch(f"{each.base}/a.jpg") as found:
                        return found

                return await asyncio.gather(*map(fetch_one, sites))

        found = asyncio.run(run())
    assert [one.status for one in found] == ["failed", "failed", "stored"]


BYTES: dict[str, tuple[Page, str]] = {
    "a type": (
        Page(b"abcd" * 9, headers=(("Content-Type", "te\xff/\x80"),)),
        "no image: te%FF/%80",
    ),
    "an encoding": (
        Page(IMAGE, headers=(("Content-Encoding", "\xffzip"),)),
        "no answer: the address answered in %ffzip, which was not asked for",
    ),
}


@pytest.mark.parametrize("name", BYTES)
def test_headers_that_are_no_text_are_a_reason_and_no_end_of_the_run(
    name: str, waiting: Project, site: Site
) -> None:
    page, reason = BYTES[name]
    site.pages |= {"/a.jpg": page, "/b.jpg": Page(draw(1))}
    queue(waiting, f"{site.base}/a.jpg", f"{site.base}/b.jpg")
    assert collect(waiting, site).stored == 1
    attempts = schema.attempts.c
    reasons = [one for _, one in read(waiting, attempts.url_id, attempts.reason)]
    assert reasons == [reason, None]
    check_whole(waiting)


def test_a_redirect_in_another_encoding_is_followed(waiting: Project, site: Site) -> None:
    site.pages["/a.jpg"] = Page(status=302, headers=(("Location", "/caf\xe9.jpg"),))
    site.pages["/caf%E9.jpg"] = Page(draw(1))
    queue(waiting, f"{site.base}/a.jpg")
    assert collect(waiting, site).stored == 1
    assert read(waiting, schema.attempts.c.final_url) == [(f"{site.base}/caf%E9.jpg",)]


def run_downloads(
    project: Project,
    found: Callable[[str], Fetched],
    *,
    seconds: float,
    count_turns: Callable[[str, float], int] = lambda _host, _seconds: 9,
) -> None:
    """Download with a fetcher that opens nothing; longer than `seconds` is an error."""

    class Fake:
        @staticmethod
        def is_asking(_: object) -> bool:
            return True

        @staticmethod
        @asynccontextmanager
        async def fetch(url: str) -> Any:
            await asyncio.sleep(0)
            yield found(url)

    fake: Any = Fake()
    fake.count_turns = count_turns

    async def run() -> None:
        one = ImageDownloader(project, fake, parse_licenses("open"), owner="this")
        await asyncio.wait_for(one.run(), seconds)

    asyncio.run(run())


class FullStore(FolderStore):
    """Takes its time, and then nothing."""

    def put_all(self, images: Any) -> None:
        assert images
        time.sleep(0.3)
        raise StoreError("the disk is full")


def test_a_store_that_fails_at_the_last_image_ends_the_run(waiting: Project) -> None:
    # The last result fills the queue of the writer while the writer fails.
    project = change_settings(waiting, {"collect.connections": 1})
    queue(project, "http://a.example/1.jpg", "http://a.example/2.jpg")

    def found(url: str) -> Fetched:
        return Fetched("stored", None, draw(int(url[-5])), 200)

    full = dataclasses.replace(project, store=FullStore(str(project.path / "store")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "_BATCH", 1)
        with pytest.raises(StoreError, match="the disk is full"):
            run_downloads(full, found, seconds=10.0)
    check_whole(project)


def test_an_error_of_the_last_download_is_not_lost(waiting: Project) -> None:
    queue(waiting, "http://a.example/1.jpg")

    def found(url: str) -> Fetched:
        raise RuntimeError(url)

    with pytest.raises(RuntimeError, match=r"1\.jpg"):
        run_downloads(waiting, found, seconds=10.0)
    check_whole(waiting)


@pytest.mark.parametrize("moment", ["while it is asked for", "when it is on disk"])
def test_what_is_forgotten_meanwhile_is_not_kept(
    moment: str, waiting: Project, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    site.pages["/1.jpg"] = Page(draw(1))
    queue(waiting, f"{site.base}/1.jpg")
    collect(waiting, site)

    def forget_it(*_: object) -> Page:
        # The first run has it; its twin is on its way when somebody asks.
        forget(waiting, [f"{site.base}/1.jpg"], because="asked by the person")
        return Page(draw(1))

    site.pages["/twin.jpg"] = Page(draw(1))
    if moment == "while it is asked for":
        site.pages["/twin.jpg"] = forget_it
    else:
        put_all = FolderStore.put_all

        def put_and_forget(store: FolderStore, images: Any) -> None:
            forget_it()
            put_all(store, images)
            assert len(list(store.iterate())) == 1

        monkeypatch.setattr(FolderStore, "put_all", put_and_forget)
    queue(waiting, f"{site.base}/twin.jpg")
    done = collect(waiting, site)
    assert (done.stored, dict(done.refused)) == (0, {"withdrawn": 1})
    assert list(waiting.store.iterate()) == []
    assert count(waiting, schema.urls) == 0
    check_whole(waiting)


def look_up(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], str]) -> list[str]:
    """Let `find` say the number of each name; the names that were asked for."""
    known = socket.getaddrinfo
    asked: list[str] = []

    def get(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not name.endswith(".example"):
            return known(host, port, *args, **options)
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (find(name), int(port)))]

    monkeypatch.setattr(socket, "getaddrinfo", get)
    return asked


def test_names_that_are_looked_up_slowly_keep_nobody_waiting(
    waiting: Project, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    def find(_: str) -> str:
        time.sleep(3.0)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    look_up(monkeypatch, find)
    site.pages["/a.jpg"] = Page(draw(1))
    project = change_settings(waiting, {"collect.connections": 64})
    # More of them than the threads that a loop has by itself.
    queue(project, *(f"http://h{n}.example/a.jpg" for n in range(40)), f"{site.base}/a.jpg")
    began = time.monotonic()
    done = collect(project, site)
    assert (done.stored, sum(done.failed.values())) == (1, 40)
    attempts = schema.attempts.c
    times = {status: at for at, status in read(project, attempts.at, attempts.status)}
    assert (times["failed"] - times["stored"]).total_seconds() > 1.5
    assert time.monotonic() - began < 5.5
    check_whole(project)


def test_a_name_that_leads_elsewhere_the_next_time_is_not_followed_there(
    waiting: Project, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    numbers = ["127.0.0.1"]
    asked = look_up(monkeypatch, lambda _: numbers[-1])
    site.pages |= {f"/{n}.jpg": Page(draw(n)) for n in range(2)}
    queue(waiting, f"http://b\u00fccher.example:{site.port}/0.jpg")
    assert collect(waiting, site).stored == 1
    before = len(site.asked)
    numbers.append("127.0.0.2")  # which the server hears, too, were it asked
    queue(waiting, f"http://B\u00dcCHER.example.:{site.port}/1.jpg")
    done = collect(waiting, site)
    assert (done.stored, dict(done.failed)) == (0, {"address not opened": 1})
    assert len(site.asked) == before
    assert set(asked) == {"xn--bcher-kva.example"}
    check_whole(waiting)


def test_slow_hosts_do_not_come_to_have_all_the_downloads(
    waiting: Project, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(downloads, "_IN_FLIGHT", 80)
    monkeypatch.setattr(downloads, "_CLAIM", 8)
    look_up(monkeypatch, lambda _: "127.0.0.1")
    site.pages |= {f"/{n}.jpg": Page(draw(n)) for n in range(60)}
    waiting = change_settings(
        waiting, {"collect.per_host": 30.0}
    )  # the slow ones know theirs first
    with open_site() as other:
        other.pages |= site.pages
        other.pages["/robots.txt"] = Page(b"User-agent: *\nCrawl-delay: 20")
        names = [f"http://slow{n}.example:{other.port}" for n in range(4)]
        queue(waiting, *(f"{base}/{n}.jpg" for base in [*names, site.base] for n in range(60)))
        began = time.monotonic()

        def stop(_: object) -> None:
            if len(site.images()) == 60 or time.monotonic() - began > 10:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            collect_images(waiting, allow=site.allow | other.allow, on_progress=stop)
        assert len(site.images()) == 60
        assert other.images().total() == 0  # the first turn is 20 s after that of robots.txt
    check_whole(waiting)


def test_of_a_host_that_is_known_so_many_are_downloaded_as_its_pace_takes(site: Site) -> None:
    site.pages |= {"/a.jpg": Page(IMAGE), "/robots.txt": Page(b"User-agent: *\nCrawl-delay: 12")}

    async def run() -> tuple[int, int]:
        clock = Clock()
        async with sessions.open_session(CONTACT, site.allow) as session:
            one = ImageFetcher(
                session,
                FAST,
                lists=HostLists({}),
                allow=site.allow,
                clock=clock,
                sleep=clock.sleep,
            )
            before = one.count_turns("127.0.0.1", 30.0)
            async with one.fetch(f"{site.base}/a.jpg") as found:
                assert found.status == "stored"
            assert (
                one.count_turns("127.0.0.1", 5.0) == 1
            )  # none in truth, but it must not be left out
            return before, one.count_turns("127.0.0.1", 30.0)

    assert asyncio.run(run()) == (16, 2)


def test_turns_within_a_time_are_counted() -> None:
    pace = Pace(2.0)
    assert pace.count_turns(100.0, 0.0) == 1
    assert pace.count_turns(100.0, 1.4) == 3
    assert pace.reserve(100.0) == 0
    assert [pace.count_turns(100.0, seconds) for seconds in (0.4, 0.5, 1.0)] == [0, 1, 2]
    pace.pause(103.0)
    assert [pace.count_turns(100.0, seconds) for seconds in (2.9, 3.0, 3.5)] == [0, 1, 2]


def test_a_request_that_begins_late_moves_the_next_turns() -> None:
    pace = Pace(2.0)
    assert pace.reserve(100.0) == 0
    pace.begin(105.0)
    assert pace.reserve(105.0) == 0.5
    pace.begin(105.5)  # in time: nothing changes
    assert pace.reserve(105.5) == 0.5
    pace.slow_down(10.0)
    assert pace.reserve(106.0) == 10.0


def test_downloads_may_end_while_others_are_claimed(
    waiting: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_CLAIM", 4)
    queue(waiting, *(f"http://h{n}.example/{n}.jpg" for n in range(60)))

    def count_slowly(_host: str, _seconds: float) -> int:
        time.sleep(0.002)  # meanwhile the loop goes on
        return 9

    def fail(_: str) -> Fetched:
        return Fetched("failed", "HTTP 404")

    run_downloads(waiting, fail, seconds=20.0, count_turns=count_slowly)
    assert waiting.status()["steps"]["download"]["failed"] == {"HTTP 404": 60}
    check_whole(waiting)
