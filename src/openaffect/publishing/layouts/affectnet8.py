"""AffectNet's release of 2021: 224 × 224 pixels, eight expressions, one archive per set."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from openaffect import schemas
from openaffect.dataset import Dataset
from openaffect.formats import affectnet8, export_dataset
from openaffect.labels import EMOTIONS
from openaffect.publishing.layouts import Placed
from openaffect.publishing.layouts._archives import write_tar
from openaffect.publishing.layouts._files import describe

ABOUT = "AffectNet's release of 2021: 224 × 224 pixels, eight expressions, four npy files per face"


def write(crops: Dataset, folder: Path) -> Iterator[Placed]:
    """Write `train_set.tar`, `val_set.tar`, `test_set.tar` and, where ids are no numbers, `ids.csv`."""
    # The crop is the face: a second crop by the box would round its window once more.
    boxes = pa.nulls(len(crops), schemas.FACES.field("box").type)
    dataset = crops.with_column("box", boxes).where(expression=[str(one) for one in EMOTIONS])
    if not len(dataset):
        folder.mkdir()
        return
    export_dataset("affectnet8", dataset, folder)
    # Listed once: to look for each picture in a folder of many takes minutes.
    pictures = {(path.parent.parent.name, path.stem): path for path in folder.glob("*/images/*")}
    for face_id, (name, number) in affectnet8.number_faces(dataset).items():
        picture = pictures[name, str(number)]
        inside = f"{name}.tar:images/{picture.name}"
        yield describe(face_id, inside, picture.read_bytes())
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in place.rglob("*") if path.is_file())
        names = [path.relative_to(place).as_posix() for path in files]
        write_tar(folder / f"{place.name}.tar", zip(names, files, strict=True))
        shutil.rmtree(place)
