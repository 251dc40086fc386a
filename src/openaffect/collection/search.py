"""Asking a provider: its pace, its caps, another try where that may help, and an end where it does not."""

from __future__ import annotations

import asyncio
import datetime
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from openaffect.addresses import Allowed
from openaffect.collection import providers, sessions
from openaffect.collection.answers import Answer
from openaffect.collection.providers import (
    Authorizing,
    BadAnswer,
    Caps,
    Cursor,
    Engine,
    Hit,
    KeyRefused,
    QueryRefused,
    QuotaUsedUp,
    Request,
    ResultPage,
    Search,
    TooManyRequests,
)
from openaffect.collection.queries import check_query, list_excluded
from openaffect.errors import DownloadError, shorten
from openaffect.project.queries import Query

if TYPE_CHECKING:
    import aiohttp

TRIES = 4
"""How often a request is tried, unless another number is asked for."""
FAILURES = 5
"""After so many failed requests one after the other the provider is left alone."""
LONGEST_WAIT_S = 300.0
"""Who is asked to wait for longer stops."""

_FIRST_WAIT_S = 2.0
_MAX_BYTES = 10_000_000
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What queries would ask of a provider.

    Attributes:
        queries: how many.
        requests: at most.
        hits: at most.
        days: that the requests take at the pace that is allowed.
        usd: what they cost; None where that depends on the plan.
    """

    queries: int
    requests: int
    hits: int
    days: float
    usd: float | None


def plan_search(
    name: str,
    queries: int,
    *,
    hits: int | None = None,
    keys: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> SearchPlan:
    """What queries would ask of a provider, by its caps; nothing is asked.

    Args:
        name: of the provider.
        queries: how many.
        hits: stop at so many in all.
        keys, options: of the provider.

    Raises:
        UnknownName: no such provider or option.
    """
    caps = providers.load_engine(name).get_caps(
        keys or {}, providers.choose_options(name, options or {})
    )
    most = queries * caps.per_query
    wanted = most if hits is None else min(hits, most)
    requests = min(
        queries * math.ceil(caps.per_query / caps.per_page), math.ceil(wanted / caps.per_page)
    )
    days = requests / caps.per_minute / 1_440
    if caps.per_day is not None and requests > caps.per_day:
        days = max(days, math.ceil(requests / caps.per_day))
    usd = None if caps.usd_per_request is None else requests * caps.usd_per_request
    return SearchPlan(queries, requests, wanted, days, usd)


def plan_addresses(
    name: str,
    addresses: int,
    *,
    keys: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> SearchPlan:
    """What as many addresses would take, if every query brought as many as the caps allow.

    Args:
        name: of the provider.
        addresses: how many are wanted.
        keys, options: of the provider.

    Raises:
        UnknownName: no such provider or option.
    """
    chosen = providers.choose_options(name, options or {})
    caps = providers.load_engine(name).get_caps(keys or {}, chosen)
    queries = math.ceil(addresses / caps.per_query)
    return plan_search(name, queries, hits=addresses, keys=keys, options=options)


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A search engine as `openaffect providers list` shows it.

    Attributes:
        name, title: of the provider.
        source: where its caps are documented.
        gives_licenses: whether its results have licenses.
        keys: the environment variables of its keys, and whether each is set.
        options: its options and their values.
        caps: with the keys that are set.
        plan: what the queries would ask of it.
    """

    name: str
    title: str
    source: str
    gives_licenses: bool
    keys: dict[str, bool]
    options: dict[str, tuple[str, ...]]
    caps: Caps
    plan: SearchPlan


