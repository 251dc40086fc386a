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
from PIL import Image, ImageOps

from openaffect import errors
from openaffect.addresses import Allowed, hide_password, is_address
from openaffect.analysis import videos
from openaffect.analysis.cameras import Camera
from openaffect.analysis.pictures import Photo, Source, raise_on_read, read_photo, read_web_photo
from openaffect.analysis.videos import Video, is_video
from openaffect.errors import ImageError, InputError
from openaffect.image_headers import foreign_format, sniff_format
from openaffect.images import SUFFIXES, Pixels, read_image
from openaffect.storage import open_file

SourceLike: TypeAlias = str | Path | NDArray[np.uint8] | Image.Image | Camera
"""One thing that a user names: a path, a pattern, an address, a camera, an array, or a PIL image."""

# Files that a folder of photos has beside them, and cameras write: never taken for images.
_OTHER_SUFFIXES = (
    *(".txt", ".csv", ".json", ".jsonl", ".xml", ".html", ".md", ".pdf", ".ini", ".db", ".log"),
    *(".parquet", ".npy", ".zip", ".tar", ".gz", ".py", ".aae", ".thm", ".xmp", ".lrv", ".mp3"),
)
# Suffixes of images that are not read: a row that says so is better than none.
_FOREIGN_SUFFIXES = (
    *(".heic", ".heif", ".jxl", ".jp2", ".psd", ".svg", ".cr2", ".cr3", ".nef", ".arw", ".dng"),
    *(".raf", ".orf", ".rw2", ".ico", ".tga", ".ppm", ".pgm", ".pjpeg", ".pjp"),
)


def open_sources(named: SourceLike | Iterable[SourceLike], allow: Allowed = ()) -> Iterator[Source]:
    """The photos, videos and cameras that a user names, in that order, taken lazily.

    Args:
        named: the path of a photo or video; a folder (searched with its subfolders, sorted, hidden
            names left out); a pattern such as `shots/**/*.jpg` (sorted); a `.txt` file with one
            path or address a line, relative to that file; an http(s) address of a photo; a camera;
            an array (h, w), (h, w, 3), (h, w, 4) or (n, h, w, 3) of uint8; a PIL image; or an
            iterable of these.
        allow: of addresses; see `AnalysisChoices`.

    Raises:
        InputError: the only thing that was named holds no picture. Among several it becomes
            a photo that cannot be read instead.
        MissingExtra: the only thing that was named is a video, and PyAV is not installed.
    """
    if isinstance(named, list | tuple):
        if not named:
            raise InputError("expected photos or videos to analyze, but got an empty list")
        if len(named) > 1:
            return _list_many(named, allow)
        named = named[0]
    if isinstance(named, np.ndarray | Image.Image):
        return _list_arrays(named, 0)
    if isinstance(named, Camera):
        return iter((named,))
    if not isinstance(named, str | Path):
        if not isinstance(named, Iterable) or isinstance(named, bytes):
            raise InputError(_expected(named))
        return _list_many(named, allow)
    reason = _empty_reason(str(named))
    if reason is not None:
        raise InputError(f"expected photos or videos at {named}, but {reason}")
    if is_video(str(named)):
        videos.require_av()
    return _list_path(str(named), allow)


def count_photos(named: SourceLike | Iterable[SourceLike]) -> int | None:
    """How many pictures a user names, as far as that can be told before they are read.

    It lists the files of folders and patterns. None where a video or a camera is among them, or
    an iterable that gives its sources only once.
    """
    if isinstance(named, Iterable) and not isinstance(named, str | list | tuple | np.ndarray):
        return None
    count = 0
    for source in open_sources(named):
        if not isinstance(source, Photo):
            return None
        count += 1
    return count


def _list_many(many: Iterable[SourceLike], allow: Allowed) -> Iterator[Source]:
    arrays = 0
    for named in many:
        if isinstance(named, np.ndarray | Image.Image):
            yield from _list_arrays(named, arrays)
            arrays += len(named) if isinstance(named, np.ndarray) and named.ndim == 4 else 1
        elif isinstance(named, Camera):
            yield named
        elif not isinstance(named, str | Path):
            raise InputError(_expected(named))
        else:
            reason = _empty_reason(str(named))
            if reason is None:
                yield from _list_path(str(named), allow)
            else:
                yield Photo(str(named), raise_on_read(reason))


