"""Five strategies against class imbalance on FER+, cross-validated: docs/results.md.

    python runs/ferplus_strategies.py ferplus.zip FOLDER

Import with majority labels, find duplicates, five folds over training + validation that keep
copies together; a net of 14 million multiply-adds (48 px pictures, 40 px pieces) trained with each
strategy for about the same number of steps; the pooled predictions of all faces are judged, Orig
and Norm, and compared by a paired bootstrap. It takes about 80 minutes on two cores; cut off at any time,
it goes on where it was. Prints the tables of docs/results.md.

With --longer 4, after that: the first fold's model of each strategy once more, trained four times
as long, beside the one there is (another hour).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from openaffect import console
from openaffect.curation import assign_folds, check_dataset, clean_dataset
from openaffect.dataset import Dataset, open_dataset
from openaffect.formats import import_dataset
from openaffect.inference import predict_dataset
from openaffect.labels import parse_labels
from openaffect.model import open_model
from openaffect.predictions import open_predictions
from openaffect.progress import Progress
from openaffect.replication.cross_validation import cross_validate
from openaffect.reports import Report, compare, evaluate
from openaffect.reports.contents import Score
from openaffect.training import Recipe, load_recipe, train
from openaffect.training.progress import TrainingProgress

# Epochs so that each takes about 1,000 steps of 128 faces, whatever rows an epoch has.
EPOCHS = {
    "imbalanced": 6,
    "down-sampling": 23,
    "up-sampling": 2,
    "weighted-loss": 6,
    "class-balanced": 6,
}
FOLDS = 5
SETTINGS = ("size=40", "crops=random", "stop_metric=last", "max_per_class=1000")
METRICS = ("accuracy", "f1", "balanced_accuracy", "kappa", "alpha", "auc", "auc_pr", "ece")


def prepare(archive: Path, folder: Path) -> Dataset:
    """FER+ with its duplicates grouped; no face is dropped."""
    raw, grouped = folder / "raw", folder / "grouped"
    if not raw.exists():
        import_dataset("ferplus", archive, raw, label="majority", name="FER+ (majority)")
    if not grouped.exists():
        opened = open_dataset(raw)
        clean_dataset(opened, check_dataset(opened), grouped, duplicates="keep", leaks="keep")
    return open_dataset(grouped)


def print_classes(dataset: Dataset) -> None:
    """Faces to learn from in a fold, by class, and what the two losses multiply them with."""
    beta = load_recipe("resnet-small-imbalanced").beta
    names = (label.value for label in parse_labels("8"))
    labels = dataset.faces["expression"].to_pylist()
    counts = {name: labels.count(name) * (FOLDS - 1) // FOLDS for name in names}
    rarest = min(counts.values())
    for name, count in counts.items():
        balanced = (1 - beta**count) / (1 - beta**rarest)
        print(
            f"{name}: {count:,} faces; 1 / {count / rarest:.0f} of the rarest's weight in "
            f"weighted-loss, 1 / {balanced:.0f} in class-balanced"
        )


def recipe_of(strategy: str, longer: int = 1) -> Recipe:
    """The recipe of a strategy, for so many times the usual epochs."""
    settings = [*SETTINGS, f"strategy={strategy}", f"epochs={longer * EPOCHS[strategy]}"]
    return load_recipe("resnet-small-imbalanced", settings)


def run(dataset: Dataset, folder: Path, strategy: str) -> Report:
    """One strategy over all folds."""
    recipe = recipe_of(strategy)
    began = time.monotonic()

    def tell(event: Progress) -> None:
        if isinstance(event, TrainingProgress) and event.row is not None:
            row = event.row
            minutes = (time.monotonic() - began) / 60
            console.note(
                f"{strategy}, {event.name}, epoch {row['epoch']}: loss {row['loss']:.3f}, "
                f"held-out f1 {row['stop_f1']:.3f}, {minutes:.0f} min"
            )

    return cross_validate(dataset, folder / strategy, recipe, folds=FOLDS, on_progress=tell)


def train_longer(dataset: Dataset, folder: Path, strategy: str, longer: int) -> list[Report]:
    """The first fold, judged by the model that there is and by one trained so many times as long."""
    scored = assign_folds(dataset, FOLDS, seed=0) == 0
    divided = dataset.with_column("split", np.where(scored, "test", "train").tolist())
    own = folder / strategy / f"1-longer-{longer}"
    began = time.monotonic()
    train(divided, own / "run", recipe_of(strategy, longer), resume=True)
    minutes = (time.monotonic() - began) / 60
    console.note(f"{strategy}, {longer} times as long: trained in {minutes:.0f} min")
    if not (own / "predictions.parquet").is_file():
        predictions = predict_dataset(open_model(own / "run"), divided.where(split="test"))
        predictions.save(own / "predictions.parquet")
    paths = (folder / strategy / "1" / "predictions.parquet", own / "predictions.parquet")
    return [evaluate(divided, open_predictions(path), split="test") for path in paths]


def print_longer(reports: dict[str, list[Report]], longer: int) -> None:
    """Both trainings of each strategy, a line each, in Markdown."""
    names = ("accuracy", "f1")
    columns = [f"{name}, {way}" for way in ("Orig", "Norm") for name in names]
    print(f"\nFold 1, trained as above and {longer} times as long\n")
    print("| strategy | steps | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for strategy, pair in reports.items():
        for report, times in zip(pair, (1, longer), strict=True):
            scores = report.categorical
            cells = [cell(scores[name][way]) for way in ("orig", "norm") for name in names]
            print(f"| {strategy} | {times} × | " + " | ".join(cells) + " |")
    sizes = {way: pair[0].categorical.accuracy[way].n for way in ("orig", "norm")}
    print(f"\nn = {sizes['orig']:,} (Orig), {sizes['norm']:,} (Norm)")


def cell(score: Score | None) -> str:
    """A value with its interval."""
    if score is None or score.value is None:
        return "–"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def print_tables(reports: dict[str, Report]) -> None:
    """The tables of docs/results.md, in Markdown."""
    for way in ("orig", "norm"):
        n = next(iter(reports.values())).categorical.accuracy[way].n
        print(f"\n{way}, n = {n:,}\n")
        print("| strategy | " + " | ".join(METRICS) + " |")
        print("|---" * (len(METRICS) + 1) + "|")
        for name, report in reports.items():
            scores = report.categorical
            cells = [cell(scores[m][way]) for m in METRICS]
            print(f"| {name} | " + " | ".join(cells) + " |")
    names = list(next(iter(reports.values())).per_class)
    print("\nF1 of each class, Orig\n")
    print("| strategy | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for name, report in reports.items():
        cells = [f"{report.per_class[label].f1:.3f}" for label in names]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Every step, the tables and the comparison page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strategies", default=",".join(EPOCHS))
    parser.add_argument("--longer", type=int, default=1, help="train the first fold once more")
    arguments = parser.parse_args()
    dataset = prepare(arguments.archive, arguments.folder)
    print_classes(dataset)
    names = arguments.strategies.split(",")
    reports = {name: run(dataset, arguments.folder, name) for name in names}
    print_tables(reports)
    if len(reports) > 1:
        comparison = compare(list(reports.values()), names=names)
        for table in comparison.tables():
            console.print_table(table.header, table.rows, table.title)
        page = comparison.save(
            arguments.folder / "report.html",
            title="Strategies against class imbalance, FER+, five folds",
            pages=[f"{name}/report/report.html" for name in names],
            overwrite=True,
        )
        print(f"\nthe page: {page}")
    if arguments.longer > 1:
        longer = arguments.longer
        twice = {n: train_longer(dataset, arguments.folder, n, longer) for n in names}
        print_longer(twice, longer)


if __name__ == "__main__":
    main()
