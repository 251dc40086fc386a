"""`CHANGES.csv`: what is not as in the release before."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from openaffect import tables
from openaffect.dataset import Dataset, open_dataset
from openaffect.errors import InputError
from openaffect.withdrawals import hash_text

FILE = "CHANGES.csv"
_COMPARED = ("expression", "valence", "arousal", "split")


def write_changes(now: Dataset, before: Path | None, folder: Path) -> dict[str, int]:
    """Write what was added, relabeled, moved to another split or withdrawn; how many of each.

    A face that is gone is named by the SHA-256 of its face_id.

    Args:
        now: the faces of this release.
        before: the folder `table` of the release before, or None for the first.
        folder: of this release.

    Raises:
        FormatError: `before` is no table of a release.
        InputError: a face of its test split is in another split now.
    """
    counts = {"added": 0, "relabeled": 0, "moved": 0, "withdrawn": 0}
    old = _rows(open_dataset(before)) if before is not None else {}
    with (folder / FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["face_id", "change", "before", "after"])
        if before is None:
            return counts
        new = _rows(now)
        for face_id in sorted(new):
            change = _compare(face_id, old.get(face_id), new[face_id])
            if change is not None:
                counts[change] += 1
                known = old.get(face_id)
                writer.writerow([face_id, change, _text(known), _text(new[face_id])])
        for digest in sorted(hash_text(face_id) for face_id in old.keys() - new.keys()):
            counts["withdrawn"] += 1
            writer.writerow([f"sha256:{digest}", "withdrawn", "", ""])
    return counts


def _rows(dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    rows = tables.iterate_rows(dataset.faces, ("face_id", *_COMPARED))
    return {row["face_id"]: tuple(row[name] for name in _COMPARED) for row in rows}


def _compare(face_id: str, old: tuple[Any, ...] | None, new: tuple[Any, ...]) -> str | None:
    if old is None:
        return "added"
    if old[-1] == "test" != new[-1]:
        raise InputError(
            f"face {face_id} was in the test split of the release before and is in {new[-1]} now; "
            "a test face stays one: split the dataset so, or leave --previous out"
        )
    if old[:-1] != new[:-1]:
        return "relabeled"
    return "moved" if old != new else None


def _text(values: tuple[Any, ...] | None) -> str:
    return "" if values is None else " ".join("" if one is None else str(one) for one in values)
