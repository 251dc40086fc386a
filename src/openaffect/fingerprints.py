"""Hashes of tables: one that knows what is scored whatever the order, one that knows every byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROW_COLUMNS = (
    *("face_id", "image", "box", "expression", "valence", "arousal"),
    *("votes", "soft_label", "split"),
)
"""The columns that `RowsHash` reads."""


class RowsHash:
    """A hash of rows that does not depend on their order and needs no memory to speak of.

    The sum, modulo 2²⁵⁶, of the SHA-256 of each row's face_id, image, box, expression, valence,
    arousal (six decimals), votes, soft label and split, hashed once more with their number.
    """

    def __init__(self) -> None:
        self._sum = 0
        self._count = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        texts = [[_text(value) for value in batch.column(name).to_pylist()] for name in ROW_COLUMNS]
        for row in zip(*texts, strict=True):
            digest = hashlib.sha256("\t".join(row).encode()).digest()
            self._sum += int.from_bytes(digest, "big")
        self._count += batch.num_rows

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        total = (self._sum % 2**256).to_bytes(32, "big")
        return hashlib.sha256(total + str(self._count).encode()).hexdigest()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value + 0.0:.6f}"  # adding zero turns -0.0 into 0.0
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return str(value)


class ContentHash:
    """A hash over every value of tables, in the order of their rows.

    Two tables with the same columns and values have the same hash, however they are cut into
    batches and in whatever order their columns stand.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[str, str], _ColumnHash] = {}

    def update(self, table: str, rows: pa.Table | pa.RecordBatch) -> None:
        """Add rows of a table, called by its name."""
        for field in rows.schema:
            key = (table, field.name)
            if key not in self._columns:
                self._columns[key] = _ColumnHash(field.type)
            column = rows.column(field.name)
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                self._columns[key].update(chunk)

    def hexdigest(self, info: Mapping[str, Any]) -> str:
        """64 hexadecimal digits.

        Args:
            info: what belongs to the tables and stands in none of them; JSON-ready.
        """
        parts = [[*key, column.digest()] for key, column in sorted(self._columns.items())]
        text = json.dumps([dict(info), parts], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


class _ColumnHash:
    """The values of one column: which are null, how long texts are, and the bytes of all."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._valid, self._lengths, self._values = (hashlib.sha256() for _ in range(3))
        self._fixed = pa.types.is_fixed_size_list(kind)
        is_list = self._fixed or pa.types.is_list(kind)
        self._inner = _ColumnHash(kind.value_type) if is_list else None

    def update(self, chunk: pa.Array) -> None:
        """Add values; an Arrow array may hold anything under its nulls, which are left out."""
        given = chunk.is_valid().to_numpy(zero_copy_only=False)
        self._valid.update(given.astype(np.uint8).tobytes())
        values, kind = chunk.drop_null(), self._kind
        if self._inner is not None:
            self._inner.update(values.flatten())
            if not self._fixed:
                lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
                self._lengths.update(lengths.tobytes())
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            lengths = pc.binary_length(values).to_numpy(zero_copy_only=False)
            self._lengths.update(lengths.tobytes())
            self._values.update(b"".join(values.cast(pa.binary()).to_pylist()))
        elif pa.types.is_timestamp(kind):
            self._values.update(values.cast(pa.int64()).to_numpy().tobytes())
        elif pa.types.is_primitive(kind):
            self._values.update(values.to_numpy(zero_copy_only=False).tobytes())
        else:  # types that only other tools write
            for value in values.to_pylist():
                self._values.update(f"{value!r}\n".encode(errors="backslashreplace"))

    def digest(self) -> str:
        """The three hashes as text, beginning with the type."""
        parts = [part.hexdigest() for part in (self._valid, self._lengths, self._values)]
        if self._inner is None:
            return " ".join([str(self._kind), *parts])
        # The text of a list's type differs by the name that its items have.
        size = self._kind.list_size if self._fixed else "any size"
        return " ".join([f"list of {size}", *parts, self._inner.digest()])
