"""Fetching one image: what servers answer, what their rules say, and how often they are asked."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from collection.sites import Page, Site, open_site
from openaffect.collection import sessions
from openaffect.collection.fetcher import Fetched, ImageFetcher
from openaffect.collection.hosts import HostLists
from openaffect.images import encode_image
from openaffect.project.settings import CollectSettings

CONTACT = "lab@example.org"
IMAGE = encode_image(np.full((80, 80, 3), 90, np.uint8), ".jpg")
FAST = CollectSettings(per_host=10_000.0, seconds=5.0, max_bytes=100_000)
JPEG = (("Content-Type", "image/jpeg"),)


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site({"/a.jpg": Page(IMAGE, headers=JPEG)}) as opened:
        yield opened


@dataclass
class Clock:
    """A clock that only waiting moves."""

    now: float = 1_000.0
    waited: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def fetch(
    *urls: str,
    site: Site,
    settings: CollectSettings = FAST,
    lists: HostLists | None = None,
    allow: set[tuple[str, int]] | None = None,
    **options: Any,
) -> list[Fetched]:
    """What comes of addresses, one after the other."""

    async def run() -> list[Fetched]:
        allowed = site.allow if allow is None else allow
        found = []
        async with sessions.open_session(CONTACT, allowed) as session:
            fetcher = ImageFetcher(
                session, settings, lists=lists or HostLists({}), allow=allowed, **options
            )
            for url in urls:
                async with fetcher.fetch(url) as one:
                    found.append(one)
        return found

    return asyncio.run(run())


def fetch_one(path: str, site: Site, **options: Any) -> Fetched:
    return fetch(site.base + path, site=site, **options)[0]


def test_an_image_comes_with_its_bytes(site: Site) -> None:
    found = fetch_one("/a.jpg", site)
    assert (found.status, found.data, found.http_status) == ("stored", IMAGE, 200)
    assert (found.reason, found.final_url, found.rules) == (None, None, None)
    assert found.seconds is not None
    assert 0 < found.seconds < 5


def test_the_contact_of_the_operator_is_sent_and_no_cookie(site: Site) -> None:
    site.pages["/set.jpg"] = Page(IMAGE, headers=(("Set-Cookie", "a=b"),))
    fetch(*(site.base + path for path in ("/set.jpg", "/a.jpg")), site=site)
    (agent,) = site.agents
    assert agent.startswith("openaffect/")
    assert agent.endswith(f"({CONTACT})")
    assert site.cookies == set()


def test_rules_are_asked_for_once_and_before_the_image(site: Site) -> None:
    fetch(*[site.base + "/a.jpg"] * 3, site=site)
    paths = [path for path, _ in site.asked]
    assert paths == ["/robots.txt", "/.well-known/tdmrep.json", *["/a.jpg"] * 3]


TROUBLE: dict[str, tuple[Page, str]] = {
    "HTML": (Page(b"<!DOCTYPE html><p>no image", headers=JPEG), "no image"),
    "an SVG": (Page(b'<svg xmlns="http://www.w3.org/2000/svg"/>' * 2, headers=JPEG), "no image"),
    "404": (Page(b"gone", status=404), "HTTP 404"),
    "410 with an image": (Page(IMAGE, status=410), "HTTP 410"),
    "403": (Page(status=403), "HTTP 403"),
    "500": (Page(status=500), "HTTP 500"),
    "a part": (Page(IMAGE, status=206), "HTTP 206"),
    "nothing to say": (Page(status=204), "HTTP 204"),
    "too many bytes": (Page(IMAGE + b"\0" * 100_000), "too large"),
    "too many bytes without a length": (Page(IMAGE + b"\0" * 100_000, length=""), "too large"),
    "endless": (Page(IMAGE, endless=True, length=""), "too large"),
    "a length that is too long": (Page(IMAGE, length=str(len(IMAGE) + 9)), "no answer"),
    "a gzip bomb": (
        Page(gzip.compress(b"\0" * 10_000_000), headers=(("Content-Encoding", "gzip"),)),
        "no answer",
    ),
    "a deflate bomb": (
        Page(zlib.compress(b"\0" * 10_000_000), headers=(("Content-Encoding", "deflate"),)),
        "no answer",
    ),
    "a redirect to nowhere": (Page(status=302), "HTTP 302"),
    "a redirect to a file": (
        Page(status=302, headers=(("Location", "file:///etc/passwd"),)),
        "address not opened",
    ),
    "a redirect that is no address": (
        Page(status=302, headers=(("Location", "http://[::1"),)),
        "address not opened",
    ),
    "a redirect to this computer": (
        Page(status=302, headers=(("Location", "http://127.0.0.1:9/a.jpg"),)),
        "address not opened",
    ),
    "a redirect with a password": (
        Page(status=302, headers=(("Location", "http://me:pw@example.org/a.jpg"),)),
        "address not opened",
    ),
    "a redirect to itself": (
        Page(status=302, headers=(("Location", "/x.jpg"),)),
        "too many redirects",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_is_no_image_has_its_reason(trouble: str, site: Site) -> None:
    page, kind = TROUBLE[trouble]
    site.pages["/x.jpg"] = page
    found = fetch_one("/x.jpg", site)
    assert found.status == "failed"
    assert found.data is None
    assert (found.reason or "").split(":")[0] == kind


def test_a_dribble_ends_after_the_seconds_that_are_allowed(site: Site) -> None:
    site.pages["/x.jpg"] = Page(IMAGE, pause=0.02)
    settings = CollectSettings(per_host=10_000.0, seconds=0.5)
    assert (fetch_one("/x.jpg", site, settings=settings).reason or "").startswith("too slow")


def test_a_server_that_never_answers_is_too_slow(site: Site) -> None:
    site.pages["/x.jpg"] = Page(pause=30.0)
    settings = CollectSettings(per_host=10_000.0, seconds=0.3)
    assert (fetch_one("/x.jpg", site, settings=settings).reason or "").startswith("too slow")


def test_a_body_that_is_no_image_is_not_read_on(site: Site) -> None:
    site.pages["/x.jpg"] = Page(b"<html>" + b" " * 94, endless=True, length="")
    found = fetch_one("/x.jpg", site, settings=CollectSettings(per_host=1e4, max_bytes=10**9))
    assert (found.reason or "").startswith("no image")


def test_five_redirects_are_followed_and_the_sixth_is_not(site: Site) -> None:
    for hop in range(1, 7):
        site.pages[f"/{hop}"] = Page(status=301 + hop % 2, headers=(("Location", f"{hop + 1}"),))
    site.pages["/7"] = Page(IMAGE)
    good = fetch_one("/2", site)
    assert (good.status, good.final_url) == ("stored", f"{site.base}/7")
    bad = fetch_one("/1", site)
    assert bad.reason == "too many redirects: more than 5"


PRIVATE = (
    *("http://10.0.0.1/a.jpg", "http://169.254.169.254/latest", "http://[::1]/a.jpg"),
    *("http://[::ffff:127.0.0.1]/a.jpg", "http://[64:ff9b::7f00:1]/a.jpg"),
    *("http://[2002:7f00:1::]/a.jpg", "http://224.0.0.1/a.jpg", "http://localhost/a.jpg"),
    *("http://0x7f.1/a.jpg", "ftp://example.org/a.jpg", "file:///etc/passwd", "data:image/png,x"),
    *("http://me:pw@example.org/a.jpg", "http://example.org:22/a.jpg", "nonsense", "http://"),
)


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_that_is_not_public_is_not_opened(url: str, site: Site) -> None:
    (found,) = fetch(url, site=site)
    assert (found.status, (found.reason or "").split(":")[0]) == ("failed", "address not opened")
    assert site.asked == []


def test_a_host_that_is_no_name_is_not_reached(site: Site) -> None:
    (found,) = fetch(f"http://0:{site.port}/a.jpg", site=site)
    assert found.status == "failed"
    assert site.asked == []


def test_the_permission_holds_for_one_port_alone(site: Site) -> None:
    with open_site({"/a.jpg": Page(IMAGE)}) as other:
        site.pages["/x.jpg"] = Page(status=302, headers=(("Location", f"{other.base}/a.jpg"),))
        direct, redirected = fetch(f"{other.base}/a.jpg", f"{site.base}/x.jpg", site=site)
        assert (direct.reason or "").startswith("address not opened")
        assert (redirected.reason or "").startswith("address not opened")
        assert other.asked == []
    assert fetch_one("/a.jpg", site, allow=set()).status == "failed"


def test_a_name_that_stands_for_this_computer_is_not_opened(site: Site) -> None:
    url = f"http://localhost:{site.port}/a.jpg"
    (found,) = fetch(url, site=site, allow=set())
    assert (found.reason or "").startswith("address not opened")
    assert site.asked == []


REFUSALS: dict[str, tuple[dict[str, Page | Callable[[int], Page]], str]] = {
    "robots.txt": ({"/robots.txt": Page(b"User-agent: *\nDisallow: /a")}, "robots.txt"),
    "robots.txt for us": (
        {"/robots.txt": Page(b"User-agent: openaffect\nDisallow: /\n\nUser-agent: *\nAllow: /")},
        "robots.txt",
    ),
    "a signal": (
        {"/robots.txt": Page(b"User-agent: *\nContent-Signal: ai-train=no\nAllow: /")},
        "Content-Signal",
    ),
    "a header": ({"/a.jpg": Page(IMAGE, headers=(("X-Robots-Tag", "noai"),))}, "X-Robots-Tag"),
    "a second header": (
        {"/a.jpg": Page(IMAGE, headers=(("X-Robots-Tag", "all"), ("x-robots-tag", "noimageai")))},
        "X-Robots-Tag",
    ),
    "a reservation": ({"/a.jpg": Page(IMAGE, headers=(("tdm-reservation", "1"),))}, "TDMRep"),
    "a file of reservations": (
        {
            "/.well-known/tdmrep.json": Page(
                b'[{"location": "/a.jpg", "tdm-reservation": 1}]', headers=JPEG
            )
        },
        "TDMRep",
    ),
    "a usage": (
        {"/a.jpg": Page(IMAGE, headers=(("Content-Usage", "train-ai=n"),))},
        "Content-Usage",
    ),
}


@pytest.mark.parametrize("rule", REFUSALS)
def test_a_no_is_obeyed_and_its_text_is_kept(rule: str, site: Site) -> None:
    pages, kind = REFUSALS[rule]
    site.pages |= pages
    found = fetch_one("/a.jpg", site)
    assert (found.status, found.data) == ("refused", None)
    assert (found.reason or "").split(":")[0] == kind
    assert found.rules
    allowed = fetch_one("/a.jpg", site, allowed_hosts={"127.0.0.1"})
    assert (allowed.status, allowed.data) == ("stored", IMAGE)
    assert (allowed.rules or "").startswith(f"passed over by permission: {kind}")
    other = fetch_one("/a.jpg", site, allowed_hosts={"example.org"})
    assert other.status == "refused"


def test_the_header_wins_over_the_file(site: Site) -> None:
    site.pages["/.well-known/tdmrep.json"] = Page(b'[{"location": "/*", "tdm-reservation": 1}]')
    assert fetch_one("/a.jpg", site).status == "refused"
    site.pages["/a.jpg"] = Page(IMAGE, headers=(("tdm-reservation", "0"),))
    assert fetch_one("/a.jpg", site).status == "stored"


@pytest.mark.parametrize("status", [500, 503, 599])
def test_rules_that_cannot_be_read_mean_no_for_now(status: int, site: Site) -> None:
    site.pages["/robots.txt"] = Page(status=status)
    first, second = fetch(*[f"{site.base}/a.jpg"] * 2, site=site)
    assert first.status == second.status == "failed"
    assert first.reason == f"robots.txt not readable: HTTP {status}"
    assert site.count("/robots.txt") == 1
    assert site.count("/a.jpg") == 0


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_site_without_rules_allows_everything(status: int, site: Site) -> None:
    site.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /", status=status)
    assert fetch_one("/a.jpg", site).status == "stored"


def test_rules_of_ten_megabytes_are_read_as_far_as_they_must_be(site: Site) -> None:
    head = b"User-agent: *\nDisallow: /a.jpg\n"
    site.pages["/robots.txt"] = Page(head + b"# filler\n" * 1_200_000)
    assert fetch_one("/a.jpg", site).status == "refused"
    site.pages["/robots.txt"] = Page(b"# filler\n" * 1_200_000 + head)
    assert fetch_one("/a.jpg", site).status == "stored"


def test_rules_are_asked_for_again_after_a_day_or_ten_minutes(site: Site) -> None:
    clock = Clock()
    url = f"{site.base}/a.jpg"

    async def run(*pauses: float) -> None:
        async with sessions.open_session(CONTACT, site.allow) as session:
            fetcher = ImageFetcher(
                session, FAST, lists=HostLists({}), allow=site.allow, clock=clock
            )
            for pause in (0.0, *pauses):
                clock.now += pause
                async with fetcher.fetch(url):
                    pass

    asyncio.run(run(86_399.0, 2.0))
    assert site.count("/robots.txt") == 2
    site.asked.clear()
    site.pages["/robots.txt"] = Page(status=500)
    asyncio.run(run(599.0, 2.0))
    assert site.count("/robots.txt") == 2


def test_robots_may_be_behind_a_redirect(site: Site) -> None:
    site.pages["/robots.txt"] = Page(status=301, headers=(("Location", "/rules"),))
    site.pages["/rules"] = Page(b"User-agent: *\nDisallow: /a.jpg")
    assert fetch_one("/a.jpg", site).status == "refused"
    site.pages["/rules"] = Page(status=301, headers=(("Location", "/rules"),))
    assert fetch_one("/a.jpg", site).status == "stored"  # as if there were none
    site.pages["/robots.txt"] = Page(status=301, headers=(("Location", "http://10.0.0.1/"),))
    reason = fetch_one("/a.jpg", site).reason or ""
    assert reason.startswith("robots.txt not readable: the address leads to 10.0.0.1")


def test_a_redirect_is_judged_where_it_leads(site: Site) -> None:
    with open_site({"/b.jpg": Page(IMAGE)}) as other:
        other.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /")
        site.pages["/x.jpg"] = Page(status=302, headers=(("Location", f"{other.base}/b.jpg"),))
        both = site.allow | other.allow
        found = fetch_one("/x.jpg", site, allow=both)
        assert (found.status, found.final_url) == ("refused", f"{other.base}/b.jpg")
        assert other.count("/b.jpg") == 0


def test_a_listed_host_is_not_asked(site: Site) -> None:
    found = fetch_one("/a.jpg", site, lists=HostLists({"127.0.0.1": "stock"}))
    assert (found.status, found.reason) == ("refused", "host list stock: 127.0.0.1")
    assert site.asked == []


def paced(site: Site, clock: Clock, urls: list[str], **settings: Any) -> list[Fetched]:
    return fetch(
        *urls,
        site=site,
        settings=CollectSettings(**settings),
        clock=clock,
        sleep=clock.sleep,
    )


def test_a_host_is_asked_at_its_pace(site: Site) -> None:
    clock = Clock()
    paced(site, clock, [f"{site.base}/a.jpg"] * 4, per_host=2.0)
    # robots.txt, tdmrep.json and four images: five intervals of half a second
    assert sum(clock.waited) == pytest.approx(2.5)


def test_the_delay_of_robots_is_obeyed(site: Site) -> None:
    site.pages["/robots.txt"] = Page(b"User-agent: *\nCrawl-delay: 10\nAllow: /")
    clock = Clock()
    paced(site, clock, [f"{site.base}/a.jpg"] * 3, per_host=2.0)
    assert sum(clock.waited) == pytest.approx(40.0, abs=0.6)


def test_a_host_that_asks_to_wait_is_waited_for(site: Site) -> None:
    answers = {
        1: Page(status=429, headers=(("Retry-After", "120"),)),
        2: Page(status=503, headers=(("Retry-After", "7"),)),
    }
    site.pages["/x.jpg"] = lambda number: answers.get(number, Page(IMAGE))
    clock = Clock()
    (found,) = paced(site, clock, [f"{site.base}/x.jpg"], per_host=100.0)
    assert found.status == "stored"
    assert site.count("/x.jpg") == 3
    assert sum(clock.waited) == pytest.approx(127.0, abs=1.0)


@pytest.mark.parametrize(("asks", "times"), [("301", 1), ("300", 3), (None, 3), ("soon", 3)])
def test_nobody_is_waited_for_longer_than_five_minutes(
    asks: str | None, times: int, site: Site
) -> None:
    headers = () if asks is None else (("Retry-After", asks),)
    site.pages["/x.jpg"] = Page(status=429, headers=headers)
    (found,) = paced(site, Clock(), [f"{site.base}/x.jpg"], per_host=100.0)
    assert (found.status, found.reason) == ("failed", "asked to wait: HTTP 429")
    assert site.count("/x.jpg") == times


@pytest.mark.parametrize("status", [500, 403, 401])
def test_a_host_that_fails_five_times_is_left_alone_for_ten_minutes(
    status: int, site: Site
) -> None:
    site.pages["/x.jpg"] = Page(status=status)
    clock = Clock()
    urls = [f"{site.base}/x.jpg"] * 8
    found = paced(site, clock, urls, per_host=100.0)
    assert site.count("/x.jpg") == 5
    assert [(one.reason or "").split(":")[0] for one in found[4:6]] == [
        f"HTTP {status}",
        "host left alone",
    ]


def test_a_missing_image_is_no_failure_of_its_host(site: Site) -> None:
    paths = ["/x.jpg", "/html", "/big"] * 4
    site.pages["/html"] = Page(b"<html>" * 20)
    site.pages["/big"] = Page(IMAGE + b"\0" * 100_000)
    fetch(*(site.base + path for path in paths), f"{site.base}/a.jpg", site=site)
    assert site.count("/a.jpg") == 1


def test_one_image_between_failures_keeps_a_host(site: Site) -> None:
    site.pages["/x.jpg"] = Page(status=500)
    paths = [*["/x.jpg"] * 4, "/a.jpg", *["/x.jpg"] * 4, "/a.jpg"]
    found = fetch(*(site.base + path for path in paths), site=site)
    assert [one.status for one in found].count("stored") == 2


def test_no_more_than_the_connections_are_open(site: Site) -> None:
    site.pages["/slow.jpg"] = Page(status=404, pause=0.05)
    settings = CollectSettings(per_host=10_000.0, connections=3)

    async def run() -> None:
        async with sessions.open_session(CONTACT, site.allow, connections=20) as session:
            fetcher = ImageFetcher(session, settings, lists=HostLists({}), allow=site.allow)

            async def one() -> None:
                async with fetcher.fetch(f"{site.base}/slow.jpg"):
                    pass

            await asyncio.gather(*(one() for _ in range(12)))

    asyncio.run(run())
    assert site.count("/slow.jpg") == 12
    assert site.most == 3
