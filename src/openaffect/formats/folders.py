"""Class folders: the name of the folder is the label, as image libraries expect it."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter, FaceRow
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
    find_root,
    not_found,
    parse_split,
    subfolders,
    try_expression,
    without_suffix,
)
from openaffect.images import SUFFIXES
from openaffect.labels import Expression
from openaffect.schemas import ORIGINS

LAYOUT = "folders named after expressions (happy/, sad/ …), or such folders in train/, validation/, test/"
LICENCE: str | None = None
COLUMNS = frozenset({"face_id", "expression", "expression_origin", "split"})
FIXED_SIZE: tuple[int, int] | None = None


def find(path: Path) -> Source:
    """The folder that holds the class or split folders."""
    root = find_root(path, _fits)
    if root is None:
        raise not_found(LAYOUT, path)
    return Source(root, root)


def _fits(folder: Path) -> bool:
    for sub in subfolders(folder):
        if _is_class(sub):
            return True
        if parse_split(sub.name) and any(_is_class(below) for below in subfolders(sub)):
            return True
    return False


def _is_class(folder: Path) -> bool:
    return try_expression(folder.name)[0] is not None


def read(source: Source, writer: DatasetWriter, *, origin: str = "human") -> None:
    """Read every picture below a class folder.

    Args:
        source: from `find`.
        writer: takes the rows.
        origin: who gave the labels: `human`, `model`, `derived` or `drawn`.
    """
    choose("origin", origin, ORIGINS)
    numbered: set[str] = set()
    for split, folder in _class_folders(source.root):
        expression, reason = try_expression(folder.name)
        if expression is not None and folder.name.isdecimal():
            numbered.add(folder.name)
        for face_id, image in _pictures(source.root, folder):
            if expression is None:
                writer.reject(f"{reason}", face_id, image)
                continue
            writer.add(
                FaceRow(
                    face_id,
                    image,
                    expression=expression,
                    expression_origin=origin,
                    split=split,
                ),
                image,
            )
    if numbered:
        writer.note(
            f"folder names are numbers ({', '.join(sorted(numbered, key=int))}): they were read as "
            "AffectNet's ids, 0 neutral to 10 no face"
        )


def _class_folders(root: Path) -> Iterator[tuple[str | None, Path]]:
    for sub in subfolders(root):
        split = parse_split(sub.name)
        if split is None:
            yield None, sub
        else:
            yield from ((split, below) for below in subfolders(sub))


def _pictures(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """The id and the relative path of every picture at or below a folder, in sorted order."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        pictures = sorted(name for name in files if name.lower().endswith(SUFFIXES))
        stems = collections.Counter(map(without_suffix, pictures))
        below = Path(place).relative_to(root).as_posix()
        for name in pictures:
            stem = without_suffix(name)
            # Two pictures that differ in their endings only keep them in their ids.
            yield f"{below}/{stem if stems[stem] == 1 else name}", f"{below}/{name}"


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
        place_picture(dataset.images_folder / row["image"], folder / _place(row), images)
        summary.rows += 1


def _place(row: dict[str, Any]) -> str:
    """Where a picture goes; an id that came from such a layout keeps its own path."""
    name, suffix = safe_path(row["face_id"]), suffix_of(row["image"])
    if not name.lower().endswith(suffix.lower()):
        name += suffix
    parts = PurePosixPath(name).parts
    split = parse_split(parts[0])
    labelled = parts[1:] if split else parts
    if split == row["split"] and len(labelled) > 1:
        found: Expression | None = try_expression(labelled[0])[0]
        if found == row["expression"]:
            return name
    return "/".join(filter(None, (row["split"], row["expression"], name)))
