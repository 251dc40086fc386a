"""Small datasets and sources that the tests of the formats build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.labels import EMOTIONS

SPLITS = ("train", "validation", "test")
SIZE = (40, 48)


def picture(seed: int, suffix: str = ".png", size: tuple[int, int] = SIZE) -> bytes:
    """The bytes of a picture of (height, width) that no other seed gives."""
    rng = np.random.default_rng(seed)
    return encode_image(rng.integers(0, 256, (*size, 3), dtype=np.uint8), suffix)


def put_picture(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """A picture file; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(seed, path.suffix.lower(), size))
    return path


def make_dataset(path: Path, rows: int = 24, **changes: Any) -> Dataset:
    """A dataset whose every column holds values; `changes` replace the values of all rows."""
    with write_dataset(path) as writer:
        for number in range(rows):
            row = full_row(number)
            for name, value in changes.items():
                setattr(row, name, value)
            put_picture(writer.images_folder / row.image, number)
            assert writer.add(row), "the builder's own rows are whole"
    return open_dataset(path)


def full_row(number: int) -> FaceRow:
    """A row with all columns, values that six digits hold, and labels that agree."""
    rng = np.random.default_rng(number)
    winner = number % len(EMOTIONS)
    votes = [0] * 11
    votes[winner], votes[(winner + 1) % 8] = 6, 2
    votes[9] = 1
    return FaceRow(
        face_id=f"pack{number % 3}/face-{number:03d}",
        image=f"pack{number % 3}/face-{number:03d}{('.png', '.jpg')[number % 2]}",
        box=(float(number % 5), 3.0, 20.0, 25.5),
        landmarks=np.round(rng.uniform(0, 48, 136), 3).astype(np.float32),
        expression=EMOTIONS[winner],
        votes=votes,
        soft_label=[vote / 8 for vote in votes[:8]],
        valence=round(float(rng.uniform(-0.7, 0.7)), 5),
        arousal=round(float(rng.uniform(-0.7, 0.7)), 5),
        expression_origin="human",
        affect_origin="human",
        split=SPLITS[number % 3],
        group=f"person-{number % 4}",
        query="joyful girl",
        url=f"https://example.org/{number}",
        license="CC0-1.0",
        extra={"subset": number % 3, "meta-data": {"age": 20 + number}},
    )


def rows_by_id(dataset: Dataset, columns: list[str]) -> dict[str, dict[str, Any]]:
    """The values of some columns by face_id."""
    table = dataset.faces.select(columns).to_pylist()
    return dict(zip(dataset.ids, table, strict=True))


def bytes_by_id(dataset: Dataset) -> dict[str, bytes]:
    """The picture file of every face by face_id."""
    paths = zip(dataset.ids, dataset.image_paths, strict=True)
    return {face_id: path.read_bytes() for face_id, path in paths}
