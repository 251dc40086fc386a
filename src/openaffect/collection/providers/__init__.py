"""Where images come from: one file per provider, found by its name.

An `Engine` is a search engine. It writes requests and reads answers, and opens no connection itself:
`openaffect.collection.search` asks, waits, tries again and stops, alike for all. A `Source` reads what you
have: a folder, a list of addresses, an archive.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol, cast

from openaffect import lookup
from openaffect.collection.answers import Answer
from openaffect.errors import InputError, OpenAffectError, UnknownName


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that a provider takes from the environment.

    Attributes:
        variable: the environment variable.
        needed: whether the provider answers nothing without it.
    """

    variable: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Caps:
    """What a provider allows, by its documentation.

    Attributes:
        per_minute: requests.
        per_day: requests, or None.
        per_page: results of one request.
        per_query: results of one query in all.
        usd_per_request: what one request costs; None where that depends on the plan.
    """

    per_minute: float
    per_day: int | None
    per_page: int
    per_query: int
    usd_per_request: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a query goes on.

    Attributes:
        page: from 1.
        start: results before it, as the provider counts them.
    """

    page: int = 1
    start: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """One question to a provider.

    Attributes:
        text: to search for.
        language: its code.
        excluded: words that results must not have.
        any_license: whether images of every license are wanted, and not only of open ones.
        options: of the provider, such as its engine.
        keys: secrets by environment variable.
    """

    text: str
    language: str
    excluded: tuple[str, ...] = ()
    any_license: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked; secrets are kept apart, so that nothing that is shown or stored has them.

    Attributes:
        path: below the provider's `BASE`.
        params: of the address.
        form: sent as the body of a POST, or None for a GET; secret.
        secret_params, secret_headers: those with a key.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    secret_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that a provider found.

    Attributes:
        url: of the image.
        rank: its place among the results of the query, from 1.
        page_url: of the page that shows it.
        title, author: as plain text.
        license: an SPDX id, or None where there is none or an unknown one.
        license_url: of its text.
        rights: the provider's own words on the license.
        restrictions: other rights in the image, such as `personality`.
        width, height: in pixels, where the provider says.
    """

    url: str
    rank: int
    page_url: str | None = None
    title: str | None = None
    author: str | None = None
    license: str | None = None
    license_url: str | None = None
    rights: str | None = None
    restrictions: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class ResultPage:
    """The results of one request.

    Attributes:
        hits: in their order.
        next: where the query goes on, or None at its end or at the provider's cap.
        dropped: number of results without an address that can be used.
    """

    hits: tuple[Hit, ...]
    next: Cursor | None
    dropped: int = 0


class ProviderError(OpenAffectError):
    """A provider that does not answer a query; the other classes say how."""


class KeyRefused(ProviderError):  # noqa: N818 - named after what is wrong
    """A key is missing, wrong or not allowed to do this: no query will be answered."""


class QuotaUsedUp(ProviderError):  # noqa: N818
    """What the account may ask for a day, a month or in all has been asked."""


class QueryRefused(ProviderError):  # noqa: N818
    """The provider cannot take this query; others may be answered."""


class BadAnswer(ProviderError):  # noqa: N818
    """An error of the server, or an answer that cannot be read; it may be better later."""


