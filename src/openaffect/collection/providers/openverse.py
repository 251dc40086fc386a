"""Openverse: images under open licenses from Flickr, Wikimedia Commons, museums and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openaffect.collection.answers import Answer
from openaffect.collection.providers import (
    BadAnswer,
    Caps,
    Cursor,
    Hit,
    Key,
    ProviderError,
    QueryRefused,
    Request,
    ResultPage,
    Search,
    join_excluded,
)
from openaffect.collection.providers._reading import (
    make_page,
    name_license,
    read_json,
    read_list,
    read_number,
    read_text,
    read_url,
)

TITLE = "Openverse"
BASE = "https://api.openverse.org"
SOURCE = "https://api.openverse.org/v1/, and its code in WordPress/openverse; read 2026-11-25"
KEYS = (
    Key("OPENVERSE_CLIENT_ID", needed=False),
    Key("OPENVERSE_CLIENT_SECRET", needed=False),
)
OPTIONS: Mapping[str, tuple[str, ...]] = {}
GIVES_LICENSES = True

_PER_PAGE = 20  # more is status 401 for who is anonymous
_PER_QUERY = 240
_LONGEST = 200  # characters: the rest is cut off without a word


def get_caps(keys: Mapping[str, str], options: Mapping[str, str]) -> Caps:
    """Anonymous, or with the free keys of a registered application."""
    if _has_keys(keys):
        return Caps(per_minute=100, per_day=10_000, per_page=_PER_PAGE, per_query=_PER_QUERY)
    return Caps(per_minute=20, per_day=200, per_page=_PER_PAGE, per_query=_PER_QUERY)


def make_request(search: Search, cursor: Cursor) -> Request:
    """One page; every result has an open license."""
    params = {
        "q": join_excluded(search.text, search.excluded, _LONGEST),
        "page": str(cursor.page),
        "page_size": str(_PER_PAGE),
        "mature": "false",
    }
    return Request("/v1/images/", params)


def read_answer(answer: Answer, search: Search, cursor: Cursor) -> ResultPage:
    """Pages come short, for dead links are left out; `page_count` says which is the last."""
    data = read_json(answer)
    if "results" not in data:
        raise BadAnswer("expected a list 'results' in the answer")
    first = (cursor.page - 1) * _PER_PAGE
    found = [
        _read_hit(item, first + place) for place, item in enumerate(read_list(data, "results"), 1)
    ]
    pages = min(read_number(data, "page_count") or 0, _PER_QUERY // _PER_PAGE)
    more = cursor.page < pages
    return make_page(found, Cursor(cursor.page + 1, first + _PER_PAGE) if more else None)


def read_refusal(answer: Answer) -> ProviderError | None:
    """A page beyond the last that may be seen is status 401 as well."""
    if answer.status == 401 and b"page_size" in answer.body:
        return QueryRefused("Openverse gives no more results of a query")
    return None


def make_token_request(keys: Mapping[str, str]) -> Request | None:
    """OAuth2 with client credentials."""
    if not _has_keys(keys):
        return None
    form = {
        "grant_type": "client_credentials",
        "client_id": keys["OPENVERSE_CLIENT_ID"],
        "client_secret": keys["OPENVERSE_CLIENT_SECRET"],
    }
    return Request("/v1/auth_tokens/token/", form=form)


def read_token(answer: Answer) -> tuple[dict[str, str], float]:
    """A bearer token."""
    data = read_json(answer)
    token, seconds = data.get("access_token"), data.get("expires_in")
    if not isinstance(token, str) or not isinstance(seconds, int):
        raise BadAnswer("expected access_token and expires_in in the answer")
    return {"Authorization": f"Bearer {token}"}, float(seconds)


def _has_keys(keys: Mapping[str, str]) -> bool:
    return all(key.variable in keys for key in KEYS)


def _read_hit(item: dict[str, Any], rank: int) -> Hit | None:
    url = read_url(item, "url")
    if url is None:
        return None
    rights = " ".join(
        part for part in (read_text(item, "license"), read_text(item, "license_version")) if part
    )
    license_url = read_url(item, "license_url")
    return Hit(
        url=url,
        rank=rank,
        page_url=read_url(item, "foreign_landing_url"),
        title=read_text(item, "title"),
        author=read_text(item, "creator"),
        license=name_license(rights, license_url),
        license_url=license_url,
        rights=rights[:1_000] or None,
        width=read_number(item, "width"),
        height=read_number(item, "height"),
    )
