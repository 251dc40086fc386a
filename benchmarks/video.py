"""Videos: frames a second, recall of the quick search, and peak memory by length.

    python benchmarks/video.py [--model MODEL] [--photos photos.zip] [--frames 500] [--long 10000]

Makes its own films: a synthetic face that wanders through a frame of 640 × 480; and, for the recall,
synthetic faces and photos of several sizes that wander through 1280 × 720. Prints

- frames a second from file to row, without and with landmarks, and what the detection alone takes;
- recall: of the faces that a search of every frame at full size finds, the share that the quick
  search finds too (IoU of 0.5 or more), and how many more the quick search finds;
- peak memory of `openaffect analyze` on a short and on a long film.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from _model import make_model
from openaffect.analysis import analyze, iterate_rows
from openaffect.faces.boxes import Box
from openaffect.images import read_image
from openaffect.model import open_model
from openaffect.synthetic import synthesize_face

Pixels = NDArray[np.uint8]


def wander(
    path: Path, pieces: list[Pixels], sides: list[int], size: tuple[int, int], count: int
) -> Path:
    """A film in which pictures, brought to so many pixels a side, wander over a soft background."""
    width, height = size
    soft = np.random.default_rng(0).integers(70, 180, (6, 8, 1), dtype=np.uint8)
    background = cv2.cvtColor(
        cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB
    )
    scaled = [
        cv2.resize(piece, (round(side * piece.shape[1] / piece.shape[0]), side), interpolation=3)
        for piece, side in zip(pieces, sides, strict=True)
    ]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        for number in range(count):
            frame = background.copy()
            for k, piece in enumerate(scaled):
                h, w = piece.shape[:2]
                x = round((width - w) * (0.5 + 0.49 * np.sin(number / 47 + 2.1 * k)))
                y = round((height - h) * (0.5 + 0.49 * np.sin(number / 61 + 1.3 * k)))
                frame[y : y + h, x : x + w] = piece
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.asarray(frame, np.uint8), format="rgb24")
                )
            )
        container.mux(stream.encode())
    return path


def speed(film: Path, model: str, landmarks: str | None, workers: int) -> float:
    opened = open_model(model)
    start = time.perf_counter()
    rows = iterate_rows(film, opened, landmarks=landmarks, workers=workers)
    frames = len({row["frame"] for row in rows})
    return frames / (time.perf_counter() - start)


def boxes_by_frame(film: Path, model: str, full_size: bool) -> dict[int, list[Box]]:
    found: dict[int, list[Box]] = {}
    for row in analyze(film, model, full_size=full_size).rows():
        found.setdefault(row["frame"], [])
        if row["box"] is not None:
            found[row["frame"]].append(Box(*row["box"]))
    return found


def share_found(wanted: dict[int, list[Box]], found: dict[int, list[Box]]) -> tuple[int, int]:
    """How many of the wanted boxes have a found one with an IoU of at least 0.5, and of how many."""
    hits = sum(
        any(box.iou(other) >= 0.5 for other in found[frame])
        for frame, boxes in wanted.items()
        for box in boxes
    )
    return hits, sum(map(len, wanted.values()))


def recall(name: str, films: list[Path], model: str) -> None:
    totals = np.zeros(4, int)
    for film in films:
        full, quick = boxes_by_frame(film, model, True), boxes_by_frame(film, model, False)
        totals += [*share_found(full, quick), *share_found(quick, full)]
    hits, all_full, also, all_quick = totals
    print(
        f"{name}: full size finds {all_full:,} faces, of which the quick search finds "
        f"{hits / all_full:.2%}; it finds {all_quick - also:,} that full size does not"
    )


def peak_memory(film: Path, model: str, folder: Path) -> float:
    """Peak resident memory of the command, in MB."""
    command = [sys.executable, "-m", "openaffect", "analyze", str(film), "--model", model]
    process = subprocess.Popen(
        [*command, "-o", str(folder / f"{film.stem}.parquet")], stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"openaffect analyze {film} failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--photos", type=Path, help="a zip of photos, for the recall")
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--long", type=int, default=10_000, help="0 leaves memory out")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    faces = [
        synthesize_face(e, seed=s, size=320).image
        for e, s in (("happy", 2), ("sad", 3), ("fear", 5))
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or str(make_model(folder))
        one = wander(folder / "one.mp4", faces[:1], [240], (640, 480), options.frames)
        speed(one, model, None, options.workers)  # warms the disk and the libraries
        print(
            f"{os.cpu_count()} processors, {options.workers} workers, load {os.getloadavg()[0]:.1f}"
        )
        print(f"640 × 480, one face: {speed(one, model, None, options.workers):.0f} frames/s")
        if importlib.util.find_spec("dlib"):
            rate = speed(one, model, "dlib", options.workers)
            print(f"640 × 480, one face, landmarks: {rate:.0f} frames/s")
        size, count = (1280, 720), min(200, options.frames)
        drawn = [
            wander(folder / f"drawn{s}.mp4", faces, [s, s + 40, s + 90], size, count)
            for s in (80, 140, 260)
        ]
        recall("synthetic faces, 80 to 350 pixels", drawn, model)
        if options.photos:
            with zipfile.ZipFile(options.photos) as archive:
                names = sorted(n for n in archive.namelist() if n.endswith((".jpg", ".png")))[::12]
                photos = [read_image(archive.read(n), where=n) for n in names]
            films = [
                wander(folder / f"photo{k}.mp4", photos[k : k + 2], [s, 2 * s], size, count)
                for k, s in zip(
                    range(0, len(photos) - 1, 2), (60, 90, 120, 160, 220, 300), strict=False
                )
            ]
            recall("photos, 60 to 600 pixels", films, model)
        if options.long:
            long = wander(folder / "long.mp4", faces[:1], [240], (640, 480), options.long)
            short, full = (peak_memory(film, model, folder) for film in (one, long))
            print(
                f"peak memory: {options.frames:,} frames {short:.0f} MB, {options.long:,} frames "
                f"{full:.0f} MB, ratio {full / short:.3f}"
            )


if __name__ == "__main__":
    main()
