"""`openaffect label`: against the model alone, its memory, and what workers of Ray bring.

    python benchmarks/labeling.py [--faces 8000] [--rows 10000 100000] [--memory-model MODEL] [--ray 6000]

The datasets repeat 100 synthetic images; 400 other faces with human labels are held out. Prints

- the speed of `label`, reading, decoding, cropping and writing included, and that of the model alone on as many
  crops in memory, with the same threads, one after the other, three times;
- the largest resident memory of the command for a few faces and for many;
- faces per second of `predict --engine ray` with one worker and two, and how many cores the driver uses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openaffect.autolabel import label_faces
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.inference import crop_for_model, predict_crops
from openaffect.labels import EMOTIONS
from openaffect.model import open_model
from openaffect.synthetic import synthesize_faces

IMAGES = 100
HELD_OUT = 400

RAY = """
import resource, sys, time
from pathlib import Path
from openaffect.model import open_model
from openaffect.streamed_inference import predict_to_file

import ray
workers = int(sys.argv[2])
ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
model = open_model("default", threads=1)
predict_to_file(model, sys.argv[1], sys.argv[3] + ".warm", engine="ray", workers=workers)
used, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
done = predict_to_file(model, sys.argv[1], sys.argv[3], engine="ray", workers=workers)
seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
driver = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
print(f"{workers} workers: {done.rows / seconds:,.0f} faces/s, the driver uses {driver / seconds:.2f} cores")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=8_000)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--ray", type=int, default=6_000)
    parser.add_argument("--memory-model", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_faces(folder / "held", HELD_OUT, labels=True)
        if options.faces:
            compare_speed(folder, options.faces)
        if options.rows:
            found = [measure_memory(folder, rows, options.memory_model) for rows in options.rows]
            print(
                f"memory, {options.rows[-1]:,} / {options.rows[0]:,} faces: {found[-1] / found[0]:.3f} ×"
            )
        if options.ray:
            write_faces(folder / "ray", options.ray)
            for workers in (1, 2):
                out = folder / f"ray-{workers}.parquet"
                command = [sys.executable, "-c", RAY, str(folder / "ray"), str(workers), str(out)]
                subprocess.run(command, check=True)


def write_faces(path: Path, rows: int, *, labels: bool = False) -> None:
    """A dataset of so many faces over a few images."""
    with write_dataset(path, check_images=False) as writer:
        for number, face in enumerate(synthesize_faces(IMAGES, seed=0, size=64)):
            writer.write_image(f"{number}.jpg", face.image)
        for number in range(rows):
            row = FaceRow(f"face/{number:07}", f"{number % IMAGES}.jpg")
            if labels:
                row.expression, row.expression_origin = EMOTIONS[number % 8], "human"
            writer.add(row)


def compare_speed(folder: Path, faces: int) -> None:
    """Print the speed of both, and their ratio."""
    write_faces(folder / "faces", faces)
    model = open_model("default")
    pixels = [face.image for face in synthesize_faces(IMAGES, seed=0, size=64)]
    crops = [crop_for_model(one, None, model.card) for one in pixels]
    many = [crops[number % IMAGES] for number in range(faces + HELD_OUT)]
    alone, whole = [], []
    for _ in range(3):
        start = time.perf_counter()
        predict_crops(model, many)
        alone.append(time.perf_counter() - start)
        start = time.perf_counter()
        label_faces(
            folder / "faces",
            folder / "out",
            model,
            held_out=folder / "held",
            share=0.5,
            overwrite=True,
        )
        whole.append(time.perf_counter() - start)
    a, b = (len(many) / statistics.median(times) for times in (alone, whole))
    print(f"model alone: {a:,.0f} faces/s; label: {b:,.0f} faces/s; ratio {b / a:.2f}")
    ratios = ", ".join(f"{one / other:.2f}" for one, other in zip(alone, whole, strict=True))
    print(f"ratio of each round: {ratios}")


def measure_memory(folder: Path, rows: int, model: str) -> float:
    """Print what a run over so many faces takes; its largest resident memory in MB."""
    dataset, out = folder / f"faces-{rows}", folder / f"out-{rows}"
    write_faces(dataset, rows)
    command = ["label", str(dataset), "-o", str(out), "--held-out", str(folder / "held")]
    command += ["--model", model]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "openaffect", *command, "--share", "0.5"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"label ended with {status}")
    memory = usage.ru_maxrss / 1024
    print(f"{rows:9,} faces: {memory:6.0f} MB, {rows / seconds:,.0f} faces/s")
    return memory


if __name__ == "__main__":
    main()
