"""`collect`: images from search engines, lists, folders and archives into a project.

Search and downloads run side by side: each page of results is written down before the next one is
asked for, and what it adds to the queue is downloaded meanwhile. Everything that was done is kept,
so a run that was interrupted or killed is simply given again.
"""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from openaffect.addresses import Allowed
from openaffect.collection import providers, sessions
from openaffect.collection.copies import CopySummary, find_image_copies, is_compared
from openaffect.collection.downloads import DownloadSummary, ImageDownloader
from openaffect.collection.fetcher import ImageFetcher
from openaffect.collection.hits import (
    QuerySearch,
    SearchSummary,
    add_listed,
    describe_options,
    make_request_counter,
)
from openaffect.collection.hosts import read_host_lists, write_host_lists
from openaffect.collection.license_filter import OPEN, LicenseFilter, parse_licenses
from openaffect.collection.local_images import LocalSummary, add_local_images
from openaffect.collection.providers import Item
from openaffect.collection.search import Searcher, SearchPlan, plan_addresses, plan_search
from openaffect.errors import InputError
from openaffect.progress import OnProgress, Progress
from openaffect.project import Project, rows, searches, work
from openaffect.project.urls import STEP, find_host
from openaffect.storage import process_name

HOSTS = "hosts"
"""The folder of a project with the lists of hosts that are left out."""

ADDRESSES = 1_800_000
"""As many distinct addresses the authors of AffectNet gathered."""

RETRIED = ("failed", "refused")
"""Ends of a download after which it may be tried again."""

_THREADS = 8  # for the database
_RENEW_S = 240.0  # a right that is not renewed ends after a quarter of an hour
_LOOK_S = 0.5  # an interruption is noticed after so long
_LONGEST_REASON = 1_000  # characters


