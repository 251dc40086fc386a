"""Are the probabilities honest: calibration error, reliability bins, cross-entropy, temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.arrays import Floats, class_positions, distributions, same_length
from openaffect.metrics.ranking import top_hits

BINS = 15
"""Bins of confidence, of equal width."""

_SLACK = 1e-6
"""What lies above an edge by less lies on it: 0.6 stored as float32 is 0.60000002."""

SMALLEST = float(np.finfo(np.float32).eps)
"""Probabilities are raised to this before the logarithm: predictions are stored as float32."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of the reliability diagram: rows with low < confidence ≤ high.

    `confidence` and `accuracy` are the means of these rows, NaN where there is none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def confidence_bins(confidence: ArrayLike, bins: int = BINS) -> NDArray[np.intp]:
    """The bin 0 to bins − 1 of each confidence; bin b is (b/bins, (b+1)/bins], 0 is in bin 0.

    What lies less than 10⁻⁶ above an edge counts as on it, so that float32 and float64 agree.

    >>> confidence_bins([0.0, 0.2, 0.21, 1.0], bins=5).tolist()
    [0, 0, 1, 4]
    """
    edges = np.arange(bins + 1) / bins
    values = np.asarray(confidence, dtype=np.float64) - _SLACK
    place = np.searchsorted(edges, values, side="left") - 1
    return np.clip(place, 0, bins - 1)


def reliability(
    truth: ArrayLike, probabilities: ArrayLike, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Confidence against accuracy, from the highest probability of each row.

    Args:
        truth: shape (n,), positions 0 to k − 1.
        probabilities: shape (n, k), no failed rows.
        bins: how many, of equal width.
    """
    right = top_hits(truth, probabilities, top=1)
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    place = confidence_bins(confidence, bins)
    count = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=right, minlength=bins)
    nan = float("nan")
    return tuple(
        ReliabilityBin(
            low=b / bins,
            high=(b + 1) / bins,
            count=int(count[b]),
            confidence=float(sums[b] / count[b]) if count[b] else nan,
            accuracy=float(hits[b] / count[b]) if count[b] else nan,
        )
        for b in range(bins)
    )


def ece(truth: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: Σ_b (n_b / n) · |accuracy_b − confidence_b|; in [0, 1].

    Confidence is the highest probability of a row, `bins` bins of equal width, open below.
    Reference: Naeini, Cooper, Hauskrecht (2015), AAAI; Guo et al. (2017), ICML.

    >>> round(ece([0, 1], [[0.8, 0.2], [0.8, 0.2]]), 4)
    0.3
    """
    filled = [b for b in reliability(truth, probabilities, bins) if b.count]
    n = sum(b.count for b in filled)
    return float(sum(b.count / n * abs(b.accuracy - b.confidence) for b in filled))


def restrict_soft_labels(soft_labels: ArrayLike, ids: Sequence[int]) -> Floats:
    """Soft labels over a label set: other columns dropped, rows made to sum to 1 again.

    Args:
        soft_labels: shape (n, m), column i is class id i; rows of NaN where there is none.
        ids: ids of the label set in its order; an id without a column gets 0.
    Returns:
        Shape (n, len(ids)); NaN where the row had no mass in the label set.

    >>> restrict_soft_labels([[0.5, 0.25, 0.25]], [0, 2]).round(3).tolist()
    [[0.667, 0.333]]
    """
    soft = np.asarray(soft_labels, dtype=np.float64)
    if soft.ndim != 2:
        raise InputError(f"soft labels need shape (n, classes), but have shape {soft.shape}")
    chosen = np.zeros((len(soft), len(ids)))
    for position, number in enumerate(ids):
        if number < soft.shape[1]:
            chosen[:, position] = soft[:, number]
    mass = chosen.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(mass > 0, chosen / mass, np.nan)
    return result


def row_cross_entropy(soft_labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """−Σ_c q_c · ln p_c of each row in nats; NaN where either is missing. Shape (n,)."""
    k = np.shape(probabilities)[-1]
    p = distributions(probabilities, k, "probabilities").astype(np.float64)
    q = distributions(soft_labels, k, "soft_labels").astype(np.float64)
    same_length(len(q), len(p), "probabilities")
    result: Floats = -(q * np.log(np.maximum(p, SMALLEST))).sum(axis=1)
    return result


def cross_entropy(soft_labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean cross-entropy of probabilities against soft labels, in nats; 0 or more.

    Rows without a soft label or without scores are left out; NaN when none is left.
    With one-hot labels it is the log loss. Probabilities are raised to 2⁻²³ at least.

    Args:
        soft_labels: shape (n, k), over the label set: see `restrict_soft_labels`.
        probabilities: shape (n, k).

    >>> round(cross_entropy([[1.0, 0.0]], [[0.5, 0.5]]), 4)
    0.6931
    """
    rows = row_cross_entropy(soft_labels, probabilities)
    known = rows[~np.isnan(rows)]
    return float(known.mean()) if known.size else float("nan")


def divide_scores(probabilities: ArrayLike, temperature: float) -> Floats:
    """softmax(ln p / T): probabilities as if the model's scores were divided by a temperature.

    Args:
        probabilities: shape (n, k); rows of NaN stay.
        temperature: above 0; 1 changes nothing.

    >>> divide_scores([[0.9, 0.1]], 2.0).round(2).tolist()
    [[0.75, 0.25]]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    logs = np.log(np.maximum(p, SMALLEST)) / temperature
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    result: Floats = shares / shares.sum(axis=1, keepdims=True)
    return result


def fit_temperature(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature with which the log loss is least (Guo et al. 2017).

    Args:
        truth: shape (n,), positions 0 to k − 1.
        probabilities: shape (n, k), no failed rows; not those that the model learned from.

    Returns:
        In [0.05, 20]; found by golden-section search on ln T, where the loss has one minimum.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    right = class_positions(truth, p.shape[-1], "truth")
    same_length(len(right), len(p), "probabilities")
    rows = np.arange(len(right))

    def loss(log_t: float) -> float:
        shares = divide_scores(p, float(np.exp(log_t)))[rows, right]
        return float(-np.log(np.maximum(shares, np.finfo(np.float64).tiny)).mean())

    low, high, ratio = float(np.log(0.05)), float(np.log(20.0)), (5**0.5 - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(np.exp((low + high) / 2))
