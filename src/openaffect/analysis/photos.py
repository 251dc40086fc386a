"""Photos: what a user names (files, folders, patterns, lists, arrays) as a lazy stream of pictures."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import ImageError, InputError
from openaffect.images import SUFFIXES, Pixels, check_header, read_image

Source: TypeAlias = str | Path | NDArray[np.uint8]
"""One thing that a user names: a path, a pattern, or a picture as an array."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A picture that may turn out to be none.

    Attributes:
        source: what to call it: its path, or `array[3]`.
        pixels: the picture itself where it was given as an array.
        error: why it cannot be read, where that is known already.
    """

    source: str
    pixels: NDArray[np.uint8] | None = None
    error: str | None = None

    def read(self) -> Pixels:
        """The picture, RGB uint8 (h, w, 3), upright.

        Raises:
            ImageError: missing, broken, or no picture.
        """
        if self.error is not None:
            raise ImageError(self.error)
        if self.pixels is not None:
            return read_image(self.pixels, where=self.source)
        if os.path.isdir(self.source):
            raise ImageError("a folder, not a picture")
        if not os.path.isfile(self.source):
            raise ImageError("not a file" if os.path.exists(self.source) else "missing picture")
        # Judged by its first bytes before the rest is read: a video may have gigabytes.
        reason = check_header(self.source)
        if reason is not None:
            raise ImageError(reason)
        return read_image(self.source)


def list_photos(source: Source | Iterable[Source]) -> Iterator[Photo]:
    """The pictures that a source names, in its order, taken lazily.

    Args:
        source: a picture's path; a folder (searched with its subfolders, sorted, hidden names
            left out); a pattern such as `shots/**/*.jpg` (sorted); a `.txt` file with one path
            a line, relative to that file; an array (h, w), (h, w, 3), (h, w, 4) or
            (n, h, w, 3) of uint8; or an iterable of these.

    Raises:
        InputError: the only source that was given names no picture. Among several it becomes
            a photo with an `error` instead.
    """
    if isinstance(source, list | tuple):
        if not source:
            raise InputError("expected photos to analyse, but got an empty list")
        if len(source) > 1:
            return _list_many(source)
        source = source[0]
    if isinstance(source, np.ndarray):
        return _list_array(source, 0)
    if not isinstance(source, str | Path):
        return _list_many(source)
    reason = _why_none(str(source))
    if reason is not None:
        raise InputError(f"expected photos at {source}, but {reason}")
    return _list_path(str(source))


def _list_many(sources: Iterable[Source]) -> Iterator[Photo]:
    arrays = 0
    for source in sources:
        if isinstance(source, np.ndarray):
            yield from _list_array(source, arrays)
            arrays += len(source) if source.ndim == 4 else 1
        elif not isinstance(source, str | Path):
            raise InputError(f"expected a path or an array, but got a {type(source).__name__}")
        else:
            reason = _why_none(str(source))
            if reason is None:
                yield from _list_path(str(source))
            else:
                yield Photo(str(source), error=reason)


def _list_array(array: NDArray[np.uint8], first: int) -> Iterator[Photo]:
    pictures = array if array.ndim == 4 else array[None]
    return (Photo(f"array[{first + i}]", pixels) for i, pixels in enumerate(pictures))


def _list_path(source: str) -> Iterator[Photo]:
    """The photos of a path that `_why_none` has nothing against."""
    if os.path.isdir(source):
        yield from map(Photo, _walk(source))
    elif os.path.exists(source) and source.lower().endswith(".txt"):
        folder = os.path.dirname(source)
        yield from (Photo(os.path.join(folder, line)) for line in _lines(source))
    elif _is_pattern(source):
        yield from map(Photo, _matches(source))
    else:
        yield Photo(source, error=_address_error(source))


def _why_none(source: str) -> str | None:
    """Why a path names no picture at all, or None."""
    if os.path.isdir(source):
        if next(_walk(source), None) is None:
            return f"the folder holds no picture ({', '.join(SUFFIXES)})"
    elif os.path.exists(source):
        if source.lower().endswith(".txt"):
            try:
                if not _lines(source):
                    return "the list is empty; it needs one path a line"
            except UnicodeDecodeError:
                return "the list is no text in UTF-8"
    elif _is_pattern(source):
        if not _matches(source):
            return "no file matches the pattern"
    elif _address_error(source) is None:
        return "there is no such file"
    return None


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(parent, name)


def _lines(path: str) -> list[str]:
    text = Path(path).read_text(encoding="utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_pattern(source: str) -> bool:
    """Whether a path is a pattern; a file whose name holds such a sign is itself."""
    return glob.has_magic(source) and not os.path.exists(source)


def _matches(pattern: str) -> list[str]:
    found = glob.iglob(pattern, recursive=True)
    return sorted(path for path in found if os.path.isfile(path))


def _address_error(source: str) -> str | None:
    if "://" in source and not os.path.exists(source):
        return "an address, not a readable picture; download it first"
    return None
