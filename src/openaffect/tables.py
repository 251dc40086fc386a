"""Tables in Parquet files: read whatever made them, checked against a schema, and written alike."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from openaffect.errors import FormatError, InputError, reason
from openaffect.extras import needs
from openaffect.parquet_footer import Chunk, read_chunks
from openaffect.storage import open_file

if TYPE_CHECKING:
    import pandas as pd

_PORTION = 32_768  # rows
_MAX_GROWTH = 100  # how many times the size of its file a table may take, beyond the first GB
_FREE_BYTES = 1_000_000_000
_FREE_ROWS = 1_000_000  # beyond these, a row takes a byte of the file or more: the ids differ

# What pyarrow raises on damaged files; ArrowException is the base of its own errors.
_DAMAGE = (pa.ArrowException, OSError, UnicodeError, MemoryError, OverflowError)


def read_parquet(
    path: str | Path, what: str, wanted: Callable[[str], bool] | None = None
) -> pa.Table:
    """A Parquet file as a table.

    A file whose table would take memory out of all proportion to its size is refused.

    Args:
        path: the file.
        what: what it should be, for messages, such as `faces.parquet of a dataset`.
        wanted: whether to read a column of this name; by default all are read.

    Raises:
        FormatError: missing, empty, truncated, damaged, no Parquet, two columns of one name, or
            out of proportion.
    """
    with (
        _checked(Path(path), what, wanted) as checked,
        pq.ParquetFile(path, read_dictionary=checked.texts) as file,
    ):
        portions = _read_portions(file, checked.names, checked.path, checked.most)
        table = pa.concat_tables(_decode(portion, checked.schema) for portion in portions)
        table.validate(full=True)  # finds text that is not UTF-8
        return table


def scan_parquet(
    path: str | Path, what: str, wanted: Callable[[str], bool] | None = None, *, rows: int = 16_384
) -> Iterator[pa.Table]:
    """A Parquet file as tables of at most so many rows, one in memory at a time; at least one.

    Args:
        path, what, wanted: see `read_parquet`.
        rows: of a portion.

    Raises:
        FormatError: see `read_parquet`.
    """
    with (
        _checked(Path(path), what, wanted) as checked,
        # Buffered: else the whole of a row group is read before its first row.
        pq.ParquetFile(path, read_dictionary=checked.texts, buffer_size=1 << 20) as file,
    ):
        empty = True
        for batch in file.iter_batches(batch_size=rows, columns=checked.names):
            portion = pa.Table.from_batches([batch])
            taken = sum(map(_plain_bytes, portion.columns))
            if taken > checked.most:
                raise _out_of_proportion(checked.path, taken)
            portion = _decode(portion, checked.schema)
            portion.validate(full=True)
            empty = False
            yield portion
        if empty:
            yield checked.schema.empty_table().select(checked.names)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What the footer of a file says, and that it is in proportion to the file.

    Attributes:
        path: the file.
        schema: of its rows.
        names: the columns to read.
        texts: the columns that are to be read as numbers of texts.
        most: bytes that its table may take.
    """

    path: Path
    schema: pa.Schema
    names: list[str]
    texts: list[str]
    most: int


@contextlib.contextmanager
def _checked(path: Path, what: str, wanted: Callable[[str], bool] | None) -> Iterator[_Checked]:
    """Look at the footer of a file before it is read in the block; damage there is a FormatError."""
    try:
        with open_file(path, what) as plain:
            size = os.fstat(plain.fileno()).st_size
    except InputError as error:
        raise FormatError(str(error)) from error
    try:
        # Not `read_table`: it imports pyarrow's dataset layer, which costs more than the reading.
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        names = [name for name in schema.names if wanted is None or wanted(name)]
        reject_doubled(names, str(path))
        most = max(_FREE_BYTES, _MAX_GROWTH * size)
        chunks = _check_footer(path, size, rows, most)
        yield _Checked(path, schema, names, _dictionaries(chunks, schema), most)
    except _DAMAGE as error:
        raise FormatError(
            f"expected {what} at {path}, but it is no whole Parquet file "
            f"({size} bytes; {reason(error)})"
        ) from error


def reject_doubled(names: Sequence[str], where: str) -> None:
    """Raise a FormatError if there are two columns of one name."""
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise FormatError(f"{where} has two columns of one name: {', '.join(doubled[:3])}")


