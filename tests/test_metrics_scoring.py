"""Resampling and the functions that a report calls: distributions, pairs, and what is undefined."""

import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import reference
from openaffect import metrics as m
from openaffect.errors import InputError, MismatchError
from openaffect.metrics.estimate import undefined_reason
from openaffect.metrics.resampling import (
    balanced_draws,
    balanced_weights,
    bootstrap_balanced,
    bootstrap_matrices,
    bootstrap_weights,
)

K = 4
SIZES = (60, 120, 30, 15)


def system(seed, strength=1.2, failed=0):
    """Skewed truth and probabilities of a system; the first `failed` rows have none."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(K), SIZES)
    scores = rng.normal(size=(len(truth), K)) + strength * np.eye(K)[truth]
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    p[:failed] = np.nan
    return truth, p


def value_of(name, truth, p):
    """One value of physically gathered rows, by functions that test_metrics.py verifies."""
    if name == "auc":
        return float(np.nanmean(m.roc_auc(truth, p)))
    if name == "auc_pr":
        return float(np.nanmean(m.average_precision(truth, p)))
    matrix = m.confusion_matrix(truth, p.argmax(axis=1), K)
    return float(m.LABEL_METRICS[name](matrix))


NAMES = ["accuracy", "f1", "kappa", "auc", "auc_pr"]


@pytest.fixture(scope="module")
def scored():
    truth, p = system(0)
    return truth, p, m.score_categorical(truth, p, K, draws=2000, rounds=4000)


# ---- draws ------------------------------------------------------------------------------


def test_balanced_draws_take_what_is_there():
    truth, p = system(1)
    truth = np.where(truth == 2, 3, truth)  # class 2 has no support
    matrix = m.confusion_matrix(truth, m.predicted_labels(p), K)
    draws = balanced_draws(matrix, 300, np.random.default_rng(0))
    assert draws.shape == (300, K, K + 1)
    assert (draws.sum(axis=2) == [45, 45, 0, 45]).all()
    assert (draws <= matrix).all()  # without replacement
    assert (draws[:, 3] == matrix[3]).all()  # the smallest class is taken whole


def test_bootstrap_matrices_keep_the_rows_and_the_empty_cells():
    rows = np.arange(K).repeat(5)
    matrix = m.confusion_matrix(rows, rows, K)
    samples = bootstrap_matrices(matrix, 500, np.random.default_rng(0))
    assert (samples.sum(axis=(1, 2)) == 20).all()
    assert (samples[:, matrix == 0] == 0).all()
    # mean 5 a cell, standard error sqrt(20·¼·¾ / 500) = 0.087; five of them
    assert_allclose(samples[:, matrix > 0].mean(axis=0), 5, atol=0.44, rtol=0)


def test_weights_have_the_sizes_of_their_samples():
    truth, _ = system(0)
    rng = np.random.default_rng(0)
    plain = np.concatenate(list(bootstrap_weights(len(truth), 50, rng)))
    assert plain.shape == (50, len(truth))
    assert (plain.sum(axis=1) == len(truth)).all()
    draws = np.concatenate(list(balanced_weights(truth, K, 50, rng)))
    sizes = np.stack([draws[:, truth == c].sum(axis=1) for c in range(K)])
    assert (sizes == 15).all()
    assert set(np.unique(draws)) == {0, 1}
    both = np.concatenate(list(balanced_weights(truth, K, 50, rng, bootstrap=True)))
    sizes = np.stack([both[:, truth == c].sum(axis=1) for c in range(K)])
    assert (sizes == sizes[0]).all()
    assert len(np.unique(sizes[0])) > 5  # the smallest class varies from sample to sample


def test_chunks_of_weights_cover_all_rounds():
    chunks = list(bootstrap_weights(200_000, 5, np.random.default_rng(0)))
    assert len(chunks) > 1
    assert sum(len(c) for c in chunks) == 5


def test_bootstrap_and_balanced_draw_in_one_step_equal_two_steps():
    truth, p = system(2)
    matrix = m.confusion_matrix(truth, m.predicted_labels(p), K)
    rounds = 3000
    one_step = bootstrap_balanced(matrix, rounds, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    samples = bootstrap_matrices(matrix, rounds, rng)
    two_steps = np.concatenate([balanced_draws(s, 1, rng) for s in samples])
    for metric in (m.accuracy, m.macro_f1):  # a fixed pair, never empty
        ours, theirs = metric(one_step), metric(two_steps)
        error = ours.std() / math.sqrt(rounds)
        # a difference of two means: 5 × √2 standard errors; of two standard deviations: the
        # relative standard error is 1/√(2·3000) = 1.3 %, so 5 × √2 × 1.3 % = 9 %
        assert abs(ours.mean() - theirs.mean()) < 5 * math.sqrt(2) * error
        assert_allclose(ours.std(), theirs.std(), rtol=0.092)


def test_a_class_that_a_bootstrap_sample_misses_has_no_rows_in_it():
    """One row of twenty is missed by (1 − 1/20)²⁰ = 36 % of the samples."""
    matrix = np.array([[1, 0, 0], [4, 15, 0]])
    rows = bootstrap_balanced(matrix, 2000, np.random.default_rng(0)).sum(axis=-1)
    missed = rows[:, 0] == 0
    assert abs(missed.mean() - 0.358) < 0.05  # 5 standard errors
    assert (rows[missed, 1] == 20).all()
    assert (rows[~missed, 0] == rows[~missed, 1]).all()


# ---- estimates against brute force ------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_orig_equals_brute_force(name, scored):
    truth, p, result = scored
    ours = result[name]["orig"]
    assert_allclose(ours.value, value_of(name, truth, p), rtol=1e-12)
    rng, n, rounds = np.random.default_rng(5), len(truth), 400
    rows = rng.integers(0, n, (rounds, n))
    theirs = np.array([value_of(name, truth[r], p[r]) for r in rows])
    low, high = np.percentile(theirs, [2.5, 97.5])
    # standard error of a 2.5 % quantile of a normal: √(.025·.975/400)/φ(1.96) = 0.134 sd here,
    # 0.042 sd in ours; together 0.14 sd, four of them
    assert_allclose([ours.low, ours.high], [low, high], atol=0.56 * theirs.std(), rtol=0)
    # the width: 0.2 sd of 3.92 sd is 5 %, four of them
    assert_allclose(ours.high - ours.low, high - low, rtol=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_norm_equals_brute_force(name, scored):
    truth, p, result = scored
    ours = result[name]["norm"]
    assert ours.n == 60
    shuffle = random.Random(0)
    subsets = [reference.balanced_subset(truth.tolist(), shuffle) for _ in range(400)]
    theirs = np.array([value_of(name, truth[r], p[r]) for r in subsets])
    # two means, of 400 and of 2,000 draws: five standard errors of their difference
    assert abs(ours.value - theirs.mean()) < 5 * theirs.std() * math.sqrt(1 / 400 + 1 / 2000)

    rng, n = np.random.default_rng(6), len(truth)
    both = []
    for rows in rng.integers(0, n, (400, n)):
        chosen = rows[reference.balanced_subset(truth[rows].tolist(), shuffle)]
        both.append(value_of(name, truth[chosen], p[chosen]))
    low, high = np.percentile(both, [2.5, 97.5])
    spread = np.std(both)
    assert_allclose([ours.low, ours.high], [low, high], atol=0.56 * spread, rtol=0)
    assert_allclose(ours.high - ours.low, high - low, rtol=0.2)


def test_values_are_those_of_the_single_functions(scored):
    truth, p, result = scored
    expected = {
        "auc": m.roc_auc(truth, p).mean(),
        "auc_pr": m.average_precision(truth, p).mean(),
        "top2": m.top_accuracy(truth, p),
        "ece": m.ece(truth, p),
    }
    ours = [result[name]["orig"].value for name in expected]
    assert_allclose(ours, list(expected.values()), rtol=1e-12)


def test_every_metric_is_there_and_inside_its_interval(scored):
    _, _, result = scored
    assert set(result) == {*m.LABEL_METRICS, *m.SCORE_METRICS}
    defined = [e for both in result.values() for e in both.values() if e.reason is None]
    assert len(defined) == 24  # twelve metrics, orig and norm; no soft labels were given
    # the bootstrap of ECE is biased upwards (noise adds to calibration error)
    unbiased = [e for name in {*result} - {"ece", "cross_entropy"} for e in result[name].values()]
    assert all(e.low < e.value < e.high for e in unbiased)


def test_a_seed_fixes_the_numbers_of_label_metrics_too():
    truth, p = system(3)
    once, again, other = (
        m.score_categorical(truth, p, K, draws=5, rounds=20, seed=s)["f1"] for s in (1, 1, 2)
    )
    assert once == again
    assert once["norm"].value != other["norm"].value
    assert (once["orig"].low, once["orig"].high) != (other["orig"].low, other["orig"].high)


def test_a_seed_fixes_the_numbers():
    truth, p = system(3)
    once, again, other = (
        m.score_categorical(truth, p, K, draws=5, rounds=20, seed=s)["auc"] for s in (1, 1, 2)
    )
    assert once == again
    assert once["norm"] != other["norm"]
    assert once["orig"].value == other["orig"].value


def test_float32_ties_and_order_of_rows_change_nothing():
    truth, p = system(4)
    p = np.round(p, 1) + 0.1
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(truth))
    one = m.score_categorical(truth, p, K, draws=1, rounds=0)
    other = m.score_categorical(truth[order], p[order], K, draws=1, rounds=0)
    names = [name for name in one if name != "cross_entropy"]
    ours, theirs = ([r[name]["orig"].value for name in names] for r in (one, other))
    assert_allclose(ours, theirs, rtol=1e-12)
    assert len(names) == 12


# ---- what is missing or undefined -------------------------------------------------------


def test_failed_rows_are_wrong_in_label_metrics_and_left_out_of_score_metrics():
    truth, p = system(0, failed=10)
    result = m.score_categorical(truth, p, K, draws=5, rounds=20)
    right = (p[10:].argmax(axis=1) == truth[10:]).sum()
    assert_allclose(result["accuracy"]["orig"].value, right / len(truth), rtol=1e-12)
    assert_allclose(result["auc"]["orig"].value, m.roc_auc(truth[10:], p[10:]).mean(), rtol=1e-12)
    assert (result["accuracy"]["orig"].n, result["auc"]["orig"].n) == (225, 215)


def test_labels_without_scores():
    truth, p = system(0)
    hard = m.score_categorical(truth, m.predicted_labels(p), K, draws=5, rounds=20)
    soft = m.score_categorical(truth, p, K, draws=5, rounds=20)
    assert {name: hard[name] for name in m.LABEL_METRICS} == {
        name: soft[name] for name in m.LABEL_METRICS
    }
    assert {hard[name]["orig"].reason for name in m.SCORE_METRICS} == {
        "the system gives labels without scores"
    }
    assert all(math.isnan(hard[name]["orig"].value) for name in m.SCORE_METRICS)


def test_soft_labels_are_scored_where_they_are():
    truth, p = system(0, failed=5)
    soft = np.random.default_rng(0).dirichlet(np.ones(K), len(truth))
    soft[:20] = np.nan
    given = m.score_categorical(truth, p, K, soft_labels=soft, draws=1, rounds=200)
    ours = given["cross_entropy"]["orig"]
    assert_allclose(ours.value, m.cross_entropy(soft[20:], p[20:]), rtol=1e-12)
    assert ours.n == len(truth) - 20
    assert ours.low < ours.value < ours.high
    without = m.score_categorical(truth, p, K, draws=1, rounds=0)["cross_entropy"]["orig"]
    assert without.reason == "no scored row has a soft label"


def test_one_row():
    result = m.score_categorical([1], [[0.2, 0.8]], 2, draws=3, rounds=5)
    assert result["accuracy"]["orig"] == m.Estimate(1.0, 1.0, 1.0, 1)
    assert result["accuracy"]["norm"] == m.Estimate(1.0, 1.0, 1.0, 1)
    undefined = {name for name in result if math.isnan(result[name]["orig"].value)}
    assert undefined == {"kappa", "kappa_ovr", "alpha", "alpha_ovr", "auc", "cross_entropy"}
    assert all(result[name]["orig"].reason for name in undefined)
    assert result["auc"]["orig"].reason == undefined_reason("auc")


def test_all_rows_failed():
    result = m.score_categorical([0, 1], np.full((2, 2), np.nan), 2, draws=1, rounds=5)
    assert result["accuracy"]["orig"].value == 0
    assert result["auc"]["norm"].reason == "every row failed: there are no scores"


def test_a_class_without_support_is_left_out_of_means():
    truth, p = system(0)
    keep = truth != 1
    result = m.score_categorical(truth[keep], p[keep], K, draws=5, rounds=20)
    per_class = m.roc_auc(truth[keep], p[keep])
    assert math.isnan(per_class[1])
    assert_allclose(result["auc"]["orig"].value, np.delete(per_class, 1).mean(), rtol=1e-12)
    assert result["auc"]["norm"].n == 45


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="no rows"):
        m.score_categorical([], np.empty((0, 2)), 2)
    with pytest.raises(InputError, match=r"shape \(n, 3\)"):
        m.score_categorical([0], [[0.5, 0.5]], 3)
    with pytest.raises(MismatchError, match="1 rows, but answers has 2"):
        m.score_categorical([0], [[0.5, 0.5]] * 2, 2)
    with pytest.raises(MismatchError, match="soft_labels"):
        m.score_categorical([0], [[0.5, 0.5]], 2, soft_labels=[[1.0, 0.0]] * 2)
    with pytest.raises(InputError, match="draws"):
        m.score_categorical([0], [0], 2, draws=0)
    with pytest.raises(InputError, match="integers"):
        m.score_categorical([0], [0.5], 2)


# ---- dimensional ------------------------------------------------------------------------


def measured(seed=0, n=300, noise=0.3):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, n)
    return truth, 0.6 * truth + 0.1 + noise * rng.normal(size=n)


def test_dimensional_estimates_equal_brute_force():
    truth, p = measured()
    result = m.score_dimensional(truth, p, rounds=4000)
    rows = np.random.default_rng(9).integers(0, len(truth), (1000, len(truth)))
    assert set(result) == set(m.DIMENSIONAL_METRICS)
    for name, ours in result.items():
        metric = getattr(m, name)
        assert_allclose(ours.value, metric(truth, p), rtol=1e-12)
        theirs = np.array([metric(truth[r], p[r]) for r in rows])
        low, high = np.percentile(theirs, [2.5, 97.5])
        # quantiles of 1,000 and of 4,000 samples: standard error 0.094 sd, four of them
        assert_allclose([ours.low, ours.high], [low, high], atol=0.38 * theirs.std(), rtol=0)


def test_dimensional_failures_are_left_out():
    truth, p = measured()
    p[:7] = np.nan
    result = m.score_dimensional(truth, p, rounds=10)
    assert result["ccc"].n == 293
    assert_allclose(result["ccc"].value, m.ccc(truth[7:], p[7:]), rtol=1e-12)
    nothing = m.score_dimensional(truth, np.full(300, np.nan), rounds=10)
    assert {e.reason for e in nothing.values()} == {"no row has a prediction"}


def test_dimensional_constants_are_undefined_with_a_reason():
    result = m.score_dimensional([0.1, 0.2, 0.3], [0.2, 0.2, 0.2], rounds=10)
    assert math.isnan(result["corr"].value)
    assert result["corr"].reason == "truth or prediction is constant"
    assert result["ccc"].value == 0
    same = m.score_dimensional([0.1] * 3, [0.1] * 3, rounds=10)
    assert same["ccc"].reason == "truth and prediction are constant and equal"


# ---- two systems ------------------------------------------------------------------------


def test_a_system_does_not_differ_from_itself():
    truth, p = system(0, failed=3)
    result = m.compare_categorical(truth, p, p, K, rounds=50)
    assert {name: (d.value, d.low, d.high, d.p) for name, d in result.items()} == dict.fromkeys(
        {*m.LABEL_METRICS, *m.SCORE_METRICS} - {"cross_entropy"}, (0, 0, 0, 1)
    )
    assert (result["accuracy"].n, result["auc"].n) == (225, 222)


def test_a_better_system_differs_from_a_worse_one():
    truth, good = system(0, strength=2.5)
    _, bad = system(1, strength=0.3)
    soft = np.eye(K)[truth]
    result = m.compare_categorical(truth, good, bad, K, soft_labels=soft, rounds=400)
    assert set(result) == {*m.LABEL_METRICS, *m.SCORE_METRICS}
    higher = [d for name, d in result.items() if name not in {"ece", "cross_entropy"}]
    assert all(0 < d.low < d.value < d.high and d.p == 2 / 401 for d in higher)
    assert result["cross_entropy"].high < 0
    mirrored = m.compare_categorical(truth, bad, good, K, soft_labels=soft, rounds=400)
    assert mirrored["auc"].value == -result["auc"].value
    assert mirrored["auc"].p == result["auc"].p


@pytest.mark.parametrize("name", ["f1", "auc"])
def test_paired_difference_equals_brute_force(name):
    truth, a = system(0)
    noise = np.random.default_rng(3).dirichlet(np.ones(K), len(truth))
    b = 0.7 * a + 0.3 * noise  # correlated with a, as two good systems are
    ours = m.compare_categorical(truth, a, b, K, rounds=4000)[name]
    expected = value_of(name, truth, a) - value_of(name, truth, b)
    assert_allclose(ours.value, expected, rtol=1e-12, atol=1e-12)
    rows = np.random.default_rng(4).integers(0, len(truth), (400, len(truth)))
    theirs = np.array(
        [value_of(name, truth[r], a[r]) - value_of(name, truth[r], b[r]) for r in rows]
    )
    low, high = np.percentile(theirs, [2.5, 97.5])
    assert_allclose([ours.low, ours.high], [low, high], atol=0.56 * theirs.std(), rtol=0)
    separate = math.hypot(
        *(np.std([value_of(name, truth[r], x[r]) for r in rows[:100]]) for x in (a, b))
    )
    assert ours.high - ours.low < 3.92 * separate  # the pairing narrows it


def test_comparison_with_labels_only():
    truth, p = system(0)
    result = m.compare_categorical(truth, p, m.predicted_labels(p), K, rounds=20)
    assert set(result) == set(m.LABEL_METRICS)
    assert result["f1"].value == 0


def test_p_of_a_difference_is_not_small_without_one():
    truth, _ = system(0)
    flips = [np.where(np.arange(len(truth)) % 10 == i, (truth + 1) % K, truth) for i in (0, 1)]
    result = m.compare_categorical(truth, flips[0], flips[1], K, rounds=400)
    assert result["accuracy"].p > 0.3


def test_dimensional_comparison():
    truth, good = measured(0, noise=0.1)
    _, bad = measured(0, noise=0.6)
    bad = bad.copy()
    bad[:5] = np.nan
    result = m.compare_dimensional(truth, good, bad, rounds=400)
    expected = [
        getattr(m, n)(truth[5:], good[5:]) - getattr(m, n)(truth[5:], bad[5:]) for n in result
    ]
    assert_allclose([d.value for d in result.values()], expected, rtol=1e-11)
    assert result["rmse"].high < 0 < result["ccc"].low
    assert {d.n for d in result.values()} == {295}
    with pytest.raises(InputError, match="no row"):
        m.compare_dimensional([0.0], [math.nan], [0.1])
    with pytest.raises(InputError, match="rounds"):
        m.compare_dimensional([0.0], [0.1], [0.1], rounds=0)


# ---- the package ------------------------------------------------------------------------


def test_the_package_exports_what_others_use():
    """A tool that only metrics need is imported from its own module."""
    source = Path(m.__file__).parents[1]
    files = [path for path in source.rglob("*.py") if path.parent.name != "metrics"]
    files.append(source.parents[1] / "docs" / "metrics.md")
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in files)))
    assert [name for name in m.__all__ if not hasattr(m, name) or name not in words] == []
    assert len(set(m.__all__)) == len(m.__all__) > 40
