"""Class folders: the name of the folder is the label, as image libraries expect it."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter
from openaffect.face_row import FaceRow, RejectRow
from openaffect.formats._exports import (
    ExportSummary,
    check_images_option,
    note_origins,
    place_picture,
    rows_of,
    safe_path,
    suffix_of,
)
from openaffect.formats._sources import (
    Source,
    choose,
    find_expression,
    find_root,
    not_found,
    parse_split,
    read_expression,
    subfolders,
    without_suffix,
)
from openaffect.images import SUFFIXES, check_header
from openaffect.labels import Expression
from openaffect.schemas import ORIGINS

LAYOUT = "folders named after expressions (happy/, sad/ …), above, below or without train/, test/"
LICENSE: str | None = None
COLUMNS = frozenset({"face_id", "expression", "expression_origin", "split"})
FIXED_SIZE: tuple[int, int] | None = None

_MAX_DEPTH = 64  # folders inside each other
_OTHER_PICTURES = (".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".jxl", ".svg", ".ico")
_NUMBERED = re.compile(r"\d{1,3}[\s._-]+(?=\D)")


def find(path: Path) -> Source:
    """The folder that holds the class or split folders."""
    root = find_root(path, _fits)
    if root is None:
        raise not_found(LAYOUT, path)
    return Source(root, root)


def _fits(folder: Path) -> bool:
    for sub in subfolders(folder):
        if _find_class(sub.name) is not None:
            return True
        if parse_split(sub.name) and any(_find_class(below.name) for below in subfolders(sub)):
            return True
    return False


def _plain_class(name: str) -> str:
    """The name of a class folder without a number before it: `4 - Happy` is `Happy`."""
    plain = _NUMBERED.sub("", name, count=1) if _NUMBERED.match(name) else name
    return plain if find_expression(plain) else name


def _find_class(name: str) -> Expression | None:
    return find_expression(_plain_class(name))


@dataclass(slots=True)
class _Seen:
    """What a walk met that a note tells of."""

    ids: set[str]
    numbered: set[str]
    others: list[str]


def read(source: Source, writer: DatasetWriter, *, origin: str = "human") -> None:
    """Read every picture below a class folder.

    Args:
        source: from `find`.
        writer: takes the rows.
        origin: who gave the labels: `human`, `model`, `derived` or `synthetic`.
    """
    choose("origin", origin, ORIGINS)
    seen = _Seen(set(), set(), [])
    for place, files in _folders(source.root, writer):
        parts = PurePosixPath(place).parts
        for face_id, image in _pictures(source.root, place, files, seen):
            with writer.rejecting(face_id, image):
                split, label = _read_parts(parts)
                if label is None:
                    raise RejectRow("picture outside the folders of expressions")
                if len({parse_split(part) for part in parts} - {None}) > 1:
                    writer.warn("two splits above a picture (the first counts)")
                if label.isdecimal():
                    seen.ids.add(label)
                elif _plain_class(label) != label:
                    seen.numbered.add(label)
                expression = read_expression(_plain_class(label))
                row = FaceRow(face_id, image, expression=expression, split=split)
                row.expression_origin = origin
                writer.add(row, image)
    _write_notes(writer, seen)


def _write_notes(writer: DatasetWriter, seen: _Seen) -> None:
    if seen.ids:
        writer.note(
            f"folder names are numbers ({', '.join(sorted(seen.ids, key=int))}): they were read as "
            "AffectNet's ids, 0 neutral to 10 no face"
        )
    if seen.numbered:
        writer.note(
            f"the numbers before names of folders were not read: {', '.join(sorted(seen.numbered))}"
        )
    if seen.others:
        names = ", ".join(seen.others[:3]) + (", …" if len(seen.others) > 3 else "")
        writer.note(f"files that are no pictures were not read ({len(seen.others):,}): {names}")


def _read_parts(parts: Sequence[str]) -> tuple[str | None, str | None]:
    """The split and the name of the class folder among the folders above a picture.

    >>> _read_parts(("happy", "train", "more")), _read_parts(("train", "happy"))
    (('train', 'happy'), ('train', 'happy'))
    """
    split = next((part for part in parts if parse_split(part)), None)
    label = next((part for part in parts if not parse_split(part)), None)
    return parse_split(split or ""), label


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _folders(root: Path, writer: DatasetWriter) -> Iterator[tuple[str, list[str]]]:
    """The relative path of every visible folder at or below a root, and the names of its files."""
    waiting = [""]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(root / place) as entries:
                found = sorted((e.name, e.is_dir(follow_symlinks=not place)) for e in entries)
        except OSError as error:
            writer.reject(f"folder that cannot be read: {error.strerror}", "", place)
            continue
        shown = [(name, is_folder) for name, is_folder in found if not _is_hidden(name)]
        yield place, [name for name, is_folder in shown if not is_folder]
        below = [f"{place}/{name}".lstrip("/") for name, is_folder in shown if is_folder]
        if below and place.count("/") + 2 > _MAX_DEPTH:
            writer.reject(f"folder below {_MAX_DEPTH} others", "", place)
        else:
            waiting.extend(reversed(below))


def _pictures(root: Path, place: str, files: list[str], seen: _Seen) -> Iterator[tuple[str, str]]:
    """The id and the relative path of every picture among the files of a folder."""
    pictures = [name for name in files if _is_picture(f"{root}/{place}/{name}", name)]
    known = {*pictures}
    seen.others += [f"{place}/{name}".lstrip("/") for name in files if name not in known]
    stems = collections.Counter(map(without_suffix, pictures))
    for name in pictures:
        stem = without_suffix(name)
        # Two pictures that differ in their endings only keep them in their ids.
        shown = stem if stems[stem] == 1 else name
        yield f"{place}/{shown}".lstrip("/"), f"{place}/{name}".lstrip("/")


def _is_picture(path: str, name: str) -> bool:
    """Whether a file is a picture, or says so and will be rejected by its name."""
    ending = os.path.splitext(name)[1].lower()
    return ending in SUFFIXES or ending in _OTHER_PICTURES or check_header(path) is None


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, images: str = "copy") -> None:
    """Write `split/expression/picture`, or `expression/picture` for rows without a split.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        images: `copy`, `link` (symbolic links) or `none`.
    """
    check_images_option(images)
    note_origins(dataset, summary)
    for row in rows_of(dataset, COLUMNS):
        if row["expression"] is None:
            summary.left_out["no expression"] += 1
            continue
        place_picture(dataset, row["image"], folder / _place(row), images)
        summary.rows += 1


def _place(row: dict[str, Any]) -> str:
    """Where a picture goes; an id that came from such a layout keeps its own path."""
    name, suffix = safe_path(row["face_id"]), suffix_of(row["image"])
    if not name.lower().endswith(suffix.lower()):
        name += suffix
    parts = PurePosixPath(name).parts
    split, label = _read_parts(parts[:-1])
    says_so = split == row["split"] and _find_class(label or "") == row["expression"]
    if label and says_so and not any(map(_is_hidden, parts)):
        return name
    # No part of an id may be skipped, or be taken for a split that the row does not have.
    escaped = [
        f"id-{part}" if _is_hidden(part) or (not row["split"] and parse_split(part)) else part
        for part in parts
    ]
    return "/".join(filter(None, (row["split"], row["expression"], *escaped)))
