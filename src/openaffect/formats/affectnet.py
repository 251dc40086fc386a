"""AffectNet's full release: CSV lists of whole pictures with boxes and landmarks."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter
from openaffect.errors import FormatError, InputError
from openaffect.face_row import FaceRow, RejectRow
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop_window
from openaffect.faces.crops import crop as crop_face
from openaffect.formats import _affectnet
from openaffect.formats._affectnet import ABSENT, notes_from_counts, null_if_missing
from openaffect.formats._exports import (
    ExportSummary,
    check_images_option,
    number_text,
    picture_path,
    place_picture,
    read_flag,
    rows_of,
    safe_path,
    suffix_of,
)
from openaffect.formats._sources import (
    Source,
    find_picture,
    find_root,
    not_found,
    read_expression,
    read_number,
    read_numbers,
    subfolders,
    without_suffix,
)
from openaffect.formats._tables import Cells, read_lines
from openaffect.images import encode_image, image_size, read_image
from openaffect.labels import parse_expression
from openaffect.texts import counted

LAYOUT = (
    "Manually_Annotated_file_lists/training.csv or validation.csv (or "
    "Automatically_annotated_file_list/automatically_annotated.csv) and …_Images/ folders"
)
LICENSE: str | None = _affectnet.LICENSE
COLUMNS = frozenset(
    {
        *("face_id", "box", "landmarks", "expression", "valence", "arousal", "split"),
        *("expression_origin", "affect_origin"),
    }
)
FIXED_SIZE: tuple[int, int] | None = None

_PUBLISHED = CropRule(margin=0.15)
"""How the published pictures frame a face."""

_HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)


@dataclass(frozen=True, slots=True)
class _List:
    """One of the release's lists: its split, who labeled it, its folder and that of its pictures."""

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
    first: Cells = next(read_lines(table), (0, []))[1]
    cells = [] if isinstance(first, RejectRow) else first
    if not cells or (not _is_header(cells) and len(cells) != len(_HEADER)):
        shown = str(first) if isinstance(first, RejectRow) else ",".join(cells)[:120]
        raise FormatError(
            f"expected the columns {','.join(_HEADER)} in {table}, but its first line is: {shown}"
        )


def _is_header(cells: Sequence[str]) -> bool:
    return cells[0].startswith("subDirectory")


def read(source: Source, writer: DatasetWriter) -> None:
    """Read every list that is there."""
    for table in source.labels:
        entry = _LISTS[table.name.lower()]
        folder = _pictures_of(Path(source.prefix), table)
        for line, cells in _body(table):
            where = f"{table.name} line {line}"
            if isinstance(cells, RejectRow):
                writer.reject(str(cells), "", where)
                continue
            path = cells["subDirectory_filePath"].strip().replace("\\", "/")
            with writer.rejecting(without_suffix(path), where):
                row = _face(entry, path, cells)
                listed = f"{folder}/{path}"
                row.image = find_picture(source.prefix, listed) or listed
                if row.image != listed:
                    writer.warn("picture found under another ending")
                writer.add(row, where)
    for note in notes_from_counts(writer.summary.classes):
        writer.note(note)


def _body(table: Path) -> Iterator[tuple[int, dict[str, str] | RejectRow]]:
    names: Sequence[str] = _HEADER
    for line, cells in read_lines(table):
        if isinstance(cells, RejectRow):
            yield line, cells
        elif _is_header(cells):
            names = [cell.strip() for cell in cells]
            missing = set(_HEADER) - set(names)
            if missing:
                raise FormatError(f"{table} has no column {', '.join(sorted(missing))}")
        elif len(cells) > len(names):
            yield line, RejectRow(f"more fields than the header: {len(cells)}, not {len(names)}")
        else:
            # A short line has empty cells at its end, and each cell is judged.
            yield line, dict(zip(names, cells + [""] * len(names), strict=False))


def _face(entry: _List, path: str, cells: Mapping[str, str]) -> FaceRow:
    box = [read_number(cells[name], "box") for name in _HEADER[1:5]]
    points = cells["facial_landmarks"].strip()
    valence, arousal = (
        read_number(cells[name], "valence or arousal") for name in ("valence", "arousal")
    )
    affect = null_if_missing(valence, arousal)
    return FaceRow(
        face_id=without_suffix(path),
        image="",
        box=box,
        landmarks=np.array(read_numbers(points, "landmarks", 136)) if points else None,
        expression=read_expression(cells["expression"]),
        valence=affect[0],
        arousal=affect[1],
        expression_origin=entry.origin,
        affect_origin=None if affect[0] is None else entry.origin,
        split=entry.split,
    )


