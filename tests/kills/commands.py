"""Every command that writes, over small inputs; all that it writes lies in `out`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autolabel.labeled import write_faces
from builders import tiny_model
from fuzz.corpus import write_corpus
from openaffect.cli import main

SMALL = (
    "--set",
    "epochs=2",
    "--set",
    "batch_size=8",
    "--set",
    "size=32",
    "--set",
    "early_stopping_fraction=0.2",
)
ADOPTED = (
    *("--labels", "8", "--expression", "expression", "--scores", "probabilities"),
    *("--affect", "affect", "--size", "32", "--channels", "rgb", "--scale", "1", "--mean", "0"),
    *("--std", "1", "--margin", "0", "--license", "MIT"),
)
PHOTOS = ("in/images/a.png", "in/images/a.jpg", "in/videos/b.avi")
LOOK = ("--model", "in/tiny.onnx", "--detector", "haar")

COMMANDS: dict[str, Sequence[str]] = {
    "import-csv": ("import", "csv", "in/csv", "out/d"),
    "import-archive": ("import", "folders", "in/archives/a.zip", "out/d"),
    "export-csv": ("export", "csv", "in/dataset", "out/e"),
    "export-affectnet8": ("export", "affectnet8", "in/dataset", "out/e"),
    "synthesize": ("synthesize", "6", "out/d", "--size", "48"),
    "split": ("split", "in/faces", "out/d", "--test", "10%", "--validation", "10%", "--redo"),
    "check": ("check", "in/dataset", "--write", "out/d", "--duplicates", "drop"),
    "train": ("train", "in/faces", "out/run", *SMALL),
    "train-hog": (
        "train",
        "in/faces",
        "out/run",
        "--recipe",
        "hog-svm",
        "--set",
        "early_stopping_fraction=0.2",
    ),
    "tune": (
        *("tune", "in/faces", "out/s", "--search", "learning_rate=0.01,0.001", "--trials", "2"),
        *("--no-prune", *SMALL, "--set", "epochs=1"),
    ),
    "replicate": (
        "replicate",
        "affectnet2017",
        "in/faces",
        "out/p",
        "--rows",
        "svm",
        "--rounds",
        "20",
        "--draws",
        "5",
        "--set",
        "early_stopping_fraction=0.2",
    ),
    "cross-validate": (
        *("cross-validate", "in/faces", "out/cv", "--folds", "2", *SMALL, "--set", "epochs=1"),
    ),
    "predict": ("predict", "in/tiny.onnx", "in/dataset", "-o", "out/p.parquet"),
    "evaluate": (
        *("evaluate", "in/dataset", "in/p.parquet", "-o", "out/r", "--split", "all"),
        *("--rounds", "20", "--draws", "5"),
    ),
    "agreement": ("agreement", "in/dataset", "-o", "out/a", "--rounds", "200"),
    "compare": ("compare", "in/report", "in/report", "-o", "out/c.html", "--rounds", "20"),
    "label": (
        *("label", "in/half", "-o", "out/l", "--model", "in/tiny.onnx", "--coverage", ".5"),
        *("--share", ".5"),
    ),
    "card": ("card", "in/tiny.onnx", "-o", "out/m.onnx", *ADOPTED),
    "analyze": (
        *("analyze", *PHOTOS, *LOOK, "-o", "out/a.parquet", "--report", "out/a.html"),
        *("--every", "3", "--overlay", "out/drawn"),
    ),
    "analyze-jsonl": ("analyze", *PHOTOS, *LOOK, "-o", "out/a.jsonl", "--every", "3"),
    "release": ("release", "in/faces", "out/r"),
    "demo": ("demo", "out/demo", "--faces", "200", "--epochs", "1"),
}
PROJECT = ("new", "out/p")
FORGOTTEN = "000/000001"
"""A face of `in/faces`."""
ADD = ("add", "out/p", "in/images", "in/faces")
COMMANDS |= {
    "label-project": (
        *("label", "out/p", "-o", "out/l", "--model", "in/tiny.onnx", "--held-out", "in/half"),
        *("--coverage", ".5"),
    ),
    "new": PROJECT,
    "add": ADD,
    "collect": ("collect", "out/p", "--provider", "folder", "--source", "in/images"),
    "detect": ("detect", "out/p", "--workers", "1"),
    "backup": ("backup", "out/p", "out/b.zip", "--with-store"),
    "restore": ("new", "out/q", "--from", "out/b.zip"),
    "freeze": (
        *("freeze", "out/p", "out/f", "--splits", "drawn", "--test", "10%"),
        *("--labels", "happy,neutral,sad"),
    ),
    "forget": ("forget", "out/p", FORGOTTEN, "--because", "asked"),
    "queries": ("queries", "out/p", "--languages", "all", "-o", "out/q.csv"),
}
BEFORE: dict[str, Sequence[Sequence[str]]] = {
    "add": (PROJECT,),
    "detect": (PROJECT, ADD),
    "label-project": (PROJECT, ("add", "out/p", "in/half")),
    "freeze": (PROJECT, ("add", "out/p", "in/faces"), ("detect", "out/p", "--workers", "1")),
    "forget": (PROJECT, ("add", "out/p", "in/faces")),
    "collect": (PROJECT,),
    "queries": (PROJECT,),
    "backup": (PROJECT, ADD),
    "restore": (PROJECT, ADD, COMMANDS["backup"]),
}
"""What is done, whole, before a command is killed."""

# What is no command here: `fetch` needs a server (tests/publishing/test_fetch.py kills it; so does tests/collection/test_collect_kills.py with downloads), `weights` and `info` write nothing of their own (the download is tested
# with `atomic_file`), `serve`, `status` and `providers` write nothing, the other publication differs in its recipes, and
# `upgrade` has nothing to do before there is a second version of the tables.
OTHERS = {
    "fetch",
    "providers list",
    "providers try",
    "weights",
    "info",
    "serve",
    "annotate",
    "status",
    "upgrade",
    "replicate giguere2020",
}


def write_inputs(folder: Path) -> None:
    """Write what the commands read into `folder/in`."""
    (folder / "in").mkdir()
    write_corpus(folder / "in")
    tiny_model(folder / "in" / "tiny.onnx")
    write_faces(folder / "in" / "half", count=60)
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["synthesize", "96", "in/drawn", "--size", "32"]) == 0
        split = ["--test", "20%", "--validation", "20%"]
        assert main(["split", "in/drawn", "in/faces", *split]) == 0
    finally:
        os.chdir(here)
