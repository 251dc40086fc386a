"""What the readers share: where a source lies, pictures by name, labels, splits and numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from openaffect.errors import FormatError, UnknownName
from openaffect.face_row import RejectRow
from openaffect.images import SUFFIXES
from openaffect.labels import Expression, parse_expression

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "train_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "val_set", "valid_set"), "validation"),
    **dict.fromkeys(("validation_set", "publictest", "public_test"), "validation"),
    **dict.fromkeys(("test", "testing", "test_set", "privatetest", "private_test"), "test"),
}
_SHOWN = 40  # characters of a bad cell that a reason repeats
_LONGEST_LABEL = 100  # characters; comparing a longer one with every spelling takes too long


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts of a source lie.

    Attributes:
        root: the folder in which the format's layout starts.
        pictures: the folder that `image` paths start from; None where the reader makes the
            pictures itself, since they are numbers in a table.
        labels: label files, where the format has a few that hold all rows.
        start: the folder that relative paths in them start from, where that is not `pictures`.
    """

    root: Path
    pictures: Path | None
    labels: tuple[Path, ...] = ()
    start: Path | None = None

    @property
    def prefix(self) -> str:
        """The pictures folder with a `/` at its end, for `find_picture`."""
        return f"{self.pictures}/"

    def moved(self, pictures: Path) -> Source:
        """The same source after its pictures folder was renamed."""
        old = self.pictures

        def follow(path: Path) -> Path:
            inside = old is not None and path.is_relative_to(old)
            return pictures / path.relative_to(old) if old and inside else path

        labels = tuple(follow(path) for path in self.labels)
        return replace(self, root=follow(self.root), pictures=pictures, labels=labels)


# ---------------------------------------------------------------- values


def shorten(text: object) -> str:
    """The start of a bad value, for the reason of a rejection."""
    shown = str(text).strip()
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def parse_split(text: str) -> str | None:
    """The split that a spelling stands for, or None if it is no split's name.

    >>> parse_split("Valid"), parse_split("happy")
    ('validation', None)
    """
    return _SPLIT_NAMES.get(re.sub(r"[ -]", "_", text.strip().lower()))


def read_split(text: str) -> str | None:
    """The split that a cell names; None where it is empty.

    Raises:
        RejectRow: it names no split.
    """
    split = parse_split(text)
    if text.strip() and split is None:
        raise RejectRow(f"unknown split: {shorten(text)}")
    return split


def read_expression(text: str) -> Expression:
    """The expression that a spelling stands for.

    Raises:
        RejectRow: there is none; the reason has the nearest name.
    """
    if len(text) > _LONGEST_LABEL:
        raise RejectRow(f"unknown expression: {shorten(text)}")
    try:
        return parse_expression(text)
    except UnknownName as error:
        near = f" (did you mean {error.nearest}?)" if error.nearest else ""
        raise RejectRow(f"unknown expression: {shorten(text)}{near}") from error


def find_expression(text: str) -> Expression | None:
    """The expression that a spelling stands for, or None."""
    try:
        return read_expression(text)
    except RejectRow:
        return None


def read_number(text: str, name: str) -> float:
    """The number that a text is; NaN and infinity are left to the writer to judge.

    Raises:
        RejectRow: it is not a number.
    """
    try:
        if "_" in text:  # Python would read 1_0 as ten
            raise ValueError(text)
        return float(text)
    except ValueError:
        raise RejectRow(f"{name} that is no number: {shorten(text)}") from None


def read_numbers(text: str, name: str, count: int) -> list[float]:
    """The numbers between the `;` of a text; one `;` more at its end does not matter.

    Raises:
        RejectRow: another count, or something that is not a number.
    """
    parts = text.strip().removesuffix(";").split(";")
    if len(parts) != count:
        raise RejectRow(f"{name} that are not {count} numbers: {len(parts)}")
    try:
        if "_" in text:
            raise ValueError(text)
        return list(map(float, parts))
    except ValueError:
        raise RejectRow(f"{name} that are no numbers: {shorten(text)}") from None


def read_votes(cells: Iterable[str]) -> list[int]:
    """Counts of votes, 0 to 65,535.

    Raises:
        RejectRow: something else.
    """
    cells = [cell.strip() for cell in cells]
    # Longer ones are outside uint16, and int() refuses thousands of digits.
    if not all(cell.isdecimal() and len(cell) <= 9 for cell in cells):
        raise RejectRow(f"votes that are no numbers: {shorten(';'.join(cells))}")
    return [int(cell) for cell in cells]


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
    """What lies at a path and two levels below it, for a message about what was found."""
    if not os.path.lexists(path):
        return "there is no such file or folder"
    if not path.is_dir():
        size = f" of {path.stat().st_size} bytes" if path.is_file() else " that is no regular file"
        return f"found a file{size}"
    names = _list_names(path, 6, levels=3)
    return f"found {names}" if names else "it is empty"


def _list_names(folder: Path, most: int, levels: int) -> str:
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        return f"{error.strerror}"
    shown = []
    for number, name in enumerate(names[:most]):
        if (folder / name).is_dir():
            # The first few folders stand for the others, which are mostly like them.
            inside = number < 3 and levels > 1 and _list_names(folder / name, 3, levels - 1)
            shown.append(f"{name}/ ({inside})" if inside else f"{name}/")
        else:
            shown.append(name)
    return ", ".join([*shown, *(["…"] if len(names) > most else [])])


def not_found(layout: str, path: Path) -> FormatError:
    """The error of a reader that does not find its layout."""
    return FormatError(f"expected {layout} in {path}, but {describe(path)}")


# ---------------------------------------------------------------- pictures


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