@dataclass(slots=True)
class CollectSummary:
    """What a run of `collect` has brought; None for what was not asked for.

    Attributes:
        search: of the queries or the list.
        searching_elsewhere: whether another process is asking this provider, so that this one has not.
        local: of a folder or an archive.
        downloads: of the queue.
        copies: of the search for copies, where images have come since the last one.
        retried: addresses that were put back into the queue.
    """

    search: SearchSummary | None = None
    searching_elsewhere: bool = False
    local: LocalSummary | None = None
    downloads: DownloadSummary | None = None
    copies: CopySummary | None = None
    retried: int = 0

    def describe(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        parts = {
            "search": self.search,
            "local": self.local,
            "downloads": self.downloads,
            "copies": self.copies,
        }
        found: dict[str, Any] = {
            name: None if part is None else _describe_part(part) for name, part in parts.items()
        }
        found["searching_elsewhere"] = self.searching_elsewhere
        found["retried"] = self.retried
        return found


def collect_images(
    project: Project,
    provider: str | None = None,
    *,
    source: str | Path | None = None,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    licenses: str | None = None,
    allow_hosts: Collection[str] = (),
    because: str = "",
    retry: Collection[str] = (),
    base: str | None = None,
    allow: Allowed = (),
    on_progress: OnProgress | None = None,
) -> CollectSummary:
    """Collect images: ask a provider, download what it finds, and keep what is an image.

    Args:
        project: an open project; servers see the `contact` of its settings.
        provider: of `providers.provider_names`; None to download only what is in the queue.
        source: the folder, list or archive, for a provider that reads one.
        limit: stop the search after so many new addresses, and download at most so many.
        options: of the provider, such as its engine.
        licenses: see `license_filter.parse_licenses`; by default `open` for what comes from the web, and
            `any` for what you have.
        allow_hosts: hosts whose opt-outs you have permission to pass over.
        because: why, for the record; `licenses="any"` from the web and `allow_hosts` need it.
        retry: `failed`, `refused` or both: addresses that ended so are tried again.
        base: another server that speaks the provider's language.
        allow: numbers and ports that may be opened although they are not public.
        on_progress: called with the number of addresses done so far.

    Raises:
        UnknownName: no such provider or option.
        InputError: no contact, no reason, a key or a source that is missing or not wanted.
        ProviderError: the provider answers no query; what was found and downloaded is kept.
        FormatError: the source cannot be read to its end; what came before is kept.
        StoreError: the store cannot be reached.
        DatabaseError: the database does not answer.
    """
    asked = _Asked(
        provider,
        None if source is None else Path(source),
        dict(options or {}),
        _choose_licenses(provider, licenses),
        frozenset(host.strip().rstrip(".").lower() for host in allow_hosts),
        because.strip(),
    )
    _check(asked)
    for state in retry:
        if state not in RETRIED:
            raise InputError(f"expected {' or '.join(RETRIED)} to try again, but got '{state}'")
    collecting = _Collecting(project, asked, limit, base, allow, on_progress)
    return collecting.run(retry)


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """What a run of `collect` would take.

    Attributes:
        open_queries, queries: of the project: still to be asked, and in all.
        asked_today: requests to the provider since midnight (UTC).
        caps: what the provider allows.
        search: of the open queries.
        full: of as many addresses as AffectNet had.
    """

    open_queries: int
    queries: int
    asked_today: int
    caps: providers.Caps
    search: SearchPlan
    full: SearchPlan


def plan_collection(
    project: Project,
    provider: str,
    *,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    licenses: str | None = None,
) -> CollectPlan:
    """What it would take to ask a search engine all that is left; nothing is asked.

    Args:
        project, provider, limit, options, licenses: as of `collect_images`.

    Raises:
        UnknownName: no such provider or option.
        InputError: a source, no contact, or a key that is missing.
    """
    sessions.check_contact(project.settings.contact)
    keys = providers.read_keys(provider)
    chosen = providers.choose_options(provider, options or {})
    name = describe_options(dict(options or {}), parse_licenses(licenses or OPEN).text)
    today = datetime.datetime.now(datetime.UTC).date()
    with project.database.read() as connection:
        left, total = searches.count_open_searches(connection, provider, name)
        asked = searches.read_requests(connection, provider, today)
    return CollectPlan(
        left,
        total,
        asked,
        providers.load_engine(provider).get_caps(keys, chosen),
        plan_search(provider, left, hits=limit, keys=keys, options=chosen),
        plan_addresses(provider, ADDRESSES, keys=keys, options=chosen),
    )


@dataclass(frozen=True, slots=True)
class ListPlan:
    """What a list of addresses would take.

    Attributes:
        addresses: that can be asked for.
        unusable: lines without such an address.
        hosts: how many there are.
        busiest: the host with most addresses.
        hours: that its addresses take at the pace of `[collect]`.
    """

    addresses: int
    unusable: int
    hosts: int
    busiest: str
    hours: float


def plan_list(project: Project, provider: str, source: str | Path) -> ListPlan:
    """What a list of addresses would take; nothing is asked.

    Raises:
        InputError: a provider that gives no addresses; no such list.
    """
    if providers.is_engine(provider) or _has_bytes(provider):
        raise InputError(f"--plan is for what is downloaded, and {provider} gives images")
    hosts: Counter[str] = Counter()
    unusable = 0
    for item in providers.load_source(provider).read_items(Path(source)):
        if item.url is None or item.error is not None:
            unusable += 1
        else:
            hosts[find_host(item.url)] += 1
    (busiest, most), *_ = hosts.most_common(1) or [("", 0)]
    hours = most / project.settings.collect.per_host / 3_600
    return ListPlan(hosts.total(), unusable, len(hosts), busiest, hours)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for."""

    provider: str | None
    source: Path | None
    options: dict[str, str]
    licenses: LicenseFilter
    allow_hosts: frozenset[str]
    because: str

    @property
    def is_engine(self) -> bool:
        return self.provider is not None and providers.is_engine(self.provider)


def _describe_part(
    part: SearchSummary | LocalSummary | DownloadSummary | CopySummary,
) -> dict[str, Any]:
    # Not `asdict`, which makes something else of a Counter.
    values = {one.name: getattr(part, one.name) for one in fields(part)}
    return {
        name: dict(value) if isinstance(value, dict) else value for name, value in values.items()
    }


def _choose_licenses(provider: str | None, text: str | None) -> LicenseFilter:
    if text is None:
        return parse_licenses("any" if _has_bytes(provider) else OPEN)
    return parse_licenses(text)


def _has_bytes(provider: str | None) -> bool:
    """Whether a source gives images, and not addresses."""
    if provider is None or providers.is_engine(provider):
        return False
    return providers.load_source(provider).HAS_IMAGES


def _check(asked: _Asked) -> None:
    """Refuse what does not fit together, before anything is done."""
    if asked.provider is None or asked.is_engine:
        if asked.source is not None:
            raise InputError("--source is for the providers folder, urls and archive")
    elif asked.source is None:
        reads = providers.load_source(asked.provider).READS
        raise InputError(f"{asked.provider} needs --source: {reads}")
    if asked.options and not asked.is_engine:
        raise InputError("--option is for search engines")
    if len(asked.because) > _LONGEST_REASON:
        raise InputError(f"expected a reason of at most {_LONGEST_REASON} characters")
    if asked.because:
        return
    if asked.licenses.any and not _has_bytes(asked.provider):
        raise InputError("images without an open license are collected only with --because TEXT")
    if asked.allow_hosts:
        raise InputError("a host's opt-outs are passed over only with --because TEXT")


class _Collecting:
    """One run."""

    def __init__(
        self,
        project: Project,
        asked: _Asked,
        limit: int | None,
        base: str | None,
        allow: Allowed,
        on_progress: OnProgress | None,
    ) -> None:
        self._project = project
        self._asked = asked
        self._limit = limit
        self._base = base
        self._allow = allow
        self._on_progress = on_progress
        self._owner = f"{process_name()}.{uuid.uuid4().hex[:8]}"
        self._summary = CollectSummary()
        self._searcher: Searcher | None = None
        self._search: QuerySearch | None = None
        self._downloader: ImageDownloader | None = None
        self._stopping = False

    def run(self, retry: Collection[str]) -> CollectSummary:
        if not _has_bytes(self._asked.provider):
            sessions.check_contact(self._project.settings.contact)
        if self._asked.is_engine:
            self._searcher = self._make_searcher()
        write_host_lists(self._project.path / HOSTS)
        with self._project.database.write() as connection:
            work.release_dead(connection, STEP)
            for state in retry:
                self._summary.retried += work.retry(connection, STEP, state)
            rows.record_event(connection, "collect", self._asked.provider, self._describe())
        try:
            self._collect()
        finally:
            with self._project.database.write() as connection:
                rows.record_event(
                    connection, "collected", self._asked.provider, self._summary.describe()
                )
        if self._stopping:
            raise KeyboardInterrupt
        return self._summary

    def _collect(self) -> None:
        if self._asked.source is not None:
            self._read_source(self._asked.source)
        if not self._stopping and not _has_bytes(self._asked.provider):
            self._go_online()
        if not self._stopping and not is_compared(self._project):
            self._summary.copies = find_image_copies(self._project, on_progress=self._on_progress)

    def _read_source(self, source: Path) -> None:
        assert self._asked.provider is not None
        name = self._asked.provider
        items = self._until_stopped(providers.load_source(name).read_items(source))
        if _has_bytes(name):

            def note_images(done: LocalSummary) -> None:
                self._summary.local = done
                self._tell(
                    Progress(
                        "reading images", done.done, note=f"new: {done.stored:,}", stop_at_next=True
                    )
                )

            self._summary.local = add_local_images(
                self._project,
                name,
                items,
                self._asked.licenses,
                limit=self._limit,
                on_batch=note_images,
            )
        else:

            def note_lines(done: SearchSummary) -> None:
                self._tell(
                    Progress("reading addresses", done.hits + done.dropped, stop_at_next=True)
                )

            self._summary.search = add_listed(
                self._project, name, items, limit=self._limit, on_page=note_lines
            )

    def _until_stopped(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            if self._stopping:
                return
            yield item

    def _go_online(self) -> None:
        try:
            if self._searcher is not None:
                with self._project.database.write() as connection:
                    free = searches.begin_search(connection, self._searcher.name, self._owner)
                self._summary.searching_elsewhere = not free
                if not free:
                    self._searcher = None
            sessions.run(self._search_and_download())
        finally:
            if self._searcher is not None:
                with self._project.database.write() as connection:
                    searches.end_search(connection, self._searcher.name, self._owner)

    async def _search_and_download(self) -> None:
        settings = self._project.settings
        # Names are looked up in these threads, too: a slow one must not keep the database waiting.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(settings.collect.connections + _THREADS)
        )
        async with sessions.open_session(
            settings.contact, self._allow, connections=settings.collect.connections
        ) as session:
            fetcher = ImageFetcher(
                session,
                settings.collect,
                lists=read_host_lists(self._project.path / HOSTS),
                allowed_hosts=self._asked.allow_hosts,
                allow=self._allow,
            )
            self._downloader = ImageDownloader(
                self._project,
                fetcher,
                self._asked.licenses,
                owner=self._owner,
                limit=self._limit,
                on_batch=self._tell_downloads,
            )
            self._summary.downloads = self._downloader.summary
            searching = asyncio.create_task(self._run_search())
            watching = asyncio.create_task(self._watch())
            try:
                await self._downloader.run(lambda: not searching.done())
                if not self._stopping:
                    await searching
            finally:
                for task in (searching, watching):
                    task.cancel()
                await asyncio.gather(searching, watching, return_exceptions=True)
        self._tell_downloads()

    async def _run_search(self) -> None:
        if self._searcher is None:
            return
        async with self._searcher as searcher:
            self._search = QuerySearch(
                self._project,
                searcher,
                options=describe_options(self._asked.options, self._asked.licenses.text),
                owner=self._owner,
                limit=self._limit,
                on_page=self._note_page,
            )
            self._summary.search = self._search.summary
            await self._search.run()

    async def _watch(self) -> None:
        """Tell how far it is even while nothing happens: only then is an interruption noticed."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            self._tell_downloads()
            if time.monotonic() - renewed > _RENEW_S:
                renewed = time.monotonic()
                await asyncio.to_thread(self._keep_search)

    def _keep_search(self) -> None:
        """Keep the right to ask the provider, which may let us wait for long."""
        if self._searcher is not None:
            with self._project.database.write() as connection:
                searches.keep_search(connection, self._searcher.name, self._owner)

    def _note_page(self) -> None:
        if self._downloader is not None:
            self._downloader.wake()
        self._tell_downloads()

    def _tell_downloads(self) -> None:
        downloader = self._downloader
        if downloader is None:
            return
        done = downloader.summary
        notes = [f"new: {done.stored:,}"]
        if self._summary.search is not None and self._search is not None:
            notes.append(f"queries: {self._summary.search.queries:,}")
        total = done.done + downloader.pending
        self._tell(
            Progress("downloading", done.done, total, note=", ".join(notes), stop_at_next=True)
        )

    def _tell(self, event: Progress) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(event)
        except KeyboardInterrupt:
            self._stopping = True
            for one in (self._search, self._downloader):
                if one is not None:
                    one.stop()

    def _make_searcher(self) -> Searcher:
        assert self._asked.provider is not None
        name = self._asked.provider
        searcher = Searcher(
            name,
            contact=self._project.settings.contact,
            options=self._asked.options,
            any_license=self._asked.licenses.any,
            base=self._base,
            allow=self._allow,
        )
        count = make_request_counter(self._project, name, searcher.caps.per_day)
        searcher.count_request = lambda: asyncio.to_thread(count)
        return searcher

    def _describe(self) -> dict[str, Any]:
        asked = self._asked
        return {
            "source": None if asked.source is None else str(asked.source),
            "options": asked.options,
            "licenses": asked.licenses.text,
            "allow_hosts": sorted(asked.allow_hosts),
            "because": asked.because,
            "limit": self._limit,
        }
