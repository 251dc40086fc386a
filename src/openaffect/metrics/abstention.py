"""Abstention: how sure a model must be, so that what it then says is right often enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.arrays import Floats, numbers, same_length

STEPS = 50
"""A threshold is looked for among so many: those that leave 1/50, 2/50 … of the rows."""

_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class AccuracyPoint:
    """What is left, and how good it is, when a model abstains below a confidence.

    Attributes:
        confidence: the least that is left.
        count: rows that are left.
        share: of all rows.
        accuracy: of those that are left.
        low, high: 95 % interval of the accuracy (Wilson).
    """

    confidence: float
    count: int
    share: float
    accuracy: float
    low: float
    high: float


def share_interval(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927); NaN where n is 0.

    >>> [round(end, 3) for end in share_interval(9, 10)]
    [0.596, 0.982]
    """
    if n == 0:
        return math.nan, math.nan
    p, z2 = count / n, _Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def trace_accuracy(right: ArrayLike, confidence: ArrayLike) -> list[AccuracyPoint]:
    """The accuracy of the surest 1/50, 2/50 … of the rows; ties stay together.

    Args:
        right: bool (n,), whether the row's label is the true one.
        confidence: shape (n,), in [0, 1].
    """
    hits, values, ends = _steps(right, confidence)
    return [
        AccuracyPoint(
            float(values[end - 1]),
            int(end),
            float(end / len(values)),
            float(hits[end - 1] / end),
            *share_interval(int(hits[end - 1]), int(end)),
        )
        for end in ends
    ]


def find_threshold(
    right: ArrayLike, confidence: ArrayLike, accuracy: float, *, certainty: float
) -> float | None:
    """The least confidence above which the accuracy is as wanted, as far as the rows can tell.

    Of `STEPS` thresholds it is the lowest at which the exact lower bound of the accuracy (Clopper and
    Pearson 1934) reaches what is wanted: were the accuracy lower, so many right rows would come with a
    probability of 1 − `certainty` at most.

    Args:
        right: bool (n,), whether the row's label is the true one.
        confidence: shape (n,), in [0, 1].
        accuracy: wanted, in (0, 1).
        certainty: of the bound, in [0.5, 1).

    Returns:
        The threshold, 0 where every row may be labeled; None where no threshold is good enough.

    Raises:
        InputError: numbers out of range.
    """
    if not 0 < accuracy < 1:
        raise InputError(f"expected an accuracy above 0 and below 1, but got {accuracy:g}")
    if not 0.5 <= certainty < 1:
        raise InputError(f"expected a certainty from 0.5 to below 1, but got {certainty:g}")
    hits, values, ends = _steps(right, confidence)
    for end in reversed(ends.tolist()):
        if _chance_of_more(int(hits[end - 1]), end, accuracy) <= 1 - certainty:
            return 0.0 if end == len(values) else float(values[end - 1])
    return None


def find_share_threshold(confidence: ArrayLike, share: float) -> float:
    """The confidence that a share of the rows reaches, 0 for all of them.

    Args:
        confidence: shape (n,), in [0, 1].
        share: wanted, in (0, 1].

    Raises:
        InputError: a share out of range.
    """
    if not 0 < share <= 1:
        raise InputError(f"expected a share above 0 and up to 1, but got {share:g}")
    values = np.sort(numbers(confidence, "confidence"))[::-1]
    count = max(1, round(share * len(values)))
    return 0.0 if count == len(values) else float(values[count - 1])


def _steps(
    right: ArrayLike, confidence: ArrayLike
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Running sums of right rows by falling confidence, these confidences, and where steps end."""
    values = numbers(confidence, "confidence")
    is_right = np.asarray(right, dtype=bool)
    same_length(len(is_right), len(values), "confidence")
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(is_right[order], dtype=np.int64)
    wanted = np.ceil(np.arange(1, STEPS + 1) * len(values) / STEPS).astype(np.int64)
    # A row that ties with the last one of a step belongs to it.
    ends = np.searchsorted(-values, -values[wanted - 1], side="right")
    return hits, values, np.unique(ends).astype(np.int64)


def _chance_of_more(hits: int, n: int, p: float) -> float:
    """The chance of `hits` or more right rows of n, where each is right with probability p."""
    j = np.arange(hits, n + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    terms = logs[n] - logs[j] - logs[n - j] + j * math.log(p) + (n - j) * math.log1p(-p)
    return float(min(1.0, np.exp(terms).sum()))
