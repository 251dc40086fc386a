"""How long a release takes, layout by layout, and whether it comes back as it was.

    python benchmarks/release.py [--faces 50000]

Synthetic faces in JPEGs of 256 × 256 pixels; 200 different ones, under as many names as there are faces.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import openaffect
from openaffect.dataset import Dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.labels import EMOTIONS
from openaffect.publishing import layout_names
from openaffect.publishing.cropping import write_crops
from openaffect.publishing.layouts import load_layout
from openaffect.publishing.manifest import write_manifest
from openaffect.synthetic import synthesize_face

_DIFFERENT = 200
_Result = TypeVar("_Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=5_000)
    faces = parser.parse_args().faces
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_faces(place / "faces", faces)
        start = time.perf_counter()
        done = openaffect.release_dataset(place / "faces", place / "release")
        whole = time.perf_counter() - start
        print(f"release of {faces:,} faces in {len(done.layouts)} layouts: {whole:.1f} s")
        print(f"  {1e3 * whole / faces:.2f} ms per face, {faces / whole:.0f} faces/s")
        dataset = openaffect.open_dataset(place / "faces")
        crops, _ = timed("crops", lambda: write_crops(dataset, place / "crops"))
        for name in layout_names():
            timed(name, partial(write_layout, name, crops, place / name))
        timed("manifest", lambda: write_manifest(place / "release"))
        timed("verify", lambda: openaffect.verify_release(place / "release"))


def write_layout(name: str, crops: Dataset, folder: Path) -> int:
    """Write one layout; the number of its faces."""
    return sum(1 for _ in load_layout(name).write(crops, folder))


def make_faces(path: Path, count: int) -> None:
    """A dataset of so many faces."""
    known = [synthesize_face(EMOTIONS[seed % 8], seed=seed, size=256) for seed in range(_DIFFERENT)]
    pictures = [encode_image(face.image, ".jpg", 90) for face in known]
    with write_dataset(path, license="CC0-1.0", shareable=True) as writer:
        for number in range(count):
            face = known[number % _DIFFERENT]
            split = ("test", "validation")[number % 20] if number % 20 < 2 else "train"
            row = FaceRow(
                f"{number // 1000}/{number:06}",
                "",
                box=face.box,
                landmarks=face.landmarks,
                expression=face.expression,
                valence=face.valence,
                arousal=face.arousal,
                expression_origin="synthetic",
                affect_origin="synthetic",
                split=split,
            )
            writer.add(row, picture=pictures[number % _DIFFERENT])


def timed(what: str, work: Callable[[], _Result]) -> _Result:
    """Do something and print how long it took."""
    start = time.perf_counter()
    result = work()
    print(f"  {what}: {time.perf_counter() - start:.1f} s")
    return result


if __name__ == "__main__":
    main()
