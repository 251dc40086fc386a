"""Tables of other people: CSV, JSON lines and Parquet as rows of text cells, bounded in memory.

A row that cannot be read comes as a `RejectRow` in place of its cells, and the next one follows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from openaffect import tables
from openaffect.documents import decode_json
from openaffect.errors import FormatError, reason
from openaffect.face_row import RejectRow
from openaffect.formats._gzip import open_unpacked

Cells: TypeAlias = "list[str] | RejectRow"

TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
"""File endings of tables."""

_LONGEST = 2_000_000  # characters of a line, and of a row that goes over several lines
_BATCH = 1_024  # rows of a Parquet file that are text at the same time


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose cells are text; an empty cell is unknown.

    Attributes:
        path: the file.
        header: the names of the columns, as they are written.
        delimiter: between the cells of a CSV file; empty for other files.
        first_line: of the file, for messages.
    """

    path: Path
    header: tuple[str, ...]
    delimiter: str = ""
    first_line: str = ""

    def rows(self) -> Iterator[tuple[str, Cells]]:
        """The place of every row, such as `labels.csv line 3`, and its cells; see `numbered_rows`."""
        unit = "row" if self.path.suffix.lower() == ".parquet" else "line"
        for number, cells in self.numbered_rows():
            yield f"{self.path.name} {unit} {number}", cells

    def numbered_rows(self) -> Iterator[tuple[int, Cells]]:
        """The line of every row, or its number in a Parquet file, and its cells.

        There are as many cells as the header has; a short row of a CSV file is filled up.
        """
        suffix = self.path.suffix.lower()
        if suffix in (".parquet", ".jsonl"):
            read = _parquet_records if suffix == ".parquet" else _json_records
            for number, record in read(self.path):
                yield number, self._arrange(record)
        else:
            lines = read_lines(self.path, self.delimiter)
            next(lines, None)
            for number, cells in lines:
                yield number, self._fill(cells)

    def _arrange(self, record: dict[str, str] | RejectRow) -> Cells:
        if isinstance(record, RejectRow):
            return record
        foreign = [name for name in record if name not in self.header]
        if foreign:
            return RejectRow(f"names that the first line does not have: {', '.join(foreign)}")
        return [record.get(name, "") for name in self.header]

    def _fill(self, cells: Cells) -> Cells:
        if isinstance(cells, RejectRow):
            return cells
        if len(cells) > len(self.header):
            return RejectRow(f"more fields than the header: {len(cells)}, not {len(self.header)}")
        return cells + [""] * (len(self.header) - len(cells))


