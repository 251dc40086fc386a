"""A report of 40,000 × 8 predictions, 200 balanced draws and 1,000 bootstrap rounds: < 10 s.

Run on one core: OMP_NUM_THREADS=1 python benchmarks/report.py
Prints the median of three runs of evaluate and of save, and the share that each takes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.labels import EMOTIONS
from openaffect.predictions import Predictions
from openaffect.reports import evaluate

ROWS, RUNS, LIMIT = 40_000, 3, 10.0
# AffectNet's classes in train and validation: what a skewed test looks like.
SHARES = np.array([75374, 134915, 25959, 14590, 6878, 4303, 25382, 4250], float)


def make_dataset(folder: Path, rng: np.random.Generator) -> Dataset:
    classes = rng.choice(8, ROWS, p=SHARES / SHARES.sum())
    affect = rng.uniform(-0.7, 0.7, (ROWS, 2)).tolist()
    with write_dataset(folder, check_images=False) as writer:
        for i, (c, (valence, arousal)) in enumerate(zip(classes.tolist(), affect, strict=True)):
            row = FaceRow(f"face/{i:06d}", f"{i}.png", valence=valence, arousal=arousal)
            row.expression, row.split = EMOTIONS[c], "test"
            writer.add(row)
    return open_dataset(folder)


def predict(dataset: Dataset, rng: np.random.Generator) -> Predictions:
    scores = rng.normal(size=(ROWS, 8))
    scores[np.arange(ROWS), dataset.expression_ids] += 1.5
    p = np.exp(scores)
    affect = np.clip(dataset.affect + rng.normal(0, 0.3, (ROWS, 2)), -1, 1)
    return Predictions(dataset.ids, EMOTIONS, p / p.sum(axis=1, keepdims=True), None, affect)


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        dataset = make_dataset(Path(name) / "dataset", rng)
        predictions = predict(dataset, rng)
        times = []
        for run in range(RUNS):
            start = time.perf_counter()
            report = evaluate(dataset, predictions, draws=200, rounds=1000)
            middle = time.perf_counter()
            report.save(Path(name) / f"report{run}", dataset=dataset)
            times.append((middle - start, time.perf_counter() - middle))
        scoring, saving = (statistics.median(part) for part in zip(*times, strict=True))
    total = statistics.median(map(sum, times))
    print(
        f"{ROWS:,} × 8 predictions, 200 draws, 1,000 rounds, {os.environ['OMP_NUM_THREADS']} thread\n"
        f"evaluate {scoring:.2f} s ({scoring / total:.0%}), save {saving:.2f} s, "
        f"both {total:.2f} s = {total / LIMIT:.2f} × the limit of {LIMIT:g} s"
    )
    if total > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
