"""What the readers share: where a source lies, archives, pictures by name, lines of CSV files."""

from __future__ import annotations

import csv
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.images import SUFFIXES
from openaffect.labels import Expression, parse_expression

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""File endings of archives that are unpacked."""

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "train_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "val_set", "validation_set"), "validation"),
    **dict.fromkeys(("test", "testing", "test_set"), "test"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts of a source lie.

    Attributes:
        root: the folder in which the format's layout starts.
        pictures: the folder that `image` paths start from.
        labels: label files, where the format has a few that hold all rows.
    """

    root: Path
    pictures: Path
    labels: tuple[Path, ...] = ()

    def moved(self, pictures: Path) -> Source:
        """The same source after its pictures folder was renamed."""

        def follow(path: Path) -> Path:
            inside = path.is_relative_to(self.pictures)
            return pictures / path.relative_to(self.pictures) if inside else path

        labels = tuple(follow(path) for path in self.labels)
        return replace(self, root=follow(self.root), pictures=pictures, labels=labels)


def parse_split(text: str) -> str | None:
    """The split that a spelling stands for, or None if it is no split's name.

    >>> parse_split("Valid"), parse_split("happy")
    ('validation', None)
    """
    return _SPLIT_NAMES.get(text.strip().lower())


def try_expression(text: str) -> tuple[Expression | None, str | None]:
    """The expression of a spelling and None, or None and why there is none."""
    try:
        return parse_expression(text), None
    except UnknownName as error:
        near = f" (did you mean {error.nearest}?)" if error.nearest else ""
        return None, f"unknown expression: {text.strip()}{near}"


def choose(option: str, value: str, known: Iterable[str]) -> str:
    """The value of an option, or an UnknownName with the nearest one."""
    known = tuple(known)
    if value not in known:
        raise UnknownName(f"value of {option}", value, known)
    return value


# ---------------------------------------------------------------- folders


def find_root(path: Path, fits: Callable[[Path], bool], depth: int = 3) -> Path | None:
    """The first folder at or below a path that fits, the nearest first; None if there is none.

    Archives and downloads wrap their content in one or two more folders, never in many.
    """
    level = [path] if path.is_dir() else []
    for _ in range(depth + 1):
        for folder in level:
            if fits(folder):
                return folder
        below = [sub for folder in level for sub in subfolders(folder)]
        level = below if len(below) <= 64 else []
    return None


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        found = [e.name for e in entries if not e.name.startswith((".", "__")) and e.is_dir()]
    return [folder / name for name in sorted(found)]


def describe(path: Path) -> str:
    """What lies at a path, for a message about what was found."""
    if not path.exists():
        return "there is no such file or folder"
    if not path.is_dir():
        return f"found a file of {path.stat().st_size} bytes"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
    return (
        f"found {', '.join(names[:6])}{', …' if len(names) > 6 else ''}" if names else "it is empty"
    )


def not_found(layout: str, path: Path) -> FormatError:
    """The error of a reader that does not find its layout."""
    return FormatError(f"expected {layout} in {path}, but {describe(path)}")


def find_picture(prefix: str, image: str) -> str | None:
    """The path of a picture under the name that it really has, or None if there is none.

    Lists and disks disagree about file endings (`.JPG` in the list, `.jpg` on the disk; or no
    ending in the list), never about the rest.

    Args:
        prefix: the pictures folder with a `/` at its end.
        image: the path in it that a list gives.
    """
    if os.path.isfile(prefix + image):
        return image
    stem, suffix = os.path.splitext(image)
    # A name without an ending may itself end like one: `x.png` for the file `x.png.jpg`.
    stems = [stem, image] if suffix.lower() in SUFFIXES else [image]
    for base in stems:
        for ending in SUFFIXES:
            for spelled in (ending, ending.upper()):
                if os.path.isfile(prefix + base + spelled):
                    return base + spelled
    return None


def without_suffix(image: str) -> str:
    """A path without the ending of a picture; another dot belongs to the name.

    >>> without_suffix("a/b.c.JPG"), without_suffix("a/b.c")
    ('a/b.c', 'a/b.c')
    """
    stem, suffix = os.path.splitext(image)
    return stem if suffix.lower() in SUFFIXES else image


# ---------------------------------------------------------------- CSV files


def read_lines(
    path: Path, delimiter: str = ",", encoding: str = "utf-8-sig"
) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of every line of a CSV file that is not empty, one at a time.

    Raises:
        FormatError: not UTF-8, or a line that no CSV reader takes.
    """
    with open(path, newline="", encoding=encoding) as file:
        rows = csv.reader(file, delimiter=delimiter)
        try:
            for fields in rows:
                if fields:
                    yield rows.line_num, fields
        except csv.Error as error:
            raise FormatError(f"{path} line {rows.line_num} is no CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise FormatError(
                f"expected UTF-8 in {path}, but after line {rows.line_num} there are other bytes; "
                "save the file as UTF-8"
            ) from error


# ---------------------------------------------------------------- archives


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the ending of an archive."""
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder; nothing may leave it.

    Raises:
        FormatError: broken, or an entry with an absolute path, with `..`, or that is a link.
    """
    reader = _unzip if archive.name.lower().endswith(".zip") else _untar
    try:
        reader(archive, folder)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
    ) as error:
        raise FormatError(f"{archive} is no whole archive: {error}") from error
    except RuntimeError as error:  # what zipfile raises where a password is needed
        raise FormatError(f"cannot unpack {archive}: {error}") from error


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _refused(archive, info.filename, "it is a link")
            target = _target(archive, info.filename, folder)
            if info.is_dir() or target is None:
                continue
            with file.open(info) as data:
                _store(data, target)


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "r|*") as file:
        for member in file:
            if not (member.isfile() or member.isdir()):
                raise _refused(archive, member.name, "it is a link or a device")
            target = _target(archive, member.name, folder)
            data = file.extractfile(member)
            if data is None or target is None:
                continue
            with data:
                _store(data, target)


def _store(data: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as out:
        shutil.copyfileobj(data, out, 1 << 20)


def _target(archive: Path, name: str, folder: Path) -> Path | None:
    """Where an entry goes; None for what a Mac adds and nobody needs."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in (pure.parts or ("",))[0]:
        raise _refused(archive, name, "its path leaves the archive")
    if "__MACOSX" in pure.parts or pure.name == ".DS_Store":
        return None
    return folder / pure


def _refused(archive: Path, name: str, why: str) -> InputError:
    return FormatError(f"refused to unpack {archive}: entry '{name}': {why}")


def keep_pictures_only(folder: Path) -> None:
    """Remove every file that is no picture by its ending, and the folders that this empties."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            if not name.lower().endswith(SUFFIXES):
                os.unlink(os.path.join(place, name))
        if place != str(folder) and not os.listdir(place):
            os.rmdir(place)
