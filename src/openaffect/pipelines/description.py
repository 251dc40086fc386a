"""What a file or folder is: the facts that `openaffect info` prints."""

from __future__ import annotations

import csv
import dataclasses
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from openaffect.dataset import open_dataset
from openaffect.errors import FormatError
from openaffect.labels import EXPRESSIONS
from openaffect.model import find_model, open_model
from openaffect.predictions import open_predictions
from openaffect.reports import open_report
from openaffect.training.recipe import load_recipe


def describe(path: str | Path) -> dict[str, Any]:
    """The facts of a dataset, run, study, model, predictions or report, JSON-ready; `kind` says which.

    `default` is the model that the package carries, where no file or folder has that name.

    Raises:
        FormatError: it is none of these; the message says what each looks like.
    """
    path = Path(path)
    if not path.exists() and str(path) == "default":
        path = find_model("default")
    if not path.exists():
        raise FormatError(f"there is no file or folder at {path}")
    if (path / "dataset.json").is_file():
        return _describe_dataset(path)
    if (path / "recipe.toml").is_file():
        return _describe_run(path)
    if (path / "study.db").is_file() and (path / "space.toml").is_file():
        return _describe_study(path)
    if (path / "report.json").is_file() or path.name == "report.json":
        return _describe_report(path)
    if path.suffix == ".onnx":
        return _describe_model(path)
    if path.suffix == ".parquet":
        return _describe_predictions(path)
    raise FormatError(
        f"{path} is nothing that openaffect knows: a dataset is a folder with dataset.json, a run "
        "one with recipe.toml, a study one with study.db, a report one with report.json, a model an .onnx file, predictions "
        "a .parquet file; other people's labelled faces become a dataset by `openaffect import`"
    )


def _describe_dataset(path: Path) -> dict[str, Any]:
    dataset = open_dataset(path)
    faces = dataset.faces
    pairs = zip(faces["split"].to_pylist(), faces["expression"].to_pylist(), strict=True)
    counts = Counter(pairs)
    splits = [s for s in ("train", "validation", "test", None) if any(k[0] == s for k in counts)]
    return {
        "kind": "dataset",
        "path": str(path),
        **dataclasses.asdict(dataset.info),
        "columns": {
            name: len(faces) - faces[name].null_count
            for name in faces.column_names
            if faces[name].null_count < len(faces)
        },
        "classes": {
            str(split or "no split"): {
                str(label or "no label"): counts[split, label]
                for label in (*EXPRESSIONS, None)
                if counts[split, label]
            }
            for split in splits
        },
    }


def _describe_run(path: Path) -> dict[str, Any]:
    recipe = load_recipe(path / "recipe.toml")
    log = []
    if (path / "log.csv").is_file():
        with open(path / "log.csv", newline="", encoding="utf-8") as file:
            log = list(csv.DictReader(file))
    facts: dict[str, Any] = {
        "kind": "run",
        "path": str(path),
        "recipe": recipe.name,
        "epochs_done": len(log),
        "epochs": recipe.epochs,
        "finished": (path / "model.onnx").is_file(),
        "log": log,
    }
    if facts["finished"]:
        facts["model"] = _describe_model(path / "model.onnx")
    return facts


def _describe_study(path: Path) -> dict[str, Any]:
    trials: list[dict[str, str]] = []
    if (path / "trials.csv").is_file():
        with open(path / "trials.csv", newline="", encoding="utf-8") as file:
            trials = list(csv.DictReader(file))
    facts: dict[str, Any] = {
        "kind": "study",
        "path": str(path),
        "space": tomllib.loads((path / "space.toml").read_text(encoding="utf-8")),
        "trials": dict(Counter(trial["state"] for trial in trials)),
        "log": trials,
    }
    if (path / "best.toml").is_file():
        facts["best"] = str(path / "best.toml")
    return facts


def _describe_model(path: Path) -> dict[str, Any]:
    model = open_model(path)
    return {
        "kind": "model",
        "path": str(path),
        "bytes": path.stat().st_size,
        **json.loads(model.card.to_json()),
    }


def _describe_predictions(path: Path) -> dict[str, Any]:
    predictions = open_predictions(path)
    failed = sum(error is not None for error in predictions.errors)
    affect = predictions.affect
    return {
        "kind": "predictions",
        "path": str(path),
        "faces": len(predictions),
        "failed": failed,
        "labels": [label.value for label in predictions.labels],
        "scores": predictions.probabilities is not None,
        "affect": affect is not None,
        "made_with": predictions.made_with,
    }


def _describe_report(path: Path) -> dict[str, Any]:
    return {"kind": "report", "path": str(path), **open_report(path).data}
