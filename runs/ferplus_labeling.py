"""How well `label` keeps what it promises, on votes that it was never shown: docs/results.md.

    python runs/ferplus_labeling.py ferplus.zip FOLDER

FER+'s training faces with majority labels, copies grouped, are halved by groups. The labels and
votes of one half are hidden. A small net learns from four fifths of the other half, whose last fifth
is held out; `label` fits on this fifth and labels the hidden half. What it says is compared with the
hidden labels. It takes about 20 minutes on two cores; cut off at any time, it goes on where it
was. Prints the lines of docs/results.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from openaffect import console
from openaffect.autolabel import LabelReport, label_faces
from openaffect.curation import assign_folds, check_dataset, clean_dataset
from openaffect.dataset import Dataset, open_dataset, save_dataset
from openaffect.formats import import_dataset
from openaffect.labels import EMOTIONS
from openaffect.metrics import share_interval
from openaffect.model import open_model
from openaffect.progress import Progress
from openaffect.training import load_recipe, train
from openaffect.training.progress import TrainingProgress

EPOCHS = 60
WANTED = 0.95
DIVISIONS = 5  # of the held-out faces into calibration, threshold and report
SETTINGS = ("size=40", "crops=random")
HIDDEN = ("expression", "votes", "soft_label", "expression_origin", "split")


def prepare(archive: Path, folder: Path) -> Dataset:
    """FER+'s training faces with their copies grouped; no face is dropped."""
    raw, grouped = folder / "raw", folder / "grouped"
    if not raw.exists():
        import_dataset("ferplus", archive, raw, label="majority", name="FER+ (majority)")
    if not grouped.exists():
        opened = open_dataset(raw).where(split="train")
        clean_dataset(opened, check_dataset(opened), grouped, duplicates="keep", leaks="keep")
    return open_dataset(grouped)


def hide_half(dataset: Dataset, path: Path, seed: int) -> Dataset:
    """The faces, half of them without labels and split; a fifth of the others is `validation`."""
    if path.exists():
        return open_dataset(path)
    folds = assign_folds(dataset, 10, seed=seed)
    hidden, held = folds < 5, folds == 5
    faces = dataset.faces
    for name in HIDDEN:
        place, values = faces.column_names.index(name), faces[name].combine_chunks()
        if name == "split":
            values = pa.array(np.where(held, "validation", "train").tolist(), pa.string())
        rows = pa.array(np.where(hidden, -1, np.arange(len(faces))), pa.int64())
        rows = pa.array([None if row < 0 else row for row in rows.to_pylist()], pa.int64())
        faces = faces.set_column(place, name, [values.take(rows)])
    half = Dataset(dataset.path, dataset.info, faces)
    return save_dataset(half, path)


def teach(dataset: Dataset, run: Path) -> None:
    """The small net, trained on the faces of the split `train`."""
    began = time.monotonic()

    def tell(event: Progress) -> None:
        if isinstance(event, TrainingProgress) and event.row is not None:
            row, minutes = event.row, (time.monotonic() - began) / 60
            console.note(
                f"epoch {row['epoch']}: held-out f1 {row['stop_f1']:.3f}, {minutes:.0f} min"
            )

    recipe = load_recipe("resnet-small-imbalanced", [*SETTINGS, f"epochs={EPOCHS}"])
    train(dataset, run, recipe, resume=True, on_progress=tell)


def main() -> None:
    """Prepare, train, label, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="ferplus.zip")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    whole = prepare(options.archive, options.folder)
    half = hide_half(whole, options.folder / f"half-{options.seed}", options.seed)
    run = options.folder / f"run-{options.seed}"
    teach(half, run)
    model, reached = open_model(run), []
    for division in range(DIVISIONS):
        out = options.folder / f"out-{options.seed}-{division}"
        made = label_faces(
            half.path,
            out,
            model,
            split="validation",
            accuracy=WANTED,
            seed=division,
            resume=True,
            overwrite=True,
        )
        if division == 0:
            print_result(whole, half, open_dataset(out), made)
        reached.append((division, *achieved(whole, half, open_dataset(out))))
    print("\nother divisions of the held-out faces, the same model:")
    for division, labeled, right, n in reached:
        print(
            f"division {division}: {share(right, labeled)} of {labeled / n:.3f} labeled, n = {n:,}"
        )


def achieved(whole: Dataset, half: Dataset, out: Dataset) -> tuple[int, int, int]:
    """Of the hidden faces with one of the eight labels: labeled ones, right ones, and all."""
    hidden = half.faces["split"].is_null().to_numpy()
    human = np.array(whole.faces["expression"].to_pylist(), object)[hidden]
    said = np.array(out.faces["expression"].to_pylist(), object)[hidden]
    emotion = np.isin(human, [*map(str, EMOTIONS)])
    given = emotion & np.array([label is not None for label in said])
    return int(given.sum()), int((given & (said == human)).sum()), int(emotion.sum())


def print_result(whole: Dataset, half: Dataset, out: Dataset, made: LabelReport) -> None:
    """What was wanted and promised, and what the hidden labels say."""
    told, hidden = made.data["expression"], half.faces["split"].is_null().to_numpy()
    assert out.ids == whole.ids
    human = np.array(whole.faces["expression"].to_pylist(), object)[hidden]
    said = np.array(out.faces["expression"].to_pylist(), object)[hidden]
    sets = [
        one
        for one, is_hidden in zip(out.faces["expression_set"].to_pylist(), hidden, strict=True)
        if is_hidden
    ]
    emotion = np.isin(human, [*map(str, EMOTIONS)])
    given = np.array([label is not None for label in said])
    used = made.data["protocol"]["used_for"]
    print(
        f"held-out faces: {used}; {emotion.sum():,} of {len(human):,} hidden faces have one of eight labels"
    )
    print(
        f"wanted {WANTED:g}; on the held-out faces for the report {told['accuracy']['value']:.3f} "
        f"[{told['accuracy']['low']:.3f}, {told['accuracy']['high']:.3f}] of "
        f"{told['labeled']['value']:.3f} labeled, n = {told['n']:,}"
    )
    print(
        "\n| hidden faces | n | labeled | accuracy of labels | coverage of sets |\n|---|---|---|---|---|"
    )
    rows = [("eight expressions", emotion)]
    rows += [(label.value, human == label.value) for label in EMOTIONS]
    for name, mine in rows:
        right = given & mine & (said == human)
        covered = sum(
            label in one
            for label, one in zip(human[mine], np.array(sets, object)[mine], strict=True)
        )
        cells = [
            share(int((given & mine).sum()), int(mine.sum())),
            share(int(right.sum()), int((given & mine).sum())),
            share(covered, int(mine.sum())),
        ]
        print(f"| {name} | {mine.sum():,} | " + " | ".join(cells) + " |")
    right = given & (said == human)
    print(
        f"\nall {len(human):,} hidden faces, where people put elsewhere counts as wrong: "
        f"{share(int(right.sum()), int(given.sum()))} of {share(int(given.sum()), len(human))} labeled"
    )
    sizes = np.array([len(one) for one in sets])[emotion]
    print(f"set size on the eight: mean {sizes.mean():.2f}, empty {np.mean(sizes == 0):.3f}")


def share(count: int, n: int) -> str:
    """A share with its 95 % interval."""
    if not n:
        return "–"
    low, high = share_interval(count, n)
    return f"{count / n:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
