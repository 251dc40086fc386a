"""Pictures at web addresses, fetched with a limit on time and size; only http and https."""

from __future__ import annotations

from openaffect.download import download
from openaffect.errors import DownloadError, ImageError
from openaffect.images import Pixels, read_image

MOST_BYTES = 50_000_000
"""The largest answer that is read."""

MOST_SECONDS = 30.0
"""How long an answer may take in all."""


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
    try:
        data = download(address, max_bytes=MOST_BYTES, seconds=MOST_SECONDS)
    except DownloadError as error:
        raise ImageError(str(error)) from None
    return read_image(data, where=hide_password(address))
