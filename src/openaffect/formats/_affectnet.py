"""What the formats of AffectNet share: −2 for no affect, the sets, and counts that tell copies apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from openaffect.dataset_writer import DatasetWriter
from openaffect.formats._sources import find_root
from openaffect.labels import EMOTIONS

LICENSE = "AffectNet's own license: granted on request, pictures may not be passed on"

ABSENT = -2.0
"""What AffectNet prints for valence and arousal where there are none."""

TRAIN_COUNTS = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750)
"""Training faces of ids 0–7 in the public release."""

SETS = {
    "train": ("train_set", "train"),
    "validation": ("val_set", "val"),
    "test": ("test_set", "test"),
}
"""The folder of each split, and what its ids start with. The test set was never released;
`test_set` is what an export of ours calls it."""

SET_FOLDERS = {
    "train_set": "train",
    "val_set": "validation",
    "validation_set": "validation",
    "test_set": "test",
}

_JUDGED_FROM = 2_000
"""Below this many training faces the class counts say too little about the order of ids."""


def null_if_missing(
    valence: float | None, arousal: float | None
) -> tuple[float | None, float | None]:
    """Valence and arousal, or two times None where both are −2."""
    return (None, None) if valence == ABSENT and arousal == ABSENT else (valence, arousal)


def find_sets(path: Path, suffix: str) -> Path | None:
    """The folder that holds `train_set/` or another set with annotations of an ending."""

    def fits(folder: Path) -> bool:
        return any(_has(folder / name / "annotations", suffix) for name in SET_FOLDERS)

    return find_root(path, fits)


def _has(folder: Path, suffix: str) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(suffix) for entry in entries)


def sets_in(root: Path) -> list[tuple[str, Path]]:
    """The split and the folder of every set that is there."""
    return [(split, root / name) for name, split in SET_FOLDERS.items() if (root / name).is_dir()]


def annotation_stems(folder: Path, suffix: str) -> Iterator[str]:
    """What stands before an ending in the names of a set's annotations, in no order.

    A set without annotations gives none: its pictures are rejected one by one.
    """
    place = folder / "annotations"
    if place.is_dir():
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.endswith(suffix):
                    yield entry.name.removesuffix(suffix)


def reject_unlabeled(writer: DatasetWriter, folder: Path, suffix: str) -> None:
    """Name the pictures of a set without an annotation, whose names end in `suffix`."""
    images, start = folder / "images", SETS[SET_FOLDERS[folder.name]][1]
    if not images.is_dir():
        return
    with os.scandir(images) as entries:
        for entry in entries:
            stem = os.path.splitext(entry.name)[0]
            hidden = entry.name.startswith(".")
            if not hidden and not os.path.lexists(f"{folder}/annotations/{stem}{suffix}"):
                where = f"{folder.name}/images/{entry.name}"
                writer.reject("picture without an annotation", f"{start}/{stem}", where)


def notes_from_counts(classes: Mapping[tuple[str | None, str | None], int]) -> list[str]:
    """What the class counts of an AffectNet copy tell that no single row can show.

    Args:
        classes: number of faces by split and expression.
    """
    notes = []
    validation = sum(count for (split, _), count in classes.items() if split == "validation")
    train = [classes.get(("train", expression), 0) for expression in EMOTIONS]
    if validation == 3_999:
        notes.append(
            "validation has 3,999 faces, as the copies on disk do; the release is described with "
            "4,000 (one Contempt face is missing), so scores differ slightly from such papers"
        )
    if ids_look_alphabetical(train):
        notes.append(
            "ids look alphabetical: the class counts of train fit AffectNet's when 0 is anger, "
            "1 contempt, 2 disgust … rather than 0 neutral, 1 happy, 2 sad …; every label may be wrong"
        )
    return notes


def ids_look_alphabetical(train: list[int]) -> bool:
    """Whether training counts by id 0–7 fit AffectNet's in the order of the alphabet, not its own.

    >>> ids_look_alphabetical(list(TRAIN_COUNTS))
    False
    """
    # A copy without Contempt has seven ids in both orders.
    present = 8 if train[7] else 7
    if sum(train[:present]) < _JUDGED_FROM:
        return False
    known = dict(zip(EMOTIONS[:present], TRAIN_COUNTS, strict=False))
    seen = np.array(train[:present], float)
    own = np.array(list(known.values()), float)
    alphabetical = np.array([known[expression] for expression in sorted(known)], float)
    return _distance(seen, alphabetical) < 0.5 * _distance(seen, own)


def _distance(counts: np.ndarray, others: np.ndarray) -> float:
    """Half the summed difference of shares, in [0, 1]."""
    return float(np.abs(counts / counts.sum() - others / others.sum()).sum() / 2)
