"""What a file or folder is: the facts that `openaffect info` prints."""

from __future__ import annotations

import csv
import dataclasses
import json
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from openaffect import tables
from openaffect.dataset import open_dataset
from openaffect.documents import read_json
from openaffect.errors import FormatError
from openaffect.model import find_model, open_model
from openaffect.predictions import open_predictions
from openaffect.reports import open_report
from openaffect.training.recipe import load_recipe


def describe(path: str | Path) -> dict[str, Any]:
    """The facts of anything that openaffect makes, JSON-ready; `kind` says what it is.

    A folder that is none of these but holds some, such as a demo's, is a `folder` that names them.
    `default` is the model that the package carries, where no file or folder has that name.

    Raises:
        FormatError: it is none of these; the message says what each looks like.
    """
    path = Path(path)
    if not path.exists() and str(path) == "default":
        path = find_model("default")
    if not path.exists():
        raise FormatError(f"there is no file or folder at {path}")
    kind = _kind_of(path)
    if kind is not None:
        return _DESCRIBERS[kind](path)
    held = _find_inside(path)
    if held:
        return {"kind": "folder", "path": str(path), "holds": held}
    raise FormatError(
        f"{path} is not an openaffect file or folder: a dataset is a folder with dataset.json, a run "
        "one with recipe.toml, a study one with study.db, a report one with report.json, an "
        "agreement one with agreement.json, a project one with project.toml, a model an .onnx file, predictions and analyses .parquet files; other people's labeled faces "
        "become a dataset by `openaffect import`"
    )


def _kind_of(path: Path) -> str | None:
    """What a path looks like by its name and the files in it; nothing is read."""
    if (path / "dataset.json").is_file():
        return "dataset"
    if (path / "recipe.toml").is_file():
        return "run"
    if (path / "study.db").is_file() and (path / "space.toml").is_file():
        return "study"
    if (path / "report.json").is_file() or path.name == "report.json":
        return "report"
    if (path / "agreement.json").is_file() or path.name == "agreement.json":
        return "agreement"
    if (path / "project.toml").is_file():
        return "project"
    return {".onnx": "model", ".parquet": "table"}.get(path.suffix)


def _find_inside(path: Path) -> dict[str, str]:
    """What a folder holds, one or two levels down, by its path in there."""
    found: dict[str, str] = {}
    if not path.is_dir():
        return found
    for child in sorted(path.iterdir()):
        inside = [child] if _kind_of(child) else sorted(child.iterdir()) if child.is_dir() else []
        for entry in inside:
            kind = _kind_of(entry)
            if kind is not None:
                found[entry.relative_to(path).as_posix()] = kind
    return found


def _describe_dataset(path: Path) -> dict[str, Any]:
    dataset = open_dataset(path)
    faces = dataset.faces
    counts = dataset.class_counts()
    splits = dict.fromkeys(split for split, _ in counts)
    return {
        "kind": "dataset",
        "path": str(path),
        **dataclasses.asdict(dataset.info),
        "rows": len(dataset),  # other tools may have changed the table alone
        "annotations": 0 if dataset.annotations is None else len(dataset.annotations),
        "changed": dataset.content() != dataset.info.content if dataset.info.content else None,
        "columns": {
            name: len(faces) - faces[name].null_count
            for name in faces.column_names
            if faces[name].null_count < len(faces)
        },
        "classes": {
            str(split or "no split"): {
                str(label or "no label"): count
                for (of_split, label), count in counts.items()
                if of_split == split
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


def _describe_table(path: Path) -> dict[str, Any]:
    """Of an analysis if it has the columns of one, else of predictions."""
    table = tables.read_parquet(path, "predictions or an analysis", _ANALYSIS.__contains__)
    if set(table.column_names) != _ANALYSIS:
        return _describe_predictions(path)
    where = str(path)
    table = pa.table(
        {
            n: tables.cast(table[n], pa.string(), n, where)
            for n in ("source", "status", "expression")
        }
    )
    counts = {c["values"]: c["counts"] for c in table["status"].value_counts().to_pylist()}
    expressions = Counter(table["expression"].drop_null().to_pylist())
    return {
        "kind": "analysis",
        "path": str(path),
        "sources": len(table["source"].unique()),
        "rows": len(table),
        "status": {str(name): count for name, count in counts.items()},
        "expressions": {str(name): count for name, count in expressions.most_common()},
    }


_ANALYSIS = {"source", "status", "face_index", "expression"}


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
        "notes": list(predictions.notes),
        "made_with": predictions.made_with,
    }


def _describe_report(path: Path) -> dict[str, Any]:
    return {"kind": "report", "path": str(path), **open_report(path).to_dict()}


def _describe_agreement(path: Path) -> dict[str, Any]:
    """The figures of the expressions, and what was looked at; the rest is in the file itself."""
    file = path / "agreement.json" if path.is_dir() else path
    found = read_json(file, _Agreement, "an agreement.json")
    return {
        "kind": "agreement",
        "path": str(path),
        "made_by": found.made_by,
        "protocol": found.protocol,
        "expression": {
            field.name: getattr(found.expression, field.name).value
            for field in dataclasses.fields(_Figures)
        },
    }


@dataclass(frozen=True, slots=True)
class _Figure:
    value: float | None = None


@dataclass(frozen=True, slots=True)
class _Figures:
    pair_agreement: _Figure
    unanimous: _Figure
    alpha: _Figure
    fleiss: _Figure
    human_ceiling: _Figure


@dataclass(frozen=True, slots=True)
class _Agreement:
    """What is read of an `agreement.json`."""

    made_by: str
    protocol: dict[str, Any]
    expression: _Figures


def _describe_project(path: Path) -> dict[str, Any]:
    from openaffect.project import open_project

    with open_project(path) as project:
        return {"kind": "project", "path": str(path), **project.status()}


_DESCRIBERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "dataset": _describe_dataset,
    "run": _describe_run,
    "study": _describe_study,
    "report": _describe_report,
    "agreement": _describe_agreement,
    "project": _describe_project,
    "model": _describe_model,
    "table": _describe_table,
}
