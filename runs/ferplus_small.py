"""Two strategies against class imbalance on FER+, by a small net on a CPU: docs/results.md.

    python runs/ferplus_small.py ferplus.zip FOLDER

Import with majority labels, `check --write` (training copies of validation pictures are removed), train
on soft labels, score the validation split, which nothing was chosen on. Steps that are done are
not done again; a training goes on where it was. Prints the rows of the table in docs/results.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from openaffect.cli import main as openaffect
from openaffect.reports import open_report

STRATEGIES = ("imbalanced", "weighted-loss")
SETTINGS = ("soft_labels=true", "epochs=5")


def run(*arguments: object) -> None:
    """One command of openaffect; ends the script if it fails."""
    print("$ openaffect", *arguments, file=sys.stderr, flush=True)
    status = openaffect([str(argument) for argument in arguments])
    if status:
        sys.exit(status)


def main(archive: Path, folder: Path) -> None:
    """Every step, and the table."""
    folder.mkdir(parents=True, exist_ok=True)
    raw, clean = folder / "raw", folder / "clean"
    if not raw.exists():
        run("import", "ferplus", archive, raw, "--label", "majority", "--name", "FER+")
    if not clean.exists():
        run("check", raw, "--write", clean)
    for strategy in STRATEGIES:
        place = folder / strategy
        sets = [part for setting in SETTINGS for part in ("--set", setting)]
        recipe = f"resnet-small-{strategy}"
        if not (place / "run" / "model.onnx").exists():
            run("train", clean, place / "run", "--recipe", recipe, *sets, "--resume")
        if not (place / "report").exists():
            predictions = place / "predictions.parquet"
            run("predict", place / "run", clean, "-o", predictions, "--overwrite")
            run("evaluate", clean, predictions, "--split", "validation", "-o", place / "report")
    run("compare", *(folder / strategy / "report" for strategy in STRATEGIES))
    print_rows(folder)


def print_rows(folder: Path) -> None:
    """The table of docs/results.md, in Markdown."""
    print("| strategy | way | n | accuracy | macro F1 | κ | AUC | AUC-PR | ECE |")
    print("|---|---|---|---|---|---|---|---|---|")
    for strategy in STRATEGIES:
        scores = open_report(folder / strategy / "report")["categorical"]
        for way in ("orig", "norm"):
            cells = []
            for metric in ("accuracy", "f1", "kappa", "auc", "auc_pr", "ece"):
                s = scores[metric][way]
                cells.append(f"{s['value']:.3f} [{s['low']:.3f}, {s['high']:.3f}]")
            n = scores["accuracy"][way]["n"]
            print(f"| {strategy} | {way} | {n:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
