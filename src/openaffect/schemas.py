"""The Arrow schemas of openaffect's tables, version 1, and how a table is brought into one.

Plain Arrow types, so that pandas, Polars, DuckDB, Spark and Hugging Face read them as they are.
Unknown is null. Columns that a schema does not name are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from openaffect.errors import FormatError, InputError

VERSION = 1


def _floats(count: int) -> pa.DataType:
    return pa.list_(pa.float32(), count)


FACES = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("box", _floats(4)),
        pa.field("landmarks", _floats(136)),
        pa.field("expression", pa.string()),
        pa.field("votes", pa.list_(pa.uint16(), 11)),
        pa.field("soft_label", _floats(8)),
        pa.field("valence", pa.float32()),
        pa.field("arousal", pa.float32()),
        pa.field("expression_origin", pa.string()),
        pa.field("affect_origin", pa.string()),
        pa.field("split", pa.string()),
        pa.field("group", pa.string()),
        pa.field("query", pa.string()),
        pa.field("url", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("extra", pa.string()),
    ]
)
"""`faces.parquet`: one row a face."""

ANNOTATIONS = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("annotator", pa.string(), nullable=False),
        pa.field("expression", pa.string()),
        pa.field("valence", pa.float32()),
        pa.field("arousal", pa.float32()),
        pa.field("seconds", pa.float32()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("flag", pa.string()),
    ]
)
"""`annotations.parquet`: one row a judgement."""

SPLITS = ("train", "validation", "test")
ORIGINS = ("human", "model", "derived", "drawn")

_PORTION = 32_768  # rows


def read_parquet(path: str | Path, what: str) -> pa.Table:
    """A Parquet file as a table.

    Args:
        path: the file.
        what: what it should be, for messages, such as `faces.parquet of a dataset`.

    Raises:
        FormatError: missing, empty, truncated, or no Parquet.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"expected {what} at {path}, but there is no such file")
    if path.is_dir():
        raise FormatError(f"expected {what} at {path}, but it is a folder")
    try:
        # Not `read_table`: it imports pyarrow's dataset layer, which costs more than the reading.
        with pq.ParquetFile(path) as file:
            return pa.concat_tables(_read_portions(file))
    except (pa.ArrowInvalid, OSError) as error:
        raise FormatError(
            f"expected {what} at {path}, but it is no whole Parquet file "
            f"({path.stat().st_size} bytes; {str(error).splitlines()[0]})"
        ) from error


def _read_portions(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """The rows a portion at a time: what decoding needs beside them stays small."""
    groups: list[int] = []
    rows = 0
    for group in range(file.num_row_groups):
        groups.append(group)
        rows += file.metadata.row_group(group).num_rows
        if rows >= _PORTION or group == file.num_row_groups - 1:
            yield file.read_row_groups(groups)
            groups, rows = [], 0
    if file.num_row_groups == 0:
        yield file.schema_arrow.empty_table()


def conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """A table with every column of a schema, in its types; others follow, as they are.

    A column that is missing becomes null; one of another type is cast where nothing is lost.

    Raises:
        FormatError: a required column is missing or holds nulls, or a cast is impossible.
    """
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    for field in schema:
        if field.name not in table.column_names:
            if not field.nullable:
                raise FormatError(f"expected a column '{field.name}' in {where}, but it has none")
            columns[field.name] = pa.nulls(len(table), field.type)
            continue
        column = table[field.name]
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise FormatError(
                    f"expected column '{field.name}' of {where} to be {field.type}, "
                    f"but it is {column.type}"
                ) from error
        if not field.nullable and column.null_count:
            raise FormatError(
                f"column '{field.name}' of {where} must not be null, but {column.null_count} rows are"
            )
        columns[field.name] = column
    for name in table.column_names:
        columns.setdefault(name, table[name])
    return pa.table(columns)


def reject_repeated(table: pa.Table, column: str, where: str) -> None:
    """Raise an InputError that names the first repeated values of a column, if there are any."""
    values = table[column].combine_chunks()
    counts = values.value_counts()
    if len(counts) == len(values):
        return
    repeated = [c["values"].as_py() for c in counts if c["counts"].as_py() > 1]
    shown = ", ".join(repeated[:3]) + (", …" if len(repeated) > 3 else "")
    raise InputError(f"{column} must be unique in {where}, but {len(repeated)} repeat: {shown}")
