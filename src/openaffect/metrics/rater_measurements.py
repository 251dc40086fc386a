"""Agreement of any number of raters on measurements, such as valence and arousal.

Ratings come as rows, each with the number of its unit. Pairs of raters are never made: sums per
unit stand for them, as Σ_{i≠j} x_i x_j = (Σx)² − Σx². Each unit counts once, as in `raters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.arrays import Floats, Integers, ratio
from openaffect.metrics.estimate import Estimate
from openaffect.metrics.raters import NO_PAIRS, unit_weights, with_interval
from openaffect.metrics.resampling import bootstrap_weights

ALL_EQUAL = "all ratings are equal"
NO_SAME_CATEGORY = "no face has two ratings in one category"

PAIR_METRICS = ("rmse", "corr", "sagr", "ccc")
"""Metrics of measurements over pairs of raters."""

_TOGETHER = 8  # bootstrap samples of units that share one pass over the features


@dataclass(frozen=True, slots=True)
class MeasurementAgreement:
    """How far raters agree on a measurement.

    Attributes:
        alpha: Krippendorff's interval α.
        all: RMSE, CORR, SAGR and CCC over all pairs.
        same_category: the same over pairs in one category.
    """

    alpha: Estimate
    all: dict[str, Estimate]
    same_category: dict[str, Estimate]


def score_measurements(
    units: ArrayLike,
    values: ArrayLike,
    categories: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> list[MeasurementAgreement]:
    """Everything about the agreement of raters on measurements, with intervals.

    Pairs have no order, so each enters both ways: both sides have one mean and one variance, and
    CORR, which is then the intraclass correlation of pairs, equals CCC.

    Args:
        units: the unit of each rating, integers ≥ 0, shape (n,).
        values: d measurements of each rating, finite, shape (n, d).
        categories: of each rating, integers ≥ 0, shape (n,).
        weights: of the units, shape (largest unit + 1,) or more, above 0; equal by default.
        rounds: bootstrap samples of units; 0 for values without intervals.
        seed: the same seed gives the same numbers.
    Returns:
        One result per measurement; `n` is the number of units with a pair.
    Raises:
        InputError: inputs of other shapes, or values that are not finite.

    >>> found = score_measurements([0, 0, 1, 1], [[0.1], [0.3], [-0.5], [-0.4]], [1, 1, 2, 3], rounds=20)
    >>> round(found[0].all["rmse"].value, 4), found[0].same_category["rmse"].n
    (0.1581, 1)
    """
    places, given, kinds = np.asarray(units), np.asarray(values, np.float64), np.asarray(categories)
    if given.ndim != 2 or not places.shape == kinds.shape == given.shape[:1]:
        raise InputError(
            "measurements need units (n,), values (n, d) and categories (n,), but have "
            f"{places.shape}, {given.shape} and {kinds.shape}"
        )
    if not np.isfinite(given).all():
        raise InputError("measurements need finite numbers; leave ratings without them out")
    n_units = int(places.max()) + 1 if places.size else 0
    scale = np.ones(n_units) if weights is None else unit_weights(weights, len(np.asarray(weights)))
    sums = _Sums.of(places, given, kinds, scale)
    value, samples = sums.value(), sums.bootstrap(rounds, np.random.default_rng([seed, 5]))
    n, same = len(sums.weights), int((sums.columns[1] > 0).sum())
    return [
        MeasurementAgreement(
            with_interval(one.alpha[0], many.alpha, n, ALL_EQUAL if n else NO_PAIRS),
            _judge(one.all, many.all, n, NO_PAIRS),
            _judge(one.same, many.same, same, NO_SAME_CATEGORY),
        )
        for one, many in zip(value, samples, strict=True)
    ]


def _judge(value: Floats, samples: Floats, n: int, nothing: str) -> dict[str, Estimate]:
    reason = ALL_EQUAL if n else nothing
    return {
        metric: with_interval(value[i, 0], samples[i], n, reason)
        for i, metric in enumerate(PAIR_METRICS)
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """One measurement in b data sets: α (b,), and the metrics of `PAIR_METRICS` (4, b)."""

    alpha: Floats
    all: Floats
    same: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What the metrics need of each unit with two ratings, so that a data set is one product.

    Attributes:
        columns: shape (3 + 11 d, n): whether it counts (1), has a pair in one category (0 or 1),
            and its ratings m; then for each measurement, less its mean, of all pairs x, x², x·y and
            equal signs, the same of pairs in one category, and s, q and D_o for α.
        weights: shape (n,), with mean 1.
        equal: whether all values of a measurement are equal, d of them.
    """

    columns: Floats
    weights: Floats
    equal: list[bool]

    @classmethod
    def of(cls, units: Integers, values: Floats, categories: Integers, weights: Floats) -> _Sums:
        ratings = np.bincount(units, minlength=len(weights)) if units.size else np.zeros(0)
        kept = ratings >= 2
        number = np.cumsum(kept) - 1
        rows = kept[units] if units.size else np.zeros(0, bool)
        units, values, categories = number[units[rows]], values[rows], categories[rows]
        n, d = int(kept.sum()), values.shape[1]
        m = np.bincount(units, minlength=n).astype(np.float64)
        # Ratings of one unit in one category are one cell.
        base = int(categories.max()) + 1 if categories.size else 1
        cells, cell = np.unique(units * base + categories, return_inverse=True)
        home, size = cells // base, np.bincount(cell, minlength=len(cells)).astype(np.float64)
        inside = np.bincount(home, weights=size * (size - 1), minlength=n)
        columns = np.empty((3 + 11 * d, n))
        columns[0], columns[1], columns[2] = 1.0, inside > 0, m
        equal = []
        for axis in range(d):
            x = values[:, axis]
            equal.append(bool(x.size == 0 or x.min() == x.max()))
            signs = np.sign(x).astype(np.int64) + 1
            x = x - (x[0] if equal[-1] and x.size else x.mean() if x.size else 0.0)
            s, q, z = _grouped(units, n, x, signs)
            first = 3 + 11 * axis
            columns[first : first + 4] = _pair_means(m, s, q, z, m * (m - 1))
            cs, cq, cz = _grouped(cell, len(cells), x, signs)
            parts = _pair_sums(size, cs, cq, cz)
            same = np.stack([np.bincount(home, weights=p, minlength=n) for p in parts])
            columns[first + 4 : first + 8] = np.nan_to_num(ratio(same, inside))
            deviation = x - (s / m)[units]
            within = np.bincount(units, weights=deviation * deviation, minlength=n)
            columns[first + 8 : first + 11] = s, q, 2 * m * within / (m - 1)
        scale = weights[: len(kept)][kept]
        return cls(columns, scale / scale.mean() if n else scale, equal)

    def value(self) -> list[_Measured]:
        """The metrics of the units as they are; b = 1."""
        return self._score((self.columns @ self.weights)[:, None])

    def bootstrap(self, rounds: int, rng: np.random.Generator) -> list[_Measured]:
        """The metrics of bootstrap samples of the units; b = rounds."""
        n = len(self.weights)
        sums = [np.empty((len(self.columns), 0))]
        if n and rounds:
            sums += [self.columns @ (d * self.weights).T for d in _samples(n, rounds, rng)]
        return self._score(np.concatenate(sums, axis=1))

    def _score(self, sums: Floats) -> list[_Measured]:
        units, paired, n = sums[:3]
        found = []
        for axis, equal in enumerate(self.equal):
            first = 3 + 11 * axis
            part = sums[first : first + 11]
            s, q, observed = part[8:]
            expected = 2 * (n * q - s * s) / (n - 1)
            alpha = 1 - ratio(observed, expected)
            found.append(
                _Measured(
                    np.full_like(alpha, np.nan) if equal else alpha,
                    _pair_scores(ratio(part[:4], units), equal=equal),
                    _pair_scores(ratio(part[4:8], paired), equal=equal),
                )
            )
        return found


