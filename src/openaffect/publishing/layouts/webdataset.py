"""WebDataset: shards of a picture and a JSON file per face."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from openaffect import tables
from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.publishing.layouts import Placed
from openaffect.publishing.layouts._archives import TarWriter
from openaffect.publishing.layouts._files import describe
from openaffect.schemas import SPLITS

ABOUT = "WebDataset: tar shards per split, with a picture and a JSON file per face"

_SHARD = 10_000  # faces
_LONGEST = 95  # characters of a key, so that its files fit into USTAR's 100


def encode_key(face_id: str) -> str:
    """A face_id as the key of a sample: a key ends at its first dot, and is no path.

    Raises:
        InputError: the key is too long for an archive.

    >>> encode_key("fer0000001.png"), encode_key("a/b c")
    ('fer0000001%2Epng', 'a%2Fb%20c')
    """
    key = quote(face_id, safe="").replace(".", "%2E").replace("~", "%7E")
    if len(key) > _LONGEST:
        raise InputError(
            f"the face_id {face_id[:100]} is too long for a key of WebDataset: {len(key)} characters "
            f"once encoded, at most {_LONGEST}"
        )
    return key


def write(crops: Dataset, folder: Path) -> Iterator[Placed]:
    """Write `<split>-000000.tar` and so on; faces without a split go to `none-…`."""
    folder.mkdir()
    columns = [name for name in crops.faces.column_names if name != "image"]
    for split in (*SPLITS, None):
        part = crops.where(split=split)
        for number, start in enumerate(range(0, len(part), _SHARD)):
            shard = part.select(range(start, min(start + _SHARD, len(part))))
            name = f"{split or 'none'}-{number:06}.tar"
            with TarWriter(folder / name) as archive:
                for row in tables.iterate_rows(shard.faces, shard.faces.column_names):
                    key = encode_key(row["face_id"])
                    picture = crops.images_folder / row["image"]
                    data = picture.read_bytes()
                    archive.add(f"{key}{picture.suffix}", data)
                    archive.add(f"{key}.json", _to_json(row, columns))
                    yield describe(row["face_id"], f"{name}:{key}{picture.suffix}", data)


def _to_json(row: dict[str, Any], columns: list[str]) -> bytes:
    found = {name: row[name] for name in columns if row[name] is not None}
    return json.dumps(found, ensure_ascii=False, sort_keys=True).encode()
