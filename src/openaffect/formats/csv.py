"""CSV: any table with a column of pictures, by our column names or the field's usual ones.

Parquet files and JSON lines are read as well, so that what `openaffect analyze` writes can be
labels for a training, in all three of its formats.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter
from openaffect.documents import decode_json
from openaffect.errors import FormatError, InputError
from openaffect.face_row import FaceRow, RejectRow
from openaffect.formats._affectnet import null_if_missing
from openaffect.formats._columns import (
    CellReader,
    Columns,
    column_types,
    match_columns,
    parse_cell,
)
from openaffect.formats._exports import (
    ExportSummary,
    check_images_option,
    place_picture,
    safe_path,
)
from openaffect.formats._sources import (
    Source,
    choose,
    find_picture,
    find_root,
    not_found,
    read_expression,
    read_numbers,
    read_split,
    read_votes,
    shorten,
    without_suffix,
)
from openaffect.formats._tables import TABLES, open_table
from openaffect.images import image_size
from openaffect.schemas import FACES, ORIGINS, SPLITS
from openaffect.tables import iterate_rows
from openaffect.texts import float32_text

LAYOUT = "one .csv file whose header names a column of pictures (image, path, file, filename …)"
LICENSE: str | None = None
COLUMNS = frozenset(FACES.names)
FIXED_SIZE: tuple[int, int] | None = None
HOLDS_OTHERS = True
"""Columns that the schema does not name are written, too."""

_HEADER = [
    *("face_id", "image", "x", "y", "w", "h", "expression", "valence", "arousal", "split"),
    *("expression_origin", "affect_origin", "votes", "soft_label", "landmarks"),
    *("group", "query", "url", "license", "extra"),
]
_FIRST_ROWS = 100
"""How many rows decide which folder the paths start from, and whether boxes are boxes."""


def find(
    path: Path,
    *,
    images_folder: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Source:
    """Where the table and the pictures lie.

    Args:
        path: a table, or a folder with one (`labels.csv` where there are several).
        images_folder: where the paths of the table start; from the table's own folder if
            relative. By default the table's folder or its `images/`, whichever holds more of
            the first hundred pictures; for a table of `openaffect analyze` also the folder in
            which this process runs, or the pictures' common folder.
        columns: names of ours to names of the table's columns, such as `{"image": "Bild"}`.
    """
    path = _find_table(path)
    table = open_table(path)
    reader = CellReader(table, match_columns(table, columns))
    folder = path.parent
    if images_folder is not None:
        chosen = folder / images_folder
        if not chosen.is_dir():
            raise InputError(f"expected a folder of pictures at {chosen}, but there is none")
        return Source(folder, Path(os.path.normpath(chosen.absolute())), (path,))
    tried = [folder, folder / "images"]
    if reader.columns.analysis is not None:
        tried.append(Path.cwd())
        scattered = _find_scattered(reader, path)
        if scattered is not None:
            return scattered
    names = list(islice(_images_of(reader), _FIRST_ROWS))
    hits = [sum(find_picture(f"{place}/", name) is not None for name in names) for place in tried]
    if names and not any(hits):
        raise FormatError(
            f"expected the pictures of {path} in {' or '.join(map(str, tried))}, but none of the "
            f"first {len(names)} is there (such as {shorten(names[0])}); say where with images_folder"
        )
    return Source(folder, tried[hits.index(max(hits))], (path,))


def _find_table(path: Path) -> Path:
    if path.is_file() and path.suffix.lower() in TABLES:
        return path
    root = find_root(path, lambda folder: bool(_tables(folder)))
    if root is None:
        raise not_found(LAYOUT, path)
    tables = _tables(root)
    preferred = [table for table in tables if table.name.lower() == "labels.csv"]
    if len(tables) > 1 and not preferred:
        raise FormatError(
            f"expected one table in {root}, but there are {', '.join(t.name for t in tables[:4])}; "
            "give the path of one"
        )
    return (preferred or tables)[0]


def _tables(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".tsv"))


def _images_of(reader: CellReader) -> Iterator[str]:
    """What the rows name as their pictures; those of an analysis only where a picture has a face."""
    for where, cells in reader.table.rows():
        if not isinstance(cells, RejectRow) and not _why_no_face(reader.columns, cells):
            image = _image(reader.text("image", cells, where))
            if image and "://" not in image:
                yield image


def _find_scattered(reader: CellReader, path: Path) -> Source | None:
    """Where the pictures of an analysis lie if their paths are absolute or climb; None if not."""
    names = set(_images_of(reader))
    if not any(name.startswith("/") or ".." in name.split("/") for name in names):
        return None
    first = sorted(names)[:_FIRST_ROWS]
    starts = [Path.cwd(), path.parent.absolute()]
    hits = [sum((start / name).is_file() for name in first) for start in starts]
    start = starts[hits.index(max(hits))]
    folders = {os.path.dirname(os.path.normpath(start / name)) for name in names}
    common = Path(os.path.commonpath(folders))
    if common == Path(common.anchor):
        raise InputError(
            f"the pictures of {path} have no folder in common; import them folder by folder, "
            "each with its images_folder"
        )
    return Source(path.parent, common, (path,), start)


def read(
    source: Source,
    writer: DatasetWriter,
    *,
    origin: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Read every row.

    Args:
        source: from `find`.
        writer: takes the rows.
        origin: who gave the labels, where the table has no column for it: `human` by default,
            `model` for a table of `openaffect analyze`.
        split: the split of rows that state none.
        columns: as in `find`.
    """
    table = open_table(source.labels[0])
    reader = CellReader(table, match_columns(table, columns))
    origin = origin or ("human" if reader.columns.analysis is None else "model")
    choose("origin", origin, ORIGINS)
    if split is not None:
        choose("split", split, SPLITS)
    more = column_types(table, reader.columns)
    writer.add_columns(more)
    if more.names:
        writer.note(f"columns without a meaning here are kept as they are: {', '.join(more.names)}")
    _check_boxes(source, reader)
    numbers = False
    for where, cells in table.rows():
        if isinstance(cells, RejectRow):
            writer.reject(str(cells), "", where)
            continue
        with writer.rejecting(_name_of(reader, cells), where):
            row = _read_row(source, writer, reader, cells, where)
            row.columns = {
                field.name: parse_cell(cells[reader.columns.others[field.name]], field.type)
                for field in more
            }
            row.split = row.split or split
            if row.expression is not None:
                row.expression_origin = row.expression_origin or origin
                numbers = numbers or reader.text("expression", cells, where).isdecimal()
            if row.valence is not None:
                row.affect_origin = row.affect_origin or origin
            writer.add(row, where)
    _write_notes(reader, writer, numbers)


