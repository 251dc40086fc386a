"""AffectNet+: one JSON file per face beside its picture, with soft labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from openaffect.dataset import Dataset
from openaffect.formats import affectnet_plus, export_dataset
from openaffect.publishing.layouts import Placed
from openaffect.publishing.layouts._files import place_files

ABOUT = "AffectNet+: one JSON file per face, with soft labels and what is known of the face"


def write(crops: Dataset, folder: Path) -> Iterator[Placed]:
    """Write the sets with pictures and annotations."""
    export_dataset("affectnet-plus", crops, folder)
    yield from place_files(crops, folder, affectnet_plus.place_of)
