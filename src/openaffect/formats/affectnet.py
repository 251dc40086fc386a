"""AffectNet's full release: CSV lists of whole pictures with boxes and landmarks."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter, FaceRow
from openaffect.errors import FormatError, InputError
from openaffect.formats import _affectnet
from openaffect.formats._affectnet import ABSENT, drop_minus_two, notes_from_counts
from openaffect.formats._exports import (
    ExportSummary,
    check_images_option,
    number_text,
    place_picture,
    rows_of,
    safe_path,
    suffix_of,
)
from openaffect.formats._sources import (
    Source,
    find_picture,
    find_root,
    not_found,
    read_lines,
    subfolders,
    try_expression,
    without_suffix,
)
from openaffect.labels import parse_expression

LAYOUT = (
    "Manually_Annotated_file_lists/training.csv or validation.csv (or "
    "Automatically_annotated_file_list/automatically_annotated.csv) and …_Images/ folders"
)
LICENCE: str | None = _affectnet.LICENCE
COLUMNS = frozenset(
    {
        *("face_id", "box", "landmarks", "expression", "valence", "arousal", "split"),
        *("expression_origin", "affect_origin"),
    }
)
FIXED_SIZE: tuple[int, int] | None = None

_HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)


@dataclass(frozen=True, slots=True)
class _List:
    """One of the release's lists: its split, who labelled it, its folder and that of its pictures."""

    split: str | None
    origin: str
    folder: str
    pictures: str


_MANUAL = ("Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_Images")
_AUTOMATIC = (
    "Automatically_annotated_file_list",
    "Automatically_Annotated/Automatically_Annotated_Images",
)
_LISTS = {
    "training.csv": _List("train", "human", *_MANUAL),
    "validation.csv": _List("validation", "human", *_MANUAL),
    # Never released; what an export of ours calls it.
    "test.csv": _List("test", "human", *_MANUAL),
    "automatically_annotated.csv": _List(None, "model", *_AUTOMATIC),
}
_OF_SPLIT = {entry.split: name for name, entry in _LISTS.items() if entry.split}


def find(path: Path) -> Source:
    """Where the lists and the pictures lie; the path is the release's folder, or that of its lists."""
    if path.is_file():
        tables = [path] if path.name.lower() in _LISTS else []
        root = path.parent
    else:
        root = find_root(path, lambda folder: bool(_lists_in(folder))) or path
        tables = _lists_in(root) if root.is_dir() else []
    if not tables:
        raise not_found(LAYOUT, path)
    for table in tables:
        _check_first_line(table)
    for pictures in (root, root.parent, root.parent.parent):
        if all(_pictures_of(pictures, table) is not None for table in tables):
            return Source(root, pictures, tuple(tables))
    missing = ", ".join(sorted({_LISTS[t.name.lower()].pictures for t in tables}))
    raise FormatError(
        f"expected the pictures of {path} in {missing}, in or beside {root}, but found none"
    )


def _lists_in(folder: Path) -> list[Path]:
    places = [folder, *(sub for sub in subfolders(folder) if "file_list" in sub.name.lower())]
    found = {
        entry.name.lower(): entry
        for place in places
        for entry in sorted(place.glob("*.[cC][sS][vV]"))
        if entry.name.lower() in _LISTS
    }
    return [found[name] for name in _LISTS if name in found]


def _pictures_of(root: Path, table: Path) -> str | None:
    """The folder of a list's pictures, relative to a root; None if it is not there."""
    full = _LISTS[table.name.lower()].pictures
    for folder in (full, full.rpartition("/")[2]):
        if (root / folder).is_dir():
            return folder
    return None


def _check_first_line(table: Path) -> None:
    _, cells = next(read_lines(table), (0, []))
    if not cells or (not _is_header(cells) and len(cells) != len(_HEADER)):
        raise FormatError(
            f"expected the columns {','.join(_HEADER)} in {table}, "
            f"but its first line is: {','.join(cells)[:120]}"
        )


def _is_header(cells: Sequence[str]) -> bool:
    return cells[0].startswith("subDirectory")


def read(source: Source, writer: DatasetWriter) -> None:
    """Read every list that is there."""
    for table in source.labels:
        entry = _LISTS[table.name.lower()]
        folder = _pictures_of(source.pictures, table)
        for line, cells in _body(table):
            where = f"{table.name} line {line}"
            _add(source, writer, entry, f"{folder}", cells, where)
    for note in notes_from_counts(writer.summary.classes):
        writer.note(note)


