"""FER2013 as Kaggle gives it: one table with the 48 × 48 gray pixels of every face in a cell.

It has no export: the format holds gray pictures of one size, in an order that is their only name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset_writer import DatasetWriter
from openaffect.errors import FormatError
from openaffect.face_row import FaceRow, RejectRow
from openaffect.formats._sources import (
    Source,
    choose,
    find_root,
    not_found,
    parse_split,
    read_expression,
    shorten,
)
from openaffect.formats._tables import Cells, read_lines
from openaffect.labels import Expression
from openaffect.schemas import SPLITS

LAYOUT = "fer2013.csv (or icml_face_data.csv or train.csv) with the columns emotion, pixels, Usage"
LICENSE: str | None = "FER2013, research use"
COLUMNS = frozenset({"face_id", "expression", "expression_origin", "split"})
FIXED_SIZE: tuple[int, int] | None = (48, 48)

_TABLES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
_EMOTIONS = (
    *(Expression.ANGER, Expression.DISGUST, Expression.FEAR, Expression.HAPPY),
    *(Expression.SAD, Expression.SURPRISE, Expression.NEUTRAL),
)
"""The expressions of 0 to 6, which are not AffectNet's."""

_SIDE = 48  # pixels


def find(path: Path) -> Source:
    """Where the table lies; the path is the table, or a folder with it."""
    if path.is_file():
        if path.suffix.lower() == ".csv" and _columns_of(path):
            return Source(path.parent, None, (path,))
        raise not_found(LAYOUT, path)
    root = find_root(path, lambda folder: _table_in(folder) is not None)
    table = _table_in(root) if root is not None else None
    if root is None or table is None:
        raise not_found(LAYOUT, path)
    return Source(root, None, (table,))


def _table_in(folder: Path) -> Path | None:
    tables = (folder / name for name in _TABLES)
    return next((table for table in tables if table.is_file() and _columns_of(table)), None)


def _columns_of(table: Path) -> dict[str, int]:
    """The positions of emotion, pixels and perhaps usage; empty where the first two are missing."""
    try:
        header: Cells = next(read_lines(table), (0, []))[1]
    except FormatError:
        return {}
    if isinstance(header, RejectRow):
        return {}
    names = [cell.strip().lower() for cell in header]
    found: dict[str, int] = {
        name: names.index(name) for name in ("emotion", "pixels", "usage") if name in names
    }
    return found if {"emotion", "pixels"} <= {*found} else {}


def read(source: Source, writer: DatasetWriter, *, split: str | None = None) -> None:
    """Read every row, and write its pixels as a PNG file.

    Args:
        source: from `find`.
        writer: takes the rows.
        split: the split of rows that state none.
    """
    if split is not None:
        choose("split", split, SPLITS)
    table = source.labels[0]
    columns = _columns_of(table)
    lines = read_lines(table)
    next(lines, None)
    # The number of a row is the only name that a face has here: rejected rows count as well.
    for number, (line, cells) in enumerate(lines):
        face_id, where = f"{number:05d}", f"{table.name} line {line}"
        with writer.rejecting(face_id, where):
            if isinstance(cells, RejectRow):
                raise cells
            if len(cells) <= max(columns.values()):
                raise RejectRow(f"line of another length: {len(cells)}")
            row = _face(face_id, columns, cells, split)
            writer.write_image(row.image, _pixels(cells[columns["pixels"]]))
            writer.add(row, where)


def _face(
    face_id: str, columns: dict[str, int], cells: Sequence[str], split: str | None
) -> FaceRow:
    usage = cells[columns["usage"]].strip() if "usage" in columns else ""
    stated = parse_split(usage)
    if usage and stated is None:
        raise RejectRow(f"unknown usage: {shorten(usage)}")
    return FaceRow(
        face_id=face_id,
        image=f"{face_id}.png",
        expression=_expression(cells[columns["emotion"]].strip()),
        expression_origin="human",
        split=stated or split,
    )


def _expression(cell: str) -> Expression:
    if re.fullmatch(r"[0-6](\.0*)?", cell):
        return _EMOTIONS[int(cell[0])]
    # A number is never one of AffectNet's here.
    if any(letter.isdigit() for letter in cell):
        raise RejectRow(f"unknown expression: {shorten(cell)} (expected 0 anger to 6 neutral)")
    return read_expression(cell)


def _pixels(text: str) -> NDArray[np.uint8]:
    try:
        if "_" in text:  # Python would read 1_0 as ten
            raise ValueError(text)
        values = bytes(map(int, text.split()))  # refuses what is outside 0 to 255
    except ValueError:
        raise RejectRow("pixels that are not numbers from 0 to 255") from None
    if len(values) != _SIDE * _SIDE:
        raise RejectRow(f"pixels that are not {_SIDE} × {_SIDE}: {len(values)}")
    return np.frombuffer(values, np.uint8).reshape(_SIDE, _SIDE)
