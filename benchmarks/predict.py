"""How much memory `openaffect predict` takes for a few faces and for many.

    python benchmarks/predict.py [--rows 10000 100000] [--model MODEL]

The datasets repeat 100 synthetic images. Each run is the command in a
process of its own. Prints its largest resident memory, its faces per second, and the ratio of the
last memory to the first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.synthetic import synthesize_faces

IMAGES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [measure(folder, options.model, rows) for rows in options.rows]
    print(f"memory, {options.rows[-1]:,} / {options.rows[0]:,} faces: {found[-1] / found[0]:.3f} ×")


def measure(folder: Path, model: str, rows: int) -> float:
    """Print what a run over so many faces takes; its largest resident memory in MB."""
    dataset = folder / f"faces-{rows}"
    landmarks = np.zeros(136, np.float32)
    with write_dataset(dataset, check_images=False) as writer:
        for number, face in enumerate(synthesize_faces(IMAGES, seed=0, size=64)):
            writer.write_image(f"{number}.jpg", face.image)
        for number in range(rows):
            image = f"{number % IMAGES}.jpg"
            writer.add(FaceRow(f"face/{number:07}", image, landmarks=landmarks, split="test"))
    command = ["predict", model, str(dataset), "-o", str(folder / f"{rows}.parquet")]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "openaffect", *command])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"predict ended with {status}")
    memory = usage.ru_maxrss / 1024
    print(f"{rows:9,} faces: {memory:6.0f} MB, {rows / seconds:,.0f} faces/s")
    return memory


if __name__ == "__main__":
    main()
