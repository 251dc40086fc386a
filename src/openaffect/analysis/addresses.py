"""Pictures at web addresses, fetched with a limit on time and size; only http and https."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from openaffect.errors import ImageError
from openaffect.images import Pixels, read_image

MOST_BYTES = 50_000_000
"""The largest answer that is read."""

MOST_SECONDS = 30.0
"""How long an answer may take in all; silence ends it after a third of that."""

_SCHEMES = ("http", "https")
_CHUNK = 1 << 16


def is_address(source: str) -> bool:
    """Whether a source is written like an address.

    >>> is_address("https://a.b/c.jpg"), is_address("c:/x.jpg")
    (True, False)
    """
    return "://" in source


def hide_password(address: str) -> str:
    """The address without a user's name and password, fit for tables and messages.

    >>> hide_password("https://me:secret@a.b/c.jpg")
    'https://a.b/c.jpg'
    """
    scheme, sign, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{sign}{host.rpartition('@')[2]}{slash}{path}"


def read_address(address: str) -> Pixels:
    """The picture at an address, RGB uint8 (h, w, 3), upright, known by its content.

    Raises:
        ImageError: another scheme than http and https (also where the server sends one), no or a
            bad answer, too slow, too large, or no picture.
    """
    return read_image(_fetch(address), where=hide_password(address))


class _SameSchemes(urllib.request.HTTPRedirectHandler):
    """Follows a server only to other web addresses, never to files or FTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """What to ask next; refuses other schemes."""
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(address: str) -> bytes:
    _check_scheme(address)
    end = time.monotonic() + MOST_SECONDS
    request = urllib.request.Request(address, headers={"User-Agent": "openaffect"})
    try:
        with _opener().open(request, timeout=MOST_SECONDS / 3) as answer:
            parts: list[bytes] = []
            size = 0
            while part := answer.read1(_CHUNK):
                size += len(part)
                parts.append(part)
                if size > MOST_BYTES:
                    raise ImageError(f"the address gave more than {MOST_BYTES // 1_000_000} MB")
                if time.monotonic() > end:
                    raise ImageError(f"the address took more than {MOST_SECONDS:g} s")
    except urllib.error.HTTPError as error:
        error.close()
        raise ImageError(f"the address answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ImageError(f"no answer from the address: {reason}") from None
    return b"".join(parts)


def _check_scheme(address: str) -> None:
    scheme = urllib.parse.urlsplit(address).scheme.lower()
    if scheme not in _SCHEMES:
        raise ImageError(f"expected an http or https address, but got {scheme}://")


def _opener() -> urllib.request.OpenerDirector:
    """One that knows the web and nothing else: urllib's own also opens files, FTP and data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _SameSchemes,
    ):
        opener.add_handler(handler())
    return opener
