"""`annotations.parquet`, the columns of `schemas.ANNOTATIONS`: every row that was ever written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from openaffect import tables
from openaffect.errors import FormatError
from openaffect.exchange._entries import Entry, ExportAnnotationsSummary, to_row
from openaffect.face_row import RejectRow
from openaffect.project import Project
from openaffect.project.judgments import read_annotations
from openaffect.schemas import ANNOTATIONS

FILES = "annotations.parquet"

# What is missing or null there is that row's fault alone.
_SCHEMA = pa.schema([field.with_nullable(True) for field in ANNOTATIONS])


def read(path: Path, notes: Counter[str]) -> Iterator[Entry]:
    """The rows of the file; other columns that are missing are unknown.

    Raises:
        FormatError: it is no whole Parquet file, a column has another type, or face_id or
            annotator is missing.
    """
    number = 0
    for portion in tables.scan_parquet(path, "a table of annotations"):
        if not number:
            others = [name for name in portion.column_names if name not in ANNOTATIONS.names]
            notes.update(f"column {name} is not read" for name in others)
            for name in ("face_id", "annotator"):
                if name not in portion.column_names:
                    raise FormatError(f"expected a column '{name}' in {path}, but it has none")
        rows = tables.conform(portion, _SCHEMA, str(path))
        for values in tables.iterate_rows(rows, _SCHEMA.names):
            number += 1
            place = f"{path.name} row {number}"
            try:
                yield place, to_row(values)
            except RejectRow as error:
                yield place, error


def write(project: Project, folder: Path, summary: ExportAnnotationsSummary) -> None:
    """One file, in the order of time."""
    with (
        tables.parquet_writer(folder / FILES, ANNOTATIONS) as writer,
        project.database.read() as connection,
    ):
        for batch in read_annotations(connection, in_order=True):
            writer.write_batch(batch)
            summary.advance(len(batch))
