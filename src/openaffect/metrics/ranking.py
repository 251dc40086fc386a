"""Metrics from scores: top-k accuracy, area under the ROC and precision–recall curves.

Each class is sorted once. A resampled data set is then a row of integer weights over the
same order, so that a thousand bootstrap rounds need a thousand running sums, not sorts.
Ties are one step of the curve, as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.arrays import (
    Counts,
    Floats,
    Integers,
    class_positions,
    distributions,
    ratio,
    same_length,
)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The rows of one class against the rest, in falling order of score, cut at ties.

    A step is a set of rows with one score and at least one positive row; there are s.

    Attributes:
        order: shape (n,), rows by falling score.
        hits: shape (p,), the positive rows in that order.
        last: shape (s,), place in `hits` of the last positive row of each step.
        above: shape (s,), how many rows score more than the step.
        through: shape (s,), how many rows score as much or more.
    """

    order: NDArray[np.intp]
    hits: NDArray[np.intp]
    last: NDArray[np.intp]
    above: NDArray[np.intp]
    through: NDArray[np.intp]


def rank_rows(positive: ArrayLike, scores: ArrayLike) -> Ranking:
    """Sort rows by falling score and find the steps.

    Args:
        positive: bool, shape (n,), whether the row is of the class.
        scores: shape (n,), finite; higher means more likely.
    """
    yes, values = _checked(positive, scores)
    order = np.argsort(-values, kind="stable")
    starts, group = _tie_groups(values[order])
    ends = np.append(starts[1:], len(order))
    places = np.flatnonzero(yes[order])
    step_of = group[places]
    last = np.flatnonzero(np.append(step_of[1:] != step_of[:-1], True)[: len(places)])
    steps = step_of[last]
    return Ranking(order, order[places], last, starts[steps], ends[steps])


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeights:
    """Integer weights of b data sets, several to a 64-bit word, so that one sum adds them all.

    Four data sets share a word while each has fewer than 65,536 rows, else two. No sum over
    rows can carry into the neighbor, as none is above its data set's total.

    Attributes:
        words: uint64, shape (⌈b / lanes⌉, n).
        total: int64, shape (b,), rows of each data set.
        lane: the type of one weight in a word.
    """

    words: NDArray[np.uint64]
    total: Counts
    lane: np.dtype[np.uint16] | np.dtype[np.uint32]

    def unpack(self, words: NDArray[np.uint64]) -> Floats:
        """Sums of words, shape (⌈b / lanes⌉, s), as numbers of shape (b, s)."""
        groups, s = words.shape
        lanes = words.view(self.lane).reshape(groups, s, -1).transpose(0, 2, 1)
        result: Floats = lanes.astype(np.float64, order="C").reshape(-1, s)[: len(self.total)]
        return result


