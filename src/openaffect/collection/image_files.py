"""The images in a folder of yours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from openaffect.errors import InputError
from openaffect.image_headers import foreign_format, sniff_format
from openaffect.images import SUFFIXES
from openaffect.storage import open_file


def walk_images(folder: Path) -> Iterator[Path]:
    """The files below a folder that are images, by their suffix or by their first bytes.

    They come lazily, in the order of the names; hidden names are left out, and links to folders are
    not followed. A folder that cannot be listed comes itself: reading it says why.
    """
    failed: list[Path] = []
    for parent, folders, names in os.walk(
        folder, onerror=lambda e: failed.append(Path(e.filename))
    ):
        yield from failed
        failed.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and (
                path.suffix.lower() in SUFFIXES or _looks_like_image(path)
            ):
                yield path
    yield from failed


def _looks_like_image(path: Path) -> bool:
    try:
        with open_file(path) as file:
            head = file.read(32)
    except (InputError, OSError):
        return False
    return is_image(head)


def is_image(head: bytes) -> bool:
    """Whether the first 32 bytes of a file are those of an image, of a format that is read or not.

    >>> is_image(b"BM"), is_image(b"%PDF-1.7"), is_image(b"<html>")
    (True, True, False)
    """
    return (sniff_format(head) or foreign_format(head)) is not None