def _samples(n: int, rounds: int, rng: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """Bootstrap samples of n units as weights, several at a time; (b, n)."""
    waiting: list[NDArray[np.int32]] = []
    for chunk in bootstrap_weights(n, rounds, rng):
        waiting.append(chunk)
        if sum(map(len, waiting)) >= _TOGETHER:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _grouped(group: Integers, n: int, x: Floats, signs: Integers) -> tuple[Floats, Floats, Floats]:
    """Of each group Σx, Σx², and the ordered pairs of equal sign."""
    s: Floats = np.bincount(group, weights=x, minlength=n).astype(np.float64)
    q: Floats = np.bincount(group, weights=x * x, minlength=n).astype(np.float64)
    with_sign = np.bincount(group * 3 + signs, minlength=3 * n).reshape(n, 3)
    pairs = (with_sign * (with_sign - 1)).sum(axis=1).astype(np.float64)
    return s, q, pairs


def _pair_sums(m: Floats, s: Floats, q: Floats, signs: Floats) -> list[Floats]:
    """Sums over ordered pairs of m values: of x, x², x·y, and equal signs."""
    return [(m - 1) * s, (m - 1) * q, s * s - q, signs]


def _pair_means(m: Floats, s: Floats, q: Floats, signs: Floats, pairs: Floats) -> Floats:
    return np.stack(_pair_sums(m, s, q, signs)) / pairs


def _pair_scores(means: Floats, *, equal: bool) -> Floats:
    """RMSE, CORR, SAGR and CCC from the means of x, x², x·y and equal signs; (4, b) → (4, b)."""
    x, xx, xy, signs = means
    variance = xx - x * x
    variance = np.where(np.abs(variance) <= 1e-13 * np.maximum(xx, x * x), 0.0, variance)
    correlation = np.clip(ratio(xy - x * x, variance), -1.0, 1.0)
    if equal:
        correlation = np.full_like(correlation, np.nan)
    return np.stack([np.sqrt(np.maximum(2 * (xx - xy), 0.0)), correlation, signs, correlation])
