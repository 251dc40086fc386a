"""What could be changed of the default model after its training, and what each gives: docs/results.md.

    python runs/default_model_choices.py FOLDER      # of runs/default_model.py

Scores divided by the classes' shares in train to the power of τ (logit adjustment, Menon et al. 2021), the
mean over a face and its mirror image, the offsets that the model as given carries, and, beside them, what
the first training alone gave; on the share of train that was held out, and on FER+ validation, which
only shows what came of it. Prints the table of docs/results.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.curation import derive_affect
from openaffect.dataset import Dataset, open_dataset
from openaffect.model import Model, open_model
from openaffect.training import load_recipe
from openaffect.training.targets import choose_targets, own_labels, train_val_split

POWERS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
Floats = NDArray[np.floating]


def predict(model: Model, images: NDArray[np.uint8]) -> Floats:
    """Probabilities of crops, in the order of the card's labels."""
    parts = [model.predict(images[i : i + 64]).probabilities for i in range(0, len(images), 64)]
    return np.concatenate([part for part in parts if part is not None])


def score(truth: NDArray[np.integer], probabilities: Floats) -> list[str]:
    """Accuracy, macro F1, and F1 of disgust and contempt."""
    k = probabilities.shape[1]
    matrix = metrics.confusion_matrix(truth, probabilities.argmax(1), k)
    f1 = np.nan_to_num(metrics.f1(matrix))
    accuracy = float(np.trace(matrix) / matrix.sum())
    return [f"{value:.3f}" for value in (accuracy, f1.mean(), f1[5], f1[7])]


def main() -> None:
    """Both sets, every change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    dataset = derive_affect(open_dataset(folder / "clean"))
    recipe = load_recipe(folder / "second" / "recipe.toml")
    first, model, given = (
        open_model(folder / name) for name in ("first", "half.onnx", "default.onnx")
    )
    learned, held = train_val_split(
        dataset, choose_targets(dataset, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    shares = learned.shares.mean(axis=0)
    sets: list[tuple[Floats, Floats, Floats, Floats, NDArray[np.int64]]] = []

    def look(rows: Dataset) -> None:
        labels = own_labels(rows, model.card.labels)
        scored = np.flatnonzero(labels.any(axis=1))
        images = np.stack([rows.image(int(row)) for row in scored])
        straight, mirrored = predict(model, images), predict(model, images[:, :, ::-1])
        others = (predict(given, images), predict(first, images))
        sets.append((straight, mirrored, *others, labels[scored].argmax(axis=1)))

    look(dataset.select(held.rows.tolist()))
    look(dataset.where(split="validation"))
    counts = [len(truth) for *_, truth in sets]
    print(f"held out: {counts[0]:,} faces; validation: {counts[1]:,} faces")
    columns = ("accuracy", "macro F1", "disgust", "contempt")
    print(
        "| change | "
        + " | ".join(f"{place}: {c}" for place in ("held out", "validation") for c in columns)
        + " |"
    )
    print("|---" * 9 + "|")
    for power in POWERS:
        cells = [c for p, _, _, _, truth in sets for c in score(truth, p / shares**power)]
        print(f"| τ = {power} | {' | '.join(cells)} |")
    cells = [c for p, q, _, _, truth in sets for c in score(truth, (p + q) / 2)]
    print(f"| with its mirror image | {' | '.join(cells)} |")
    cells = [c for *_, lifted, _, truth in sets for c in score(truth, lifted)]
    print(f"| offsets, as given | {' | '.join(cells)} |")
    cells = [c for *_, before, truth in sets for c in score(truth, before)]
    print(f"| the first training alone | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
