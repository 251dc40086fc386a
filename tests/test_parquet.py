"""Parquet files of other people: damaged, out of proportion, of odd types; never a traceback."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from format_builders import make_dataset
from openaffect import tables
from openaffect.errors import FormatError


def damage(data: bytes, seed: int) -> bytes:
    """The bytes with one to four of them changed, mostly in the footer."""
    chance = random.Random(seed)
    changed = bytearray(data)
    footer = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - footer if chance.random() < 0.6 else 4
    for _ in range(chance.choice([1, 1, 2, 4])):
        place = chance.randrange(start, len(data) - 8)
        changed[place] = changed[place] ^ 1 << chance.randrange(8)
    return bytes(changed)


def test_a_damaged_file_is_read_or_refused(tmp_path: Path) -> None:
    data = (make_dataset(tmp_path / "d", 24).path / "faces.parquet").read_bytes()
    outcomes: Counter[str] = Counter()
    for seed in range(600):
        (tmp_path / "x.parquet").write_bytes(damage(data, seed))
        try:
            tables.read_parquet(tmp_path / "x.parquet", "a table").to_pylist()
            outcomes["read"] += 1
        except FormatError as error:
            outcomes["one line" if "\n" not in str(error) else "lines"] += 1
    assert outcomes.total() == 600
    assert set(outcomes) == {"read", "one line"}


@pytest.mark.parametrize("names", [["a", "a"], ["a", "b", "c", "b"]])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, names: list[str]) -> None:
    table = pa.table([pa.array([1])] * len(names), names=names)
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(FormatError, match=f"two columns of one name: {names[-1]}"):
        tables.read_parquet(tmp_path / "x.parquet", "a table")
    some = tables.read_parquet(tmp_path / "x.parquet", "a table", lambda name: name == "z")
    assert some.column_names == []


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    for path, what in (("pipe.parquet", "a pipe"), ("", "a folder"), ("none", "no such file")):
        with pytest.raises(FormatError, match=what):
            tables.read_parquet(tmp_path / path, "a table")


def test_the_types_and_the_metadata_of_a_file_come_back(tmp_path: Path) -> None:
    names = pa.array(["b", None, "a", "b"])
    table = pa.table(
        {
            "text": names,
            "code": names.dictionary_encode(),
            "bytes": names.cast(pa.binary()),
            "large": names.cast(pa.large_string()),
            "list": [["a"], None, [], ["a", "b"]],
        }
    ).replace_schema_metadata({"k": "v"})
    pq.write_table(table, tmp_path / "x.parquet")
    found = tables.read_parquet(tmp_path / "x.parquet", "a table")
    assert found.schema.metadata == table.schema.metadata
    assert found.drop_columns("list").schema == table.drop_columns("list").schema
    assert found.to_pylist() == table.to_pylist()


def zeros(path: Path) -> None:
    column = pa.array(np.zeros(900_000))
    table = pa.table({"face_id": column} | {f"c{n}": column for n in range(300)})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, row_group_size=900_000)


def rows(path: Path) -> None:
    pq.write_table(pa.table({"face_id": pa.array(np.zeros(20_000_000, np.int8))}), path)


def nulls(path: Path) -> None:
    pq.write_table(pa.table({"face_id": pa.nulls(30_000_000, pa.string())}), path)


def one_list(path: Path) -> None:
    values = pa.array(np.zeros(300_000_000, np.int8))
    column = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    pq.write_table(pa.table({"face_id": ["a"], "x": column}), path)


def repeated(path: Path) -> None:
    column = pa.array(["x" * 1_000_000] * 30)
    with pq.ParquetWriter(path, pa.schema({"face_id": pa.string()}), compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(pa.table({"face_id": column}))


def repeated_once_stored(path: Path) -> None:
    text = pa.array(["x" * 5_000_000])
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5_000, np.int32)), text)
    pq.write_table(pa.table({"face_id": codes}), path, compression="zstd")


def wide(path: Path) -> None:
    pq.write_table(pa.table({f"c{n}": pa.nulls(1) for n in range(40_000)}), path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (zeros, "out of all proportion"),
        (rows, "states 20,000,000 rows"),
        (nulls, "states 30,000,000 rows"),
        (one_list, "out of all proportion"),
        (repeated, "out of all proportion"),
        (repeated_once_stored, "out of all proportion"),
        (wide, "its footer has"),
    ],
)
def test_a_small_file_of_a_huge_table_is_refused_in_little_memory(
    tmp_path: Path, write: object, message: str
) -> None:
    path = tmp_path / "x.parquet"
    write(path)  # type: ignore[operator]
    program = (
        "import sys; from openaffect import tables\n"
        "from openaffect.errors import FormatError\n"
        "try: tables.read_parquet(sys.argv[1], 'a table')\n"
        "except FormatError as error: print(error)\n"
        "status = open('/proc/self/status').read()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert message in lines[0]
    assert int(lines[1]) < 1_500_000  # kB


def test_a_table_that_compresses_well_is_read(tmp_path: Path) -> None:
    table = pa.table({"face_id": [f"f{n}" for n in range(200_000)], "x": [0.0] * 200_000})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd")
    assert tables.read_parquet(tmp_path / "x.parquet", "a table").equals(table)


def test_rows_of_portions_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"a": ["x" * 100] * 1000}), tmp_path / "x.parquet", row_group_size=100)
    monkeypatch.setattr(tables, "_PORTION", 100)
    monkeypatch.setattr(tables, "_MAX_GROWTH", 0)
    monkeypatch.setattr(tables, "_FREE_BYTES", 105_000)
    assert len(tables.read_parquet(tmp_path / "x.parquet", "a table")) == 1000
    monkeypatch.setattr(tables, "_FREE_BYTES", 95_000)
    with pytest.raises(FormatError, match="out of all proportion"):
        tables.read_parquet(tmp_path / "x.parquet", "a table")
