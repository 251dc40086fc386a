"""The analysis table: one row per face, one for a picture without a face, one for a broken picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pyarrow as pa

import openaffect
from openaffect import schemas, tables
from openaffect.errors import InputError
from openaffect.labels import Expression
from openaffect.recognition import ERROR, NO_FACE_FOUND, OK
from openaffect.storage import atomic_file
from openaffect.texts import shorten_float32

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 1024
_METADATA = "openaffect"
_BOX = ("box_x", "box_y", "box_w", "box_h")


def analysis_schema(labels: Sequence[Expression]) -> pa.Schema:
    """The columns of an analysis by a model with these classes.

    Args:
        labels: in the order of the `p_<name>` columns; () for a model without classes.

    | column | is |
    |---|---|
    | source | the path of the picture as it was given or found, or `array[3]` |
    | frame, time_s | of a video; null for a photo |
    | face_index | 0, 1, … within the picture, the largest first; null without a face |
    | track_id | of a face over frames; null for a photo |
    | status | `ok`, `no_face_found`, or `error` |
    | error | why, where status is `error` |
    | box | x, y, w, h in pixels of the upright picture, in YuNet's framing, before any margin |
    | score | the detector's confidence, in [0, 1] |
    | detector | its name; also where it found no face |
    | landmarks | x0 y0 … x67 y67, same pixels; null unless asked for |
    | p_<name> | probability of each class; they sum to 1 |
    | expression | the class of the highest probability, ties to the lowest id; null where the confidence is below the least that was asked for |
    | confidence | the highest probability |
    | valence, arousal | in [−1, 1]; null where the model has none |
    """
    return pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("frame", pa.int64()),
            pa.field("time_s", pa.float64()),
            pa.field("face_index", pa.int32()),
            pa.field("track_id", pa.int64()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("error", pa.string()),
            pa.field("box", pa.list_(pa.float32(), 4)),
            pa.field("score", pa.float32()),
            pa.field("detector", pa.string()),
            pa.field("landmarks", pa.list_(pa.float32(), 136)),
            *(pa.field(f"p_{label}", pa.float32()) for label in labels),
            pa.field("expression", pa.string()),
            pa.field("confidence", pa.float32()),
            pa.field("valence", pa.float32()),
            pa.field("arousal", pa.float32()),
        ]
    )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Analysis:
    """What a model says of the faces in pictures; `len(analysis)` is the number of rows.

    Attributes:
        table: columns of `analysis_schema`; the model, its crop rule and the detector are in the
            schema's metadata under `openaffect`.
    """

    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = {c["values"]: c["counts"] for c in self.table["status"].value_counts().to_pylist()}
        sources = len(self.table["source"].unique())
        return (
            f"Analysis({counts.get(OK, 0)} faces in {sources} sources, "
            f"{counts.get(NO_FACE_FOUND, 0)} without a face, {counts.get(ERROR, 0)} errors)"
        )

    @property
    def made_with(self) -> dict[str, Any]:
        """What made the table: model, crop rule, detector and the like."""
        data: dict[str, Any] = json.loads(
            (self.table.schema.metadata or {}).get(b"openaffect", "{}")
        )
        return data

    def _repr_html_(self) -> str:
        from openaffect.analysis.display import render_display

        return render_display(self)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows one by one, as dictionaries."""
        for batch in self.table.to_batches(max_chunksize=_BATCH):
            yield from batch.to_pylist()

    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas DataFrame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas(self.table)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table, whole or not at all, in the format of the path's ending.

        `.parquet` keeps types and metadata. `.csv` has the box as box_x, box_y, box_w, box_h and
        the landmarks as numbers between `;`. `.jsonl` has one object a row.

        Raises:
            InputError: another ending.
            DestinationExists: `path` exists and `overwrite` is false.
        """
        path = Path(path)
        check_suffix(path)
        with atomic_file(path, overwrite=overwrite) as temporary:
            if path.suffix.lower() == ".parquet":
                tables.write_table(self.table, temporary)
            else:
                write = _TEXT_WRITERS[path.suffix.lower()]
                with open(temporary, "w", encoding="utf-8", newline="") as file:
                    write(self.table, file)


def check_suffix(path: str | Path) -> None:
    """Raise an InputError if an analysis cannot be saved under this name, before work is done."""
    known = (".parquet", *_TEXT_WRITERS)
    if Path(path).suffix.lower() not in known:
        raise InputError(
            f"expected a file ending in {', '.join(known)} for an analysis, but got {path}"
        )


def schema_of_run(labels: Sequence[Expression], made_with: dict[str, Any]) -> pa.Schema:
    """`analysis_schema` with what made the table in its metadata; `made_with` is JSON-ready."""
    metadata = {
        "schema": schemas.VERSION,
        "made_by": f"openaffect {openaffect.__version__}",
        **made_with,
    }
    return analysis_schema(labels).with_metadata({_METADATA: json.dumps(metadata)})


def collect_rows(
    rows: Iterable[dict[str, Any]], labels: Sequence[Expression], made_with: dict[str, Any]
) -> Analysis:
    """An analysis from its rows, packed a thousand at a time.

    Args:
        rows: keys are columns of `analysis_schema(labels)`; a missing one is null.
        labels: the classes of the model.
        made_with: JSON-ready, for the metadata.
    """
    schema = schema_of_run(labels, made_with)
    stream = iter(rows)
    batches = []
    while part := list(islice(stream, _BATCH)):
        batches.append(pa.RecordBatch.from_pylist(part, schema=schema))
    return Analysis(pa.Table.from_batches(batches, schema=schema))


def _write_csv(table: pa.Table, file: TextIO) -> None:
    writer = csv.writer(file)
    names: list[str] = []
    for name in table.column_names:
        names.extend(_BOX if name == "box" else [name])
    writer.writerow(names)
    for row in _rows(table):
        cells: list[object] = []
        for name, value in row.items():
            if name == "box":
                cells.extend(value or [None] * 4)
            elif name == "landmarks" and value is not None:
                cells.append(";".join(map(str, value)))
            else:
                cells.append(value)
        writer.writerow(cells)


def _write_jsonl(table: pa.Table, file: TextIO) -> None:
    for row in _rows(table):
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


_TEXT_WRITERS: dict[str, Callable[[pa.Table, TextIO], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows with the shortest digits that give the same float32 back."""
    doubles = {field.name for field in table.schema if pa.types.is_float64(field.type)}
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            yield {k: v if k in doubles else _shorten(v) for k, v in row.items()}


def _shorten(value: Any) -> Any:
    if isinstance(value, float):
        return shorten_float32(value)
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return value
