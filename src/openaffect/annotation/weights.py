"""Weights of faces where it was not left to chance who is rated twice.

Within a batch the faces with two ratings are taken as a random share of its faces; each of them
stands for as many faces as the batch has per such face. A study that puts more of a hard batch
before two people would else report the agreement on hard faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.judgments import Judgments
from openaffect.metrics.arrays import Floats


@dataclass(frozen=True, slots=True)
class Stratum:
    """The faces of one batch.

    Attributes:
        batch: its name; "" for faces without one.
        faces: with a rating.
        faces_rated_twice: with two or more.
        weight: how many faces one that was rated twice stands for; None where there is none.
    """

    batch: str
    faces: int
    faces_rated_twice: int
    weight: float | None


def weigh_back(
    judged: Judgments, rows: NDArray[np.bool_], counts: NDArray[np.int64]
) -> tuple[Floats | None, tuple[Stratum, ...]]:
    """The weight of each face, (n_faces,), and its batches; None and no batch where all are equal.

    Args:
        judged: the annotations.
        rows: which of them count, (n,).
        counts: ratings of each face, (n_faces, 11).

    The batch of a face is that of its first rating.
    """
    batch = _first_batches(judged, rows)
    sizes = counts.sum(axis=1)
    names = [*judged.batches, ""]
    twice = np.bincount(batch[sizes >= 2], minlength=len(names))
    faces = np.bincount(batch[sizes >= 1], minlength=len(names))
    there = np.flatnonzero(faces)
    rates = twice[there] / faces[there]
    if not twice.any() or np.ptp(rates) == 0:
        return None, ()
    ratio = np.divide(faces, twice, out=np.ones(len(names)), where=twice > 0)
    strata = tuple(
        Stratum(names[b], int(faces[b]), int(twice[b]), float(ratio[b]) if twice[b] else None)
        for b in sorted(there, key=lambda b: names[b])
    )
    return ratio[batch], strata


def _first_batches(judged: Judgments, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of each face's batch, (n_faces,); the last number for faces without one."""
    chosen = np.flatnonzero(rows)
    order = chosen[np.lexsort((judged.at[chosen], judged.face[chosen]))]
    faces, first = np.unique(judged.face[order], return_index=True)
    batch = np.full(judged.n_faces, len(judged.batches), np.int64)
    found = judged.batch[order[first]]
    batch[faces] = np.where(found < 0, len(judged.batches), found)
    return batch
