"""Valence and arousal learned from synthetic faces, by Euclidean loss and by 1 − CCC: docs/results.md.

    python runs/drawn_affect.py FOLDER

6,000 synthetic faces to learn from and 1,000 others to score, all expressions alike, at 128 px; the
small net on 48 px, 10 epochs, three seeds each. The truth is what the faces were drawn with, so this
shows that the machinery learns what there is to learn, nothing about photographs. About twenty minutes
on two cores; cut off, it goes on where it was. Prints the table of docs/results.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from openaffect import console
from openaffect.dataset import Dataset, open_dataset
from openaffect.inference import predict_dataset
from openaffect.labels import Expression
from openaffect.model import open_model
from openaffect.progress import relabel
from openaffect.reports import Report, evaluate
from openaffect.synthetic.dataset import even_counts, synthesize_dataset
from openaffect.training import load_recipe, train

LOSSES = ("euclidean", "ccc")
SEEDS = (0, 1, 2)
SETTINGS = ("target=affect", "stop_metric=ccc", "epochs=10", "batch_size=64")


def draw(folder: Path) -> Dataset:
    """The faces, drawn once."""
    path = folder / "faces"
    if not path.exists():
        counts: dict[str | None, dict[Expression, int]] = {
            "train": even_counts(6000),
            "test": even_counts(1000),
        }
        with console.show_progress("drawing", 7000) as on_progress:
            synthesize_dataset(
                path, counts, seed=0, size=128, name="synthetic faces", on_progress=on_progress
            )
    return open_dataset(path)


def run(dataset: Dataset, folder: Path, loss: str, seed: int) -> Report:
    """One training, judged."""
    settings = [*SETTINGS, f"affect_loss={loss}", f"seed={seed}"]
    recipe = load_recipe("resnet-small-imbalanced", settings)
    place = folder / f"{loss}-{seed}"
    with console.show_progress() as on_progress:
        tell = relabel(on_progress, name=place.name)
        train(dataset, place / "run", recipe, resume=True, on_progress=tell)
    scored = dataset.where(split="test")
    report = evaluate(dataset, predict_dataset(open_model(place / "run"), scored))
    report.save(place / "report", dataset=dataset, overwrite=True)
    return report


def main() -> None:
    """Every training, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    dataset = draw(folder)
    print("| loss | seed | n | valence CCC | RMSE | arousal CCC | RMSE |")
    print("|---" * 7 + "|")
    for loss in LOSSES:
        for seed in SEEDS:
            scores = run(dataset, folder, loss, seed).dimensional
            cells = [
                f"{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]"
                for axis in ("valence", "arousal")
                for s in (scores[axis].ccc, scores[axis].rmse)
            ]
            n = scores.valence.ccc.n
            print(f"| {loss} | {seed} | {n:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
