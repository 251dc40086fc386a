"""Agreement beyond chance: Cohen's κ and Krippendorff's α.

`kappa` and `alpha` take confusion matrices of shape (..., k, k + 1) with truth and prediction
as two coders; "failed" is a category of its own. `alpha_nominal` and `alpha_interval` take
the ratings of any number of raters, with gaps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.arrays import Counts, Floats, mean_where, ratio
from openaffect.metrics.confusion import one_vs_rest, support


def kappa(matrix: Counts) -> Floats:
    """Cohen's κ = (p_o − p_e) / (1 − p_e); in [−1, 1], 0 is chance. NaN when p_e = 1.

    Reference: Cohen (1960), Educational and Psychological Measurement 20(1).

    >>> float(kappa(np.array([[20, 5, 0], [10, 15, 0]])))
    0.4
    """
    rows, columns, right = _margins(matrix)
    n = matrix.sum(axis=(-2, -1)).astype(np.float64)
    by_chance = (rows * columns).sum(axis=-1)
    return ratio(n * right - by_chance, n * n - by_chance)


def kappa_ovr(matrix: Counts) -> Floats:
    """Mean κ of each class with support against the rest; in [−1, 1]."""
    return _over_present(kappa(one_vs_rest(matrix)), matrix)


def alpha(matrix: Counts) -> Floats:
    """Krippendorff's nominal α, truth and prediction as two coders; at most 1, 0 is chance.

    α = 1 − D_o / D_e with D_o the share of unequal pairs, and D_e the share of unequal pairs
    among all 2n values without regard to rows. NaN when only one category occurs.
    Reference: Krippendorff (2011), Computing Krippendorff's alpha-reliability.

    >>> float(alpha(np.array([[20, 5, 0], [10, 15, 0]])).round(6))
    0.4
    """
    rows, columns, right = _margins(matrix)
    values = rows + columns
    n = values.sum(axis=-1)
    observed = n - 2 * right
    expected = n * n - (values * values).sum(axis=-1)
    return 1 - ratio((n - 1) * observed, expected)


def alpha_ovr(matrix: Counts) -> Floats:
    """Mean nominal α of each class with support against the rest."""
    return _over_present(alpha(one_vs_rest(matrix)), matrix)


def _over_present(values: Floats, matrix: Counts) -> Floats:
    return mean_where(values, (support(matrix) > 0) & ~np.isnan(values))


def _margins(matrix: Counts) -> tuple[Floats, Floats, Floats]:
    """Row sums with an empty "failed" row, column sums, sum of the diagonal; as floats."""
    columns = matrix.sum(axis=-2).astype(np.float64)
    rows = np.zeros_like(columns)
    rows[..., :-1] = matrix.sum(axis=-1)
    right = np.diagonal(matrix, axis1=-2, axis2=-1).sum(axis=-1).astype(np.float64)
    return rows, columns, right


def alpha_nominal(values: ArrayLike) -> float:
    """Krippendorff's α of categories, any number of raters, with gaps.

    Args:
        values: shape (units, raters); integers ≥ 0 with −1 for missing, or floats with NaN.
    Returns:
        At most 1; 0 is chance. NaN when no unit has two ratings, or all ratings are equal.
    Raises:
        InputError: another shape.

    >>> alpha_nominal([[0, 0], [1, 1], [0, 1]]).__round__(4)
    0.4444
    """
    ratings = _units_by_raters(values)
    missing = _is_missing(ratings)
    per_unit = (~missing).sum(axis=1)
    keep = per_unit >= 2
    ratings, known, per_unit = ratings[keep], ~missing[keep], per_unit[keep]
    if per_unit.size == 0:
        return float("nan")
    n = float(per_unit.sum())
    alike = _equal_pairs(ratings)
    pairs = per_unit.astype(np.float64)
    observed = ((pairs * pairs - alike) / (pairs - 1)).sum()
    _, shares = np.unique(ratings[known], return_counts=True)
    expected = (n * n - np.square(shares.astype(np.float64)).sum()) / (n - 1)
    return float("nan") if expected == 0 else float(1 - observed / expected)


def alpha_interval(values: ArrayLike) -> float:
    """Krippendorff's α of measurements with squared differences, any raters, with gaps.

    The closed form in sums per unit, α = 1 − D_o / D_e with m ratings in unit u, n in all:
    D_o = (1/n) Σ_u 2(m·q − s²)/(m − 1), D_e = 2(nQ − S²)/(n(n − 1)), where s, S are sums and
    q, Q sums of squares of a unit and of all; here about the mean, which loses no digits.

    Args:
        values: shape (units, raters), NaN for missing.
    Returns:
        At most 1; 0 is chance. NaN when no unit has two ratings, or all ratings are equal.
    Raises:
        InputError: another shape.

    >>> round(alpha_interval([[1, 1], [2, 3], [4, 4]]), 4)
    0.9123
    """
    ratings = _units_by_raters(values).astype(np.float64, copy=False)
    known = ~np.isnan(ratings)
    m = known.sum(axis=1)
    keep = m >= 2
    ratings, known, m = ratings[keep], known[keep], m[keep].astype(np.float64)
    if m.size == 0:
        return float("nan")
    pooled = ratings[known]
    if pooled.min() == pooled.max():
        return float("nan")
    n = m.sum()
    filled = np.where(known, ratings, 0.0)
    about_mean = np.where(known, filled - (filled.sum(axis=1) / m)[:, None], 0.0)
    within = np.einsum("ur,ur->u", about_mean, about_mean)  # q − s²/m
    observed = (m * within / (m - 1)).sum() / n
    expected = np.square(pooled - pooled.mean()).sum() / (n - 1)
    return float(1 - observed / expected)


def _units_by_raters(values: ArrayLike) -> NDArray[Any]:
    ratings = np.asarray(values)
    if ratings.ndim != 2:
        raise InputError(f"ratings need shape (units, raters), but have shape {ratings.shape}")
    return ratings


def _is_missing(ratings: NDArray[Any]) -> NDArray[np.bool_]:
    floats = np.issubdtype(ratings.dtype, np.floating)
    result: NDArray[np.bool_] = np.isnan(ratings) if floats else ratings < 0
    return result


def _equal_pairs(ratings: NDArray[Any]) -> Floats:
    """Σ_c n_uc² of each unit u: ordered pairs of equal ratings, each with itself too.

    Ratings are sorted within each unit, so that equal ones are runs; the cost does not
    depend on the number of categories.
    """
    units, raters = ratings.shape
    order = np.sort(ratings, axis=1)
    opens = np.ones((units, raters), dtype=bool)
    opens[:, 1:] = order[:, 1:] != order[:, :-1]
    starts = np.flatnonzero(opens)
    lengths = np.diff(starts, append=units * raters).astype(np.float64)
    squares = np.where(_is_missing(order).ravel()[starts], 0.0, lengths * lengths)
    alike = np.bincount(starts // raters, weights=squares, minlength=units)
    return np.asarray(alike, dtype=np.float64)