class TooManyRequests(ProviderError):  # noqa: N818
    """The provider asks to wait; `retry_after` says for how many seconds, None if it does not say."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class Engine(Protocol):
    """What the file of a search engine has."""

    TITLE: str
    BASE: str
    SOURCE: str
    """Where what is written here was documented, and when it was read."""
    KEYS: tuple[Key, ...]
    OPTIONS: Mapping[str, tuple[str, ...]]
    """Options and their values, the default first."""
    GIVES_LICENSES: bool

    def get_caps(self, keys: Mapping[str, str], options: Mapping[str, str]) -> Caps:
        """What is allowed with these keys."""
        ...

    def make_request(self, search: Search, cursor: Cursor) -> Request:
        """The request for one page of a query."""
        ...

    def read_answer(self, answer: Answer, search: Search, cursor: Cursor) -> ResultPage:
        """The results in an answer of status 200.

        Raises:
            ProviderError: an error inside it.
        """
        ...

    def read_refusal(self, answer: Answer) -> ProviderError | None:
        """What an answer of another status means, where that is no matter of the status alone."""
        ...


class Authorizing(Protocol):
    """What an engine has besides, if it gives tokens for keys."""

    def make_token_request(self, keys: Mapping[str, str]) -> Request | None:
        """The request for a token; None if the keys are not there."""
        ...

    def read_token(self, answer: Answer) -> tuple[dict[str, str], float]:
        """Headers with the token, and for how many seconds they hold."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """An image that a source names or holds; what is not known is None.

    Attributes:
        name: its place in the source: a path below the folder, a line of the list, a record.
        read: gives its bytes; None where it has to be downloaded from `url`.
        url: its address, as it stands there.
        query, intended: what was searched for, and the expression that this was meant to find.
        page_url, title, author, license, license_url, restrictions: see `Hit`; `license` as it
            stands there.
        headers: names and values of the HTTP answer in which it came.
        error: why there is no such image: a row that cannot be read.
    """

    name: str
    read: Callable[[], bytes] | None = field(default=None, repr=False)
    url: str | None = None
    query: str | None = None
    intended: str | None = None
    page_url: str | None = None
    title: str | None = None
    author: str | None = None
    license: str | None = None
    license_url: str | None = None
    restrictions: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    error: str | None = None


class Source(Protocol):
    """What the file of a source has."""

    TITLE: str
    READS: str
    """What it reads, such as `a folder of images`."""
    HAS_IMAGES: bool
    """Whether it gives images; else it gives addresses, which are downloaded."""

    def read_items(self, path: Path) -> Iterator[Item]:
        """The images there, one at a time; what is wrong with one of them is its `error`.

        Nothing is opened before the first of them is asked for, so errors come then or later.

        Raises:
            InputError: there is nothing of the kind at the path.
            FormatError: it cannot be read at all.
        """
        ...


def provider_names() -> tuple[str, ...]:
    """The names of all providers.

    >>> "openverse" in provider_names()
    True
    """
    return lookup.names(__name__)


def engine_names() -> tuple[str, ...]:
    """The names of the search engines."""
    return tuple(name for name in provider_names() if is_engine(name))


def source_names() -> tuple[str, ...]:
    """The names of the sources.

    >>> source_names()
    ('archive', 'folder', 'urls')
    """
    return tuple(name for name in provider_names() if not is_engine(name))


def is_engine(name: str) -> bool:
    """Whether a provider is a search engine, and not a source.

    Raises:
        UnknownName: no such provider; with the nearest name and the list.
    """
    return hasattr(lookup.load(__name__, name, "provider"), "make_request")


def load_engine(name: str) -> Engine:
    """The search engine of a name.

    Raises:
        UnknownName: no such provider; with the nearest name and the list.
        InputError: it is a source.
    """
    if not is_engine(name):
        raise InputError(f"{name} is no search engine; it reads {load_source(name).READS}")
    return cast("Engine", lookup.load(__name__, name, "provider"))


def load_source(name: str) -> Source:
    """The source of a name.

    Raises:
        UnknownName: no such provider; with the nearest name and the list.
        InputError: it is a search engine.
    """
    if is_engine(name):
        raise InputError(f"{name} is a search engine and reads no file")
    return cast("Source", lookup.load(__name__, name, "provider"))


def read_keys(name: str) -> dict[str, str]:
    """The keys of a provider that the environment has.

    Raises:
        InputError: a key that it needs is missing or cannot be sent; its value is not repeated.
    """
    found = {}
    for key in load_engine(name).KEYS:
        value = os.environ.get(key.variable, "").strip()
        if not value and key.needed:
            raise InputError(f"{name} needs a key: set the environment variable {key.variable}")
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            raise InputError(f"the key in {key.variable} has characters that no key has")
        if value:
            found[key.variable] = value
    return found


def choose_options(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The options of a provider: what was given, else the defaults.

    Raises:
        UnknownName: an option or a value that it does not have.
    """
    known = load_engine(name).OPTIONS
    for option, value in given.items():
        if option not in known:
            raise UnknownName(f"option of {name}", option, known)
        if value not in known[option]:
            raise UnknownName(f"{option} of {name}", value, known[option])
    return {option: given.get(option, values[0]) for option, values in known.items()}


def join_excluded(text: str, words: Sequence[str], longest: int, most_words: int = 1_000) -> str:
    """A query with `-word` for each word that must not be there, as many as have room.

    >>> join_excluded("happy man", ["cartoon", "drawn by hand"], 35)
    'happy man -cartoon -"drawn by hand"'
    """
    for word in words:
        term = f'-"{word}"' if " " in word else f"-{word}"
        longer = f"{text} {term}"
        if len(longer) <= longest and len(longer.split()) <= most_words:
            text = longer
    return text


def parse_retry_after(text: str | None, now: datetime.datetime) -> float | None:
    """Seconds to wait by a header `Retry-After`, which gives seconds or a date; None if unreadable.

    >>> parse_retry_after("120", datetime.datetime.now(datetime.UTC))
    120.0
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=datetime.UTC)
    return max(0.0, (at - now).total_seconds())