def pack_weights(weights: Integers) -> PackedWeights:
    """Weights ≥ 0 of shape (b, n), how often each row occurs in each data set, as words.

    Raises:
        InputError: another shape, a type that is not integer, or a negative weight.
    """
    if weights.ndim != 2 or not np.issubdtype(weights.dtype, np.integer):
        raise InputError(
            f"weights need integers of shape (b, n), but are {weights.dtype} {weights.shape}"
        )
    if weights.size and weights.min() < 0:
        raise InputError(f"weights need to be 0 or more, but one is {weights.min()}")
    b, n = weights.shape
    total: Counts = weights.sum(axis=1, dtype=np.int64)
    lane = np.dtype(np.uint16) if total.max(initial=0) < 2**16 else np.dtype(np.uint32)
    lanes = 8 // lane.itemsize
    padded = np.zeros((-(-b // lanes) * lanes, n), dtype=lane)
    padded[:b] = weights
    packed = np.ascontiguousarray(padded.reshape(-1, lanes, n).transpose(0, 2, 1))
    return PackedWeights(packed.view(np.uint64)[..., 0], total, lane)


def areas(ranking: Ranking, weights: PackedWeights) -> tuple[Floats, Floats]:
    """ROC AUC and average precision of many weighted data sets, from one set of running sums.

    Returns:
        Two arrays of shape (b,) in [0, 1]. AUC is NaN without positive or without negative
        rows, average precision without positive rows.
    """
    if ranking.hits.size == 0:
        nothing = np.full(len(weights.total), np.nan)
        return nothing, nothing
    words = weights.words
    running = np.zeros((len(words), len(ranking.order) + 1), dtype=np.uint64)
    np.cumsum(words.take(ranking.order, axis=1), axis=1, out=running[:, 1:])
    found_words = np.cumsum(words.take(ranking.hits, axis=1), axis=1)
    if len(ranking.last) < len(ranking.hits):
        found_words = found_words.take(ranking.last, axis=1)
    above = weights.unpack(running.take(ranking.above, axis=1))
    through = weights.unpack(running.take(ranking.through, axis=1))
    found = weights.unpack(found_words)
    positives = found[:, -1].copy()
    steps = found.copy()
    steps[:, 1:] -= found[:, :-1]
    # twice the negatives above a step plus the negatives in it; ties count half
    above += through
    above -= found
    above -= found
    above += steps
    lost = np.einsum("bs,bs->b", steps, above)
    auc = 1 - ratio(lost, 2 * positives * (weights.total - positives))
    np.maximum(through, 1.0, out=through)  # a step of no weight: 0/1
    found /= through
    return auc, ratio(np.einsum("bs,bs->b", steps, found), positives)


def roc_auc(truth: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Area under the ROC curve of each class against the rest; shape (k,), in [0, 1].

    The chance that a row of the class scores higher than another row; a tie counts half.
    NaN for a class without positive or without negative rows.

    Args:
        truth: shape (n,), positions 0 to k − 1.
        probabilities: shape (n, k), no failed rows.

    >>> roc_auc([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]]).tolist()
    [0.5, 0.5]
    """
    return _per_class(truth, probabilities)[0]


def average_precision(truth: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Area under the precision–recall curve of each class; shape (k,), in [0, 1].

    Σ (recall_i − recall_{i−1}) · precision_i over the distinct scores, without interpolation.
    NaN for a class without positive rows. A random order gives the share of the class.

    >>> average_precision([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]]).round(3).tolist()
    [0.833, 0.5]
    """
    return _per_class(truth, probabilities)[1]


def _per_class(truth: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    t, p = _scored_rows(truth, probabilities)
    once = pack_weights(np.ones((1, len(t)), dtype=np.int32))
    pairs = [areas(rank_rows(t == c, p[:, c]), once) for c in range(p.shape[1])]
    return np.concatenate([auc for auc, _ in pairs]), np.concatenate([ap for _, ap in pairs])


def top_hits(truth: ArrayLike, probabilities: ArrayLike, top: int = 2) -> NDArray[np.bool_]:
    """Whether the true class is among the `top` highest of each row; shape (n,).

    Ties go to the lowest position, as for the prediction itself.
    """
    t, p = _scored_rows(truth, probabilities)
    own = p[np.arange(len(t)), t][:, None]
    earlier = np.arange(p.shape[1]) < t[:, None]
    ahead = (p > own) | ((p == own) & earlier)
    result: NDArray[np.bool_] = ahead.sum(axis=1) < top
    return result


def top_accuracy(truth: ArrayLike, probabilities: ArrayLike, top: int = 2) -> float:
    """Share of rows whose true class is among the `top` highest; in [0, 1].

    >>> top_accuracy([0, 1], [[0.2, 0.3, 0.5], [0.1, 0.4, 0.5]])
    0.5
    """
    return float(top_hits(truth, probabilities, top).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Points of a curve for plotting, x rising; shape (points,) each."""

    x: Floats
    y: Floats


def roc_curve(positive: ArrayLike, scores: ArrayLike, points: int = 200) -> Curve:
    """False positive rate (x) and true positive rate (y) as the threshold falls.

    Starts at (0, 0), ends at (1, 1); thinned to at most `points`. NaN in a rate without rows.
    """
    found, seen = _steps(positive, scores)
    false = seen - found
    return _thin(ratio(false, false[-1]), ratio(found, found[-1]), points)


def precision_recall_curve(positive: ArrayLike, scores: ArrayLike, points: int = 200) -> Curve:
    """Recall (x) and precision (y) as the threshold falls; starts at (0, 1) by convention."""
    found, seen = _steps(positive, scores)
    precision = np.append(1.0, found[1:] / seen[1:])
    return _thin(ratio(found, found[-1]), precision, points)


def _steps(positive: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Positive rows, and rows, at or above each distinct score; both start with 0."""
    yes, values = _checked(positive, scores)
    order = np.argsort(-values, kind="stable")
    starts, _ = _tie_groups(values[order])
    seen = np.append(starts, len(order))
    found = np.append(0, np.cumsum(yes[order]))[seen]
    return found.astype(np.float64), seen.astype(np.float64)


def _tie_groups(falling: NDArray[np.floating[Any]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of equal values starts, and the run that each value is in."""
    opens = np.append(True, falling[1:] != falling[:-1])[: len(falling)]
    return np.flatnonzero(opens), np.cumsum(opens) - 1


def _thin(x: Floats, y: Floats, points: int) -> Curve:
    """At most `points` of the points, evenly along the path; the ends stay."""
    if len(x) <= points:
        return Curve(x, y)
    length = np.nan_to_num(np.abs(np.diff(x))) + np.nan_to_num(np.abs(np.diff(y)))
    path = np.append(0.0, np.cumsum(length))
    marks = np.searchsorted(path, np.linspace(0.0, path[-1], points - 1))
    chosen = np.unique(np.append(marks, len(x) - 1))
    return Curve(x[chosen], y[chosen])


def _checked(
    positive: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.floating[Any]]]:
    yes, values = np.asarray(positive, dtype=bool), np.asarray(scores)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"scores need shape (n,) with n ≥ 1, but have shape {values.shape}")
    if yes.shape != values.shape:
        raise InputError(f"positive needs shape {values.shape}, but has shape {yes.shape}")
    if not np.isfinite(values).all():
        raise InputError("scores need finite numbers; leave failed rows out before ranking")
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    return yes, values


def _scored_rows(
    truth: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.intp], Floats | NDArray[np.float32]]:
    shape = np.shape(probabilities)
    if len(shape) != 2:
        raise InputError(f"probabilities need shape (n, k), but have shape {shape}")
    p = distributions(probabilities, shape[1], "probabilities")
    t = class_positions(truth, shape[1], "truth")
    same_length(len(t), len(p), "probabilities")
    if np.isnan(p).any():
        raise InputError("probabilities hold failed rows (NaN); leave them out of score metrics")
    return t, p
