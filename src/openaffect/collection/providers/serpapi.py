"""SerpApi: the image results of Google, Bing and Yahoo, for money; no licenses worth trusting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from openaffect.collection.answers import Answer
from openaffect.collection.providers import (
    BadAnswer,
    Caps,
    Cursor,
    Hit,
    Key,
    ProviderError,
    QuotaUsedUp,
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

TITLE = "SerpApi"
BASE = "https://serpapi.com"
SOURCE = (
    "https://serpapi.com/google-images-api, /bing-images-api, /yahoo-images-api and "
    "/api-status-and-error-codes; read 2026-11-25"
)
KEYS = (Key("SERPAPI_API_KEY"),)
OPTIONS = {"engine": ("google", "bing", "yahoo")}
GIVES_LICENSES = False

_PER_PAGE = 100  # about; engines differ
_PER_QUERY = 1_000  # no cap is documented: engines stop before
_LONGEST = 400
_NOTHING = "hasn't returned any results"
_USED_UP = b"run out of searches"
_COPIES = ("gstatic.com", "bing.net", "yimg.com", "mm.bing.net")  # small copies of the engines


def get_caps(keys: Mapping[str, str], options: Mapping[str, str]) -> Caps:
    """An hour's requests and their price depend on the plan; 1,000 an hour is the smallest one's."""
    return Caps(
        per_minute=1_000 / 60,
        per_day=None,
        per_page=_PER_PAGE,
        per_query=_PER_QUERY,
        usd_per_request=None,
    )


def make_request(search: Search, cursor: Cursor) -> Request:
    """One page; every engine has its own names."""
    engine, text = search.options["engine"], join_excluded(search.text, search.excluded, _LONGEST)
    language = search.language.partition("-")[0]
    params = {"engine": f"{engine}_images", "output": "json"}
    if engine == "google":
        params |= {"q": text, "ijn": str(cursor.page - 1), "hl": language, "safe": "active"}
        if not search.any_license:
            params["licenses"] = "cl"
    elif engine == "bing":
        params |= {"q": text, "first": str(cursor.start + 1), "safe_search": "strict"}
    else:
        params |= {"p": text, "b": str(cursor.start + 1)}
    key = search.keys[KEYS[0].variable]
    return Request("/search.json", params, secret_params={"api_key": key})


def read_answer(answer: Answer, search: Search, cursor: Cursor) -> ResultPage:
    """A query that finds nothing is a success with an `error`."""
    data = read_json(answer)
    error = read_text(data, "error")
    if error is not None and _NOTHING in error:
        return ResultPage((), None)
    metadata = data.get("search_metadata")
    status = metadata.get("status") if isinstance(metadata, dict) else None
    if error is not None or status != "Success":
        raise BadAnswer(error or f"the search is {status}")
    items = read_list(data, "images_results")
    found = [_read_hit(item, cursor.start + place) for place, item in enumerate(items, 1)]
    start = cursor.start + len(items)
    pagination = data.get("serpapi_pagination")
    more = isinstance(pagination, dict) and "next" in pagination
    going_on = bool(items) and more and start < _PER_QUERY
    return make_page(found, Cursor(cursor.page + 1, start) if going_on else None)


def read_refusal(answer: Answer) -> ProviderError | None:
    """Status 429 is an hour's limit, or an account that is used up: only the text tells."""
    if answer.status == 429 and _USED_UP in answer.body.lower():
        return QuotaUsedUp("the searches of the account are used up")
    return None


def _read_hit(item: dict[str, Any], rank: int) -> Hit | None:
    url = read_url(item, "original")
    host = urlsplit(url).hostname or "" if url else ""
    if url is None or host.endswith(_COPIES):  # some rows give the engine's small copy
        return None
    width, height = read_number(item, "original_width"), read_number(item, "original_height")
    return Hit(
        url=url,
        rank=rank,
        page_url=read_url(item, "link"),
        title=read_text(item, "title"),
        width=width,
        height=height,
    )
