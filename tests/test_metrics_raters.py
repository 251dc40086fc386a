"""Agreement of raters in count form against loops over pairs, published examples, and properties."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import cohen_kappa_score

import reference
from openaffect import metrics as m
from openaffect.errors import InputError
from openaffect.metrics.rater_measurements import PAIR_METRICS

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
K = 4

unit_ratings = st.lists(
    st.lists(st.integers(0, K - 1), min_size=0, max_size=5), min_size=1, max_size=10
)


def to_counts(units: list[list[int]], k: int = K) -> np.ndarray:
    return np.array([[unit.count(c) for c in range(k)] for unit in units], dtype=np.int64)


def number(value: Fraction | None) -> float:
    return math.nan if value is None else float(value)


def mean(values: list[Fraction], weights: list[int] | None = None) -> Fraction | None:
    weights = weights or [1] * len(values)
    total = sum(weights)
    return (
        sum(w * v for w, v in zip(weights, values, strict=True)) / Fraction(total)
        if total
        else None
    )


def pairs(unit: list[int]) -> list[tuple[int, int]]:
    return [(unit[i], unit[j]) for i, j in permutations(range(len(unit)), 2)]


def loop_agreement(units: list[list[int]], weights: list[int] | None = None) -> Fraction | None:
    return mean([Fraction(sum(a == b for a, b in pairs(u)), len(pairs(u))) for u in units], weights)


def loop_table(units: list[list[int]]) -> np.ndarray:
    table = np.zeros((K, K))
    for unit in units:
        for a, b in pairs(unit):
            table[a, b] += 1 / len(pairs(unit))
    return table


def loop_fleiss(units: list[list[int]]) -> Fraction | None:
    observed = loop_agreement(units)
    if observed is None:
        return None
    shares = [mean([Fraction(u.count(c), len(u)) for u in units]) for c in range(K)]
    chance = sum(s * s for s in shares)
    return None if chance == 1 else (observed - chance) / (1 - chance)


def loop_ceiling(units: list[list[int]]) -> Fraction | None:
    found = []
    for unit in units:
        right = Fraction(0)
        for i, own in enumerate(unit):
            others = Counter(unit[:i] + unit[i + 1 :])
            winners = [c for c, n in others.items() if n == max(others.values())]
            right += Fraction(own in winners, len(winners))
        found.append(right / len(unit))
    return mean(found)


@settings(max_examples=150, deadline=None)
@given(units=unit_ratings)
def test_every_score_of_categories_equals_its_loop_over_pairs(units: list[list[int]]) -> None:
    counts = to_counts(units)
    rated = [unit for unit in units if len(unit) >= 2]
    found = m.score_raters(counts, rounds=0)
    assert_allclose(found.pair_agreement.value, number(loop_agreement(rated)), **EXACT)
    assert_allclose(m.pair_agreement(counts), number(loop_agreement(rated)), **EXACT)
    unanimous = mean([Fraction(len(set(u)) == 1) for u in rated])
    assert_allclose(found.unanimous.value, number(unanimous), **EXACT)
    assert_allclose(found.fleiss.value, number(loop_fleiss(rated)), **EXACT)
    assert_allclose(m.fleiss_kappa(counts), number(loop_fleiss(rated)), **EXACT)
    alpha = number(reference.alpha(rated, lambda a, b: a != b))
    assert_allclose([found.alpha.value, m.alpha_counts(counts)], alpha, **EXACT)
    ceiling = number(loop_ceiling(rated))
    assert_allclose([found.human_ceiling.value, m.human_ceiling(counts)], ceiling, **EXACT)
    table = loop_table(rated)
    assert_allclose(found.table, table, **EXACT)
    assert_allclose(m.pair_table(counts), table, **EXACT)
    by_class = [row[c] / row.sum() if row.sum() else math.nan for c, row in enumerate(table)]
    assert_allclose([e.value for e in found.by_class], by_class, **EXACT)
    assert found.pair_agreement.n == len(rated)
    assert [e.n for e in found.by_class] == [sum(c in u for u in rated) for c in range(K)]


def test_fleiss_own_example() -> None:
    # Fleiss (1971): ten subjects, fourteen raters, five categories; κ = .210.
    counts = """0 0 0 0 14|0 2 6 4 2|0 0 3 5 6|0 3 9 2 0|2 2 8 1 1
                |7 7 0 0 0|3 2 6 3 0|2 5 3 2 2|6 5 2 1 0|0 2 2 3 7"""
    rows = np.array([[int(n) for n in row.split()] for row in counts.split("|")])
    assert round(m.fleiss_kappa(rows), 3) == 0.210
    assert round(m.pair_agreement(rows), 3) == 0.378


def test_krippendorffs_own_example_in_count_form() -> None:
    # Krippendorff (2011), example C; α nominal .743.
    units = [
        "111",
        "2232",
        "3333",
        "3333",
        "2222",
        "1234",
        "4444",
        "1121",
        "2222",
        "555",
        "11",
        "3",
    ]
    counts = np.array([[unit.count(str(c)) for c in range(1, 6)] for unit in units])
    assert round(m.alpha_counts(counts), 3) == 0.743
    assert m.score_raters(counts, rounds=0).alpha.n == 11


def random_counts(n: int = 300, seed: int = 0, k: int = K) -> np.ndarray:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    shares = 0.5 * np.eye(k)[truth] + 0.5 / k
    return np.array([rng.multinomial(rng.integers(0, 6), p) for p in shares])


def values(found: m.CategoryAgreement) -> list[float]:
    names = ("pair_agreement", "unanimous", "alpha", "fleiss", "human_ceiling")
    return [getattr(found, name).value for name in names]


def test_names_of_classes_and_order_of_units_do_not_matter() -> None:
    counts, rng = random_counts(), np.random.default_rng(5)
    order = rng.permutation(K)
    here, there = m.score_raters(counts, rounds=40), m.score_raters(counts[:, order], rounds=40)
    assert_allclose(values(here), values(there), **EXACT)
    assert_allclose(here.table[np.ix_(order, order)], there.table, **EXACT)
    moved = m.score_raters(rng.permutation(counts), rounds=40)
    assert values(moved) == values(here)
    assert (moved.alpha, moved.by_class) == (here.alpha, here.by_class)


def test_units_that_come_twice_change_no_value() -> None:
    counts = random_counts()
    once, twice = (m.score_raters(c, rounds=200) for c in (counts, np.repeat(counts, 2, axis=0)))
    names = ("pair_agreement", "unanimous", "fleiss", "human_ceiling")
    for name in names:
        assert_allclose(getattr(once, name).value, getattr(twice, name).value, **EXACT)
        a, b = getattr(once, name), getattr(twice, name)
        assert b.high - b.low < 0.85 * (a.high - a.low)
    # α corrects for the number of ratings, which has doubled.
    assert once.alpha.value != twice.alpha.value
    assert once.alpha.value == pytest.approx(twice.alpha.value, abs=2e-3)


def test_weights_stand_for_units() -> None:
    counts = random_counts(120)
    times = np.random.default_rng(1).integers(1, 4, len(counts))
    weighted = m.score_raters(counts, weights=times.astype(float), rounds=0)
    repeated = m.score_raters(np.repeat(counts, times, axis=0), rounds=0)
    for name in ("pair_agreement", "unanimous", "fleiss", "human_ceiling"):
        assert_allclose(getattr(weighted, name).value, getattr(repeated, name).value, **EXACT)
    assert weighted.pair_agreement.value != m.pair_agreement(counts)
    assert_allclose(weighted.alpha.value, repeated.alpha.value, atol=5e-3)
    scaled = m.score_raters(counts, weights=7.0 * times, rounds=20)
    assert_allclose(values(scaled), values(weighted), **EXACT)


def test_the_seed_moves_intervals_and_nothing_else() -> None:
    counts = random_counts()
    a, b, again = (m.score_raters(counts, rounds=200, seed=s) for s in (0, 1, 0))
    assert values(a) == values(b)
    assert a.pair_agreement != b.pair_agreement
    assert a.pair_agreement == again.pair_agreement
    assert a.pair_agreement.low < a.pair_agreement.value < a.pair_agreement.high


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    shares = np.array([0.6, 0.3, 0.1])
    truth, hits = float((shares**2).sum()), 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(3, shares, size=150)
        found = m.score_raters(counts, rounds=200, seed=seed).pair_agreement
        hits += found.low <= truth <= found.high
    assert 88 <= hits <= 99


def test_many_patterns_and_many_categories_cost_no_exactness() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(
        0, 60, (5000, 11)
    )  # every row is a pattern of its own, none fits a number
    found = m.score_raters(counts, rounds=2)
    size = counts.sum(axis=1)
    expected = ((counts * (counts - 1)).sum(axis=1) / (size * (size - 1))).mean()
    assert_allclose(found.pair_agreement.value, expected, **EXACT)


def test_what_cannot_be_known_is_nan_with_a_reason() -> None:
    nothing = m.score_raters(np.array([[1, 0], [0, 0]]), rounds=20)
    assert [math.isnan(v) for v in values(nothing)] == [True] * 5
    assert "two ratings" in str(nothing.alpha.reason)
    alike = m.score_raters(np.array([[2, 0], [3, 0], [7, 0]]), rounds=20)
    assert values(alike)[:2] == [1.0, 1.0]
    assert math.isnan(alike.alpha.value)
    assert math.isnan(alike.fleiss.value)
    assert "one category" in str(alike.fleiss.reason)
    assert "no rating" in str(alike.by_class[1].reason)
    empty = m.score_raters(np.zeros((0, 3), int), rounds=20)
    assert empty.pair_agreement.n == 0
    assert empty.table.tolist() == [[0.0] * 3] * 3


@pytest.mark.parametrize(
    ("counts", "weights", "words"),
    [
        ([1, 2], None, "shape"),
        ([[0.5, 1.5]], None, "integers"),
        ([[2, -1]], None, "-1"),
        ([[2, 0]], [1.0, 2.0], "weights"),
        ([[2, 0]], [0.0], "above 0"),
        ([[2, 0]], [math.nan], "finite"),
    ],
)
def test_bad_counts_are_refused(counts: object, weights: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        m.score_raters(np.array(counts), weights=weights, rounds=0)  # type: ignore[arg-type]


def test_kappa_of_two_people_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    one = rng.integers(0, 5, 200)
    other = np.where(rng.random(200) < 0.6, one, rng.integers(0, 5, 200))
    table = np.zeros((7, 7), int)
    np.add.at(table, (one, other), 1)
    found = m.score_kappas([table], rounds=200)[0]
    assert_allclose(found.value, cohen_kappa_score(one, other), **EXACT)
    assert found.n == 200
    assert found.low < found.value < found.high
    alone, nothing, again = m.score_kappas([[[9, 0], [0, 0]], [[0, 0], [0, 0]], [[4, 1], [1, 4]]])
    assert "one category" in str(alone.reason)
    assert "two ratings" in str(nothing.reason)
    assert_allclose(again.value, 0.6, **EXACT)
    # In large samples κ is normal: Fleiss, Cohen and Everitt's (1969) standard error, .2529.
    error = math.sqrt((1 - 0.8) * 0.8 / (10 * 0.5**2))
    assert again.high - again.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert m.score_kappas(np.zeros((0, 3, 3))) == []
    with pytest.raises(InputError, match="pairs, k, k"):
        m.score_kappas([[1, 2], [3, 4]])


def test_the_interval_of_a_mean_is_that_of_its_rows() -> None:
    rows = np.repeat([0.0, 0.5, 1.0], [20, 30, 50])
    found = m.score_mean(rows, rounds=2000)
    error = rows.std() / 10
    assert (found.value, found.n) == (0.65, 100)
    assert_allclose([found.low, found.high], 0.65 + np.array([-1.96, 1.96]) * error, atol=0.01)
    assert math.isnan(m.score_mean([]).value)


# ---- measurements ---------------------------------------------------------------------------

points = st.lists(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 2)), min_size=0, max_size=5),
    min_size=1,
    max_size=8,
)


def loop_measurements(units: list[list[tuple[int, int]]], same: bool) -> dict[str, float]:
    """RMSE, CORR, SAGR and CCC over ordered pairs; each unit's pairs share a weight of 1."""
    rows = []
    for unit in units:
        found = [(a, b) for (a, c), (b, d) in permutations(unit, 2) if not same or c == d]
        rows += [(a, b, Fraction(1, len(found))) for a, b in found]
    total = sum(w for *_, w in rows)
    if not total:
        return dict.fromkeys(PAIR_METRICS, math.nan)
    average = lambda f: sum(w * f(a, b) for a, b, w in rows) / total  # noqa: E731
    x, y = average(lambda a, _: a), average(lambda _, b: b)
    vx, vy = average(lambda a, _: (a - x) ** 2), average(lambda _, b: (b - y) ** 2)
    cov = average(lambda a, b: (a - x) * (b - y))
    return {
        "rmse": math.sqrt(average(lambda a, b: (a - b) ** 2)),
        "corr": float(cov) / math.sqrt(vx * vy) if vx * vy else math.nan,
        "sagr": float(average(lambda a, b: Fraction(int(np.sign(a) == np.sign(b))))),
        "ccc": float(2 * cov / (vx + vy + (x - y) ** 2)) if vx + vy else math.nan,
    }


