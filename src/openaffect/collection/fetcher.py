"""One image from the web, politely: the rules of its host are asked first, and its pace is kept."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from openaffect.addresses import MAX_REDIRECTS, Allowed, check_url, hide_password
from openaffect.collection import sessions
from openaffect.collection.answers import Answer
from openaffect.collection.hosts import Breaker, HostLists, Pace
from openaffect.collection.opt_outs import (
    OptOut,
    Robots,
    TdmFile,
    find_in_headers,
    judge_robots,
    parse_tdm_file,
    speaks_on_tdm,
)
from openaffect.collection.providers import parse_retry_after
from openaffect.errors import AddressRefused, DownloadError
from openaffect.image_headers import foreign_format, sniff_format
from openaffect.project.settings import CollectSettings
from openaffect.project.urls import End
from openaffect.withdrawals import normalize_url

if TYPE_CHECKING:
    import aiohttp

RULES_HOLD_S = 24 * 3_600.0
"""For so long a host is not asked for its rules again (RFC 9309, section 2.4)."""
LONGEST_WAIT_S = 300.0
"""A host that asks to wait for longer is not waited for."""

_ASK_AGAIN_S = 600.0  # a host whose rules could not be read
_ROBOTS_BYTES = 512_000  # as many as RFC 9309 asks for
_TDM_BYTES = 262_144
_RULES_S = 30.0
_MOST_SITES = 10_000  # that are remembered: many more than are asked at the same time
_UNKNOWN_TURNS = 16  # of a host that may be a slow one
_TRIES = 3  # where a host asks to wait
_WAIT_S = 30.0  # where it does not say how long
_NOT_OPENED = "address not opened"
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Fetched:
    """How the download of an image ended.

    Attributes:
        status: `stored` where its bytes have come; the caller stores them.
        reason: why it was refused or failed; what stands before the first `:` names the kind.
        data: its bytes.
        http_status: of the last answer.
        final_url: the address after redirects, where that is another one.
        rules: the raw text of what refused it, or would have without the operator's permission.
        seconds: that the last request took, without the wait for its turn.
    """

    status: End
    reason: str | None = None
    data: bytes | None = None
    http_status: int | None = None
    final_url: str | None = None
    rules: str | None = None
    seconds: float | None = None


class _Ended(Exception):  # noqa: N818 - no error of ours: how a download ends
    def __init__(self, found: Fetched) -> None:
        super().__init__(found.reason)
        self.found = found


class _Moved(Exception):  # noqa: N818
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class _ToldToWait(Exception):  # noqa: N818
    def __init__(self, status: int, seconds: float | None) -> None:
        super().__init__(status, seconds)
        self.status = status
        self.seconds = seconds


class ImageFetcher:
    """Fetches images, each host at its pace; for one event loop.

    Args:
        session: of `sessions.open_session`.
        settings: `[collect]` of a project.
        lists: hosts that are left out.
        allowed_hosts: whose opt-outs the operator has permission to pass over.
        allow: numbers and ports that may be opened although they are not public.
        clock: seconds that never go back.
        sleep: how to wait for seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: CollectSettings,
        *,
        lists: HostLists,
        allowed_hosts: Collection[str] = (),
        allow: Allowed = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._settings = settings
        self._lists = lists
        self._allowed_hosts = frozenset(allowed_hosts)
        self._allow = allow
        self._clock = clock
        self._sleep = sleep
        self._sites: dict[str, _Site] = {}
        self._asked_hosts: dict[str, _Turns] = {}  # whose rules were asked for
        self._connections = asyncio.Semaphore(settings.connections)
        self._asking: set[asyncio.Task[Any] | None] = set()

    def is_asking(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task waits for a server's answer, and not for its turn."""
        return task in self._asking

    def count_turns(self, host: str, seconds: float) -> int:
        """About how many addresses of a host can be asked for within some time, 1 or more."""
        turns = self._asked_hosts.get(host)
        if turns is None:
            return _UNKNOWN_TURNS
        return max(1, turns.pace.count_turns(self._clock(), seconds))

    @contextlib.asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Fetched]:
        """The bytes of an image, or why there are none; it raises nothing for what servers do.

        As long as the block runs, the bytes count as a download that is under way: so there are never
        more of them in memory than `connections`.
        """
        found = await self._follow(url)
        try:
            yield found
        finally:
            if found.data is not None:
                self._end_turn()

    async def _follow(self, url: str) -> Fetched:
        first = url
        passed_over: list[str] = []
        try:
            for _ in range(MAX_REDIRECTS + 1):
                try:
                    found = await self._get(url, passed_over)
                    break
                except _Moved as moved:
                    url = moved.url
            else:
                raise _failed(f"too many redirects: more than {MAX_REDIRECTS}")
        except _Ended as ended:
            found = ended.found
        rules = found.rules or (passed_over[0] if passed_over else None)
        return replace(found, final_url=url if url != first else None, rules=rules)

    async def _get(self, url: str, passed_over: list[str]) -> Fetched:
        """The image at one address, without redirects; rules that permission overrules are added."""
        site = self._open_site(url)
        for tried in range(1, _TRIES + 1):
            opt_out = await self._ask_rules(site, url)
            if opt_out is not None:
                passed_over.append(self._refuse(site, opt_out))
            await self._take_turn(site)
            self._asking.add(asyncio.current_task())
            began = self._clock()
            try:
                answer = await self._ask(site, url, passed_over)
            except _Ended as ended:
                self._end_turn()
                raise _Ended(replace(ended.found, seconds=self._clock() - began)) from None
            except _ToldToWait as told:
                self._end_turn()
                wait = _WAIT_S if told.seconds is None else told.seconds
                site.breaker.note_failure(self._clock())
                if wait > LONGEST_WAIT_S or tried == _TRIES:
                    reason = f"asked to wait: HTTP {told.status}"
                    raise _failed(reason, http_status=told.status) from None
                site.turns.pause(self._clock() + wait)
            except BaseException:
                self._end_turn()
                raise
            else:
                seconds = self._clock() - began
                return Fetched("stored", None, answer.body, answer.status, seconds=seconds)
        raise AssertionError("unreachable")

    def _end_turn(self) -> None:
        self._asking.discard(asyncio.current_task())
        self._connections.release()

    def _open_site(self, url: str) -> _Site:
        try:
            check_url(url, self._allow)
        except AddressRefused as error:
            raise _failed(f"{_NOT_OPENED}: {error}") from None
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        listed = self._lists.find(host)
        if listed is not None:
            raise _refused(f"host list {listed}: {host}")
        origin = f"{parts.scheme}://{parts.netloc}"
        site = self._sites.pop(origin, None)
        if site is None:
            # http and https are one host, which is asked at one pace.
            other = "http" if parts.scheme == "https" else "https"
            twin = self._sites.get(f"{other}://{parts.netloc}")
            site = _Site(origin, host, twin.turns if twin else _Turns(self._settings.per_host))
        self._sites[origin] = site  # the last used is the last
        if len(self._sites) > _MOST_SITES:
            oldest = self._sites.pop(next(iter(self._sites)))
            self._asked_hosts.pop(oldest.host, None)
        return site

    async def _ask_rules(self, site: _Site, url: str) -> OptOut | None:
        """What robots.txt says of an address, or the TDM file where no header will speak."""
        async with site.lock:
            if self._clock() >= site.rules_until:
                await self._read_rules(site)
                self._asked_hosts[site.host] = site.turns
        if site.robots is None:
            raise _failed(f"robots.txt not readable: {site.robots_problem}")
        return site.robots.find_opt_out(url)

    async def _read_rules(self, site: _Site) -> None:
        status, body, site.robots_problem = await self._read_rule_file(
            site, "/robots.txt", _ROBOTS_BYTES
        )
        site.robots = judge_robots(status, body)
        if site.robots is None:
            site.rules_until = self._clock() + _ASK_AGAIN_S
            return
        if site.robots.delay_s is not None:
            site.turns.pace.slow_down(site.robots.delay_s)
        status, body, _ = await self._read_rule_file(site, "/.well-known/tdmrep.json", _TDM_BYTES)
        site.tdm = parse_tdm_file(body if status == 200 else b"")
        site.rules_until = self._clock() + RULES_HOLD_S

    async def _read_rule_file(
        self, site: _Site, path: str, max_bytes: int
    ) -> tuple[int | None, bytes, str]:
        """Status and body of a file with rules; without an answer None, and why."""
        url = first = site.origin + path
        try:
            for _ in range(MAX_REDIRECTS + 1):
                # A redirect leads to a host with a pace of its own.
                await self._wait(self._open_site(url).turns)
                try:
                    answer = await sessions.fetch(
                        self._session,
                        url,
                        max_bytes=max_bytes,
                        seconds=_RULES_S,
                        allow=self._allow,
                        cut=True,
                    )
                finally:
                    self._connections.release()
                location = answer.headers.get("location")
                if answer.status not in _REDIRECTS or location is None:
                    return answer.status, answer.body, f"HTTP {answer.status}"
                url = _join(url, location)
        except _Ended as ended:
            return None, b"", (ended.found.reason or "").removeprefix(f"{_NOT_OPENED}: ")
        except AddressRefused as error:
            if url == first:
                raise _failed(f"{_NOT_OPENED}: {error}") from None
            return None, b"", str(error)
        except DownloadError as error:
            return None, b"", str(error)
        return 404, b"", ""  # RFC 9309, section 2.3.1.2: too many redirects are as no file

    async def _ask(self, site: _Site, url: str, passed_over: list[str]) -> Answer:
        def look(answer: Answer) -> None:
            if answer.body:
                _check_start(answer)
                return
            _check_status(answer, url)
            opt_out = find_in_headers(answer.raw_headers)
            if opt_out is None and not speaks_on_tdm(answer.raw_headers):
                opt_out = site.tdm.find_opt_out(url)
            if opt_out is not None:
                passed_over.append(self._refuse(site, opt_out, answer.status))

        try:
            answer = await sessions.fetch(
                self._session,
                url,
                max_bytes=self._settings.max_bytes,
                seconds=self._settings.seconds,
                allow=self._allow,
                look=look,
            )
        except _Moved:
            site.breaker.note_success()
            raise
        except _Ended as ended:
            status = ended.found.http_status or 0
            if status >= 500 or status in (401, 403):
                site.breaker.note_failure(self._clock())
            else:
                site.breaker.note_success()
            raise
        except AddressRefused as error:
            raise _failed(f"{_NOT_OPENED}: {error}") from None
        except DownloadError as error:
            raise self._explain(site, error) from None
        site.breaker.note_success()
        return answer

    def _refuse(self, site: _Site, opt_out: OptOut, status: int | None = None) -> str:
        """End the download, unless the operator has permission; the text for its row."""
        if site.host in self._allowed_hosts:
            return f"passed over by permission: {opt_out.kind}: {opt_out.text}"
        raise _refused(f"{opt_out.kind}: {opt_out.text}", opt_out.text, status)

    def _explain(self, site: _Site, error: DownloadError) -> _Ended:
        if isinstance(error, sessions.TooLarge):
            site.breaker.note_success()
            return _failed(f"too large: {error}")
        site.breaker.note_failure(self._clock())
        kind = "too slow" if isinstance(error, sessions.TooSlow) else "no answer"
        return _failed(f"{kind}: {error}")

    async def _take_turn(self, site: _Site) -> None:
        """Wait for the turn of a host's next request; a host that fails is not asked."""
        if not site.breaker.is_open(self._clock()):
            await self._wait(site.turns)
            if site.breaker.allow(self._clock()):
                return
            self._connections.release()
        raise _failed("host left alone: it has failed several times in a row")

    async def _wait(self, turns: _Turns) -> None:
        """Wait for a host's next turn, and take one of the connections for it."""
        async with turns.lock:  # turns that pass while all connections are in use are not saved up
            while True:
                wait = turns.pace.reserve(self._clock())
                if wait > 0:
                    await self._sleep(wait)
                await self._connections.acquire()
                if self._clock() >= turns.paused_until:
                    break
                self._connections.release()
            turns.pace.begin(self._clock())


