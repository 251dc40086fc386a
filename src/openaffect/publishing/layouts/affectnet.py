"""AffectNet's full release: pictures in a tree, lists as CSV files, automatic labels in a list of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from openaffect.dataset import Dataset
from openaffect.formats import affectnet, export_dataset
from openaffect.publishing.layouts import Placed
from openaffect.publishing.layouts._files import place_files

ABOUT = "AffectNet's full release: a tree of pictures, and lists with boxes, landmarks and labels"


def write(crops: Dataset, folder: Path) -> Iterator[Placed]:
    """Write the lists and the tree; labels of a model go to the automatically annotated list."""
    automatic = [origin == "model" for origin in crops.column("expression_origin").to_pylist()]
    splits = crops.column("split").to_pylist()
    lists = [None if by_model else split for split, by_model in zip(splits, automatic, strict=True)]
    dataset = crops.with_column("split", lists)
    export_dataset("affectnet", dataset, folder)
    yield from place_files(dataset, folder, affectnet.place_of)
