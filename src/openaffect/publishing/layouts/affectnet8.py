"""AffectNet's release of 2021: 224 × 224 pixels, eight expressions, one archive per set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from openaffect import schemas
from openaffect.dataset import Dataset
from openaffect.formats import ExportSummary, affectnet8
from openaffect.labels import EMOTIONS
from openaffect.publishing.layouts import Placed
from openaffect.publishing.layouts._archives import TarWriter
from openaffect.publishing.layouts._files import describe

ABOUT = "AffectNet's release of 2021: 224 × 224 pixels, eight expressions, four npy files per face"


def write(crops: Dataset, folder: Path) -> Iterator[Placed]:
    """Write `train_set.tar`, `val_set.tar`, `test_set.tar` and, where ids are no numbers, `ids.csv`."""
    # The crop is the face: a second crop by the box would round its window once more.
    boxes = pa.nulls(len(crops), schemas.FACES.field("box").type)
    dataset = crops.with_column("box", boxes).where(expression=[str(one) for one in EMOTIONS])
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        archives: dict[str, TarWriter] = {}
        for face in affectnet8.make_faces(dataset, folder / "ids.csv", ExportSummary()):
            archive = f"{face.set}.tar"
            if archive not in archives:
                archives[archive] = stack.enter_context(TarWriter(folder / archive))
            for name, data in face.files:
                archives[archive].add(name, data)
            picture, data = face.files[0]
            yield describe(face.face_id, f"{archive}:{picture}", data)
