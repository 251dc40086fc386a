"""Wikimedia Commons: freely licensed files, by the search of MediaWiki's API."""

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
    TooManyRequests,
    join_excluded,
)
from openaffect.collection.providers._reading import (
    make_page,
    name_license,
    read_json,
    read_number,
    read_text,
    read_url,
)

TITLE = "Wikimedia Commons"
BASE = "https://commons.wikimedia.org"
SOURCE = (
    "https://www.mediawiki.org/wiki/API:Search, API:Imageinfo, API:Etiquette and "
    "Wikimedia_APIs/Access_policy; read 2026-11-25"
)
KEYS: tuple[Key, ...] = ()
OPTIONS: Mapping[str, tuple[str, ...]] = {}
GIVES_LICENSES = True

_PER_PAGE = 50  # scaled images of one answer
_PER_QUERY = 10_000  # the search goes no deeper
_WIDTH = 960  # one of the few that are made: 20 40 60 120 250 330 500 960 1280 1920 3840
_LONGEST = 300
_BUSY = {"maxlag", "ratelimited", "readonly"}


def get_caps(keys: Mapping[str, str], options: Mapping[str, str]) -> Caps:
    """With a user agent that names the operator."""
    return Caps(per_minute=200, per_day=None, per_page=_PER_PAGE, per_query=_PER_QUERY)


def make_request(search: Search, cursor: Cursor) -> Request:
    """One page of photographs, with addresses of pictures at most 960 pixels wide."""
    text = f"filetype:bitmap {search.text}"
    metadata = ("LicenseShortName", "LicenseUrl", "Artist", "UsageTerms", "Restrictions")
    return Request(
        "/w/api.php",
        {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": "5",
            "generator": "search",
            "gsrnamespace": "6",
            "gsrsearch": join_excluded(text, search.excluded, _LONGEST),
            "gsrlimit": str(_PER_PAGE),
            "gsroffset": str(cursor.start),
            "prop": "imageinfo",
            "iiprop": "url|size|mime|extmetadata",
            "iiextmetadatafilter": "|".join(metadata),
            "iiurlwidth": str(_WIDTH),
        },
    )


def read_answer(answer: Answer, search: Search, cursor: Cursor) -> ResultPage:
    """Errors come with status 200; a query that finds nothing has no `query` at all."""
    data = read_json(answer)
    error = data.get("error")
    if isinstance(error, dict):
        code = read_text(error, "code") or "?"
        told = f"{code}: {read_text(error, 'info') or ''}"
        if code in _BUSY:
            raise TooManyRequests(told)
        raise BadAnswer(told) if code.startswith("internal_api_error") else QueryRefused(told)
    query = data.get("query", {})
    pages = query.get("pages", []) if isinstance(query, dict) else None
    if not isinstance(pages, list):
        raise BadAnswer("expected a list 'query.pages' in the answer")
    items = [page for page in pages if isinstance(page, dict)]
    items.sort(key=lambda page: read_number(page, "index") or _PER_QUERY)
    found = [_read_hit(item, cursor.start + place) for place, item in enumerate(items, 1)]
    following = data.get("continue")
    start = read_number(following, "gsroffset") if isinstance(following, dict) else None
    more = start is not None and cursor.start < start < _PER_QUERY
    return make_page(found, Cursor(cursor.page + 1, start) if more and start else None)


def read_refusal(answer: Answer) -> ProviderError | None:
    """Statuses mean what they mean everywhere."""
    return None


def _read_hit(item: dict[str, Any], rank: int) -> Hit | None:
    infos = item.get("imageinfo")
    info = infos[0] if isinstance(infos, list) and infos else None
    if not isinstance(info, dict):
        return None
    original, scaled = read_url(info, "url"), read_url(info, "thumburl")
    url = scaled or original
    if url is None:
        return None
    found = info.get("extmetadata")
    metadata = found if isinstance(found, dict) else {}
    rights = _read_value(metadata, "LicenseShortName") or _read_value(metadata, "UsageTerms")
    license_url = _read_value(metadata, "LicenseUrl")
    title = read_text(item, "title")
    size = ("thumbwidth", "thumbheight") if scaled else ("width", "height")
    return Hit(
        url=url,
        rank=rank,
        page_url=read_url(info, "descriptionurl"),
        title=None if title is None else title.removeprefix("File:"),
        author=_read_value(metadata, "Artist"),
        license=name_license(rights, license_url),
        license_url=license_url,
        rights=rights,
        restrictions=_read_value(metadata, "Restrictions"),
        width=read_number(info, size[0]),
        height=read_number(info, size[1]),
    )


def _read_value(metadata: dict[str, Any], name: str) -> str | None:
    entry = metadata.get(name)
    return read_text(entry, "value") if isinstance(entry, dict) else None
