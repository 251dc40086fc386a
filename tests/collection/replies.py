"""Answers of providers, written by hand after their documentation; none was ever recorded live.

Beside each: where its shape is documented, and when that was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from openaffect.collection.providers import Hit

KEYS = {
    "brave": {"BRAVE_API_KEY": "canary-brave-5f2c"},
    "commons": {},
    "flickr": {"FLICKR_API_KEY": "canary-flickr-5f2c"},
    "openverse": {
        "OPENVERSE_CLIENT_ID": "canary-id-5f2c",
        "OPENVERSE_CLIENT_SECRET": "canary-secret-5f2c",
    },
    "serpapi": {"SERPAPI_API_KEY": "canary-serpapi-5f2c"},
}
TOKEN = "canary-token-5f2c"


def openverse(numbers: Sequence[int], *, more: bool) -> dict[str, Any]:
    """https://api.openverse.org/v1/#tag/images/operation/images_search, 2026-11-25."""
    return {
        "result_count": 240,
        "page_count": 12 if more else 1,
        "page_size": 20,
        "page": 1,
        "results": [
            {
                "id": f"00000000-0000-4000-8000-{number:012}",
                "title": f"Face <b>{number}</b>",
                "foreign_landing_url": f"https://photos.example/{number}",
                "url": f"https://live.example/{number}.jpg",
                "creator": "Ada &amp; Ben",
                "license": "by-sa",
                "license_version": "2.0",
                "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
                "provider": "flickr",
                "source": "flickr",
                "mature": False,
                "width": 1024,
                "height": None,
            }
            for number in numbers
        ],
    }


def commons(numbers: Sequence[int], *, more: bool) -> dict[str, Any]:
    """https://www.mediawiki.org/wiki/API:Search and API:Imageinfo, formatversion=2, 2026-11-25."""
    pages = [
        {
            "pageid": 7 + number,
            "ns": 6,
            "title": f"File:Face {number}",
            "index": place,
            "imageinfo": [
                {
                    "size": 5_000_000,
                    "width": 4000,
                    "height": 3000,
                    "thumburl": f"https://live.example/{number}.jpg",
                    "thumbwidth": 1024,
                    "thumbheight": 768,
                    "url": f"https://upload.example/{number}.jpg",
                    "descriptionurl": f"https://photos.example/{number}",
                    "mime": "image/jpeg",
                    "extmetadata": {
                        "LicenseShortName": {"value": "CC BY-SA 2.0", "source": "commons"},
                        "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/2.0/"},
                        "Artist": {"value": '<a href="//x">Ada</a> &amp; Ben'},
                        "Restrictions": {"value": "personality"},
                    },
                }
            ],
        }
        for place, number in enumerate(numbers, 1)
    ]
    answer: dict[str, Any] = {"batchcomplete": True, "query": {"pages": pages[::-1]}}
    if more:
        answer["continue"] = {"gsroffset": 50, "continue": "gsroffset||"}
    return answer


def flickr(numbers: Sequence[int], *, more: bool) -> dict[str, Any]:
    """https://www.flickr.com/services/api/flickr.photos.search.html, 2026-11-25."""
    photos = [
        {
            "id": f"{number}",
            "owner": "ada@N00",
            "title": f"Face {number}",
            "license": "5",
            "ownername": "Ada & Ben",
            "url_l": f"https://live.example/{number}.jpg",
            "width_l": 1024,
            "height_l": "768",
        }
        for number in numbers
    ]
    pages = 99 if more else 1
    return {
        "photos": {"page": 1, "pages": pages, "perpage": 250, "total": 9_999, "photo": photos},
        "stat": "ok",
    }


def brave(numbers: Sequence[int], *, more: bool) -> dict[str, Any]:
    """https://api-dashboard.search.brave.com/app/documentation/image-search/responses, 2026-11-26."""
    return {
        "type": "images",
        "query": {"original": "x", "spellcheck_off": True},
        "results": [
            {
                "type": "image_result",
                "title": f"Face {number}",
                "url": f"https://photos.example/{number}",
                "source": "photos.example",
                "thumbnail": {"src": f"https://imgs.search.brave.com/{number}"},
                "properties": {
                    "url": f"https://live.example/{number}.jpg",
                    "width": 1024,
                    "height": 768,
                },
            }
            for number in numbers
        ],
        "extra": {"might_be_offensive": False},
    }


