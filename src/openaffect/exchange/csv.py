"""A CSV file with the columns of `annotations.parquet` as text, one row per annotation.

A file of one's own needs `face_id` and `expression`, or `valence` and `arousal`; `annotator` says
who judged.
"""

from __future__ import annotations

import csv
import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from openaffect.errors import FormatError, UnknownName
from openaffect.exchange._entries import Entry, ExportAnnotationsSummary, to_row
from openaffect.face_row import RejectRow
from openaffect.formats._tables import open_table
from openaffect.labels import parse_expression
from openaffect.project import Project
from openaffect.project.judgments import read_annotations
from openaffect.schemas import ANNOTATIONS
from openaffect.texts import float32_text

FILES = "annotations.csv"

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read(path: Path, notes: Counter[str]) -> Iterator[Entry]:
    """The rows of the file, which may use `,`, `;` or tabs; an empty cell is unknown.

    Raises:
        FormatError: no table, a column that occurs twice, or one that is needed is missing.
    """
    if path.suffix.lower() in (".parquet", ".jsonl"):
        raise FormatError(f"expected a CSV file at {path}; add Parquet with --format annotations")
    table = open_table(path)
    header = [name.strip().lower() for name in table.header]
    doubled = [name for name, count in Counter(header).items() if name and count > 1]
    if doubled:
        raise FormatError(f"{path} has two columns of one name: {doubled[0]}")
    if "face_id" not in header or not {"expression", "valence"} & {*header}:
        raise FormatError(
            f"expected columns face_id, annotator, expression, valence, arousal in {path}, but its "
            f"first line is: {table.first_line[:120]}"
        )
    places = {name: header.index(name) for name in ANNOTATIONS.names if name in header}
    notes.update(f"column {name} is not read" for name in header if name and name not in places)
    for where, cells in table.rows():
        if isinstance(cells, RejectRow):
            yield where, cells
            continue
        try:
            texts = {name: cells[place].strip() for name, place in places.items()}
            yield where, to_row({n: _parse(n, text) for n, text in texts.items() if text})
        except RejectRow as error:
            yield where, error


def write(project: Project, folder: Path, summary: ExportAnnotationsSummary) -> None:
    """One file, in the order of time."""
    writers = [_writer(field.type) for field in ANNOTATIONS]
    with (
        (folder / FILES).open("w", encoding="utf-8", newline="") as file,
        project.database.read() as connection,
    ):
        rows = csv.writer(file)
        rows.writerow(ANNOTATIONS.names)
        for batch in read_annotations(connection, in_order=True):
            columns = [
                ["" if value is None else to_text(value) for value in column.to_pylist()]
                for column, to_text in zip(batch.columns, writers, strict=True)
            ]
            rows.writerows(zip(*columns, strict=True))
            summary.advance(len(batch))


def _writer(kind: pa.DataType) -> Callable[[Any], str]:
    if pa.types.is_float32(kind):
        return float32_text
    if pa.types.is_boolean(kind):
        return lambda value: "true" if value else "false"
    if pa.types.is_timestamp(kind):
        return lambda value: value.isoformat()
    return str


def _parse(name: str, text: str) -> Any:
    """The value of a cell.

    Raises:
        RejectRow: it has none of its column.
    """
    kind = ANNOTATIONS.field(name).type
    try:
        if name == "expression":
            return parse_expression(text).value
        if pa.types.is_boolean(kind):
            return _BOOLEANS[text.lower()]
        if pa.types.is_timestamp(kind):
            return datetime.datetime.fromisoformat(text)
        if pa.types.is_float32(kind) or pa.types.is_integer(kind):
            if "_" in text:  # Python would read 1_0 as ten
                raise ValueError(text)
            return float(text) if pa.types.is_float32(kind) else int(text)
    except (UnknownName, KeyError, ValueError):
        raise RejectRow(f"{name} that is none: {text[:40]}") from None
    return text
