"""What the footer of a Parquet file says of its column chunks, before any of them is read.

pyarrow tells the same, but ends the whole process when the footer of a chunk is damaged: its
`RowGroupMetaData.column` lets a C++ exception through. Reading the chunks themselves is safe.
The footer is a struct in Thrift's compact protocol (parquet.thrift of apache/parquet-format).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, BinaryIO

from openaffect.errors import FormatError

MAX_BYTES = 4_000_000
"""The largest footer that is read: some 20,000 column chunks; a million faces have 400."""

_WIDTHS = {0: 1, 1: 4, 4: 4}  # bytes a value of BOOLEAN, INT32, FLOAT; all others: 8

# Ids of fields: of FileMetaData, RowGroup and ColumnChunk; of ColumnMetaData.
_ROW_GROUPS, _COLUMNS, _META_DATA = 4, 1, 3
_TYPE, _ENCODINGS, _PATH, _VALUES, _UNCOMPRESSED, _DICTIONARY = 1, 2, 3, 5, 6, 11

_DICTIONARIES = {2, 8}  # the encodings PLAIN_DICTIONARY and RLE_DICTIONARY


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a footer says of one column of one row group.

    Attributes:
        column: its name, with dots where it is nested.
        decoded: bytes that its values take in memory; of text only the lengths are known.
        dictionary: whether values may be stored as numbers of a dictionary.
    """

    column: str
    decoded: int
    dictionary: bool


def read_chunks(file: BinaryIO, size: int) -> list[Chunk]:
    """The column chunks of all row groups.

    Args:
        file: a Parquet file that pyarrow has opened without an error.
        size: of the file in bytes.

    Raises:
        FormatError: a footer that is too large, or that is not what the format says.
    """
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    if length > MAX_BYTES:
        raise FormatError(f"its footer has {length:,} bytes; {MAX_BYTES:,} are read")
    file.seek(-(length + 8), os.SEEK_END)
    try:
        footer = _Compact(file.read(length)).read_struct()
        groups = footer.get(_ROW_GROUPS, [])
        return [_to_chunk(column) for group in groups for column in group[_COLUMNS]]
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError("its footer is damaged") from error


def _to_chunk(column: dict[int, Any]) -> Chunk:
    said = column[_META_DATA]
    values = said[_VALUES] * _WIDTHS.get(said[_TYPE], 8)
    return Chunk(
        b".".join(said[_PATH]).decode("utf-8", "replace"),
        max(said[_UNCOMPRESSED], values),
        _DICTIONARY in said or not _DICTIONARIES.isdisjoint(said[_ENCODINGS]),
    )


class _Compact:
    """Values of the compact protocol, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def read_struct(self) -> dict[int, Any]:
        """The fields of a struct by their ids."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._integer()
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1]

    def _varint(self) -> int:
        result = shift = 0
        while (byte := self._byte()) & 0x80:
            result |= (byte & 0x7F) << shift
            shift += 7
        return result | byte << shift

    def _integer(self) -> int:
        zigzag = self._varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _bytes(self, length: int) -> bytes:
        if length > len(self._data) - self._place:
            raise IndexError
        self._place += length
        return self._data[self._place - length : self._place]

    def _list(self) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        return [self._byte() == 1 if kind in (1, 2) else self._value(kind) for _ in range(count)]

    def _value(self, kind: int) -> Any:
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            return self._list()
        if kind == 12:
            return self.read_struct()
        raise IndexError