def open_table(path: Path) -> Table:
    """A table with its header; its rows are read later, one at a time.

    Raises:
        FormatError: it cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        _, first = next(_parquet_records(path), (0, {}))
    elif path.suffix.lower() == ".jsonl":
        _, first = next(_json_records(path), (0, {}))
    else:
        return _open_csv(path)
    if isinstance(first, RejectRow):
        raise FormatError(f"expected a table in {path}, but its first row: {first}")
    return Table(path, tuple(first), first_line=", ".join(first))


def _open_csv(path: Path) -> Table:
    lines = _Lines(path)
    with lines.file:
        try:
            first = next((line for line in lines if line.strip()), "").strip("\r\n")
        except csv.Error as error:
            raise FormatError(f"expected a header in {path}, but it has {reason(error)}") from error
    if not _is_text(first):
        raise FormatError(
            f"expected UTF-8 in {path}, but its first line has other bytes; save it as UTF-8"
        )
    delimiter = max(",;\t", key=first.count)
    _, header = next(read_lines(path, delimiter), (0, []))
    if isinstance(header, RejectRow):
        raise FormatError(f"expected a header in {path}, but its first line is {header}")
    return Table(path, tuple(cell.strip() for cell in header), delimiter, first)


# ---------------------------------------------------------------- CSV


def read_lines(path: Path, delimiter: str = ",") -> Iterator[tuple[int, Cells]]:
    """The number and the fields of every line of a CSV file that is not empty, one at a time.

    The file is UTF-8, or UTF-16 with its mark, and may be packed with gzip; lines end in any way. A row
    that is no CSV, or has bytes that are not UTF-8, comes as a `RejectRow`.

    Raises:
        InputError: it cannot be opened.
        FormatError: UTF-16 or gzip that is broken.
    """
    lines = _Lines(path)
    with lines.file:
        # Strict: a quote that is never closed must not swallow the rest of the file as one cell.
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            try:
                fields = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield lines.number, RejectRow(f"line that is no CSV: {reason(error)}")
                continue
            finally:
                lines.start_row()
            if not _is_text("".join(fields)):
                yield lines.number, RejectRow("line that is not UTF-8; save the file as UTF-8")
            elif any(fields):
                yield lines.number, fields


def read_text_lines(path: Path) -> Iterator[tuple[int, str | RejectRow]]:
    """The number and the text of every line that is not empty, one at a time, without blanks at its ends.

    The file is as `read_lines` reads it. A line that is too long or not UTF-8 comes as a `RejectRow`.

    Raises:
        InputError: it cannot be opened.
        FormatError: UTF-16 or gzip that is broken.
    """
    lines = _Lines(path)
    with lines.file:
        while True:
            lines.start_row()
            try:
                line = next(lines).strip()
            except StopIteration:
                return
            except csv.Error as error:
                yield lines.number, RejectRow(f"line that is too long: {reason(error)}")
                continue
            if not _is_text(line):
                yield lines.number, RejectRow("line that is not UTF-8; save the file as UTF-8")
            elif line:
                yield lines.number, line


class _Lines:
    """The lines of a text file for a CSV reader; one that is too long is an error, and is skipped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0
        self._row = 0
        buffered = open_unpacked(path, "a table")
        utf16 = buffered.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
        self.file = io.TextIOWrapper(
            buffered,
            encoding="utf-16" if utf16 else "utf-8-sig",
            errors="strict" if utf16 else "surrogateescape",
            newline="",
        )

    def start_row(self) -> None:
        """Forget the lines before; those from here on make the next row."""
        self._row = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self.file.readline(_LONGEST)
            whole = line.endswith(("\n", "\r"))
            while not whole and len(line) == _LONGEST:
                rest = self.file.readline(_LONGEST)
                self._row += len(rest)
                whole = len(rest) < _LONGEST or rest.endswith(("\n", "\r"))
        except UnicodeError as error:
            raise FormatError(
                f"expected UTF-16 in {self._path}, as its first two bytes say, but after line "
                f"{self.number} there is something else; save it as UTF-8"
            ) from error
        if not line:
            raise StopIteration
        self.number += 1
        self._row += len(line)
        if self._row > _LONGEST:
            raise csv.Error(f"more than {_LONGEST:,} characters")
        return line


def _is_text(text: str) -> bool:
    """Whether no byte was found that is not UTF-8."""
    return text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text)


# ---------------------------------------------------------------- JSON lines and Parquet


def _json_records(path: Path) -> Iterator[tuple[int, dict[str, str] | RejectRow]]:
    for number, line in read_text_lines(path):
        if isinstance(line, RejectRow):
            yield number, RejectRow(f"line that is no JSON object: {line}")
            continue
        try:
            record = decode_json(line, dict[str, Any], "it")
        except FormatError as error:
            yield number, RejectRow(f"line that is no JSON object: {error}")
        else:
            yield number, _flatten(record)


def _parquet_records(path: Path) -> Iterator[tuple[int, dict[str, str] | RejectRow]]:
    try:
        table = tables.read_parquet(path, "a table")
        if len(set(table.column_names)) < len(table.column_names):
            raise FormatError(f"two columns of {path} have the same name")
        table = table.select([field.name for field in table.schema if _is_simple(field.type)])
        table.validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError) as error:  # a name or a text may be damaged
        raise FormatError(f"{path} is damaged: {reason(error)}") from error
    short = {field.name for field in table.schema if pa.types.is_float32(field.type)}
    number = 0
    for batch in table.to_batches(max_chunksize=_BATCH):
        for record in batch.to_pylist():
            for name in short:
                if record[name] is not None:
                    record[name] = float(str(np.float32(record[name])))
            number += 1
            yield number, _flatten(record)


def _is_simple(kind: pa.DataType) -> bool:
    """Whether a column holds text, numbers, or lists of numbers."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(is_text or is_number or pa.types.is_boolean(kind))


def _flatten(record: dict[str, Any]) -> dict[str, str] | RejectRow:
    """A record as text; a `box` becomes the columns box_x, box_y, box_w, box_h."""
    cells: dict[str, str] = {}
    for name, value in record.items():
        if name == "box":
            box = value if value is not None else [None] * 4
            if not isinstance(box, list) or len(box) != 4:
                return RejectRow("box that is not four numbers")
            cells.update((f"box_{part}", _text(x)) for part, x in zip("xywh", box, strict=True))
        else:
            cells[name] = _text(value)
    return cells


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)
