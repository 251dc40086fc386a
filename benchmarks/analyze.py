"""The command line on one photo, cold; and photos one after the other, warm.

    python benchmarks/analyze.py [--model MODEL] [--runs 7] [--photos 120] [--against SRC]

Prints the least and the median of several new processes, which modules took longest to load, and
the time of a photo from the file to its row: reading, search and model together. With `--against`,
the `src` folder of another checkout, the same photos are timed in turns with that one.
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

from _model import make_model
from openaffect.images import encode_image
from openaffect.synthetic import synthesize_face

# In a process of its own, so that two checkouts are measured alike.
WARM = """
import sys, time, openaffect
from openaffect.model import open_model
model = open_model(sys.argv[2])
photos = sys.argv[1]
openaffect.analyze(photos, model)
start = time.perf_counter()
rows = openaffect.analyze(photos, model).table.num_rows
print(time.perf_counter() - start, rows)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--against")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(make_model(Path(folder)))
        print_cold(Path(folder), model, options.runs)
        print_warm(Path(folder), model, options)


def print_cold(folder: Path, model: str, runs: int) -> None:
    photo = folder / "photo.jpg"
    photo.write_bytes(encode_image(synthesize_face("happy", seed=2, size=640).image, ".jpg"))
    command = ["-m", "openaffect", "analyze", str(photo), "--model", model]
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(
        f"one photo, cold: {min(seconds):.2f} s at least, {statistics.median(seconds):.2f} s in "
        f"the median of {runs} ({os.cpu_count()} processors, load {os.getloadavg()[0]:.1f})"
    )
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split("|") for line in done.stderr.splitlines() if "import time:" in line]
    slow = sorted(
        ((int(own.split(":")[1]), name.strip()) for own, _, name in lines[1:]), reverse=True
    )
    print("slowest modules:", ", ".join(f"{name} {own / 1000:.0f} ms" for own, name in slow[:8]))


def print_warm(folder: Path, model: str, options: argparse.Namespace) -> None:
    photos = folder / "photos"
    photos.mkdir()
    kinds = (".jpg", ".jpg", ".png", ".webp")
    for number in range(options.photos):
        image = synthesize_face("happy", seed=number, size=640).image
        suffix = kinds[number % len(kinds)]
        (photos / f"{number:03d}{suffix}").write_bytes(encode_image(image, suffix))
    ours, theirs = [], []
    for _ in range(options.runs):
        ours.append(time_warm(photos, model, None))
        if options.against:
            theirs.append(time_warm(photos, model, options.against))
    each = 1000 * statistics.median(ours) / options.photos
    print(f"a photo of 640 px, file to row, warm: {each:.1f} ms in the median of {options.runs}")
    if theirs:
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"  against {options.against}: {ratio:.2f} × its time, in turns")


def time_warm(photos: Path, model: str, source: str | None) -> float:
    environment = {**os.environ, **({"PYTHONPATH": source} if source else {})}
    done = subprocess.run(
        [sys.executable, "-c", WARM, str(photos), model],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, rows = done.stdout.split()
    assert int(rows) >= len([*photos.iterdir()])
    return float(seconds)


if __name__ == "__main__":
    main()
