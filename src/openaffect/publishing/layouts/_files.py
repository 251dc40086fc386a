"""Pictures of a layout that are files of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from openaffect import tables
from openaffect.dataset import Dataset
from openaffect.errors import ImageError
from openaffect.images import header_size
from openaffect.publishing.layouts import Placed

_NAMED = ("face_id", "image", "split", "expression", "expression_origin")


def place_files(
    dataset: Dataset, folder: Path, place_of: Callable[[Mapping[str, Any]], str]
) -> Iterator[Placed]:
    """Where each face with an expression is, by the rule of the layout."""
    for row in tables.iterate_rows(dataset.faces, _NAMED):
        if row["expression"] is not None:
            name = place_of(row)
            yield describe(row["face_id"], name, (folder / name).read_bytes())


def describe(face_id: str, name: str, data: bytes) -> Placed:
    """A face in a layout, by the bytes of its picture.

    Raises:
        ImageError: the bytes are no picture.
    """
    size = header_size(data)
    if size is None:
        raise ImageError(f"the picture of {face_id} has no size that can be read")
    return Placed(face_id, name, size, hashlib.sha256(data).hexdigest())