def _write_notes(reader: CellReader, writer: DatasetWriter, numbers: bool) -> None:
    if numbers:
        writer.note(
            "expressions are numbers: they were read as AffectNet's ids, 0 neutral to 10 no face"
        )
    commas = [name for name, has in reader.commas.items() if has]
    if commas:
        writer.note(f"the numbers of {', '.join(commas)} have decimal commas")


def _name_of(reader: CellReader, cells: Sequence[str]) -> str:
    """What to call a row in `rejected.csv`."""
    places = [reader.columns.places.get(name, ()) for name in ("face_id", "image")]
    return next((cells[p].strip() for found in places for p in found if cells[p].strip()), "")


def _read_row(
    source: Source, writer: DatasetWriter, reader: CellReader, cells: Sequence[str], where: str
) -> FaceRow:
    why = _why_no_face(reader.columns, cells)
    if why:
        raise RejectRow(why)
    named = {name: reader.text(name, cells, where) for name in reader.columns.places}
    given = _image(named["image"], source)
    image = find_picture(source.prefix, given)
    if image is not None and image != given:
        writer.warn("picture found under another ending")
    valence, arousal = (reader.affect(name, cells, where) for name in ("valence", "arousal"))
    valence, arousal = null_if_missing(valence, arousal)
    others = {
        name: cells[place] for name, place in reader.columns.others.items() if name in FACES.names
    }
    return FaceRow(
        face_id=named.get("face_id") or _face_id(reader.columns, cells, image or given),
        image=image or given,
        box=reader.box(cells, where),
        landmarks=_landmarks(named.get("landmarks", "")),
        expression=read_expression(named["expression"]) if named.get("expression") else None,
        votes=read_votes(named["votes"].split(";")) if named.get("votes") else None,
        soft_label=_soft_label(named.get("soft_label", "")),
        valence=valence,
        arousal=arousal,
        expression_origin=named.get("expression_origin") or None,
        affect_origin=named.get("affect_origin") or None,
        split=read_split(named.get("split", "")),
        group=named.get("group") or None,
        query=named.get("query") or None,
        url=named.get("url") or None,
        license=named.get("license") or None,
        extra=_extra(named.get("extra", ""), others),
    )