def flat(units: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [(u, x / 4, c) for u, unit in enumerate(units) for x, c in unit]
    table = np.array(rows, float).reshape(-1, 3)
    return table[:, 0].astype(int), table[:, 1:2], table[:, 2].astype(int)


def assert_close(found: dict[str, m.Estimate], expected: dict[str, float], scale: float) -> None:
    got = [found[name].value * (scale if name == "rmse" else 1) for name in PAIR_METRICS]
    assert_allclose(got, [expected[name] for name in PAIR_METRICS], rtol=1e-9, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(units=points)
def test_every_score_of_measurements_equals_its_loop_over_pairs(
    units: list[list[tuple[int, int]]],
) -> None:
    found = m.score_measurements(*flat(units), rounds=0)[0]
    assert_close(found.all, loop_measurements(units, same=False), 4)
    assert_close(found.same_category, loop_measurements(units, same=True), 4)
    alpha = reference.alpha([[x for x, _ in unit] for unit in units], lambda a, b: (a - b) ** 2)
    assert_allclose(found.alpha.value, number(alpha), rtol=1e-9, atol=1e-9)
    assert found.alpha.n == sum(len(unit) >= 2 for unit in units)


def random_points(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(n), rng.integers(1, 5, n))
    truth = rng.uniform(-1, 1, (n, 2))[units]
    given = truth + rng.normal(0, 0.2, truth.shape)
    return units, given, rng.integers(0, 3, len(units))


def test_two_axes_are_two_measurements_with_the_same_samples() -> None:
    units, given, kinds = random_points()
    both = m.score_measurements(units, given, kinds, rounds=60)
    for axis in (0, 1):
        alone = m.score_measurements(units, given[:, [axis]], kinds, rounds=60)[0]
        assert_allclose(both[axis].all["ccc"].low, alone.all["ccc"].low, **EXACT)
        assert_allclose(both[axis].alpha.value, alone.alpha.value, **EXACT)
    assert both[0].all["rmse"].low < both[0].all["rmse"].value < both[0].all["rmse"].high
    # Two raters with independent errors of .2 differ by .2 √2.
    assert both[0].all["rmse"].value == pytest.approx(0.2 * math.sqrt(2), abs=0.03)


def test_measurements_keep_to_their_properties() -> None:
    units, given, kinds = random_points()
    here = m.score_measurements(units, given, kinds, rounds=60)[0]
    order = np.random.default_rng(1).permutation(len(units))
    moved = m.score_measurements(units[order], given[order], 2 - kinds[order], rounds=60)[0]
    names = PAIR_METRICS
    assert_allclose(
        [moved.all[n].value for n in names], [here.all[n].value for n in names], **EXACT
    )
    assert_allclose(
        [moved.same_category[n].value for n in names],
        [here.same_category[n].value for n in names],
        **EXACT,
    )
    twice = m.score_measurements(
        np.concatenate([units, units + 200]), np.tile(given, (2, 1)), np.tile(kinds, 2), rounds=60
    )[0]
    assert_allclose(
        [twice.all[n].value for n in names], [here.all[n].value for n in names], **EXACT
    )
    other = m.score_measurements(units, given, kinds, rounds=60, seed=1)[0]
    assert other.all["ccc"].value == here.all["ccc"].value
    assert other.all["ccc"].low != here.all["ccc"].low
    far = m.score_measurements(units, given + 1e6, kinds, rounds=0)[0]
    assert_allclose(far.all["ccc"].value, here.all["ccc"].value, rtol=1e-6)


def test_weights_of_units_stand_for_units_in_measurements() -> None:
    units, given, kinds = random_points(60)
    times = np.random.default_rng(1).integers(1, 4, 60)
    weighted = m.score_measurements(units, given, kinds, weights=times.astype(float), rounds=0)[0]
    parts = [(units == u, t) for u, t in enumerate(times)]
    rows = [(given[mask], kinds[mask]) for mask, t in parts for _ in range(t)]
    again = m.score_measurements(
        np.repeat(np.arange(len(rows)), [len(k) for _, k in rows]),
        np.concatenate([x for x, _ in rows]),
        np.concatenate([k for _, k in rows]),
        rounds=0,
    )[0]
    for name in PAIR_METRICS:
        assert_allclose(weighted.all[name].value, again.all[name].value, **EXACT)
        assert_allclose(
            weighted.same_category[name].value, again.same_category[name].value, **EXACT
        )


def test_measurements_that_say_nothing_are_nan_with_a_reason() -> None:
    none = m.score_measurements(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0, int))
    assert len(none) == 2
    assert "two ratings" in str(none[0].all["rmse"].reason)
    alike = m.score_measurements([0, 0, 1, 1], [[0.3]] * 4, [0, 1, 0, 1], rounds=20)[0]
    assert alike.all["rmse"].value == 0
    assert alike.all["sagr"].value == 1
    assert math.isnan(alike.all["corr"].value)
    assert "equal" in str(alike.alpha.reason)
    assert "in one category" in str(alike.same_category["rmse"].reason)
    with pytest.raises(InputError, match="finite"):
        m.score_measurements([0, 0], [[math.nan], [0.1]], [0, 0])
    with pytest.raises(InputError, match="categories"):
        m.score_measurements([0, 0], [[0.2], [0.1]], [0])
