"""Batches: which faces people label, in which order, and which of them several people label.

The order goes round the strata, so that every expression comes early; within one the faces of which
a model is least sure come first. The faces that several people label are a random share of each
stratum: so agreement on them speaks for the whole batch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.errors import FormatError, InputError
from openaffect.labels import EXPRESSIONS
from openaffect.predictions import Predictions, open_predictions
from openaffect.project import Project, tasks
from openaffect.project.tasks import Candidate, Filter, Task

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch holds.

    Attributes:
        faces: number of faces.
        overlapping: those that several people label.
        balanced_by: `intended` where the search was for an expression, `prediction` where a model
            has said one, else `random`.
        strata: number of faces by expression; "" for those of which nothing is known.
        made: whether the batch exists now.
    """

    faces: int
    overlapping: int
    balanced_by: str
    strata: dict[str, int]
    made: bool


def make_batch(
    project: Project,
    name: str,
    which: Filter | None = None,
    *,
    overlap: int | None = None,
    overlap_share: float | None = None,
    people: Sequence[int] | None = None,
    predictions: str | Path | None = None,
    only_predicted: bool = False,
    seed: int = 0,
    plan: bool = False,
) -> BatchPlan:
    """Make a batch of the faces that a filter finds and that are in no batch yet.

    Args:
        project: they are in.
        name: of the batch.
        which: all faces by default.
        overlap: how many people label a face of the shared part; `annotation.overlap` by default.
        overlap_share: how large that part is; `annotation.overlap_share` by default.
        people: numbers of those who work on it; everybody by default.
        predictions: a table of `predict` for these faces, or a dataset of `label`, which has one: the
            order follows its confidence, and it may be shown to annotators
            (`annotation.prelabel_shown`).
        only_predicted: take only faces of which the predictions say something.
        seed: of every choice by chance.
        plan: only say what the batch would hold.

    Raises:
        InputError: a value out of range, or a batch of no face.
        FormatError: no predictions.
        ConflictError: the name is taken.
    """
    settings = project.settings.annotation
    overlap = settings.overlap if overlap is None else overlap
    share = settings.overlap_share if overlap_share is None else overlap_share
    which = which or Filter()
    _check(name, which, overlap, share)
    said = {} if predictions is None else _read_prelabels(_open(Path(predictions)))
    chance = random.Random(seed)
    with project.database.read() as connection:
        found = tasks.find_candidates(connection, which)
    if only_predicted:
        found = [one for one in found if one.face_id in said]
    if which.limit is not None and len(found) > which.limit:
        found = sorted(chance.sample(found, which.limit), key=lambda one: one.number)
    if not found:
        raise InputError("expected faces for a batch, but the filter finds none without one")
    strata, balanced_by = _stratify(found, said)
    ordered = _order(strata, said, overlap, share, chance)
    if not plan:
        with project.database.write() as connection:
            tasks.insert_batch(
                connection,
                name.strip(),
                ordered,
                overlap=overlap,
                overlap_share=share,
                balanced_by=balanced_by,
                people=people,
                chosen={key: value for key, value in asdict(which).items() if value is not None},
                seed=seed,
            )
    return BatchPlan(
        faces=len(ordered),
        overlapping=sum(task.wanted > 1 for task in ordered),
        balanced_by=balanced_by,
        strata={name: len(strata[name]) for name in sorted(strata)},
        made=not plan,
    )


def make_first_batch(project: Project) -> BatchPlan | None:
    """A batch of all faces where the project has faces and no batch; None where it has one."""
    with project.database.read() as connection:
        if tasks.list_batches(connection) or not tasks.count_faces_without_batch(connection):
            return None
    return make_batch(project, "all")


def count_waiting(project: Project) -> int:
    """How many faces are in no batch."""
    with project.database.read() as connection:
        return tasks.count_faces_without_batch(connection)


def _check(name: str, which: Filter, overlap: int, share: float) -> None:
    name = name.strip()
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or "/" in name:
        raise InputError(
            f"expected a name of 1 to {_LONGEST_NAME} printable characters without a slash, but "
            f"got {name[:_LONGEST_NAME]!r}"
        )
    if overlap < 1 or not 0 <= share <= 1:
        raise InputError(
            "expected an overlap of 1 or more people and a share in [0, 1], but got "
            f"{overlap} and {share:g}"
        )
    strange = [one for one in which.intended or () if one not in EXPRESSIONS]
    if strange:
        raise InputError(f"expected intended to be one of {', '.join(EXPRESSIONS)}")
    if which.limit is not None and which.limit < 1:
        raise InputError(f"expected a limit of 1 or more faces, but got {which.limit}")


def _stratify(
    found: Sequence[Candidate], said: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, list[Candidate]], str]:
    """The faces by the expression that was hoped for, or else predicted; and which of the two."""
    by_intended = any(one.intended for one in found)
    balanced_by = "intended" if by_intended else "prediction" if said else "random"
    strata: dict[str, list[Candidate]] = {}
    for one in found:
        predicted = said.get(one.face_id, {}).get("expression")
        strata.setdefault(one.intended or predicted or "", []).append(one)
    return strata, balanced_by


def _order(
    strata: Mapping[str, list[Candidate]],
    said: Mapping[str, Mapping[str, Any]],
    overlap: int,
    share: float,
    chance: random.Random,
) -> list[Task]:
    """Round the strata, the least sure first, a share of each for several people."""
    columns = []
    for name in sorted(strata):
        faces = list(strata[name])
        chance.shuffle(faces)  # among faces of the same confidence, and those without one
        shared = {one.number for one in faces[: round(share * len(faces))]}
        faces.sort(key=lambda one: said.get(one.face_id, {}).get("confidence", 1.0))
        columns.append(
            [
                Task(
                    one.number,
                    overlap if one.number in shared else 1,
                    said.get(one.face_id),
                )
                for one in faces
            ]
        )
    rounds = chain.from_iterable(zip_longest(*columns))
    return [task for task in rounds if task is not None]


def _open(path: Path) -> Predictions:
    """The predictions in a file, or of a dataset that `label` made."""
    if not path.is_dir():
        return open_predictions(path)
    if not (path / "predictions.parquet").is_file():
        raise FormatError(
            f"expected a dataset of `openaffect label` or a table of `openaffect predict`, but {path} "
            "has no predictions.parquet"
        )
    return open_predictions(path / "predictions.parquet")


def _read_prelabels(found: Predictions) -> dict[str, dict[str, Any]]:
    """What a model says of each face: expression, confidence, valence and arousal."""
    said: dict[str, dict[str, Any]] = {}
    names = [str(name) for name in found.labels]
    for row, face_id in enumerate(found.ids):
        one: dict[str, Any] = {}
        if found.probabilities is not None and not np.isnan(found.probabilities[row]).any():
            best = int(np.argmax(found.probabilities[row]))
            confidence = round(float(found.probabilities[row, best]), 4)
            one |= {"expression": names[best], "confidence": confidence}
        if found.affect is not None and not np.isnan(found.affect[row]).any():
            valence, arousal = (round(float(value), 4) for value in found.affect[row])
            one |= {"valence": valence, "arousal": arousal}
        if one:
            said[face_id] = one
    return said
