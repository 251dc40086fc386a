"""An archive of images: a WARC of a crawl, or a tar of webdataset; either may be packed with gzip."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openaffect.collection.providers import Item
from openaffect.collection.providers._warc import read_warc
from openaffect.collection.providers._webdataset import read_tar
from openaffect.errors import FormatError, InputError, reason
from openaffect.formats._gzip import open_unpacked

TITLE = "Archive"
READS = "a WARC or a tar of webdataset; either may be packed with gzip"
HAS_IMAGES = True

_OTHERS = {b"PK\x03\x04": "a zip", b"(\xb5/\xfd": "Zstandard", b"BZh": "bzip2", b"\xfd7zX": "xz"}


def read_items(path: Path) -> Iterator[Item]:
    """The images of an archive, in its order, one in memory at a time.

    The format is told by the content, whatever the name. `read` of an item gives the bytes that it
    holds: a stream cannot be read again.

    Raises:
        InputError: no such file, or an archive without an image.
        FormatError: no such archive, or one that breaks off; the message says after how many images.
        MissingExtra: what reads a WARC is not installed.
    """
    count = 0
    with open_unpacked(path, "an archive") as file:
        try:
            for item in _choose(file, path):
                count += 1
                yield item
        except FormatError as error:
            raise FormatError(f"{error}; items before that: {count:,}") from error
        except OSError as error:
            raise FormatError(f"cannot read {path}: {reason(error)}") from error
    if not count:
        raise InputError(f"expected images in {path}, but it holds none")


def _choose(file: io.BufferedReader[Any], path: Path) -> Iterator[Item]:
    head = file.peek(8)[:8]
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise FormatError(
                f"expected a WARC or a tar at {path}, but it is {name}; unpack it, and give the "
                "folder to --provider folder"
            )
    return read_warc(file, path) if head.startswith(b"WARC/") else read_tar(file, path)
