"""From what a check found to a clean dataset: removals, each named, and groups for the rest."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openaffect.curation.checking import CheckResult, Cluster
from openaffect.dataset import ALONE, Dataset, group_key, save_dataset
from openaffect.errors import InputError, MismatchError, UnknownName
from openaffect.faces.near_search import Components

POLICIES = ("keep", "drop")
"""What may happen to copies."""

GROUP_PREFIX = "same-as:"
"""Starts the name of a group that a check has found; the smallest face_id follows."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A face that a clean dataset leaves out.

    Attributes:
        face_id: of the face.
        reason: why.
        kept_face_id: the copy that stays, or empty where there is none.
    """

    face_id: str
    reason: str
    kept_face_id: str = ""


def clean_dataset(
    dataset: Dataset,
    result: CheckResult,
    path: str | Path,
    *,
    duplicates: str = "keep",
    leaks: str = "drop",
    overwrite: bool = False,
) -> Dataset:
    """Write a dataset without what a check found, linked to the same pictures.

    Rows whose picture or box is broken are left out. Rows that stay and are copies, or lie in
    one picture, get one `group`; groups that were there and meet in this way become one.
    `removed.csv` in the new folder names every row left out and why.

    Args:
        dataset: the dataset that was checked.
        result: what `check_dataset` found in it.
        path: the folder to write.
        duplicates: `keep` copies inside a split, or `drop` all but the one with the smallest id.
        leaks: `drop` faces of `train` that have a copy in `validation` or `test`, so that the
            scored splits stay as they are; or `keep` them.
        overwrite: replace an existing dataset.

    Raises:
        MismatchError: `result` belongs to another dataset, or to another state of this one.
        UnknownName: a policy that is neither `keep` nor `drop`.
        InputError: not one row would be left.
        DestinationExists: `path` exists and `overwrite` is false.
    """
    for name, policy in (("duplicates", duplicates), ("leaks", leaks)):
        if policy not in POLICIES:
            raise UnknownName(f"policy for {name}", policy, POLICIES)
    if result.fingerprint != dataset.fingerprint():
        raise MismatchError(
            f"this check of {result.dataset} does not belong to {dataset.path} as it is now; "
            "check it again"
        )
    removals = choose_removals(result, duplicates=duplicates, leaks=leaks)
    gone = {removal.face_id for removal in removals}
    keep = np.array([face_id not in gone for face_id in dataset.ids], dtype=bool)
    if not keep.any():
        raise InputError(f"nothing of {dataset.path} would be left: all {len(dataset)} rows go")
    kept = dataset.select(keep)
    groups = join_groups(kept.ids, kept.faces["group"].to_pylist(), _links(result))
    return save_dataset(
        kept.with_column("group", groups),
        path,
        overwrite=overwrite,
        files={"removed.csv": _csv(removals)},
    )


def choose_removals(
    result: CheckResult, *, duplicates: str = "keep", leaks: str = "drop"
) -> list[Removal]:
    """The faces that a clean dataset leaves out, each once; see `clean_dataset`."""
    removals = [Removal(face.face_id, f"broken: {face.reason}") for face in result.broken]
    for cluster in result.clusters:
        leaked = list(_leaked(cluster)) if leaks == "drop" else []
        removals += leaked
        if duplicates == "drop":
            removals += _repeated(cluster, {removal.face_id for removal in leaked})
    return removals


def join_groups(
    ids: Sequence[str], groups: Sequence[str | None], links: Iterator[tuple[str, ...]]
) -> list[str | None]:
    """One group for all rows that links or groups connect; others keep theirs, null included.

    A joined group has the smallest name among those that meet, or `same-as:` and the smallest
    face_id where none had a name. Ids in links that are not among `ids` are passed over.
    """
    keys = list(map(group_key, ids, groups))
    of_ids = dict(zip(ids, keys, strict=True))
    pairs = [
        (members[0], member)
        for link in links
        if (members := [of_ids[face_id] for face_id in link if face_id in of_ids])
        for member in members[1:]
        if member != members[0]
    ]
    # The first of a component names it: names of groups come before ids.
    names = sorted({*itertools.chain(*pairs)}, key=lambda key: (key.startswith(ALONE), key))
    places = {name: place for place, name in enumerate(names)}
    components = Components(len(names))
    components.join(
        np.array([places[one] for one, _ in pairs], np.int64),
        np.array([places[other] for _, other in pairs], np.int64),
    )
    joined: list[str | None] = []
    for key, group in zip(keys, groups, strict=True):
        if key not in places:
            joined.append(group)
            continue
        top = names[components.labels[places[key]]]
        joined.append(GROUP_PREFIX + top.removeprefix(ALONE) if top.startswith(ALONE) else top)
    return joined


def _links(result: CheckResult) -> Iterator[tuple[str, ...]]:
    for cluster in result.clusters:
        yield cluster.face_ids
    yield from result.pictures


def _leaked(cluster: Cluster) -> Iterator[Removal]:
    pairs = list(zip(cluster.face_ids, cluster.splits, strict=True))
    scored = next(((i, s) for i, s in pairs if s in ("validation", "test")), None)
    if scored is None:
        return
    for face_id, split in pairs:
        if split == "train":
            yield Removal(face_id, f"copy of a {scored[1]} face", scored[0])


def _repeated(cluster: Cluster, gone: set[str]) -> Iterator[Removal]:
    firsts: dict[str | None, str] = {}
    for face_id, split in zip(cluster.face_ids, cluster.splits, strict=True):
        if face_id in gone:
            continue
        first = firsts.setdefault(split, face_id)
        if first != face_id:
            yield Removal(face_id, "copy inside its split", first)


def _csv(removals: Sequence[Removal]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["face_id", "reason", "kept_face_id"])
    writer.writerows((r.face_id, r.reason, r.kept_face_id) for r in removals)
    return text.getvalue()
