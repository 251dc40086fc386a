"""A score with its interval, the difference of two, and why a score is undefined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openaffect.metrics.arrays import Floats

PERCENTILES = (2.5, 97.5)
"""The ends of an interval."""

_ONE_CATEGORY = "truth and predictions are all one class, so chance agreement is complete"
_REASONS = {
    "kappa": _ONE_CATEGORY,
    "kappa_ovr": _ONE_CATEGORY,
    "alpha": _ONE_CATEGORY,
    "alpha_ovr": _ONE_CATEGORY,
    "auc": "the rows are all of one class: there is nothing to rank it against",
    "corr": "truth or prediction is constant",
    "ccc": "truth and prediction are constant and equal",
}

NO_SCORES = "the system gives labels without scores"
NO_SOFT_LABELS = "no scored row has a soft label"
ALL_FAILED = "every row failed: there are no scores"
NO_PREDICTIONS = "no row has a prediction"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and its 95 % bootstrap interval.

    Attributes:
        value: the score; NaN when undefined.
        low, high: 2.5th and 97.5th percentile of the bootstrap; NaN when undefined.
        n: rows of one scored data set: all rows for Orig, the size of one draw for Norm.
        reason: why `value` is NaN, or None.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A score of system a minus the score of system b on the same rows.

    Attributes:
        value: the difference; NaN when one of the scores is undefined.
        low, high: 2.5th and 97.5th percentile over bootstrap samples that both share.
        p: two-sided, 2 · min(share ≤ 0, share ≥ 0) with one added to each count, at most 1.
        n: rows that both are scored on.
    """

    value: float
    low: float
    high: float
    p: float
    n: int


def undefined_reason(metric: str) -> str:
    """The reason why a metric can be NaN although there are rows to score.

    >>> undefined_reason("corr")
    'truth or prediction is constant'
    """
    return _REASONS.get(metric, "no row that the metric needs is in the data")


def undefined(reason: str, n: int = 0) -> Estimate:
    """An estimate that is NaN for a reason."""
    nan = float("nan")
    return Estimate(nan, nan, nan, n, reason)


def estimate(metric: str, value: float, samples: Floats, n: int) -> Estimate:
    """A value with the percentiles of its bootstrap samples; undefined samples are left out."""
    if np.isnan(value):
        return undefined(undefined_reason(metric), n)
    low, high = interval(samples)
    return Estimate(float(value), low, high, n)


def difference(value: float, samples: Floats, n: int) -> Difference:
    """A difference with percentiles and p of its bootstrap samples."""
    known = samples[~np.isnan(samples)]
    if np.isnan(value) or known.size == 0:
        nan = float("nan")
        return Difference(float(value), nan, nan, nan, n)
    low, high = interval(known)
    below = (1 + int((known <= 0).sum())) / (known.size + 1)
    above = (1 + int((known >= 0).sum())) / (known.size + 1)
    return Difference(float(value), low, high, min(1.0, 2 * min(below, above)), n)


def interval(samples: Floats) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the samples that are not NaN; NaN where there is none."""
    known = samples[~np.isnan(samples)]
    if known.size == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)
