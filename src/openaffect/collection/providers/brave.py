"""Brave: an index of its own; one page for each query, and no licenses."""

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
    KeyRefused,
    ProviderError,
    Request,
    ResultPage,
    Search,
    join_excluded,
)
from openaffect.collection.providers._reading import (
    make_page,
    read_json,
    read_list,
    read_number,
    read_text,
    read_url,
)

TITLE = "Brave Search"
BASE = "https://api.search.brave.com"
SOURCE = (
    "https://api-dashboard.search.brave.com/app/documentation/image-search and its prices; "
    "read 2026-11-26"
)
KEYS = (Key("BRAVE_API_KEY"),)
OPTIONS: Mapping[str, tuple[str, ...]] = {}
GIVES_LICENSES = False

_PER_PAGE = 200
_LONGEST, _MOST_WORDS = 400, 50


def get_caps(keys: Mapping[str, str], options: Mapping[str, str]) -> Caps:
    """$5 for 1,000 requests; whether results may be stored depends on the plan."""
    return Caps(
        per_minute=3_000,
        per_day=None,
        per_page=_PER_PAGE,
        per_query=_PER_PAGE,
        usd_per_request=0.005,
    )


def make_request(search: Search, cursor: Cursor) -> Request:
    """The one page that there is."""
    params = {
        "q": join_excluded(search.text, search.excluded, _LONGEST, _MOST_WORDS),
        "count": str(_PER_PAGE),
        "search_lang": search.language.partition("-")[0],
        "safesearch": "strict",
        "spellcheck": "0",
    }
    key = search.keys[KEYS[0].variable]
    return Request("/res/v1/images/search", params, secret_headers={"X-Subscription-Token": key})


def read_answer(answer: Answer, search: Search, cursor: Cursor) -> ResultPage:
    """A result has the image's address in `properties` and the page's in `url`."""
    data = read_json(answer)
    if "results" not in data:
        raise BadAnswer("expected a list 'results' in the answer")
    found = [_read_hit(item, rank) for rank, item in enumerate(read_list(data, "results"), 1)]
    return make_page(found, None)


def read_refusal(answer: Answer) -> ProviderError | None:
    """A wrong key is status 422."""
    if answer.status == 422 and b"SUBSCRIPTION_TOKEN_INVALID" in answer.body:
        return KeyRefused("the key is not valid")
    return None


def _read_hit(item: dict[str, Any], rank: int) -> Hit | None:
    properties = item.get("properties")
    known = properties if isinstance(properties, dict) else {}
    url = read_url(known, "url")
    if url is None:
        return None
    return Hit(
        url=url,
        rank=rank,
        page_url=read_url(item, "url"),
        title=read_text(item, "title"),
        width=read_number(known, "width"),
        height=read_number(known, "height"),
    )