def _body(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    names: Sequence[str] = _HEADER
    for line, cells in read_lines(table):
        if _is_header(cells):
            names = [cell.strip() for cell in cells]
            missing = set(_HEADER) - set(names)
            if missing:
                raise FormatError(f"{table} has no column {', '.join(sorted(missing))}")
        else:
            # A short line has empty cells at its end, and each cell is judged.
            yield line, dict(zip(names, cells + [""] * len(names), strict=False))


def _add(
    source: Source,
    writer: DatasetWriter,
    entry: _List,
    folder: str,
    cells: Mapping[str, str],
    where: str,
) -> None:
    path = cells["subDirectory_filePath"].strip().replace("\\", "/")
    face_id = without_suffix(path)
    box = _numbers([cells[name] for name in _HEADER[1:5]])
    landmarks, wrong = _landmarks(cells["facial_landmarks"])
    expression, reason = try_expression(cells["expression"])
    affect = _numbers([cells["valence"], cells["arousal"]])
    if box is None:
        reason = f"box that is no number: {' '.join(cells[name] for name in _HEADER[1:5])}"
    elif affect is None:
        reason = f"valence or arousal that is no number: {cells['valence']}, {cells['arousal']}"
    reason = reason or wrong
    if reason or affect is None:
        writer.reject(f"{reason}", face_id, where)
        return
    listed = f"{folder}/{path}"
    image = find_picture(f"{source.pictures}/", listed)
    if image is not None and image != listed:
        writer.warn("picture found under another ending")
    valence, arousal = drop_minus_two(*affect)
    writer.add(
        FaceRow(
            face_id=face_id,
            image=image or listed,
            box=box,
            landmarks=landmarks,
            expression=expression,
            valence=valence,
            arousal=arousal,
            expression_origin=entry.origin,
            affect_origin=None if valence is None else entry.origin,
            split=entry.split,
        ),
        where,
    )


def _numbers(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def _landmarks(cell: str) -> tuple[NDArray[np.float32] | None, str | None]:
    """The 136 numbers, or None where the cell is empty; and what is wrong."""
    if not cell.strip():
        return None, None
    values = _numbers(cell.strip().rstrip(";").split(";"))
    if values is None:
        return None, f"landmarks that are no numbers: {cell[:40]}"
    if len(values) != 136:
        return None, f"landmarks that are not 136 numbers: {len(values)}"
    return np.array(values, np.float32), None


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, images: str = "copy") -> None:
    """Write the lists and `Manually_Annotated/Manually_Annotated_Images/<face_id>`.

    Rows without a split whose labels are a model's go to the automatically annotated list,
    others without a split to training.csv. A row without a box gets the whole picture as its box.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        images: `copy`, `link` (symbolic links) or `none`.
    """
    check_images_option(images)
    counts = {"no split": 0, "no box": 0, "other origin": 0}
    with contextlib.ExitStack() as files:
        tables: dict[str, Any] = {}
        for row in rows_of(dataset, COLUMNS):
            if row["expression"] is None:
                summary.left_out["no expression"] += 1
                continue
            picture = dataset.images_folder / row["image"]
            name = _list_of(row)
            counts["no split"] += row["split"] is None and name == "training.csv"
            counts["no box"] += row["box"] is None
            counts["other origin"] += _says_another_origin(row, _LISTS[name].origin)
            if name not in tables:
                tables[name] = csv.writer(_open(folder, name, files), lineterminator="\n")
                tables[name].writerow(_HEADER)
            path = safe_path(row["face_id"]) + suffix_of(row["image"])
            tables[name].writerow(_cells(row, path, picture))
            place_picture(picture, folder / _LISTS[name].pictures / path, images)
            summary.rows += 1
    _write_notes(summary, counts)


def _write_notes(summary: ExportSummary, counts: Mapping[str, int]) -> None:
    if counts["no split"]:
        summary.notes.append(f"{counts['no split']:,} rows without a split went to training.csv")
    if counts["no box"]:
        summary.notes.append(
            f"{counts['no box']:,} rows without a box got the whole picture as box"
        )
    if counts["other origin"]:
        summary.notes.append(
            f"the origin of {counts['other origin']:,} rows is not what their list implies "
            "(human; model for the automatically annotated)"
        )


def _says_another_origin(row: Mapping[str, Any], implied: str) -> bool:
    return any(
        row[column] not in (None, implied) for column in ("expression_origin", "affect_origin")
    )


def _list_of(row: Mapping[str, Any]) -> str:
    if row["split"] is None:
        automatic = row["expression_origin"] == "model"
        return "automatically_annotated.csv" if automatic else "training.csv"
    return _OF_SPLIT[row["split"]]


def _open(folder: Path, name: str, files: contextlib.ExitStack) -> TextIO:
    place = folder / _LISTS[name].folder
    place.mkdir(exist_ok=True)
    return files.enter_context(open(place / name, "w", newline="", encoding="utf-8"))


def _cells(row: Mapping[str, Any], path: str, picture: Path) -> list[str]:
    box = row["box"] or [0, 0, *_size(picture)]
    affect = [ABSENT if row[name] is None else row[name] for name in ("valence", "arousal")]
    return [
        path,
        *map(number_text, box),
        ";".join(map(number_text, row["landmarks"] or [])),
        str(parse_expression(row["expression"]).id),
        *map(number_text, affect),
    ]


def _size(picture: Path) -> tuple[int, int]:
    try:
        with Image.open(picture) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"cannot read the size of {picture}: {error}") from error