def write(
    dataset: Dataset,
    folder: Path,
    summary: ExportSummary,
    *,
    images: str = "copy",
    crop: bool | str = False,
) -> None:
    """Write the lists and `Manually_Annotated/Manually_Annotated_Images/<face_id>`.

    Rows without a split whose labels are a model's go to the automatically annotated list,
    others without a split to training.csv. A row without a box gets the whole picture as its box.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        images: `copy`, `link` (symbolic links) or `none`.
        crop: write the face alone, with 15 % of its box around it as in the published release,
            instead of the whole photograph, which may show others; box and landmarks move along.

    Raises:
        InputError: crops as links.
    """
    check_images_option(images)
    crop = read_flag("crop", crop)
    if crop and images == "link":
        raise InputError("crops are new pictures and cannot be links; use images=copy or none")
    counts = {"no split": 0, "no box": 0, "other origin": 0}
    with contextlib.ExitStack() as files:
        tables: dict[str, Any] = {}
        for row in rows_of(dataset, COLUMNS):
            if row["expression"] is None:
                summary.left_out["no expression"] += 1
                continue
            name = _list_of(row)
            counts["no split"] += row["split"] is None and name == "training.csv"
            counts["no box"] += row["box"] is None
            counts["other origin"] += _says_another_origin(row, _LISTS[name].origin)
            if name not in tables:
                tables[name] = csv.writer(_open(folder, name, files), lineterminator="\n")
                tables[name].writerow(_HEADER)
            path = safe_path(row["face_id"]) + suffix_of(row["image"])
            target = folder / _LISTS[name].pictures / path
            if crop and row["box"] is not None:
                tables[name].writerow(_write_crop(dataset, row, target, path, images))
            else:
                place_picture(dataset, row["image"], target, images)
                tables[name].writerow(_cells(dataset, row, path))
            summary.rows += 1
    _write_notes(summary, counts)


def _write_crop(
    dataset: Dataset, row: dict[str, Any], target: Path, path: str, images: str
) -> list[str]:
    """Write the face of a row alone; the cells of its list, with box and points moved."""
    box = Box(*row["box"])
    window = crop_window(box, _PUBLISHED)
    if suffix_of(path).lower() not in (".jpg", ".jpeg", ".png"):
        path, target = f"{path}.png", target.with_name(f"{target.name}.png")
    if images != "none":
        if target.exists():
            raise InputError(f"two rows want the picture {target.name}; give them other face_ids")
        pixels = read_image(picture_path(dataset, row["image"]))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_image(crop_face(pixels, box, _PUBLISHED), target.suffix))
    moved = dict(row, box=[box.x - window.x, box.y - window.y, box.w, box.h])
    if row["landmarks"] is not None:
        points = np.array(row["landmarks"], np.float32).reshape(-1, 2)
        moved["landmarks"] = window.to_crop(points, window.w, window.h).reshape(-1).tolist()
    return _cells(dataset, moved, path)


def _write_notes(summary: ExportSummary, counts: Mapping[str, int]) -> None:
    if counts["no split"]:
        summary.notes.append(
            f"{counted(counts['no split'], 'row')} without a split went to training.csv"
        )
    if counts["no box"]:
        summary.notes.append(
            f"{counted(counts['no box'], 'row')} without a box got the whole picture as box"
        )
    if counts["other origin"]:
        summary.notes.append(
            f"the origin of {counted(counts['other origin'], 'row')} is not what their list implies "
            "(human; model for the automatically annotated)"
        )


def _says_another_origin(row: Mapping[str, Any], implied: str) -> bool:
    return any(
        row[column] not in (None, implied) for column in ("expression_origin", "affect_origin")
    )


def place_of(row: Mapping[str, Any]) -> str:
    """Where `write` puts the picture of a row, by `face_id`, `image`, `split` and `expression_origin`."""
    path = safe_path(row["face_id"]) + suffix_of(row["image"])
    return f"{_LISTS[_list_of(row)].pictures}/{path}"


def _list_of(row: Mapping[str, Any]) -> str:
    if row["split"] is None:
        automatic = row["expression_origin"] == "model"
        return "automatically_annotated.csv" if automatic else "training.csv"
    return _OF_SPLIT[row["split"]]


def _open(folder: Path, name: str, files: contextlib.ExitStack) -> TextIO:
    place = folder / _LISTS[name].folder
    place.mkdir(exist_ok=True)
    return files.enter_context(open(place / name, "w", newline="", encoding="utf-8"))


def _cells(dataset: Dataset, row: Mapping[str, Any], path: str) -> list[str]:
    box = row["box"] or [0, 0, *_size(picture_path(dataset, row["image"]))]
    affect = [ABSENT if row[name] is None else row[name] for name in ("valence", "arousal")]
    return [
        path,
        *map(number_text, box),
        ";".join(map(number_text, row["landmarks"] or [])),
        str(parse_expression(row["expression"]).id),
        *map(number_text, affect),
    ]


def _size(picture: Path) -> tuple[int, int]:
    size = image_size(picture)
    if size is None:
        raise InputError(f"cannot read the size of {picture}")
    return size
