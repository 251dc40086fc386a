"""Conformal sets and intervals: what they hold is right in a stated share of the cases.

Split conformal prediction (Vovk, Gammerman, Shafer 2005; Angelopoulos and Bates 2023). With n rows that
are exchangeable with the new one, a set whose bound is the r-th best of the n,
r = ⌈(n + 1) · coverage⌉, holds the new truth with a probability of `coverage` at least, and of
`coverage` + 1 / (n + 1) at most where no two rows are alike. By class (Mondrian) the same is true
within each class. Nothing is assumed of the model; rows that are not exchangeable lose the promise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.arrays import Floats, class_positions, distributions, numbers, same_length


def least_rows(coverage: float) -> int:
    """The number of rows from which on a bound can be found; fewer promise nothing but "anything".

    >>> least_rows(0.9), least_rows(0.95)
    (9, 19)
    """
    _check(coverage)
    n = 1
    while _rank(n, coverage) > n:
        n += 1
    return n


def fit_sets(
    truth: ArrayLike, probabilities: ArrayLike, coverage: float, *, by_class: bool = False
) -> Floats:
    """The least probability with which a class is in a set: the bound of `make_sets`.

    The score is one minus the probability of the true class (Sadinle, Lei, Wasserman 2019).

    Args:
        truth: shape (n,), positions 0 to k − 1.
        probabilities: shape (n, k), no failed rows; not those that the model learned from.
        coverage: wanted share of sets that hold the truth, in (0, 1).
        by_class: keep that share within each class, by a bound for each.

    Returns:
        Shape (k,); −inf where the rows are too few (`least_rows`), so that the class is in every set.

    >>> fit_sets([0] * 9, [[0.1 * i, 1 - 0.1 * i] for i in range(1, 10)], 0.8).round(1).tolist()
    [0.2, 0.2]
    """
    _check(coverage)
    k = np.shape(probabilities)[-1]
    right = class_positions(truth, k, "truth")
    p = distributions(probabilities, k, "probabilities")
    same_length(len(right), len(p), "probabilities")
    given = p[np.arange(len(right)), right].astype(np.float64)
    if not by_class:
        return np.full(k, _bound(given, coverage))
    return np.array([_bound(given[right == c], coverage) for c in range(k)])


def make_sets(probabilities: ArrayLike, least: ArrayLike) -> NDArray[np.bool_]:
    """Which classes are in the set of each row: those that reach their bound; bool (n, k).

    A set may be empty, where no class fits as well as the promise allows. A failed row has an
    empty one.

    Args:
        probabilities: shape (n, k).
        least: shape (k,), from `fit_sets`.
    """
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = np.asarray(probabilities, np.float64) >= np.asarray(least)
    return found


def fit_interval(errors: ArrayLike, coverage: float) -> float:
    """The half width of an interval around a measurement: a bound of the absolute errors.

    Args:
        errors: measured minus true, shape (n,), of rows that nothing was learned from.
        coverage: wanted share of intervals that hold the truth, in (0, 1).

    Returns:
        0 or more; inf where the rows are too few (`least_rows`).

    >>> fit_interval([0.1, -0.2, 0.3, -0.4], 0.8)
    0.4
    """
    _check(coverage)
    return -_bound(-np.abs(numbers(errors, "errors")), coverage)


def _bound(good: Floats, coverage: float) -> float:
    """The r-th largest of n values, r = ⌈(n + 1) · coverage⌉; −inf where r > n."""
    rank = _rank(len(good), coverage)
    return float(np.sort(good)[len(good) - rank]) if rank <= len(good) else -math.inf


def _rank(n: int, coverage: float) -> int:
    # 10 · 0.9 is 9, and not a little more.
    return math.ceil(round((n + 1) * coverage, 9))


def _check(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise InputError(f"expected a coverage above 0 and below 1, but got {coverage:g}")
