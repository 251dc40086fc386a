"""What a user names (files, folders, patterns, lists, addresses, cameras, arrays), as a lazy list."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.analysis import videos
from openaffect.analysis.addresses import hide_password, is_address, read_address
from openaffect.analysis.cameras import Camera
from openaffect.analysis.pictures import Photo, Source, failing, read_photo
from openaffect.analysis.videos import Video, is_video
from openaffect.errors import InputError
from openaffect.images import SUFFIXES, read_image

Named: TypeAlias = str | Path | NDArray[np.uint8] | Camera
"""One thing that a user names: a path, a pattern, an address, a camera, or a picture as an array."""


def list_sources(named: Named | Iterable[Named]) -> Iterator[Source]:
    """The photos, videos and cameras that a user names, in that order, taken lazily.

    Args:
        named: the path of a photo or video; a folder (searched with its subfolders, sorted, hidden
            names left out); a pattern such as `shots/**/*.jpg` (sorted); a `.txt` file with one
            path or address a line, relative to that file; an http(s) address of a photo; a camera;
            an array (h, w), (h, w, 3), (h, w, 4) or (n, h, w, 3) of uint8; or an iterable of these.

    Raises:
        InputError: the only thing that was named holds no picture. Among several it becomes
            a photo that cannot be read instead.
        MissingExtra: the only thing that was named is a video, and PyAV is not installed.
    """
    if isinstance(named, list | tuple):
        if not named:
            raise InputError("expected photos or videos to analyse, but got an empty list")
        if len(named) > 1:
            return _list_many(named)
        named = named[0]
    if isinstance(named, np.ndarray):
        return _list_array(named, 0)
    if isinstance(named, Camera):
        return iter((named,))
    if not isinstance(named, str | Path):
        return _list_many(named)
    reason = _why_none(str(named))
    if reason is not None:
        raise InputError(f"expected photos or videos at {named}, but {reason}")
    if is_video(str(named)):
        videos.require_av()
    return _list_path(str(named))


def _list_many(many: Iterable[Named]) -> Iterator[Source]:
    arrays = 0
    for named in many:
        if isinstance(named, np.ndarray):
            yield from _list_array(named, arrays)
            arrays += len(named) if named.ndim == 4 else 1
        elif isinstance(named, Camera):
            yield named
        elif not isinstance(named, str | Path):
            raise InputError(f"expected a path or an array, but got a {type(named).__name__}")
        else:
            reason = _why_none(str(named))
            if reason is None:
                yield from _list_path(str(named))
            else:
                yield Photo(str(named), failing(reason))


def _list_array(array: NDArray[np.uint8], first: int) -> Iterator[Source]:
    for number, pixels in enumerate(array if array.ndim == 4 else array[None], first):
        name = f"array[{number}]"
        yield Photo(name, partial(read_image, pixels, where=name))


def _list_path(path: str) -> Iterator[Source]:
    """The photos and videos of a path that `_why_none` has nothing against."""
    if os.path.isdir(path):
        yield from map(_one, _walk(path))
    elif os.path.exists(path) and path.lower().endswith(".txt"):
        folder = os.path.dirname(path)
        for line in _lines(path):
            yield _one(line if is_address(line) else os.path.join(folder, line))
    elif _is_pattern(path) and not is_address(path):
        yield from map(_one, _matches(path))
    else:
        yield _one(path)


def _one(path: str) -> Source:
    """The source at a path or address that names one file."""
    if is_address(path) and not os.path.exists(path):
        if is_video(path.partition("?")[0]):
            return Photo(hide_password(path), failing("a video at an address; download it first"))
        return Photo(hide_password(path), partial(read_address, path))
    return Video(path) if is_video(path) else Photo(path, partial(read_photo, path))


def _why_none(path: str) -> str | None:
    """Why a path names no picture at all, or None."""
    if os.path.isdir(path):
        if next(_walk(path), None) is None:
            return f"the folder holds no picture ({', '.join(SUFFIXES)}) and no video"
    elif os.path.exists(path):
        if path.lower().endswith(".txt"):
            try:
                if not _lines(path):
                    return "the list is empty; it needs one path or address a line"
            except UnicodeDecodeError:
                return "the list is no text in UTF-8"
    elif is_address(path):
        return None
    elif _is_pattern(path):
        if not _matches(path):
            return "no file matches the pattern"
    else:
        return "there is no such file"
    return None


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith((*SUFFIXES, *videos.SUFFIXES)) and not name.startswith("."):
                yield os.path.join(parent, name)


def _lines(path: str) -> list[str]:
    text = Path(path).read_text(encoding="utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_pattern(path: str) -> bool:
    """Whether a path is a pattern; a file whose name holds such a sign is itself."""
    return glob.has_magic(path) and not os.path.exists(path)


def _matches(pattern: str) -> list[str]:
    found = glob.iglob(pattern, recursive=True)
    return sorted(path for path in found if os.path.isfile(path))
