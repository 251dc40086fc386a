"""How long HOG, PCA and the linear SVM take, and how much memory: `openaffect train`'s own code.

Usage: python benchmarks/hog.py [--faces 3000]
Faces of 256 pixels on disk: 600 are drawn, the others are these moved, lit otherwise and noisy.
The training runs in a process of its own, whose peak memory is printed.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DRAWN = 600


def vary(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture moved by up to 8 pixels, in another light, with noise; maybe mirrored."""
    moved = np.roll(image, rng.integers(-8, 9, 2), axis=(0, 1))
    if rng.random() < 0.5:
        moved = moved[:, ::-1]
    noise = rng.normal(0, 6, (*image.shape[:2], 1))
    return np.clip(moved * rng.uniform(0.7, 1.2) + noise, 0, 255).astype(np.uint8)


def make(folder: Path, count: int) -> None:
    from openaffect.dataset_writer import write_dataset
    from openaffect.face_row import FaceRow
    from openaffect.images import encode_image
    from openaffect.synthetic import synthesize_faces

    drawn = list(synthesize_faces(min(DRAWN, count), seed=0, size=256))
    rng = np.random.default_rng(0)
    with write_dataset(folder, check_images=False) as writer:
        for number in range(count):
            face = drawn[number % len(drawn)]
            name = f"{number:06d}"
            row = FaceRow(name, f"{name}.jpg", expression=face.expression)
            row.expression_origin = "synthetic"
            pixels = face.image if number < len(drawn) else vary(face.image, rng)
            (writer.images_folder / row.image).write_bytes(encode_image(pixels, ".jpg"))
            writer.add(row)


def train_here(dataset: Path, run: Path) -> None:
    from openaffect.dataset import open_dataset
    from openaffect.training import load_recipe, train

    train(open_dataset(dataset), run, load_recipe("hog-svm"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"peak memory of the training        {peak:7.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--train", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.train:
        train_here(*chosen.train)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "faces", chosen.faces)
        began = time.perf_counter()
        command = [sys.executable, __file__, "--train", str(folder / "faces"), str(folder / "run")]
        subprocess.run(command, check=True)
        whole = time.perf_counter() - began
        with open(folder / "run" / "log.csv", encoding="utf-8") as file:
            row = next(csv.DictReader(file))
        size = (folder / "run" / "model.onnx").stat().st_size / 1e6
    cores = len(os.sched_getaffinity(0))
    print(f"{chosen.faces:,} faces of 256 × 256, {row['components']} components, {cores} cores")
    print(f"decoding and features              {float(row['reading_seconds']):7.1f} s")
    print(f"PCA                                {float(row['pca_seconds']):7.1f} s")
    print(f"linear SVM, eight against the rest {float(row['machine_seconds']):7.1f} s")
    print(f"the whole process, with export     {whole:7.1f} s")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"  its processor time, all cores    {used.ru_utime + used.ru_stime:7.1f} s")
    print(f"model.onnx                         {size:7.2f} MB")


if __name__ == "__main__":
    main()