def serpapi(numbers: Sequence[int], *, more: bool) -> dict[str, Any]:
    """https://serpapi.com/google-images-api, 2026-11-25."""
    answer: dict[str, Any] = {
        "search_metadata": {"id": "1", "status": "Success"},
        "images_results": [
            {
                "position": place,
                "thumbnail": f"https://encrypted-tbn0.gstatic.com/{number}",
                "original": f"https://live.example/{number}.jpg",
                "original_width": 1024,
                "original_height": 768,
                "title": f"Face {number}",
                "link": f"https://photos.example/{number}",
                "source": "Photos",
            }
            for place, number in enumerate(numbers, 1)
        ],
    }
    if more:
        answer["serpapi_pagination"] = {"current": 1, "next": "https://serpapi.com/search.json?…"}
    return answer


REPLIES: dict[str, Callable[..., dict[str, Any]]] = {
    one.__name__: one for one in (brave, commons, flickr, openverse, serpapi)
}

LICENSED = {
    "author": "Ada & Ben",
    "license": "CC-BY-SA-2.0",
    "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
}
EXPECTED: dict[str, dict[str, Any]] = {
    "brave": {"height": 768},
    "commons": {
        **LICENSED, "rights": "CC BY-SA 2.0", "restrictions": "personality", "height": 768,
    },
    "flickr": {
        **LICENSED, "rights": "CC BY-SA 2.0", "height": 768,
        "page_url": "https://www.flickr.com/photos/ada@N00/{number}",
    },
    "openverse": {**LICENSED, "rights": "by-sa 2.0"},
    "serpapi": {"height": 768},
}  # fmt: skip


def expected_hit(name: str, number: int, rank: int) -> Hit:
    known: dict[str, Any] = {
        "page_url": "https://photos.example/{number}",
        "title": "Face {number}",
        "width": 1024,
        **EXPECTED[name],
    }
    texts: dict[str, Any] = {
        key: value.format(number=number) if isinstance(value, str) else value
        for key, value in known.items()
    }
    return Hit(url=f"https://live.example/{number}.jpg", rank=rank, **texts)


def make_reply(name: str, numbers: Sequence[int], *, more: bool = False) -> bytes:
    return json.dumps(REPLIES[name](numbers, more=more)).encode()


ERRORS_INSIDE: dict[str, list[tuple[dict[str, Any], str]]] = {
    # https://www.mediawiki.org/wiki/API:Errors_and_warnings, 2026-11-25
    "commons": [
        ({"error": {"code": "maxlag", "info": "Waiting for a host: 5 seconds lagged"}}, "wait"),
        ({"error": {"code": "ratelimited", "info": "You have exceeded your rate limit"}}, "wait"),
        ({"error": {"code": "internal_api_error_DBQueryError", "info": "x"}}, "bad"),
        ({"error": {"code": "badvalue", "info": "Unrecognized value"}}, "query"),
    ],
    # https://www.flickr.com/services/api/flickr.photos.search.html, "Error Codes", 2026-11-25
    "flickr": [
        ({"stat": "fail", "code": 100, "message": "Invalid API Key"}, "key"),
        ({"stat": "fail", "code": 105, "message": "Service currently unavailable"}, "bad"),
        ({"stat": "fail", "code": 3, "message": "Parameterless searches disabled"}, "query"),
    ],
    # https://serpapi.com/api-status-and-error-codes, 2026-11-25
    "serpapi": [
        ({"search_metadata": {"status": "Error"}, "error": "We couldn't get results"}, "bad"),
        ({"search_metadata": {"status": "Processing"}}, "bad"),
    ],
    "openverse": [({"detail": "no results key"}, "bad")],
    "brave": [({"type": "images"}, "bad")],
}
