"""The command line on one photo, cold: from the shell to the printed row.

    python benchmarks/analyze.py [--model MODEL] [--runs 7]

Prints the least and the median of several new processes, and which modules took longest to load.
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
from openaffect.faces.drawn import draw_face
from openaffect.images import encode_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or str(make_model(Path(folder)))
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(encode_image(draw_face("happy", seed=2, size=640).image, ".jpg"))
        command = ["-m", "openaffect", "analyze", str(photo), "--model", model]
        seconds = []
        for _ in range(options.runs):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        print(
            f"one photo, cold: {min(seconds):.2f} s at least, {statistics.median(seconds):.2f} s in "
            f"the median of {options.runs} ({os.cpu_count()} processors, "
            f"load {os.getloadavg()[0]:.1f})"
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


if __name__ == "__main__":
    main()