def describe_providers(queries: int) -> list[ProviderFacts]:
    """All search engines, and what a number of queries would ask of each; nothing is asked."""
    found = []
    for name in providers.engine_names():
        engine = providers.load_engine(name)
        there = {key.variable: bool(os.environ.get(key.variable)) for key in engine.KEYS}
        keys = {variable: "" for variable, is_set in there.items() if is_set}
        found.append(
            ProviderFacts(
                name=name,
                title=engine.TITLE,
                source=engine.SOURCE,
                gives_licenses=engine.GIVES_LICENSES,
                keys=there,
                options=dict(engine.OPTIONS),
                caps=engine.get_caps(keys, providers.choose_options(name, {})),
                plan=plan_search(name, queries, keys=keys),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A source as `openaffect providers list` shows it.

    Attributes:
        name, title: of the source.
        reads: what it reads.
    """

    name: str
    title: str
    reads: str


def describe_sources() -> list[SourceFacts]:
    """All sources, and what each reads."""
    loaded = {name: providers.load_source(name) for name in providers.source_names()}
    return [SourceFacts(name, source.TITLE, source.READS) for name, source in loaded.items()]


def try_search(
    name: str,
    query: Query,
    *,
    contact: str,
    options: Mapping[str, str] | None = None,
    any_license: bool = False,
    base: str | None = None,
    allow: Allowed = (),
) -> ResultPage:
    """The first page of one query; nothing is kept.

    Args:
        name: of the provider.
        query: what to search for; the words that our list of its language excludes are left out.
        contact, options, any_license, base, allow: see `Searcher`.

    Raises:
        InputError: no contact, a key that is missing, a query that cannot be asked.
        ProviderError: the provider does not answer it.
    """
    check_query(query)

    async def ask() -> ResultPage:
        async with Searcher(
            name,
            contact=contact,
            options=options,
            any_license=any_license,
            base=base,
            allow=allow,
            tries=1,
        ) as searcher:
            return await searcher.ask(query, list_excluded(query.language))

    return sessions.run(ask())


class Searcher:
    """Asks one provider; use it in an `async with` block.

    Args:
        name: of the provider.
        contact: see `sessions.check_contact`.
        keys: secrets by variable; those of the environment by default.
        options: of the provider.
        any_license: whether images of every license are wanted.
        base: another server that speaks the provider's language.
        allow: numbers and ports that may be opened although they are not public.
        tries: how often a request is tried.
        sleep: how to wait for seconds.

    Attributes:
        asked: number of requests so far.
        caps: what the provider allows with these keys.
        count_request: called before each request; False ends the search, for no more are allowed
            today. At first it counts the requests of this searcher alone.

    Raises:
        UnknownName: no such provider or option.
        InputError: no contact, or a key that is missing.
    """

    def __init__(
        self,
        name: str,
        *,
        contact: str,
        keys: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        any_license: bool = False,
        base: str | None = None,
        allow: Allowed = (),
        tries: int = TRIES,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.engine: Engine = providers.load_engine(name)
        self.asked = 0
        self._contact = sessions.check_contact(contact)
        self._options = providers.choose_options(name, options or {})
        self._keys = dict(providers.read_keys(name) if keys is None else keys)
        self.caps = self.engine.get_caps(self._keys, self._options)
        self._any_license = any_license
        self._base = (base or self.engine.BASE).rstrip("/")
        self._allow = allow
        self._tries = tries
        self.count_request: Callable[[], Awaitable[bool]] = self._count_here
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._secrets = sorted((value for value in self._keys.values() if value), key=len)
        self._next_at = 0.0
        self._failures = 0
        self._token: dict[str, str] = {}
        self._token_until = 0.0
        self._token_is_new = False  # it has not been taken yet

    async def __aenter__(self) -> Searcher:
        self._session = sessions.open_session(self._contact, self._allow)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def search(
        self, query: Query, excluded: Sequence[str] = (), start: Cursor | None = None
    ) -> AsyncIterator[ResultPage]:
        """The pages of a query, until its end or a page that has come before.

        Args:
            query: what to search for.
            excluded: words that results must not have.
            start: where to go on.

        Raises:
            QueryRefused: the provider cannot take this query; others may be asked.
            ProviderError: the other kinds end the search for all queries.
        """
        cursor: Cursor | None = start or Cursor()
        seen: set[str] = set()
        while cursor is not None:
            page = await self.ask(query, excluded, cursor)
            hits = tuple(hit for hit in page.hits if hit.url not in seen)
            if page.hits and not hits:  # the same page again: its end, whatever it says
                return
            seen.update(hit.url for hit in hits)
            cursor = page.next
            yield replace(page, hits=hits)

    async def ask(
        self, query: Query, excluded: Sequence[str] = (), cursor: Cursor | None = None
    ) -> ResultPage:
        """One page of a query; waits as long as the provider wishes, and tries again where that may help.

        Raises:
            QueryRefused: the provider cannot take this query; others may be asked.
            KeyRefused: a key is missing or wrong.
            QuotaUsedUp: no more may be asked today, or ever.
            TooManyRequests: the provider asks to wait for more than five minutes.
            BadAnswer: the provider failed several times.
        """
        place = cursor or Cursor()
        search = Search(
            text=query.text,
            language=query.language,
            excluded=tuple(excluded),
            any_license=self._any_license,
            options=self._options,
            keys=self._keys,
        )
        for tried in range(1, self._tries + 1):
            if self._failures >= FAILURES:
                raise BadAnswer(
                    f"{self.name} has failed {self._failures} times in a row; ask later"
                )
            try:
                page = await self._ask_once(search, place)
            except TooManyRequests as error:
                wait = error.retry_after
                if wait is None:
                    wait = _FIRST_WAIT_S * 4 ** (tried - 1)
                if wait > LONGEST_WAIT_S or tried == self._tries:
                    raise
                await self._sleep(wait)
            except BadAnswer:
                self._failures += 1
                if tried == self._tries:
                    raise
                await self._sleep(_FIRST_WAIT_S * 2 ** (tried - 1))
            else:
                self._failures = 0
                return page
        raise AssertionError("unreachable")

    async def _ask_once(self, search: Search, cursor: Cursor) -> ResultPage:
        headers = await self._authorize()
        answer = await self._send(self.engine.make_request(search, cursor), headers)
        if answer.status != 200:
            raise self._explain(answer)
        self._token_is_new = False
        try:
            page = self.engine.read_answer(answer, search, cursor)
        except providers.ProviderError as error:
            raise self._name(error) from None
        return replace(page, hits=tuple(map(self._clean, page.hits)))

    async def _send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        if not await self.count_request():
            raise QuotaUsedUp(
                f"{self.name} allows {self.caps.per_day or 0:,} requests a day; go on tomorrow"
            )
        await self._wait_for_turn()
        self.asked += 1
        assert self._session is not None, "use the searcher in an `async with` block"
        try:
            return await sessions.fetch(
                self._session,
                self._base + request.path,
                max_bytes=_MAX_BYTES,
                seconds=_SECONDS,
                allow=self._allow,
                params={**request.params, **request.secret_params},
                headers={**request.secret_headers, **headers},
                form=request.form,
            )
        except DownloadError as error:
            raise BadAnswer(f"{self.name}: {self._hide(str(error))}") from None

    async def _count_here(self) -> bool:
        return self.caps.per_day is None or self.asked < self.caps.per_day

    async def _wait_for_turn(self) -> None:
        now = time.monotonic()
        at = max(now, self._next_at)
        self._next_at = at + 60 / self.caps.per_minute
        if at > now:
            await self._sleep(at - now)

    async def _authorize(self) -> Mapping[str, str]:
        """Headers with a token, for a provider that gives one for its keys."""
        if not hasattr(self.engine, "make_token_request"):
            return {}
        authorizing = cast("Authorizing", self.engine)
        request = authorizing.make_token_request(self._keys)
        if request is None:
            return {}
        if time.monotonic() >= self._token_until:
            answer = await self._send(request, {})
            if answer.status != 200:
                raise self._explain(answer)
            try:
                self._token, seconds = authorizing.read_token(answer)
            except BadAnswer as error:
                raise self._name(error) from None
            self._secrets.extend(value.rpartition(" ")[2] for value in self._token.values())
            self._token_until = time.monotonic() + seconds * 0.9
            self._token_is_new = True
        return self._token

    def _explain(self, answer: Answer) -> providers.ProviderError:
        """The error that a status stands for."""
        special = self.engine.read_refusal(answer)
        if special is not None:
            return self._name(special)
        text = shorten(answer.body[:2_000].decode("utf-8", "replace"))
        told = self._hide(f"{self.name} answered {answer.status}: {text}")
        if answer.status == 401 and self._token and not self._token_is_new:
            self._token_until = 0.0  # it has ended early: take another one
            return BadAnswer(f"{told}; the token has ended")
        if answer.status in (401, 403):
            return KeyRefused(f"{told}; look at the key and what it may be used for")
        if answer.status == 402:
            return QuotaUsedUp(told)
        if answer.status == 429:
            now = datetime.datetime.now(datetime.UTC)
            wait = providers.parse_retry_after(answer.headers.get("retry-after"), now)
            asks = "" if wait is None else f"; it asks to wait for {wait:,.0f} s"
            return TooManyRequests(told + asks, wait)
        if answer.status >= 500 or answer.status == 408:
            return BadAnswer(told)
        if 300 <= answer.status < 400:
            return BadAnswer(f"{self.name} answered {answer.status}: its address has moved")
        return QueryRefused(told)

    def _name(self, error: providers.ProviderError) -> providers.ProviderError:
        """The error with the provider's name, and without a key."""
        text = self._hide(f"{self.name}: {error}")
        if isinstance(error, TooManyRequests):
            return TooManyRequests(text, error.retry_after)
        return type(error)(text)

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _clean(self, hit: Hit) -> Hit:
        """The hit without a key that an answer repeats."""
        texts = {one.name: getattr(hit, one.name) for one in fields(hit)}
        changes: dict[str, Any] = {
            name: self._hide(text) for name, text in texts.items() if isinstance(text, str)
        }
        return replace(hit, **changes)
