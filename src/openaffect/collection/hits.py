"""What providers find, on its way into a project: page by page, each in one transaction."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from openaffect.collection.providers import (
    Cursor,
    Hit,
    Item,
    QueryRefused,
    QuotaUsedUp,
    ResultPage,
    TooManyRequests,
)
from openaffect.collection.queries import list_excluded
from openaffect.collection.search import Searcher
from openaffect.licenses import parse_license
from openaffect.project import Project, searches, tombstones, urls
from openaffect.project.database import Connection
from openaffect.project.searches import OpenSearch
from openaffect.project.urls import HitRow

_QUERIES = 100  # that are read at a time
_LINES = 1_000  # of a list, in one transaction


@dataclass(slots=True)
class SearchSummary:
    """What a search has brought.

    Attributes:
        queries: how many were asked to their end.
        requests: how many were sent.
        hits: results that were written down.
        urls: of their addresses, those that are new.
        dropped: results without an address that can be used.
        withdrawn: results whose address was forgotten; nothing of them is written down.
        refused: queries that the provider would not take, each with the reason.
        ended: why it ended before all queries were asked, or None.
    """

    queries: int = 0
    requests: int = 0
    hits: int = 0
    urls: int = 0
    dropped: int = 0
    withdrawn: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    ended: str | None = None


def describe_options(options: Mapping[str, str], licenses: str) -> str:
    """The options of a search as one text: with other options a query is asked anew."""
    return json.dumps({**options, "licenses": licenses}, sort_keys=True)


class QuerySearch:
    """Asks a provider the queries of a project, and writes down what it finds.

    Args:
        project: an open project.
        searcher: asks the provider.
        options: of `describe_options`.
        owner: this process, as `searches.begin_search` knows it.
        limit: stop after so many addresses that are new; the last page is kept whole.
        on_page: called after each page.

    Attributes:
        summary: what has come so far.
    """

    def __init__(
        self,
        project: Project,
        searcher: Searcher,
        *,
        options: str,
        owner: str,
        limit: int | None = None,
        on_page: Callable[[], None] = lambda: None,
    ) -> None:
        self.summary = SearchSummary()
        self._project = project
        self._searcher = searcher
        self._options = options
        self._owner = owner
        self._limit = limit
        self._on_page = on_page
        self._stopping = False

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopping = True

    async def run(self) -> None:
        """Ask every query that was not asked to its end.

        Raises:
            KeyRefused: a key is missing or wrong.
            BadAnswer: the provider failed several times.
            DatabaseError: the database does not answer.
        """
        try:
            after = 0
            while batch := await asyncio.to_thread(self._list_open, after):
                for search in batch:
                    if self._is_over():
                        return
                    await self._ask(search)
                    after = search.query_id
        except (QuotaUsedUp, TooManyRequests) as error:
            self.summary.ended = str(error)
        finally:
            self.summary.requests = self._searcher.asked

    def _is_over(self) -> bool:
        return self._stopping or (self._limit is not None and self.summary.urls >= self._limit)

    async def _ask(self, search: OpenSearch) -> None:
        """Ask one query, from where it stands."""
        excluded = list_excluded(search.query.language)
        pages = self._searcher.search(search.query, excluded, Cursor(search.page, search.start))
        try:
            async for page in pages:
                search = await asyncio.to_thread(self._save, search, page)
                self._on_page()
                if self._is_over():
                    return
        except QueryRefused as error:
            self.summary.refused[search.query.text] = str(error)
            await asyncio.to_thread(self._end, search, "refused", str(error))
            return
        self.summary.queries += 1
        await asyncio.to_thread(self._end, search, "done", None)

    def _list_open(self, after: int) -> list[OpenSearch]:
        with self._project.database.read() as connection:
            return searches.list_open_searches(
                connection, self._searcher.name, self._options, after=after, limit=_QUERIES
            )

    def _save(self, search: OpenSearch, page: ResultPage) -> OpenSearch:
        """Write down a page, and where the query goes on."""
        name = self._searcher.name
        short = [hit for hit in page.hits if not urls.is_too_long(hit.url)]
        rows = [_make_row(name, hit, search.query_id) for hit in short]
        state = "open" if page.next is not None else "done"
        following = page.next or Cursor(search.page, search.start)
        search = replace(
            search,
            page=following.page,
            start=following.start,
            hits=search.hits + len(rows),
        )
        with self._project.database.write() as connection:
            wanted = _leave_out_withdrawn(connection, rows)
            added = urls.add_hits(connection, wanted)
            searches.save_search(connection, name, self._options, search, state=state)
            searches.keep_search(connection, name, self._owner)
        self.summary.hits += added.hits
        self.summary.urls += added.urls
        self.summary.dropped += page.dropped + len(page.hits) - len(short)
        self.summary.withdrawn += len(rows) - len(wanted)
        return search

    def _end(self, search: OpenSearch, state: str, reason: str | None) -> None:
        with self._project.database.write() as connection:
            searches.save_search(
                connection, self._searcher.name, self._options, search, state=state, reason=reason
            )


def make_request_counter(project: Project, provider: str, most: int | None) -> Callable[[], bool]:
    """A function that counts a request of today (UTC), and says whether it may be made."""

    def count() -> bool:
        today = datetime.datetime.now(datetime.UTC).date()
        with project.database.write() as connection:
            return searches.count_request(connection, provider, today, most)

    return count


def add_listed(
    project: Project,
    provider: str,
    items: Iterator[Item],
    *,
    limit: int | None = None,
    on_page: Callable[[SearchSummary], None] = lambda _: None,
) -> SearchSummary:
    """Add the addresses of a list to the queue of downloads; what is wrong goes to `rejected.csv`.

    Args:
        project: an open project.
        provider: the source's name.
        items: of its `read_items`.
        limit: stop after so many addresses that are new.
        on_page: called after each transaction.
    """
    summary = SearchSummary()
    while (limit is None or summary.urls < limit) and (batch := list(islice(items, _LINES))):
        found = [(item, _find_fault(item)) for item in batch]
        rows = [
            HitRow(
                provider,
                item.url,
                query=item.query,
                intended=item.intended,
                **describe_item(item),
            )
            for item, fault in found
            if fault is None and item.url is not None
        ]
        with project.database.write() as connection:
            wanted = _leave_out_withdrawn(connection, rows)
            added = urls.add_hits(connection, wanted)
        wrong = [(provider, item.name, fault) for item, fault in found if fault is not None]
        project.reject(wrong)
        summary.hits += added.hits
        summary.urls += added.urls
        summary.dropped += len(wrong)
        summary.withdrawn += len(rows) - len(wanted)
        on_page(summary)
    return summary


def _leave_out_withdrawn(connection: Connection, rows: list[HitRow]) -> list[HitRow]:
    """The hits whose address was not forgotten."""
    withdrawn = tombstones.read_tombstones(connection)
    return [row for row in rows if withdrawn.find(url=row.url) is None] if withdrawn else rows


def _find_fault(item: Item) -> str | None:
    """Why an item of a list cannot be downloaded, or None."""
    if item.error is not None or item.url is None:
        return item.error or "no address"
    if urls.is_too_long(item.url):
        return f"too long: an address of more than {urls.LONGEST:,} bytes"
    return None


def describe_item(item: Item) -> dict[str, Any]:
    """What a source says of an image, in the columns of `schema.hits`."""
    found = parse_license(item.license, item.license_url)
    return {
        "page_url": item.page_url,
        "title": item.title,
        "author": item.author,
        "license": None if found is None else found.id,
        "license_url": item.license_url,
        "rights": item.license,
        "restrictions": item.restrictions,
    }


def _make_row(provider: str, hit: Hit, query_id: int) -> HitRow:
    names: Sequence[str] = (
        *("url", "rank", "page_url", "title", "author", "license", "license_url", "rights"),
        "restrictions",
    )
    return HitRow(provider, query_id=query_id, **{name: getattr(hit, name) for name in names})
