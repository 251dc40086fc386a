"""Conformal sets, intervals and thresholds against MAPIE, scipy and what they promise."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import log_loss

from openaffect import metrics as m
from openaffect.errors import InputError, MismatchError
from openaffect.metrics.abstention import STEPS


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of scikit-learn whose rows are the probabilities themselves."""

    classes_ = np.arange(8)

    def fit(self, x, y):  # noqa: ARG002 - as scikit-learn calls it
        self.fitted_ = True
        return self

    def predict(self, x):
        return x.argmax(axis=1)

    def predict_proba(self, x):
        return x


def rows(seed, n, k=8, sharpness=3.0):
    """Truth and probabilities of a model that is often right, of unequal classes."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.linspace(0.2, 1.2, k), n) ** sharpness
    p /= p.sum(axis=1, keepdims=True)
    likely = p ** (1 / sharpness)
    likely /= likely.sum(axis=1, keepdims=True)
    truth = (rng.random((n, 1)) > likely.cumsum(axis=1)).sum(axis=1).clip(0, k - 1)
    return truth, p


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [40, 333])
def test_sets_are_those_of_mapie(coverage, n):
    truth, p = rows(n, n)
    _, new = rows(1, 500)
    theirs = SplitConformalClassifier(
        Given().fit(p, truth), confidence_level=coverage, conformity_score="lac", prefit=True
    ).conformalize(p, truth)
    _, sets = theirs.predict_set(new)
    ours = m.make_sets(new, m.fit_sets(truth, p, coverage))
    assert 0 < ours.mean() < 1
    np.testing.assert_array_equal(ours, sets[:, :, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.sampled_from([0.5, 0.75, 0.9, 0.95]), st.integers(0, 2**32 - 1))
def test_a_bound_is_the_wanted_order_statistic(n, coverage, seed):
    """Written out by counting: at least (n + 1) · coverage of the n rows are within the bound."""
    errors = np.random.default_rng(seed).normal(size=n)
    bound = m.fit_interval(errors, coverage)
    need = (n + 1) * coverage - 1e-9
    reaching = [e for e in np.abs(errors) if (np.abs(errors) <= e).sum() >= need]
    assert bound == (min(reaching) if reaching else math.inf)
    assert math.isinf(bound) == (n < m.least_rows(coverage))


@pytest.mark.parametrize("by_class", [False, True])
def test_sets_cover_as_often_as_they_say(by_class):
    truth, p = rows(3, 40_000)
    covered, by = [], []
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(len(truth))
        fit, new = order[:1_000], order[1_000:]
        sets = m.make_sets(p[new], m.fit_sets(truth[fit], p[fit], 0.9, by_class=by_class))
        holds = sets[np.arange(len(new)), truth[new]]
        covered.append(holds.mean())
        by.append([holds[truth[new] == c].mean() for c in range(8)])
    assert np.mean(covered) == pytest.approx(0.9, abs=0.012 if by_class else 0.005)
    worst = np.abs(np.mean(by, axis=0) - 0.9).max()
    # One bound for all says nothing of single classes; a bound for each keeps its word in each.
    assert worst < 0.02 if by_class else worst > 0.03


def test_a_class_with_too_few_rows_is_in_every_set():
    truth, p = rows(5, 200)
    keep = (truth != 7) | (np.cumsum(truth == 7) <= 8)
    least = m.fit_sets(truth[keep], p[keep], 0.9, by_class=True)
    assert least[7] == -math.inf
    assert np.isfinite(least[6])
    sets = m.make_sets(p, least)
    assert sets[:, 7].all()
    assert not sets[:, 6].all()


def test_a_failed_row_has_an_empty_set():
    sets = m.make_sets([[math.nan, math.nan], [0.9, 0.1]], [0.5, 0.5])
    assert sets.tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("coverage", [0, 1, 1.2, -0.1])
def test_a_coverage_out_of_range_is_refused(coverage):
    with pytest.raises(InputError, match="coverage"):
        m.fit_sets([0], [[0.5, 0.5]], coverage)
    with pytest.raises(InputError, match="coverage"):
        m.fit_interval([0.1], coverage)


@pytest.mark.parametrize(("count", "n"), [(0, 7), (3, 7), (7, 7), (950, 1000)])
def test_the_interval_of_a_share_is_wilsons(count, n):
    theirs = scipy.stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    assert_allclose(m.share_interval(count, n), (theirs.low, theirs.high), atol=1e-12)


def brute_threshold(right, confidence, accuracy, certainty):
    """Every step by itself, with scipy's exact lower bound."""
    n = len(right)
    found = None
    for step in range(1, STEPS + 1):
        least = sorted(confidence, reverse=True)[math.ceil(step * n / STEPS) - 1]
        left = [r for r, c in zip(right, confidence, strict=True) if c >= least]
        hits = sum(left)
        low = 0 if not hits else scipy.stats.beta.ppf(1 - certainty, hits, len(left) - hits + 1)
        if low >= accuracy:
            found = 0.0 if len(left) == n else least
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("accuracy", "certainty"), [(0.65, 0.9), (0.8, 0.5), (0.93, 0.95)])
def test_the_threshold_is_the_lowest_that_is_sure_enough(seed, accuracy, certainty):
    truth, p = rows(seed, 150 + 111 * seed)
    right, confidence = p.argmax(axis=1) == truth, p.max(axis=1).round(2)
    found = m.find_threshold(right, confidence, accuracy, certainty=certainty)
    assert found == brute_threshold(right.tolist(), confidence.tolist(), accuracy, certainty)