def _why_no_face(columns: Columns, cells: Sequence[str]) -> str | None:
    """Why a row of an analysis is no face of a picture; None for a face, and for other tables."""
    if columns.analysis is None:
        return None
    cell = {name: cells[place].strip() for name, place in columns.analysis.items()}
    if cell["status"] == "error":
        return f"analysis failed: {cell.get('error', '')}"
    if cell["status"] != "ok":
        return cell["status"].replace("_", " ").split(":")[0][:40] or "no status"
    return "frame of a video, which is not a picture" if cell.get("frame") else None


def _face_id(columns: Columns, cells: Sequence[str], image: str) -> str:
    """A picture's path without its ending; further faces of an analysis add their number."""
    index = "" if columns.analysis is None else cells[columns.analysis["face_index"]].strip()
    return without_suffix(image) + (f"#{index}" if index not in ("", "0") else "")


def _image(cell: str, source: Source | None = None) -> str:
    """The path of a picture, relative to the pictures of a source where it lies in them."""
    image = cell.replace("\\", "/")
    while image.startswith("./"):
        image = image[2:]
    if source is None or source.pictures is None or "\0" in image:
        return image
    if image.startswith("/") or source.start is not None:
        start = source.start or source.pictures
        place = Path(os.path.normpath(start / image))
        if place.is_relative_to(source.pictures):
            return place.relative_to(source.pictures).as_posix()
    return image


def _landmarks(cell: str) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    return np.array(read_numbers(cell, "landmarks", 136)) if cell else None


def _soft_label(cell: str) -> list[float] | None:
    return read_numbers(cell, "soft labels", 8) if cell else None


def _extra(cell: str, others: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        extra = decode_json(cell, dict[str, Any], "it") if cell else {}
    except FormatError as error:
        raise RejectRow(f"extra that is no JSON object: {error}") from error
    return {**extra, **{name: value for name, value in others.items() if value}} or None


def _check_boxes(source: Source, reader: CellReader) -> None:
    """Refuse boxes that are fractions, and the pictures' sizes taken for boxes."""
    boxes = []
    for where, cells in islice(reader.table.rows(), _FIRST_ROWS):
        try:
            if isinstance(cells, RejectRow) or _why_no_face(reader.columns, cells):
                continue
            box = reader.box(cells, where)
        except RejectRow:
            continue
        if box is not None:
            image = _image(reader.text("image", cells, where), source)
            boxes.append((box, find_picture(source.prefix, image)))
    if not boxes:
        return
    chosen = reader.columns.boxes[0]
    if all(max(map(abs, box)) <= 1 and min(box[2:]) > 0 for box, _ in boxes):
        raise FormatError(
            f"the boxes in {', '.join(chosen.names)} of {reader.table.path} are fractions of their "
            "pictures, but pixels are expected; multiply them, or read no box with --column x="
        )
    if not chosen.loose:
        return
    sizes = [(box, image_size(f"{source.prefix}{image}")) for box, image in boxes if image]
    known = [(box, size) for box, size in sizes if size is not None]
    if any(box[:2] != [0, 0] for box, _ in known) and all(
        tuple(box[2:]) == size for box, size in known
    ):
        raise FormatError(
            f"the columns {' and '.join(chosen.names[2:])} of {reader.table.path} are the sizes of "
            "the pictures, not of boxes; say which columns are the box with --column x=NAME "
            "(y, w, h, or left, top, right, bottom), or read no box with --column x="
        )


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, images: str = "copy") -> None:
    """Write `labels.csv` with every column, those of others too, and `images/` under the paths that they have.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        images: `copy`, `link` (symbolic links) or `none`.
    """
    check_images_option(images)
    placed: set[str] = set()
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        others = [name for name in dataset.faces.column_names if name not in FACES.names]
        table.writerow([*_HEADER, *others])
        for row in iterate_rows(dataset.faces, dataset.faces.column_names):
            image = safe_path(row["image"])
            if image not in placed:  # several faces may share a picture
                placed.add(image)
                place_picture(dataset, row["image"], folder / "images" / image, images)
            row["image"] = image
            row.update(zip("xywh", row["box"] or [None] * 4, strict=True))
            more = [_other_cell(row[name]) for name in others]
            table.writerow([*(_cell(row[name]) for name in _HEADER), *more])
            summary.rows += 1


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return float32_text(value)
    if isinstance(value, list):
        return ";".join(map(_cell, value))
    return str(value)


def _other_cell(value: Any) -> str:
    """A value of a column of others; a float of 64 bits keeps all of its digits."""
    return repr(value) if isinstance(value, float) and not math.isnan(value) else _cell(value)