def _expected(named: object) -> str:
    return (
        "expected a path, an address, an array (uint8, RGB), a PIL image, a camera, or several of "
        f"these, but got {type(named).__module__}.{type(named).__qualname__}"
    )


def _list_arrays(named: NDArray[np.uint8] | Image.Image, first: int) -> Iterator[Source]:
    if isinstance(named, Image.Image):
        name = f"image[{first}]"
        yield Photo(name, partial(_from_pillow, named, name))
        return
    for number, pixels in enumerate(named if named.ndim == 4 else named[None], first):
        name = f"array[{number}]"
        yield Photo(name, partial(read_image, pixels, where=name))


def _from_pillow(image: Image.Image, name: str) -> Pixels:
    """The pixels of a PIL image, upright by its EXIF orientation, over white where transparent."""
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode != "RGB":
            upright = upright.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:  # it was opened, and its file is broken
        raise ImageError(f"cannot decode {name}: {errors.reason(error)}") from error
    return read_image(np.asarray(upright), where=name)


def _list_path(path: str, allow: Allowed) -> Iterator[Source]:
    """The photos and videos of a path that `_empty_reason` has nothing against."""
    if os.path.isdir(path):
        yield from (_one(found, allow) for found in _walk(path))
    elif os.path.exists(path) and path.lower().endswith(".txt"):
        folder = os.path.dirname(path)
        for line in _lines(path):
            yield _one(line if is_address(line) else os.path.join(folder, line), allow)
    elif _is_pattern(path) and not is_address(path):
        yield from (_one(found, allow) for found in _matches(path))
    else:
        yield _one(path, allow)


def _one(path: str, allow: Allowed) -> Source:
    """The source at a path or address that names one file."""
    if is_address(path) and not os.path.exists(path):
        if is_video(path.partition("?")[0]):
            return Photo(
                hide_password(path), raise_on_read("a video at an address; download it first")
            )
        return Photo(hide_password(path), partial(read_web_photo, path, allow))
    return Video(path) if is_video(path) else Photo(path, partial(read_photo, path))


def _empty_reason(path: str) -> str | None:
    """Why a path names no picture at all, or None."""
    if os.path.isdir(path):
        if next(_walk(path), None) is None:
            return "the folder holds no picture and no video"
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
    """The images and videos below a folder, and what cannot be searched: each gives a row.

    A file is one by its suffix; one of no or an unknown suffix is one if its first bytes say so.
    """
    failed: list[str] = []
    seen = {os.path.realpath(folder)}
    walk = os.walk(folder, onerror=lambda error: failed.append(error.filename), followlinks=True)
    for parent, folders, names in walk:
        yield from failed
        failed.clear()
        below = [name for name in sorted(folders) if not name.startswith(".")]
        folders.clear()
        for name in below:
            real = os.path.realpath(os.path.join(parent, name))
            if real not in seen:  # a link may lead back to where it came from
                seen.add(real)
                folders.append(name)
        for name in sorted(names):
            if not name.startswith(".") and _is_wanted(os.path.join(parent, name)):
                yield os.path.join(parent, name)
    yield from failed


def _is_wanted(path: str) -> bool:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (*SUFFIXES, *_FOREIGN_SUFFIXES, *videos.SUFFIXES):
        return True
    if suffix in _OTHER_SUFFIXES:
        return False
    try:
        with open_file(path) as file:
            head = file.read(32)
    except (InputError, OSError):
        return False
    return (sniff_format(head) or foreign_format(head)) is not None


def _lines(path: str) -> list[str]:
    text = Path(path).read_text(encoding="utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_pattern(path: str) -> bool:
    """Whether a path is a pattern; a file whose name holds such a sign is itself."""
    return glob.has_magic(path) and not os.path.exists(path)


def _matches(pattern: str) -> list[str]:
    found = glob.iglob(pattern, recursive=True)
    return sorted(path for path in found if os.path.isfile(path))