class _Turns:
    """When a host may be asked; one of its downloads waits at a time, the others behind it."""

    def __init__(self, rate: float) -> None:
        self.pace = Pace(rate)
        self.lock = asyncio.Lock()
        self.paused_until = float("-inf")

    def pause(self, until: float) -> None:
        """Let nobody ask before a time."""
        self.paused_until = max(self.paused_until, until)
        self.pace.pause(until)


class _Site:
    """What is known of a host: its rules, its turns, and whether it answers."""

    def __init__(self, origin: str, host: str, turns: _Turns) -> None:
        self.origin = origin
        self.host = host
        self.turns = turns
        self.breaker = Breaker()
        self.lock = asyncio.Lock()
        self.robots: Robots | None = None
        self.robots_problem = ""
        self.tdm: TdmFile = parse_tdm_file(b"")
        self.rules_until = float("-inf")


def _check_status(answer: Answer, url: str) -> None:
    """End the download where its answer is no image."""
    status = answer.status
    location = answer.headers.get("location")
    asks = answer.headers.get("retry-after")
    if status == 200:
        return
    if status in _REDIRECTS and location is not None:
        raise _Moved(_join(url, location))
    if status == 429 or (status == 503 and asks is not None):
        now = datetime.datetime.now(datetime.UTC)
        raise _ToldToWait(status, parse_retry_after(asks, now))
    if status == 206:
        raise _failed("HTTP 206: a part that was not asked for", http_status=status)
    raise _failed(f"HTTP {status}", http_status=status)


def _join(url: str, location: str) -> str:
    """Where a redirect leads."""
    try:
        joined = urllib.parse.urljoin(url, location)
        usable = urllib.parse.urlsplit(joined).username is None
    except ValueError:
        usable = False
    if not usable:
        raise _failed(f"{_NOT_OPENED}: a redirect to {hide_password(location)[:100]!r}")
    return normalize_url(joined)


def _check_start(answer: Answer) -> None:
    """End the download of what is no image, by its first bytes."""
    if answer.status == 200 and sniff_format(answer.body[:32]) is None:
        known = foreign_format(answer.body)
        said = known or answer.headers.get("content-type", "unknown")[:60]
        raise _failed(f"no image: {said}", http_status=200)


def _failed(reason: str, *, http_status: int | None = None) -> _Ended:
    return _Ended(Fetched("failed", reason, http_status=http_status))


def _refused(reason: str, rules: str | None = None, http_status: int | None = None) -> _Ended:
    return _Ended(Fetched("refused", reason, http_status=http_status, rules=rules))