def test_thresholds_have_both_ends():
    right, confidence = np.arange(200) % 4 > 0, np.linspace(0.3, 0.9, 200)
    assert m.find_threshold(right, confidence, 0.6, certainty=0.9) == 0.0
    assert m.find_threshold(right, confidence, 0.99, certainty=0.9) is None


def test_the_promise_of_accuracy_is_kept_as_often_as_it_says():
    """1 − certainty is the chance to miss what is wanted; looking at 50 thresholds keeps below it."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        confidence = 0.2 + 0.8 * rng.beta(2.2, 0.5, 600)
        right = rng.random(600) < confidence
        found = m.find_threshold(right, confidence, 0.9, certainty=0.9)
        many = 0.2 + 0.8 * rng.beta(2.2, 0.5, 20_000)
        missed += found is not None and many[many >= found].mean() < 0.9
    assert 3 <= missed <= 36


def test_a_share_is_labeled_and_ties_with_it():
    confidence = [0.9, 0.8, 0.8, 0.7, 0.1]
    assert m.find_share_threshold(confidence, 0.4) == 0.8
    assert m.find_share_threshold(confidence, 1.0) == 0.0
    assert m.find_share_threshold(confidence, 0.01) == 0.9
    with pytest.raises(InputError, match="share"):
        m.find_share_threshold(confidence, 0)


def test_the_curve_of_accuracy_and_share():
    right = [True, False, True, True]
    curve = m.trace_accuracy(right, [0.2, 0.4, 0.6, 0.6])
    assert [(p.confidence, p.count, p.share) for p in curve] == [
        (0.6, 2, 0.5),
        (0.4, 3, 0.75),
        (0.2, 4, 1.0),
    ]
    assert [p.accuracy for p in curve] == [1.0, pytest.approx(2 / 3), 0.75]
    assert (curve[1].low, curve[1].high) == m.share_interval(2, 3)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
def test_the_temperature_is_the_one_of_the_least_log_loss(sharpness):
    truth, p = rows(11, 3_000, sharpness=sharpness)
    found = m.fit_temperature(truth, p)
    best = scipy.optimize.minimize_scalar(
        lambda t: log_loss(truth, m.divide_scores(p, t), labels=range(8)),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-6},
    )
    assert found == pytest.approx(best.x, rel=2e-3)
    assert found == pytest.approx(sharpness, rel=0.15)


def test_a_temperature_keeps_failed_rows_and_the_order_of_classes():
    _, p = rows(2, 50)
    p[7] = math.nan
    divided = m.divide_scores(p, 3.0)
    assert np.isnan(divided[7]).all()
    good = np.delete(np.arange(50), 7)
    np.testing.assert_array_equal(divided[good].argmax(axis=1), p[good].argmax(axis=1))
    assert (divided[good].max(axis=1) <= p[good].max(axis=1)).all()
    assert_allclose(m.divide_scores(p, 1.0)[good], p[good], atol=1e-6)
    assert_allclose(divided[good].sum(axis=1), 1)


def test_rows_of_unequal_number_are_refused():
    with pytest.raises(MismatchError, match="rows"):
        m.fit_sets([0, 1], [[0.5, 0.5]], 0.9)
    with pytest.raises(MismatchError, match="rows"):
        m.find_threshold([True], [0.5, 0.6], 0.9, certainty=0.9)
