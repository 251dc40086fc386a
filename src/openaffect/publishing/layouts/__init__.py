"""The layouts of a release, one file each, found by its name: `affectnet-plus` is `affectnet_plus.py`.

Each states

- `ABOUT`: what it is, in one sentence;
- `write(crops, folder)`: write a dataset of crops, and yield where each face went.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openaffect import lookup
from openaffect.dataset import Dataset

PACKAGE = "openaffect.publishing.layouts"


@dataclass(frozen=True, slots=True)
class Placed:
    """A face in a layout.

    Attributes:
        face_id: of the face.
        name: its file below the layout's folder; inside an archive after `.tar:`, and in a Parquet
            file after `.parquet#` the number of its row.
        size: width and height of the picture there.
        sha256: of its bytes.
    """

    face_id: str
    name: str
    size: tuple[int, int]
    sha256: str


class Layout(Protocol):
    """A file of this folder."""

    ABOUT: str

    def write(self, crops: Dataset, folder: Path) -> Iterator[Placed]:
        """Write the faces that the layout can hold; those it cannot are not yielded."""


def layout_names() -> tuple[str, ...]:
    """The names of the layouts, sorted."""
    return lookup.names(PACKAGE)


def load_layout(name: str) -> Layout:
    """A layout by its name.

    Raises:
        UnknownName: there is none of this name.
    """
    layout: Layout = lookup.load(PACKAGE, name, "layout")
    return layout
