"""One picture to analyze: a photo, or a frame of a video, read when its turn comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from openaffect import errors
from openaffect.addresses import Allowed, hide_password
from openaffect.download import download
from openaffect.errors import DownloadError, ImageError
from openaffect.images import Pixels, check_header, read_image

MAX_DOWNLOAD = 50_000_000
"""The largest answer of a web address that is read, in bytes."""

MAX_SECONDS = 30.0
"""How long such an answer may take in all."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture that may turn out to be none.

    Attributes:
        source: what to call where it comes from: a path, an address, or `array[3]`.
        place: the number of its source among all sources, from 0.
        number: its number within the source, from 0; broken frames count.
        read: gives RGB uint8 (h, w, 3), upright; raises ImageError. May run in any thread, and
            of a photo in another process.
        frame: its number in a video, or None for a photo.
        time_s: seconds since the start of the video, or None where that is not known.
        broken: it is known already that it cannot be read.
    """

    source: str
    place: int
    number: int
    read: Callable[[], Pixels]
    frame: int | None = None
    time_s: float | None = None
    broken: bool = False


class Source(Protocol):
    """Something that gives pictures: one photo, a video, a camera."""

    @property
    def source(self) -> str:
        """What to call it."""

    def pictures(self, place: int, first: int = 0) -> Iterator[Picture]:
        """Its pictures from number `first` on; what is wrong with it is a picture that fails."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A source with a single picture.

    Attributes:
        source: what to call it.
        read: see `Picture.read`.
    """

    source: str
    read: Callable[[], Pixels]

    def pictures(self, place: int, first: int = 0) -> Iterator[Picture]:
        """The one picture, or none where `first` is past it."""
        if first == 0:
            yield Picture(self.source, place, 0, self.read)


def list_pictures(
    sources: Iterator[Source], place: int, number: int, every: int = 1
) -> Iterator[Picture]:
    """The pictures of sources from a position on.

    Args:
        sources: all of them.
        place, number: of the last picture that is done; −1 before the first.
        every: of a video, one frame in so many; a broken one is always given.
    """
    for here, source in enumerate(sources):
        if here < place:
            continue
        first = 0
        if here == place:
            # A video again from its last frame: the next may be looked at where its faces were.
            first = number + 1 if isinstance(source, Photo) else number
        for picture in source.pictures(here, first):
            if picture.broken or (picture.frame or 0) % every == 0:
                yield picture


def raise_on_read(reason: str) -> Callable[[], Pixels]:
    """What reads a picture of which it is known already that it cannot be read."""
    return partial(_raise, reason)


def _raise(reason: str) -> Pixels:
    raise ImageError(reason)


def read_web_photo(address: str, allow: Allowed = ()) -> Pixels:
    """The photo at a web address, RGB uint8 (h, w, 3), upright, known by its content.

    Args:
        address: http or https, on the public internet.
        allow: see `addresses.Allowed`.

    Raises:
        ImageError: an address that is not opened, no or a bad answer, too slow, too large, or no
            picture.
    """
    try:
        data = download(address, max_bytes=MAX_DOWNLOAD, seconds=MAX_SECONDS, allow=allow)
    except DownloadError as error:
        raise ImageError(str(error)) from None
    return read_image(data, where=hide_password(address))


def read_photo(path: str) -> Pixels:
    """The photo at a path, RGB uint8 (h, w, 3), upright.

    Raises:
        ImageError: missing, broken, or no picture.
    """
    if os.path.isdir(path):
        try:
            os.scandir(path).close()
        except OSError as error:
            raise ImageError(f"cannot read this folder: {errors.reason(error)}") from None
        raise ImageError("a folder, not a picture")
    if not os.path.isfile(path):
        raise ImageError("not a file" if os.path.exists(path) else "missing picture")
    # Judged by its first bytes before the rest is read: a file may have gigabytes.
    reason = check_header(path)
    if reason is not None:
        raise ImageError(reason)
    return read_image(path)