def _check_footer(path: Path, size: int, rows: int, most: int) -> list[Chunk]:
    """Refuse what the footer says to be out of proportion, before anything is read."""
    if rows > max(_FREE_ROWS, size):
        raise FormatError(f"{path} states {rows:,} rows, but has only {size:,} bytes")
    with open_file(path) as file:
        try:
            chunks = read_chunks(file, size)
        except FormatError as error:
            raise FormatError(f"{path} cannot be read: {error}") from error
    decoded = sum(chunk.decoded for chunk in chunks)
    if decoded > most:
        raise _out_of_proportion(path, decoded)
    return chunks


def _dictionaries(chunks: Sequence[Chunk], schema: pa.Schema) -> list[str]:
    """The columns of text that are stored as numbers of texts: few bytes can stand for many."""
    stored = {chunk.column for chunk in chunks if chunk.dictionary}
    return [field.name for field in schema if field.name in stored and _is_text(field.type)]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _out_of_proportion(path: Path, count: int) -> FormatError:
    return FormatError(
        f"{path} would take {count:,} bytes of memory, out of all proportion to its size"
    )


def _read_portions(
    file: pq.ParquetFile, names: list[str], path: Path, most: int
) -> Iterator[pa.Table]:
    """The rows a portion at a time: what decoding needs beside them stays small."""
    groups: list[int] = []
    rows = taken = 0
    for group in range(file.num_row_groups):
        groups.append(group)
        rows += file.metadata.row_group(group).num_rows
        if rows >= _PORTION or group == file.num_row_groups - 1:
            portion = file.read_row_groups(groups, columns=names)
            taken += sum(map(_plain_bytes, portion.columns))
            if taken > most:
                raise _out_of_proportion(path, taken)
            yield portion
            groups, rows = [], 0
    if file.num_row_groups == 0:
        yield file.schema_arrow.empty_table().select(names)


def _plain_bytes(column: pa.ChunkedArray) -> int:
    """The bytes that a column takes once the numbers of a dictionary are replaced by its texts."""
    if not (pa.types.is_dictionary(column.type) and _is_text(column.type.value_type)):
        return int(column.nbytes)
    sums = [
        pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices).cast(pa.int64())).as_py()
        for chunk in column.chunks
    ]
    return sum(count or 0 for count in sums)


def _decode(portion: pa.Table, schema: pa.Schema) -> pa.Table:
    """The portion with texts where the file's own schema has them."""
    for place, field in enumerate(portion.schema):
        kind = schema.field(field.name).type
        if field.type != kind:
            portion = portion.set_column(place, field.name, portion[field.name].cast(kind))
    return portion.replace_schema_metadata(schema.metadata)


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
            column = cast(column, field.type, field.name, where)
        if not field.nullable and column.null_count:
            raise FormatError(
                f"column '{field.name}' of {where} must not be null, but {column.null_count} rows are"
            )
        columns[field.name] = column
    for name in table.column_names:
        columns.setdefault(name, table[name])
    return pa.table(columns)


def cast(column: pa.ChunkedArray, kind: pa.DataType, name: str, where: str) -> pa.ChunkedArray:
    """A column in another type, where nothing is lost.

    Raises:
        FormatError: a value that has no place in that type, or types that do not go together.
    """
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise FormatError(
            f"expected column '{name}' of {where} to be {kind}, but it is {str(column.type)[:100]}"
            f" ({reason(error)})"
        ) from error


def reject_repeated(table: pa.Table, column: str, where: str) -> None:
    """Raise an InputError that names the first repeated values of a column, if there are any."""
    values = table[column].combine_chunks()
    counts = values.value_counts()
    if len(counts) == len(values):
        return
    repeated = [c["values"].as_py() for c in counts if c["counts"].as_py() > 1]
    shown = ", ".join(repeated[:3]) + (", …" if len(repeated) > 3 else "")
    raise InputError(f"{column} must be unique in {where}, but {len(repeated)} repeat: {shown}")


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A table as a pandas DataFrame.

    Raises:
        MissingExtra: pandas is not installed.
    """
    with needs("pandas", "to_pandas()"):
        frame: pd.DataFrame = table.to_pandas()
    return frame


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as one Parquet file with the settings that all of openaffect's tables share."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=65_536)


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer with the settings that all of openaffect's tables share."""
    # Dictionaries pay for names; on ids, paths and coordinates they cost time and give nothing.
    names = [
        field.name
        for field in schema
        if pa.types.is_string(field.type) and field.name not in ("face_id", "image", "url", "extra")
    ]
    # LZ4 reads faster than Zstandard, in somewhat larger files.
    return pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=names)


def iterate_rows(table: pa.Table, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rows of a table as dictionaries, a few thousand in memory at a time."""
    for batch in table.select(list(columns)).to_batches(max_chunksize=4096):
        yield from batch.to_pylist()
