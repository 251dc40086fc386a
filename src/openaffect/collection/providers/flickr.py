"""Flickr: photographs of its members; a key needs a paid account."""

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

TITLE = "Flickr"
BASE = "https://api.flickr.com"
SOURCE = (
    "https://www.flickr.com/services/api/flickr.photos.search.html and "
    "flickr.photos.licenses.getInfo.html; read 2026-11-25"
)
KEYS = (Key("FLICKR_API_KEY"),)
OPTIONS: Mapping[str, tuple[str, ...]] = {}
GIVES_LICENSES = True

_PER_PAGE = 250
_PER_QUERY = 4_000  # from there on the same results come again
_LONGEST = 300
_RIGHTS = {
    "0": ("All Rights Reserved", None),
    "1": ("CC BY-NC-SA 2.0", "https://creativecommons.org/licenses/by-nc-sa/2.0/"),
    "2": ("CC BY-NC 2.0", "https://creativecommons.org/licenses/by-nc/2.0/"),
    "3": ("CC BY-NC-ND 2.0", "https://creativecommons.org/licenses/by-nc-nd/2.0/"),
    "4": ("CC BY 2.0", "https://creativecommons.org/licenses/by/2.0/"),
    "5": ("CC BY-SA 2.0", "https://creativecommons.org/licenses/by-sa/2.0/"),
    "6": ("CC BY-ND 2.0", "https://creativecommons.org/licenses/by-nd/2.0/"),
    "7": ("No known copyright restrictions", None),
    "8": ("United States Government Work", None),
    "9": ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "10": ("Public Domain Mark 1.0", "https://creativecommons.org/publicdomain/mark/1.0/"),
}
"""Of `flickr.photos.licenses.getInfo`; a number that is not here stays a number in `rights`."""
_OPEN = "1,2,3,4,5,6,9,10"


def get_caps(keys: Mapping[str, str], options: Mapping[str, str]) -> Caps:
    """3,600 requests an hour for each key."""
    return Caps(per_minute=60, per_day=None, per_page=_PER_PAGE, per_query=_PER_QUERY)


def make_request(search: Search, cursor: Cursor) -> Request:
    """One page of photographs, safe ones only."""
    params = {
        "method": "flickr.photos.search",
        "format": "json",
        "nojsoncallback": "1",
        "text": join_excluded(search.text, search.excluded, _LONGEST),
        "media": "photos",
        "content_types": "0",
        "safe_search": "1",
        "sort": "relevance",
        "extras": "license,owner_name,url_l,url_o",
        "per_page": str(_PER_PAGE),
        "page": str(cursor.page),
    }
    if not search.any_license:
        params["license"] = _OPEN
    key = search.keys[KEYS[0].variable]
    return Request("/services/rest/", params, secret_params={"api_key": key})


def read_answer(answer: Answer, search: Search, cursor: Cursor) -> ResultPage:
    """Errors come with status 200 and `stat` fail."""
    data = read_json(answer)
    if data.get("stat") != "ok":
        told = (
            f"{read_text(data, 'message') or 'an error without a text'} (code {data.get('code')})"
        )
        if data.get("code") in (98, 99, 100):
            raise KeyRefused(told)
        raise BadAnswer(told) if data.get("code") in (10, 105, 106) else QueryRefused(told)
    first = (cursor.page - 1) * _PER_PAGE
    photos = read_list(data, "photos", "photo")
    found = [_read_hit(item, first + place) for place, item in enumerate(photos, 1)]
    pages = min(read_number(data["photos"], "pages") or 0, _PER_QUERY // _PER_PAGE)
    more = cursor.page < pages
    return make_page(found, Cursor(cursor.page + 1, first + _PER_PAGE) if more else None)


def read_refusal(answer: Answer) -> ProviderError | None:
    """Statuses mean what they mean everywhere."""
    return None


def _read_hit(item: dict[str, Any], rank: int) -> Hit | None:
    size = "l" if read_url(item, "url_l") else "o"
    url = read_url(item, f"url_{size}")
    if url is None:  # a member may forbid the download
        return None
    number = (read_text(item, "license") or "?")[:10]
    rights, license_url = _RIGHTS.get(number, (f"Flickr license {number}", None))
    owner, photo = read_text(item, "owner"), read_text(item, "id")
    return Hit(
        url=url,
        rank=rank,
        page_url=f"https://www.flickr.com/photos/{owner}/{photo}" if owner and photo else None,
        title=read_text(item, "title"),
        author=read_text(item, "ownername"),
        license=name_license(rights, license_url),
        license_url=license_url,
        rights=rights,
        width=read_number(item, f"width_{size}"),
        height=read_number(item, f"height_{size}"),
    )
