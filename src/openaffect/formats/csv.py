"""CSV: any table with a column of pictures, by our column names or the field's usual ones."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter, FaceRow
from openaffect.errors import FormatError, InputError
from openaffect.formats._affectnet import drop_minus_two
from openaffect.formats._exports import (
    ExportSummary,
    check_images_option,
    place_picture,
    rows_of,
    safe_path,
)
from openaffect.formats._sources import (
    Source,
    choose,
    find_picture,
    find_root,
    not_found,
    parse_split,
    read_lines,
    try_expression,
    without_suffix,
)
from openaffect.schemas import FACES, ORIGINS, SPLITS

LAYOUT = "one .csv file whose header names a column of pictures (image, path, file, filename …)"
LICENCE: str | None = None
COLUMNS = frozenset(FACES.names)
FIXED_SIZE: tuple[int, int] | None = None

_ALIASES: dict[str, tuple[str, ...]] = {
    "face_id": (),
    "image": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image_path"),
        *("image_name", "img", "picture", "number", "subdirectory_filepath"),
    ),
    "expression": ("label", "emotion", "exp", "class", "category"),
    "valence": ("val",),
    "arousal": ("aro",),
    "landmarks": ("facial_landmarks", "lnd"),
    "votes": (),
    "soft_label": (),
    "expression_origin": (),
    "affect_origin": (),
    "split": ("set",),
    "group": (),
    "query": (),
    "url": (),
    "licence": ("license",),
    "extra": (),
}
_BOXES = (
    ("x", "y", "w", "h"),
    ("face_x", "face_y", "face_width", "face_height"),
    ("left", "top", "width", "height"),
    ("x", "y", "width", "height"),
)
_HEADER = [
    *("face_id", "image", "x", "y", "w", "h", "expression", "valence", "arousal", "split"),
    *("expression_origin", "affect_origin", "votes", "soft_label", "landmarks"),
    *("group", "query", "url", "licence", "extra"),
]
_LENGTHS = {"landmarks": 136, "votes": 11, "soft_label": 8}
_FIRST_ROWS = 100
"""How many rows decide which folder the paths start from."""


@dataclass(frozen=True, slots=True)
class _Header:
    """Where the columns of a table are.

    Attributes:
        delimiter: `,`, `;` or a tab.
        width: number of columns.
        places: our name of a column, to its position.
        box: positions of x, y, w, h, or empty.
        others: names of the columns that we have no name for, to their positions.
    """

    delimiter: str
    width: int
    places: Mapping[str, int]
    box: tuple[int, ...]
    others: Mapping[str, int]


def find(path: Path, *, images_folder: str | Path | None = None) -> Source:
    """Where the table and the pictures lie.

    Args:
        path: a table, or a folder with one (`labels.csv` where there are several).
        images_folder: where the paths of the table start; from the table's own folder if
            relative. By default the table's folder or its `images/`, whichever holds more of
            the first hundred pictures.
    """
    table = _find_table(path)
    header = _read_header(table)
    folder = table.parent
    if images_folder is not None:
        chosen = folder / images_folder
        if not chosen.is_dir():
            raise InputError(f"expected a folder of pictures at {chosen}, but there is none")
        return Source(folder, chosen, (table,))
    names = [
        _image(cells[header.places["image"]]) for _, cells in islice(_body(table, header), 100)
    ]
    tried = [folder, folder / "images"]
    hits = [sum(find_picture(f"{place}/", name) is not None for name in names) for place in tried]
    if names and not any(hits):
        raise FormatError(
            f"expected the pictures of {table} in {folder} or its images/, but none of the first "
            f"{len(names)} is there (such as {names[0]}); say where with images_folder"
        )
    return Source(folder, tried[hits.index(max(hits))], (table,))


def _find_table(path: Path) -> Path:
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt"):
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


def _read_header(table: Path) -> _Header:
    try:
        with open(table, encoding="utf-8-sig") as file:
            line = file.readline(65_536)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 in {table}, but its first line has other bytes"
        ) from error
    delimiter = max(",;\t", key=line.count)
    cells = [
        cell.strip().lower().replace(" ", "_")
        for cell in next(csv.reader([line], delimiter=delimiter), [])
    ]
    places: dict[str, int] = {}
    for name, aliases in _ALIASES.items():
        for spelling in (name, *aliases):
            if spelling in cells:
                places[name] = cells.index(spelling)
                break
    if "image" not in places:
        raise FormatError(
            f"expected a header with a column of pictures (image, path, file, filename …) in {table}, "
            f"but its first line is: {line.strip()[:120]}"
        )
    box = next((names for names in _BOXES if all(name in cells for name in names)), ())
    taken = {*places.values(), *map(cells.index, box)}
    others = {name: n for n, name in enumerate(cells) if n not in taken and name}
    return _Header(delimiter, len(cells), places, tuple(map(cells.index, box)), others)


def _body(table: Path, header: _Header) -> Iterator[tuple[int, list[str]]]:
    lines = read_lines(table, header.delimiter)
    next(lines, None)
    return ((line, cells + [""] * (header.width - len(cells))) for line, cells in lines)


def read(
    source: Source, writer: DatasetWriter, *, origin: str = "human", split: str | None = None
) -> None:
    """Read every row.

    Args:
        source: from `find`.
        writer: takes the rows.
        origin: who gave the labels, where the table has no column for it.
        split: the split of rows that state none.
    """
    choose("origin", origin, ORIGINS)
    if split is not None:
        choose("split", split, SPLITS)
    table = source.labels[0]
    header = _read_header(table)
    if header.others:
        writer.note(f"columns without a meaning here are kept in extra: {', '.join(header.others)}")
    numbers = False
    for line, cells in _body(table, header):
        where = f"{table.name} line {line}"
        if len(cells) > header.width:
            writer.reject(
                f"more fields than the header: {len(cells)}, not {header.width}", "", where
            )
            continue
        named = {name: cells[place].strip() for name, place in header.places.items()}
        try:
            row = _face(source, writer, header, named, cells)
        except _BadCell as error:
            writer.reject(str(error), named.get("face_id") or named["image"], where)
            continue
        numbers = numbers or named.get("expression", "").isdecimal()
        row.split = row.split or split
        if row.expression is not None:
            row.expression_origin = named.get("expression_origin") or origin
        if row.valence is not None:
            row.affect_origin = named.get("affect_origin") or origin
        writer.add(row, where)
    if numbers:
        writer.note(
            "expressions are numbers: they were read as AffectNet's ids, 0 neutral to 10 no face"
        )


class _BadCell(Exception):  # noqa: N818
    """A cell that cannot be read; the text is the reason of the rejection."""


def _face(
    source: Source,
    writer: DatasetWriter,
    header: _Header,
    named: Mapping[str, str],
    cells: Sequence[str],
) -> FaceRow:
    given = _image(named["image"])
    image = find_picture(f"{source.pictures}/", given)
    if image is not None and image != given:
        writer.warn("picture found under another ending")
    expression, reason = (
        try_expression(named["expression"]) if named.get("expression") else (None, None)
    )
    if reason:
        raise _BadCell(reason)
    valence, arousal = (_number(named.get(name, ""), name) for name in ("valence", "arousal"))
    valence, arousal = drop_minus_two(valence, arousal)
    return FaceRow(
        face_id=named.get("face_id") or without_suffix(image or given),
        image=image or given,
        box=_box([cells[place].strip() for place in header.box]),
        landmarks=_landmarks(named.get("landmarks", "")),
        expression=expression,
        votes=_votes(named.get("votes", "")),
        soft_label=_list(named.get("soft_label", ""), "soft_label", float),
        valence=valence,
        arousal=arousal,
        split=_split(named.get("split", "")),
        group=named.get("group") or None,
        query=named.get("query") or None,
        url=named.get("url") or None,
        licence=named.get("licence") or None,
        extra=_extra(named.get("extra", ""), {n: cells[p] for n, p in header.others.items()}),
    )


def _image(cell: str) -> str:
    image = cell.strip().replace("\\", "/")
    while image.startswith("./"):
        image = image[2:]
    return image


def _number(cell: str, name: str) -> float | None:
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        raise _BadCell(f"{name} that is no number: {cell}") from None


def _list(cell: str, name: str, kind: Callable[[str], Any]) -> list[Any] | None:
    if not cell:
        return None
    parts = cell.split(";")
    try:
        values = [kind(part) for part in parts]
    except ValueError:
        raise _BadCell(f"{name} that are no numbers: {cell[:40]}") from None
    if len(values) != _LENGTHS[name]:
        raise _BadCell(f"{name} that are not {_LENGTHS[name]} numbers: {len(values)}")
    return values


def _votes(cell: str) -> list[int] | None:
    votes = _list(cell, "votes", int)
    if votes is not None and not all(0 <= vote <= 65_535 for vote in votes):
        raise _BadCell(f"votes outside 0 to 65535: {cell}")
    return votes


def _landmarks(cell: str) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    values = _list(cell, "landmarks", float)
    return None if values is None else np.array(values, np.float32)


def _box(cells: list[str]) -> list[float] | None:
    if not any(cells):
        return None
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        raise _BadCell(f"box that is no number: {' '.join(cells)}") from None


def _split(cell: str) -> str | None:
    split = parse_split(cell)
    if cell and split is None:
        raise _BadCell(f"unknown split: {cell}")
    return split


def _extra(cell: str, others: dict[str, str]) -> dict[str, Any] | None:
    try:
        extra = json.loads(cell) if cell else {}
    except json.JSONDecodeError:
        raise _BadCell(f"extra that is no JSON: {cell[:40]}") from None
    if not isinstance(extra, dict):
        raise _BadCell(f"extra that is no JSON object: {cell[:40]}")
    return {**extra, **{name: value for name, value in others.items() if value}} or None


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, images: str = "copy") -> None:
    """Write `labels.csv` with every column, and `images/` under the paths that they have.

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
        table.writerow(_HEADER)
        for row in rows_of(dataset, COLUMNS):
            image = safe_path(row["image"])
            if image not in placed:  # several faces may share a picture
                placed.add(image)
                place_picture(
                    dataset.images_folder / row["image"], folder / "images" / image, images
                )
            row["image"] = image
            row.update(zip("xywh", row["box"] or [None] * 4, strict=True))
            table.writerow([_cell(row[name]) for name in _HEADER])
            summary.rows += 1


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return str(np.float32(value))  # the shortest text that gives the same float32 back
    if isinstance(value, list):
        return ";".join(map(_cell, value))
    return str(value)
