"""Hugging Face: Parquet shards with the pictures inside, and a card that `load_dataset` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from openaffect.dataset import Dataset
from openaffect.publishing.layouts import Placed
from openaffect.publishing.layouts._files import describe
from openaffect.schemas import SPLITS
from openaffect.tables import parquet_writer

ABOUT = "Hugging Face: Parquet shards per split, with the pictures inside"

_SHARD = 10_000  # faces
_GROUP = 100  # faces of a row group: what a reader holds at once
_PICTURE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def write(crops: Dataset, folder: Path) -> Iterator[Placed]:
    """Write `data/<split>-00000-of-00001.parquet` and `README.md`; faces without a split are `unsplit`."""
    data = folder / "data"
    data.mkdir(parents=True)
    fields = [field for field in crops.faces.schema if field.name not in ("image", "extra")]
    schema = pa.schema([pa.field("image", _PICTURE), *fields])
    features = {field.name: _feature(field.type) for field in fields}
    about = {"info": {"features": {"image": {"_type": "Image"}, **features}}}
    schema = schema.with_metadata({"huggingface": json.dumps(about)})
    names = [field.name for field in fields]
    written = []
    for split in (*SPLITS, None):
        part = crops.where(split=split)
        if not len(part):
            continue
        label = split or "unsplit"
        written.append(label)
        shards = -(-len(part) // _SHARD)
        for number in range(shards):
            shard = part.select(range(number * _SHARD, min((number + 1) * _SHARD, len(part))))
            name = f"data/{label}-{number:05}-of-{shards:05}.parquet"
            with parquet_writer(folder / name, schema) as writer:
                for start in range(0, len(shard), _GROUP):
                    piece = shard.select(range(start, min(start + _GROUP, len(shard))))
                    pictures, placed = _read(piece, name, start)
                    columns = [pictures, *(piece.faces[one].combine_chunks() for one in names)]
                    writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                    yield from placed
    (folder / "README.md").write_text(_card(crops, written), encoding="utf-8")


def configs(splits: list[str], prefix: str = "") -> str:
    """The part of a card's head that says which files hold which split."""
    lines = ["configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: {prefix}data/{split}-*.parquet"]
    return "\n".join(lines) + "\n"


def _card(crops: Dataset, splits: list[str]) -> str:
    name = json.dumps(crops.info.name, ensure_ascii=False)
    return (
        f"---\npretty_name: {name}\n{configs(splits)}---\n\n# {crops.info.name}\n\n"
        "What this is, what it may be used for and what not, and under which licenses, is in the "
        "`README.md` of the release.\n"
    )


def _read(piece: Dataset, name: str, start: int) -> tuple[pa.Array, list[Placed]]:
    values: list[dict[str, Any]] = []
    placed = []
    for offset, (face_id, image) in enumerate(
        zip(piece.ids, piece.column("image").to_pylist(), strict=True)
    ):
        data = (piece.images_folder / image).read_bytes()
        values.append({"bytes": data, "path": image})
        placed.append(describe(face_id, f"{name}#{start + offset}", data))
    return pa.array(values, _PICTURE), placed


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    names = {"float": "float32", "double": "float64", "halffloat": "float16"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}
