"""The default model beside PyPI's `fer`, in one run, on one processor: docs/default-model.md.

    python -m venv fer && fer/bin/pip install fer tensorflow-cpu "setuptools<81" "opencv-contrib-python<5"
    python runs/peers.py ferplus.zip photos.zip FOLDER --fer fer/bin/python

The network alone, one face at a time; the faces of FER+ validation (majority labels), framed as they are;
labeled photographs, each system finding the face. Seven expressions, those that both know; a picture in
which a system finds no face is a mistake of it. Prints the tables; keeps the reports in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openaffect import console
from openaffect.analysis import analyze
from openaffect.dataset import Dataset, open_dataset
from openaffect.formats import import_dataset
from openaffect.inference import predict_dataset
from openaffect.labels import parse_expression, parse_labels
from openaffect.model import Model, open_model
from openaffect.predictions import Predictions
from openaffect.reports import Report, compare, evaluate
from openaffect.reports.contents import Score

LABELS = parse_labels("7")


def import_data(ferplus: Path, photos: Path, folder: Path) -> dict[str, Dataset]:
    """Both sets of pictures, each as the rows that are scored."""
    jobs: dict[str, Callable[[Path], Any]] = {
        "FER+ validation": lambda path: import_dataset(
            "ferplus", ferplus, path, label="majority", name="FER+ (majority)"
        ),
        "photos": lambda path: import_dataset("csv", photos, path, name="photos"),
    }
    found = {}
    for name, make in jobs.items():
        path = folder / name.split()[-1]
        if not path.exists():
            make(path)
        found[name] = open_dataset(path)
    found["FER+ validation"] = found["FER+ validation"].where(split="validation")
    return found


def time_network(model: Model) -> float:
    """Median seconds of the network alone, for one face."""
    face = np.random.default_rng(0).integers(0, 256, (1, *model.card.size[::-1], 3), np.uint8)
    times = []
    for _ in range(300):
        began = time.perf_counter()
        model.predict(face)
        times.append(time.perf_counter() - began)
    return statistics.median(times[50:])


def predict_ours(model: Model, dataset: Dataset, *, whole: bool) -> Predictions:
    """Our scores; with `whole` the pictures go through `analyze`, which finds the face."""
    if not whole:
        return predict_dataset(model, dataset)
    paths = [str(path) for path in dataset.image_paths]
    with console.show_progress("ours", len(paths)) as on_progress:
        rows = analyze(paths, model, on_progress=on_progress).rows()
    largest = {
        row["source"]: row for row in rows if row["status"] == "ok" and not row["face_index"]
    }
    scores = [
        {str(label): largest[path][f"p_{label}"] for label in LABELS} if path in largest else None
        for path in paths
    ]
    return _as_predictions(dataset, scores, model.card.name)


def predict_fer(
    python: Path, folder: Path, dataset: Dataset, *, whole: bool
) -> tuple[Predictions, float]:
    """The scores of `fer`, and the seconds of its network."""
    size = dataset.image(0).shape
    frame = None if whole else [0, 0, size[1], size[0]]
    job, answers = folder / "job.json", folder / "answers.json"
    job.write_text(json.dumps([(str(path), frame) for path in dataset.image_paths]))
    worker = Path(__file__).with_name("_fer_answers.py")
    with open(folder / "fer.log", "w", encoding="utf-8") as log:
        subprocess.run([str(python), str(worker), str(job), str(answers)], check=True, stderr=log)
    result = json.loads(answers.read_text())
    return _as_predictions(dataset, result["scores"], "fer"), result["network_seconds"]


def _as_predictions(
    dataset: Dataset, scores: Sequence[dict[str, float] | None], name: str
) -> Predictions:
    """Scores by any spelling of the seven expressions, brought to a sum of 1."""
    p = np.full((len(scores), len(LABELS)), np.nan)
    for row, values in zip(p, scores, strict=True):
        for key, value in (values or {}).items():
            row[LABELS.index(parse_expression(key, name))] = value
    p /= p.sum(axis=1, keepdims=True)
    errors = [None if values else "no face found" for values in scores]
    return Predictions(dataset.ids, LABELS, p, errors=errors, made_with={"model": name})


def choose_labels(dataset: Dataset) -> list[str]:
    """Those of the seven that occur."""
    there = set(dataset.faces["expression"].to_pylist())
    return [str(label) for label in LABELS if str(label) in there]


def cell(score: Score) -> str:
    """A value with its interval."""
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def main() -> None:
    """Every comparison, and its lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ferplus", "photos", "folder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--fer", type=Path, required=True, help="the Python that has fer")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # what is started inherits it
    model = open_model(arguments.model, threads=1)
    seconds = {model.card.name: time_network(model)}
    print(
        "| pictures | system | n | no face | accuracy | macro F1 | ECE |\n|---|---|---|---|---|---|---|"
    )
    for name, dataset in import_data(arguments.ferplus, arguments.photos, arguments.folder).items():
        whole = name == "photos"
        ours = predict_ours(model, dataset, whole=whole)
        theirs, seconds["fer"] = predict_fer(arguments.fer, arguments.folder, dataset, whole=whole)
        reports: list[Report] = []
        for predictions in (ours, theirs):
            labels = choose_labels(dataset)
            report = evaluate(dataset, predictions, split="all", labels=labels)
            system = str(predictions.made_with.get("model", model.card.name))
            report.save(arguments.folder / f"{name.split()[-1]}-{system}", overwrite=True)
            scores = report.categorical
            lost = sum(error is not None for error in predictions.errors)
            cells = " | ".join(cell(scores[key].orig) for key in ("accuracy", "f1", "ece"))
            print(f"| {name} | {system} | {scores.accuracy.orig.n:,} | {lost:,} | {cells} |")
            reports.append(report)
        comparison = compare(reports, names=[model.card.name, "fer"])
        for table in comparison.tables():
            console.print_table(table.header, table.rows, table.title)
    print("\nthe network alone, one face, one processor:")
    for system, value in seconds.items():
        print(f"  {system}: {1000 * value:.2f} ms")


if __name__ == "__main__":
    main()
