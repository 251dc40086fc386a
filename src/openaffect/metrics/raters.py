"""Agreement of any number of raters on categories, who need not be known one by one.

Ratings come in count form, units × categories: how many raters put a unit into each. No array of
units × raters is made, nor one of pairs.

Each unit counts once, however many raters it has: its pairs share its weight. Only Krippendorff's
α, by its definition, weights a unit by its ratings. Units with fewer than two ratings say nothing
and are left out. Intervals are percentiles of bootstrap samples of units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics.agreement import kappa
from openaffect.metrics.arrays import Counts, Floats, Integers, ratio
from openaffect.metrics.estimate import PERCENTILES, Estimate, interval, undefined
from openaffect.metrics.resampling import bootstrap_matrices

NO_PAIRS = "no face has two ratings"
ONE_CATEGORY = "all ratings are one category, so chance agreement is complete"
NO_VALUES = "there is no value"
NOT_CHOSEN = "no rating is of this category"

NO_SAMPLES = np.zeros(0)

_BLOCK = 4096  # patterns whose features are in memory at once
_DRAWS = 2**24  # numbers of one portion of bootstrap samples


@dataclass(frozen=True, slots=True)
class CategoryAgreement:
    """How far raters agree on categories.

    Attributes:
        pair_agreement: the chance that two raters of a unit, drawn at random, say the same.
        unanimous: share of units on which all raters say the same.
        alpha: Krippendorff's nominal α.
        fleiss: Fleiss' κ.
        human_ceiling: one rater against the plurality of the others, ties shared.
        by_class: given that one rater says c, the chance that another says c; k of them.
        table: shape (k, k), symmetric; how often one rater says i and another j, in units: the
            sum is the number of units with two ratings, a row of it a distribution of "the other".
    """

    pair_agreement: Estimate
    unanimous: Estimate
    alpha: Estimate
    fleiss: Estimate
    human_ceiling: Estimate
    by_class: tuple[Estimate, ...]
    table: Floats


def pair_table(counts: ArrayLike) -> Floats:
    """How often one rater says i and another j, in units; shape (k, k), symmetric.

    Σ_u n_ui (n_uj − [i = j]) / (m_u (m_u − 1)) with n_uc raters of unit u who say c, of m_u.

    >>> pair_table([[2, 0], [1, 1]]).tolist()
    [[1.0, 0.5], [0.5, 0.0]]
    """
    table: Floats = _Patterns.of(counts).value().table[0]
    return table


def pair_agreement(counts: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The chance that two raters of a unit say the same, mean over units; NaN without pairs.

    Args:
        counts: raters of each unit by category, (units, k) integers.
        weights: of the units, (units,); all equal by default.

    >>> pair_agreement([[2, 0, 0], [1, 1, 0], [0, 2, 1]]).__round__(4)
    0.4444
    """
    return float(_Patterns.of(counts, weights).value().pair_agreement[0])


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' κ of units × categories; at most 1, 0 is chance. NaN when chance is complete.

    κ = (P − P_e) / (1 − P_e) with P the `pair_agreement` and P_e = Σ_c p_c², p_c the mean over
    units of the share of raters who say c. With as many raters for each unit this is Fleiss'
    own; with other numbers it is Gwet's generalization, in which each unit counts once.
    Reference: Fleiss (1971), Psychological Bulletin 76(5); Gwet (2014), Handbook of Inter-Rater
    Reliability.

    >>> fleiss_kappa([[2, 0], [0, 2], [1, 1]]).__round__(4)
    0.3333
    """
    return float(_Patterns.of(counts).value().fleiss[0])


def alpha_counts(counts: ArrayLike) -> float:
    """Krippendorff's nominal α of units × categories: `alpha_nominal` in count form.

    >>> alpha_counts([[2, 0], [0, 2], [1, 1]]).__round__(4)
    0.4444
    """
    return float(_Patterns.of(counts).value().alpha[0])


def human_ceiling(counts: ArrayLike) -> float:
    """How often one rater says what most of the others say, mean over units; ties are shared.

    A rater whose category is one of t that the others chose most often scores 1/t.

    >>> human_ceiling([[3, 0], [1, 1], [2, 1]]).__round__(4)
    0.4444
    """
    return float(_Patterns.of(counts).value().human_ceiling[0])


def score_raters(
    counts: ArrayLike, *, weights: ArrayLike | None = None, rounds: int = 1000, seed: int = 0
) -> CategoryAgreement:
    """Everything about the agreement of raters on categories, with intervals.

    Args:
        counts: how many raters put a unit into each category; integers ≥ 0, shape (units, k).
        weights: of the units, shape (units,), above 0; equal by default. They stand for units
            that were not rated twice, and are scaled so that their mean is 1.
        rounds: bootstrap samples of units; 0 for values without intervals.
        seed: the same seed gives the same numbers.
    Returns:
        Estimates with `n`, the number of units behind them: those with two ratings, and of
        `by_class` those of them with a rating c. What is undefined says why.
    Raises:
        InputError: another shape, numbers below 0, or weights that are no weights.

    >>> found = score_raters([[2, 0], [1, 1]], rounds=50)
    >>> found.pair_agreement.value, found.unanimous.n, found.table.tolist()
    (0.5, 2, [[1.0, 0.5], [0.5, 0.0]])
    """
    patterns = _Patterns.of(counts, weights)
    value = patterns.value()
    samples = patterns.bootstrap(rounds, np.random.default_rng([seed, 2]))
    n, k = int(patterns.units.sum()), patterns.counts.shape[1]

    def judge(name: str, reason: str) -> Estimate:
        found = getattr(value, name)[0]
        return with_interval(found, getattr(samples, name), n, reason if n else NO_PAIRS)

    said = (patterns.counts > 0).T @ patterns.units
    return CategoryAgreement(
        judge("pair_agreement", NO_PAIRS),
        judge("unanimous", NO_PAIRS),
        judge("alpha", ONE_CATEGORY),
        judge("fleiss", ONE_CATEGORY),
        judge("human_ceiling", NO_PAIRS),
        tuple(
            with_interval(value.by_class[0, c], samples.by_class[:, c], int(said[c]), NOT_CHOSEN)
            for c in range(k)
        ),
        value.table[0],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """The scores of b data sets; (b,), by_class (b, k), table (b, k, k)."""

    pair_agreement: Floats
    unanimous: Floats
    alpha: Floats
    fleiss: Floats
    human_ceiling: Floats
    by_class: Floats
    table: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Patterns:
    """Units with equal counts and equal weight are one pattern: a million units are a few hundred.

    Attributes:
        counts: shape (p, k), each row with a sum of 2 or more.
        units: how many units have the pattern, (p,).
        weights: of one such unit, (p,).
    """

    counts: Counts
    units: Counts
    weights: Floats

    @classmethod
    def of(cls, counts: ArrayLike, weights: ArrayLike | None = None) -> _Patterns:
        given = np.asarray(counts)
        if given.ndim != 2 or not np.issubdtype(given.dtype, np.integer):
            raise InputError(
                "ratings in count form need integers of shape (units, categories), "
                f"but are {given.dtype} of shape {given.shape}"
            )
        if given.size and given.min() < 0:
            raise InputError(f"ratings in count form are 0 or more, but one is {given.min()}")
        scale = unit_weights(weights, len(given))
        kept = given.sum(axis=1, dtype=np.int64) >= 2
        given, scale = given[kept], scale[kept]
        if len(given):
            scale = scale / scale.mean()
        levels, level = np.unique(scale, return_inverse=True)
        number = _number_rows(given)
        _, first, units = np.unique(
            number * len(levels) + level, return_index=True, return_counts=True
        )
        return cls(given[first].astype(np.int64), units, scale[first])

    def value(self) -> _Scores:
        """The scores of the units as they are; b = 1."""
        return self._score(self._sums(self.units[None]))

    def bootstrap(self, rounds: int, rng: np.random.Generator) -> _Scores:
        """The scores of bootstrap samples of the units; b = rounds."""
        p = len(self.units)
        sums = [np.empty((0, self._width))]
        step = max(1, _DRAWS // max(p, 1))
        for start in range(0, rounds if p else 0, step):
            drawn = bootstrap_matrices(self.units, min(step, rounds - start), rng)
            sums.append(self._sums(drawn))
        return self._score(np.concatenate(sums))

    @property
    def _width(self) -> int:
        k = int(self.counts.shape[1])
        return k * k + k + 3

    def _sums(self, drawn: Counts) -> Floats:
        """Weighted sums of the features over the units of data sets; (b, p) → (b, features)."""
        total = np.zeros((len(drawn), self._width))
        for start in range(0, len(self.units), _BLOCK):
            block = slice(start, start + _BLOCK)
            total += (drawn[:, block] * self.weights[block]) @ _features(self.counts[block])
        return total

    def _score(self, sums: Floats) -> _Scores:
        k = self.counts.shape[1]
        table = sums[:, : k * k].reshape(-1, k, k)
        pooled = sums[:, k * k : -3]
        unequal, unanimous, ceiling = sums[:, -3:].T
        units, said = table.sum(axis=(1, 2)), table.sum(axis=2)
        same = np.einsum("bcc->bc", table)
        agreement = ratio(same.sum(axis=1), units)
        chance = np.square(ratio(said, units[:, None])).sum(axis=1)
        n = pooled.sum(axis=1)
        expected = n * n - np.square(pooled).sum(axis=1)
        # What is 1 or 0 up to the rounding of sums is so: one category alone has been said.
        alone = (said > 0).sum(axis=1) <= 1
        return _Scores(
            agreement,
            ratio(unanimous, units),
            np.where(alone, np.nan, 1 - ratio((n - 1) * unequal, expected)),
            np.where(alone, np.nan, ratio(agreement - chance, 1 - chance)),
            ratio(ceiling, units),
            ratio(same, said),
            table,
        )


def _features(counts: Counts) -> Floats:
    """What is summed over units of patterns (p, k): the pair table, the counts, D_o, and two shares."""
    p, k = counts.shape
    m = counts.sum(axis=1)
    pairs = (m * (m - 1)).astype(np.float64)
    joint = counts[:, :, None] * counts[:, None, :]
    joint[:, np.arange(k), np.arange(k)] -= counts
    squares = np.square(counts).sum(axis=1)
    best = np.zeros(p)
    for c in range(k):
        others = counts.copy()
        others[:, c] -= 1
        most = others.max(axis=1)
        ties = (others == most[:, None]).sum(axis=1)
        best += np.where(others[:, c] == most, counts[:, c] / ties, 0.0)
    rest = [(m * m - squares) / (m - 1), counts.max(axis=1) == m, best / m]
    return np.column_stack([joint.reshape(p, k * k) / pairs[:, None], counts, *rest])


def _number_rows(rows: Integers) -> NDArray[np.int64]:
    """A number for each row of counts; equal rows have equal numbers, others do not."""
    if not rows.size:
        return np.zeros(len(rows), np.int64)
    base, k = int(rows.max()) + 1, rows.shape[1]
    if base**k < 2**40:  # room is left for the levels of weights
        places = np.array([base**c for c in range(k)], np.int64)
        return rows.astype(np.int64) @ places
    _, number = np.unique(rows, axis=0, return_inverse=True)
    return number.reshape(-1).astype(np.int64)


def unit_weights(weights: ArrayLike | None, units: int) -> Floats:
    """Checked weights of units, shape (units,); equal ones by default.

    Raises:
        InputError: another shape, or a weight that is not a finite number above 0.
    """
    if weights is None:
        return np.ones(units)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (units,) or not (np.isfinite(given) & (given > 0)).all():
        raise InputError(
            f"weights of units need {units} finite numbers above 0, but have shape {given.shape}"
            + (f" and go down to {given.min()}" if given.size else "")
        )
    return given


# ---- two raters that are known --------------------------------------------------------------


def score_kappas(tables: ArrayLike, *, rounds: int = 1000, seed: int = 0) -> list[Estimate]:
    """Cohen's κ of pairs of raters, with intervals; units are drawn anew in each bootstrap sample.

    Args:
        tables: units that the one rater put into i and the other into j, shape (pairs, k, k).
        rounds: bootstrap samples; 0 for values without intervals.
        seed: the same seed gives the same numbers.

    >>> [e.value for e in score_kappas([[[20, 5], [10, 15]], [[1, 0], [0, 1]]], rounds=50)]
    [0.4, 1.0]
    """
    counts = np.asarray(tables, dtype=np.int64)
    if counts.ndim != 3 or counts.shape[1] != counts.shape[2]:
        raise InputError(f"tables of pairs need shape (pairs, k, k), but have {counts.shape}")
    p, k = counts.shape[:2]
    rng = np.random.default_rng([seed, 3])
    values = kappa(np.pad(counts, ((0, 0), (0, 0), (0, 1)))) if p else np.zeros(0)
    samples = np.full((p, rounds), np.nan)
    sizes = counts.sum(axis=(1, 2))
    # What a unit in a cell adds to the row sums, the column sums, and the diagonal.
    place = np.arange(k * k)
    adds = np.concatenate([np.eye(k)[place // k], np.eye(k)[place % k]], axis=1)
    adds = np.column_stack([adds, place // k == place % k])
    for pair in range(p if rounds else 0):
        if not sizes[pair]:
            continue
        cells = np.flatnonzero(counts[pair])
        drawn = bootstrap_matrices(counts[pair].ravel()[cells], rounds, rng)
        sums, n = drawn @ adds[cells], float(sizes[pair])
        chance = (sums[:, :k] * sums[:, k : 2 * k]).sum(axis=1)
        samples[pair] = ratio(n * sums[:, -1] - chance, n * n - chance)
    reasons = [ONE_CATEGORY if n else NO_PAIRS for n in sizes]
    return with_intervals(values, samples, sizes, reasons)


def score_mean(values: ArrayLike, *, rounds: int = 1000, seed: int = 0) -> Estimate:
    """The mean of values that take few levels, such as shares of raters, with its interval.

    Args:
        values: shape (n,), finite.
        rounds: bootstrap samples; 0 for a value without an interval.
        seed: the same seed gives the same numbers.

    >>> score_mean([0.0, 1.0, 1.0, 1.0], rounds=50).value
    0.75
    """
    levels, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if not levels.size:
        return undefined(NO_VALUES)
    n = int(counts.sum())
    samples = np.empty((0, len(levels)), np.int64)
    if rounds:
        samples = bootstrap_matrices(counts, rounds, np.random.default_rng([seed, 4]))
    return with_interval(float(counts @ levels / n), samples @ levels / n, n, NO_VALUES)


def with_interval(value: float, samples: Floats, n: int, reason: str) -> Estimate:
    """A value with the percentiles of its bootstrap samples; for the reason given where it is NaN."""
    if math.isnan(value):
        return undefined(reason, n)
    low, high = interval(samples)
    return Estimate(float(value), low, high, n)


def with_intervals(
    values: Floats, samples: Floats, sizes: Counts, reasons: Sequence[str]
) -> list[Estimate]:
    """`with_interval` of many values, samples (n, b): percentiles of all rows at once."""
    found = [
        with_interval(value, NO_SAMPLES, int(n), reason)
        for value, n, reason in zip(values.tolist(), sizes, reasons, strict=True)
    ]
    whole = ~np.isnan(samples).any(axis=1) & (samples.shape[1] > 0)
    bounds = np.percentile(samples[whole], PERCENTILES, axis=1).T if whole.any() else []
    for i, (low, high) in zip(np.flatnonzero(whole).tolist(), bounds, strict=True):
        if found[i].reason is None:
            found[i] = replace(found[i], low=float(low), high=float(high))
    for i in np.flatnonzero(~whole).tolist():
        found[i] = with_interval(float(values[i]), samples[i], int(sizes[i]), reasons[i])
    return found
