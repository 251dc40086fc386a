"""Do conformal sets hold as many human labels as they say? docs/labeling.md has the figures.

    python runs/conformal_coverage.py ferplus.zip photos.zip FOLDER

The default model predicts FER+ validation (majority labels, eight classes). Fifty seeded halves: the bounds come from
one half, coverage and set size from the other, over all classes together and within each class. The
bounds of all of FER+ validation then make sets for other photographs, where nothing is promised.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.faces import find_faces
from openaffect.formats import import_dataset
from openaffect.inference import predict_dataset
from openaffect.labels import EMOTIONS
from openaffect.model import Model, open_model
from openaffect.predictions import open_predictions

HALVES = 50
COVERAGE = 0.9
NAMES = [label.value for label in EMOTIONS]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ferplus", type=Path, help="ferplus.zip")
    parser.add_argument("photos", type=Path, help="photos.zip")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = open_model("default")
    ferplus = options.folder / "ferplus"
    if not ferplus.exists():
        import_dataset("ferplus", options.ferplus, ferplus, label="majority")
    held = open_dataset(ferplus).where(split="validation", expression=NAMES)
    truth, p = answers(held, model, options.folder / "held.parquet")
    print(f"FER+ validation: {len(truth):,} faces, {HALVES} halves, wanted {COVERAGE:g}\n")
    for by_class in (False, True):
        halves(truth, p, by_class=by_class)
    photos = options.folder / "photos"
    if not photos.exists():
        import_dataset("csv", options.photos, options.folder / "whole")
        box_faces(open_dataset(options.folder / "whole"), photos)
    other, q = answers(open_dataset(photos), model, options.folder / "photos.parquet")
    for by_class in (False, True):
        sets = metrics.make_sets(q, metrics.fit_sets(truth, p, COVERAGE, by_class=by_class))
        covered = sets[np.arange(len(other)), other]
        low, high = metrics.share_interval(int(covered.sum()), len(other))
        how = "within each class" if by_class else "over all classes"
        print(
            f"photos, bounds of FER+ validation {how}: coverage {covered.mean():.3f} "
            f"[{low:.3f}, {high:.3f}], {len(other):,} faces, {sets.sum(axis=1).mean():.2f} in a set"
        )


def answers(dataset: Dataset, model: Model, path: Path) -> tuple[Integers, Floats]:
    """Human labels as positions, and the model's probabilities, of faces that it could read."""
    if not path.exists():
        predict_dataset(model, dataset).save(path)
    found = open_predictions(path)
    p = found.probabilities[found.align(dataset.ids)]
    truth = np.array([NAMES.index(name) for name in dataset.faces["expression"].to_pylist()])
    good = ~np.isnan(p[:, 0])
    return truth[good], p[good]


def halves(truth: Integers, p: Floats, *, by_class: bool) -> None:
    """Print coverage and set size over the halves."""
    coverage, sizes, by, counts = [], [], [], []
    for seed in range(HALVES):
        order = np.random.default_rng(seed).permutation(len(truth))
        fit, new = order[: len(truth) // 2], order[len(truth) // 2 :]
        sets = metrics.make_sets(
            p[new], metrics.fit_sets(truth[fit], p[fit], COVERAGE, by_class=by_class)
        )
        holds = sets[np.arange(len(new)), truth[new]]
        coverage.append(holds.mean())
        sizes.append(sets.sum(axis=1).mean())
        of_class = [truth[new] == c for c in range(len(NAMES))]
        by.append([holds[mine].mean() if mine.any() else np.nan for mine in of_class])
        counts.append([mine.sum() for mine in of_class])
    how = "within each class" if by_class else "over all classes together"
    print(
        f"bounds {how}: mean coverage {np.mean(coverage):.4f} (of single halves "
        f"{np.min(coverage):.3f} to {np.max(coverage):.3f}), mean set size {np.mean(sizes):.2f}\n"
    )
    print(
        "| expression | faces | mean coverage | two standard errors of one half |\n|---|---|---|---|"
    )
    for name, values, n, whole in zip(
        NAMES,
        np.transpose(by),
        np.mean(counts, axis=0),
        np.bincount(truth, minlength=8),
        strict=True,
    ):
        # Of the faces that are judged and of those that the bound came from.
        error = 2 * np.sqrt(2 * COVERAGE * (1 - COVERAGE) / n)
        print(f"| {name} | {whole:,} | {np.nanmean(values):.3f} | {error:.3f} |")
    print()


def box_faces(whole: Dataset, path: Path) -> None:
    """The photographs with the box of their largest face; those without one are left out."""
    with write_dataset(path, images=whole.images_folder) as writer:
        for row in whole.faces.to_pylist():
            found = find_faces(whole.images_folder / row["image"])
            if found and row["expression"] in NAMES:
                box = found[0].box
                label = EMOTIONS[NAMES.index(row["expression"])]
                writer.add(
                    FaceRow(
                        row["face_id"],
                        row["image"],
                        box=(box.x, box.y, box.w, box.h),
                        expression=label,
                        expression_origin="human",
                    )
                )


if __name__ == "__main__":
    main()
