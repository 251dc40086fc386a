"""Every metric of one data set against scikit-learn, scipy and the reference formulas."""

import itertools
import math
import warnings
from fractions import Fraction
from typing import TypedDict

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import reference
from openaffect import metrics as m
from openaffect.errors import InputError, MismatchError
from openaffect.metrics.calibration import confidence_bins
from openaffect.metrics.dimensional import Moments
from openaffect.metrics.estimate import undefined_reason
from openaffect.metrics.ranking import areas, pack_weights, rank_rows, top_hits


class Tolerance(TypedDict):
    rtol: float
    atol: float


EXACT = Tolerance(rtol=1e-12, atol=1e-12)


def number(value):
    return math.nan if value is None else float(value)


@st.composite
def labeled_rows(draw):
    """Truth, predictions with failures, and k; classes are often absent on either side."""
    k = draw(st.integers(2, 6))
    n = draw(st.integers(1, 30))
    truth = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    prediction = draw(st.lists(st.integers(-1, k - 1), min_size=n, max_size=n))
    return truth, prediction, k


def random_rows(seed, n=300, k=8, failed=0.0):
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=rng.dirichlet(np.full(k, 2.0)))
    guess = np.where(rng.random(n) < 0.5, truth, rng.integers(0, k, n))
    return truth, np.where(rng.random(n) < failed, -1, guess), k


def random_scores(seed, n=300, k=8, decimals=None):
    """Truth and probabilities; rounding to few decimals makes ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    p = rng.dirichlet(np.ones(k), n) + 0.3 * np.eye(k)[truth]
    if decimals is not None:
        p = np.round(p, decimals) + 10.0**-decimals
    return truth, p / p.sum(axis=1, keepdims=True), k


# ---- labels -----------------------------------------------------------------------------

LABEL_REFERENCE = {
    "accuracy": reference.accuracy,
    "balanced_accuracy": lambda t, p: reference.macro(reference.recall, t, p),
    "f1": lambda t, p: reference.macro(reference.f1, t, p),
    "weighted_f1": reference.weighted_f1,
    "kappa": reference.kappa,
    "kappa_ovr": lambda t, p: reference.over_classes(reference.kappa, t, p),
    "alpha": reference.alpha_of_two,
    "alpha_ovr": lambda t, p: reference.over_classes(reference.alpha_of_two, t, p),
}


def test_every_label_metric_has_a_reference():
    assert set(LABEL_REFERENCE) == set(m.LABEL_METRICS)


@pytest.mark.parametrize("name", LABEL_REFERENCE)
@settings(max_examples=40, deadline=None)
@given(rows=labeled_rows())
def test_label_metrics_equal_their_definition(name, rows):
    truth, prediction, k = rows
    ours = m.LABEL_METRICS[name](m.confusion_matrix(truth, prediction, k))
    failed_as_none = [None if p == -1 else p for p in prediction]
    assert_allclose(ours, number(LABEL_REFERENCE[name](truth, failed_as_none)), **EXACT)


@settings(max_examples=100, deadline=None)
@given(rows=labeled_rows())
def test_class_scores_equal_their_definition(rows):
    truth, prediction, k = rows
    matrix = m.confusion_matrix(truth, prediction, k)
    pairs = [(m.f1, reference.f1), (m.recall, reference.recall), (m.precision, reference.precision)]
    ours = [metric(matrix) for metric, _ in pairs]
    theirs = [[number(slow(truth, prediction, c)) for c in range(k)] for _, slow in pairs]
    assert_allclose(ours, theirs, **EXACT)


@pytest.mark.parametrize("failed", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_label_metrics_equal_scikit_learn(seed, failed):
    truth, prediction, k = random_rows(seed, failed=failed)
    matrix = m.confusion_matrix(truth, prediction, k)
    classes = np.unique(truth)
    average = {"labels": classes, "zero_division": 0, "y_true": truth, "y_pred": prediction}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "y_pred contains classes not in y_true": the failed ones
        theirs = {
            "accuracy": sk.accuracy_score(truth, prediction),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, prediction),
            "macro_f1": sk.f1_score(**average, average="macro"),
            "weighted_f1": sk.f1_score(**average, average="weighted"),
            "kappa": sk.cohen_kappa_score(truth, prediction),
        }
    ours = {name: getattr(m, name)(matrix) for name in theirs}
    assert_allclose(list(ours.values()), list(theirs.values()), **EXACT)


def test_confusion_matrix_equals_scikit_learn():
    truth, prediction, k = random_rows(0, failed=0.1)
    theirs = sk.confusion_matrix(
        truth, np.where(prediction < 0, k, prediction), labels=range(k + 1)
    )
    assert (m.confusion_matrix(truth, prediction, k) == theirs[:k]).all()


def test_batch_of_matrices_equals_one_by_one():
    stack = np.stack([m.confusion_matrix(*random_rows(s, failed=0.1)) for s in range(6)])
    stack[0, 3] = 0  # an absent class in one of them
    one_by_one = {name: [f(x) for x in stack] for name, f in m.LABEL_METRICS.items()}
    at_once = {name: f(stack) for name, f in m.LABEL_METRICS.items()}
    assert_allclose(list(at_once.values()), list(one_by_one.values()), **EXACT)


def test_absent_class_rule():
    # class 1 is never predicted, class 2 only predicted, class 3 neither
    matrix = m.confusion_matrix([0, 0, 1], [0, 2, 0], 4)
    assert_allclose(m.f1(matrix), [0.5, 0.0, 0.0, math.nan])
    assert_allclose(m.precision(matrix), [0.5, 0.0, 0.0, math.nan])
    assert_allclose(m.recall(matrix), [0.5, 0.0, math.nan, math.nan])
    assert m.absent_classes(matrix) == [2, 3]
    assert m.macro_f1(matrix) == 0.25


def test_failed_rows_are_wrong_everywhere():
    truth = np.array([0] * 4 + [1] * 4)
    right = m.confusion_matrix(truth, truth, 2)
    failed = m.confusion_matrix(truth, [-1, *truth[1:]], 2)
    before = np.array([f(right) for f in m.LABEL_METRICS.values()])
    after = np.array([f(failed) for f in m.LABEL_METRICS.values()])
    assert (before == 1).all()
    assert (after < 1).all()
    assert m.support(failed).tolist() == [4, 4]


def test_everything_failed():
    matrix = m.confusion_matrix([0, 1], [-1, -1], 2)
    values = [f(matrix) for f in m.LABEL_METRICS.values()]
    assert max(values) <= 0  # κ is 0, α below


@pytest.mark.parametrize("name", ["kappa", "kappa_ovr", "alpha", "alpha_ovr"])
def test_chance_corrected_scores_of_one_class_are_undefined(name):
    assert math.isnan(m.LABEL_METRICS[name](m.confusion_matrix([1, 1], [1, 1], 3)))
    assert "one class" in undefined_reason(name)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([], [], "no rows"),
        ([0, 3], [0, 0], "0 to 2"),
        ([0, -1], [0, 0], "0 to 2"),
        ([0, 1], [0, -2], "-1 to 2"),
        ([0.0, 1.0], [0, 1], "integers"),
        ([[0], [1]], [0, 1], "shape"),
    ],
)
def test_bad_labels_are_refused(truth, prediction, message):
    with pytest.raises(InputError, match=message):
        m.confusion_matrix(truth, prediction, 3)


def test_lengths_must_agree():
    with pytest.raises(MismatchError, match="2 rows, but prediction has 1"):
        m.confusion_matrix([0, 1], [0], 2)


# ---- scores -----------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(4))
def test_areas_equal_scikit_learn(seed, decimals):
    truth, p, k = random_scores(seed, decimals=decimals)
    hot = np.eye(k)[truth]
    theirs_auc = sk.roc_auc_score(hot, p, average=None)
    assert_allclose(m.roc_auc(truth, p), theirs_auc, **EXACT)
    theirs_ap = sk.average_precision_score(hot, p, average=None)
    assert_allclose(m.average_precision(truth, p), theirs_ap, **EXACT)


def test_macro_auc_equals_scikit_learn():
    truth, p, _ = random_scores(9)
    theirs = sk.roc_auc_score(truth, p, multi_class="ovr", average="macro")
    assert_allclose(m.roc_auc(truth, p).mean(), theirs, **EXACT)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=1, max_size=20
    ),
    data=st.data(),
)
def test_areas_of_weights_equal_areas_of_replicated_rows(rows, data):
    positive, scores = map(list, zip(*rows, strict=True))
    times = st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows))
    weights = data.draw(st.lists(times, min_size=1, max_size=6))  # fills words in part
    ranking = rank_rows(positive, scores)
    theirs_auc, theirs_ap = [], []
    for w in weights:
        copies = [(p, s) for (p, s), count in zip(rows, w, strict=True) for _ in range(count)]
        yes, values = [p for p, _ in copies], [s for _, s in copies]
        theirs_auc.append(number(reference.auc(yes, values)))
        theirs_ap.append(number(reference.average_precision(yes, values)))
    ours = areas(ranking, pack_weights(np.array(weights)))
    assert_allclose(ours, (theirs_auc, theirs_ap), **EXACT)


@pytest.mark.parametrize("scale", [1, 1000])  # 1000: totals that need two weights a word
def test_areas_of_large_weights_equal_scikit_learn(scale):
    truth, p, _ = random_scores(3, decimals=1)
    weights = np.random.default_rng(0).integers(0, 4, (5, len(truth))) * scale
    ranking = rank_rows(truth == 2, p[:, 2])
    pairs = [(truth == 2, p[:, 2], None, w) for w in weights]
    theirs_auc = [sk.roc_auc_score(t, s, sample_weight=w) for t, s, _, w in pairs]
    theirs_ap = [sk.average_precision_score(t, s, sample_weight=w) for t, s, _, w in pairs]
    assert_allclose(areas(ranking, pack_weights(weights)), (theirs_auc, theirs_ap), **EXACT)


@pytest.mark.parametrize("total", [65_535, 65_536, 300_000])
def test_packed_sums_do_not_carry_at_the_edge_of_a_lane(total):
    weights = np.tile([[total - 1, 1]], (5, 1))
    packed = pack_weights(weights)
    sums = packed.unpack(np.cumsum(packed.words, axis=1))
    assert (sums == [total - 1, total]).all()
    assert sums.shape == (5, 2)


def test_bad_weights_are_refused():
    with pytest.raises(InputError, match="0 or more"):
        pack_weights(np.array([[1, -1]]))
    with pytest.raises(InputError, match="integers"):
        pack_weights(np.array([[0.5, 1.0]]))


def test_areas_without_positive_or_negative_rows_are_undefined():
    truth, p = [0, 0], [[0.9, 0.1], [0.6, 0.4]]
    assert np.isnan(m.roc_auc(truth, p)).all()
    assert_allclose(m.average_precision(truth, p), [1.0, math.nan])


@pytest.mark.parametrize("decimals", [None, 1])
def test_curves_equal_scikit_learn(decimals):
    truth, p, _ = random_scores(1, decimals=decimals)
    yes, scores = truth == 0, p[:, 0]
    ours = m.roc_curve(yes, scores, points=10_000)
    fpr, tpr, _ = sk.roc_curve(yes, scores, drop_intermediate=False)
    assert_allclose([ours.x, ours.y], [fpr, tpr], **EXACT)
    ours = m.precision_recall_curve(yes, scores, points=10_000)
    precision, recall, _ = sk.precision_recall_curve(yes, scores)
    assert_allclose([ours.x, ours.y], [recall[::-1], precision[::-1]], **EXACT)


def test_thinned_curves_keep_their_ends_and_their_area():
    rng = np.random.default_rng(0)
    yes = rng.random(20_000) < 0.1
    scores = rng.normal(size=20_000) + 1.5 * yes
    curve = m.roc_curve(yes, scores)
    assert 150 < len(curve.x) <= 200
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    # the path has length 2: between two of 200 points the area is off by (2/199)²/2 at most,
    # 199 times, so by 0.0101 in all
    area = float(np.trapezoid(curve.y, curve.x))
    assert_allclose(area, sk.roc_auc_score(yes, scores), atol=0.0101, rtol=0)
    recall = m.precision_recall_curve(yes, scores)
    assert len(recall.x) <= 200
    assert recall.x[0] == 0
    assert recall.x[-1] == 1


def test_a_curve_without_positive_rows_is_thinned_too():
    curve = m.roc_curve(np.zeros(1000, dtype=bool), np.arange(1000.0))
    assert len(curve.x) <= 200
    assert curve.x[-1] == 1
    assert np.isnan(curve.y).all()


@pytest.mark.parametrize("top", [1, 2, 3])
def test_top_accuracy_equals_scikit_learn(top):
    truth, p, k = random_scores(2)
    theirs = sk.top_k_accuracy_score(truth, p, k=top, labels=range(k))
    assert_allclose(m.top_accuracy(truth, p, top), theirs, **EXACT)


def test_top_accuracy_gives_ties_to_the_lowest_position():
    truth, p, _ = random_scores(2, decimals=0)
    theirs = [reference.in_top(t, row, 2) for t, row in zip(truth, p.tolist(), strict=True)]
    assert top_hits(truth, p).tolist() == theirs
    first = [reference.in_top(t, row, 1) for t, row in zip(truth, p.tolist(), strict=True)]
    assert (m.predicted_labels(p) == truth).tolist() == first


# ---- calibration ------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_ece_equals_its_definition(decimals):
    truth, p, _ = random_scores(5, decimals=decimals)
    assert_allclose(m.ece(truth, p), reference.ece(truth.tolist(), p.tolist()), **EXACT)


def test_confidence_bins_are_open_below():
    edges = np.arange(16) / 15
    assert confidence_bins(edges).tolist() == [0, *range(15)]
    assert confidence_bins(edges[:-1] + 2e-6).tolist() == list(range(15))


def test_a_confidence_on_an_edge_is_in_one_bin_however_it_is_stored():
    """Exact arithmetic: .6 is 9/15, so it shares the bin of .55; ECE = |.5 − .575|."""
    edges = np.arange(16) / 15
    stored = edges.astype(np.float32).astype(np.float64)
    assert (stored > edges).any()
    assert confidence_bins(stored).tolist() == confidence_bins(edges).tolist()
    rows = [((60, 40), 0), ((45, 55), 0)] * 20
    by_bin: dict[int, list[tuple[Fraction, bool]]] = {}
    for percent, label in rows:
        top = Fraction(max(percent), 100)
        right = percent.index(max(percent)) == label
        by_bin.setdefault(math.ceil(top * 15) - 1, []).append((top, right))
    expected = sum(
        abs(sum((top - right for top, right in found), start=Fraction(0))) / len(rows)
        for found in by_bin.values()
    )
    assert expected == Fraction(75, 1000)
    truth = [label for _, label in rows]
    for kind in (np.float64, np.float32):
        p = np.divide(np.array([percent for percent, _ in rows], kind), kind(100))
        assert m.ece(truth, p) == pytest.approx(float(expected), abs=1e-6)


def test_the_best_renaming_is_the_best_of_all():
    rng = np.random.default_rng(3)
    for k in (2, 4, 5):
        for matrix in rng.integers(0, 9, (6, k, k + 1)):
            right = {
                names: sum(int(matrix[name, i]) for i, name in enumerate(names))
                for names in itertools.permutations(range(k))
            }
            assert right[tuple(m.best_renaming(matrix))] == max(right.values())
    assert m.best_renaming(np.zeros((3, 4), int)) == [0, 1, 2]


def test_reliability_bins_hold_all_rows():
    truth, p, _ = random_scores(6)
    bins = m.reliability(truth, p)
    assert sum(b.count for b in bins) == len(truth)
    filled = [b for b in bins if b.count]
    assert len(filled) >= 5
    assert all(b.low < b.confidence <= b.high for b in filled)
    assert all(math.isnan(b.accuracy) for b in bins if not b.count)
    right = sum(b.count * b.accuracy for b in filled) / len(truth)
    assert_allclose(right, sk.accuracy_score(truth, p.argmax(axis=1)), **EXACT)


def test_cross_entropy_of_hard_labels_is_the_log_loss():
    truth, p, k = random_scores(7)
    assert_allclose(m.cross_entropy(np.eye(k)[truth], p), sk.log_loss(truth, p), **EXACT)


def test_cross_entropy_equals_its_definition():
    soft = np.random.default_rng(0).dirichlet(np.ones(8), 300)
    _, p, _ = random_scores(8)
    assert_allclose(m.cross_entropy(soft, p), reference.cross_entropy(soft, p), **EXACT)


def test_cross_entropy_leaves_out_what_is_missing_and_never_is_infinite():
    soft = [[1.0, 0.0], [math.nan, math.nan], [0.5, 0.5]]
    p = [[0.0, 1.0], [0.5, 0.5], [math.nan, math.nan]]
    assert_allclose(m.cross_entropy(soft, p), 23 * math.log(2))  # p is raised to 2⁻²³
    assert math.isnan(m.cross_entropy(soft[1:], p[1:]))


def test_soft_labels_are_restricted_to_the_label_set():
    soft = [[0.5, 0.1, 0.0, 0.4], [0.0, 0.0, 1.0, 0.0], [math.nan] * 4]
    result = m.restrict_soft_labels(soft, [0, 1, 8])
    assert_allclose(result, [[5 / 6, 1 / 6, 0], [math.nan] * 3, [math.nan] * 3], **EXACT)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.6], "sum to 1"),
        ([-0.1, 1.1], "sum to 1"),
        ([0.5, math.nan], "row 1"),
        ([math.inf, 0.0], "row 1"),
    ],
)
def test_bad_probabilities_are_refused(row, message):
    with pytest.raises(InputError, match=message):
        m.ece([0, 1], [[0.5, 0.5], row])


# ---- dimensional ------------------------------------------------------------------------

DIMENSIONAL = ["rmse", "mae", "corr", "sagr", "ccc"]
values = st.lists(
    st.tuples(*[st.sampled_from([-1.0, -0.5, 0.0, 0.0, 0.3, 0.9])] * 2), min_size=1, max_size=20
)


def test_every_dimensional_metric_is_tested():
    assert set(DIMENSIONAL) == set(m.DIMENSIONAL_METRICS)


@pytest.mark.parametrize("name", DIMENSIONAL)
@settings(max_examples=80, deadline=None)
@given(rows=values)
def test_dimensional_metrics_equal_their_definition(name, rows):
    truth, prediction = map(list, zip(*rows, strict=True))
    theirs = number(getattr(reference, name)(truth, prediction))
    assert_allclose(getattr(m, name)(truth, prediction), theirs, **EXACT)


@settings(max_examples=80, deadline=None)
@given(rows=values, data=st.data())
def test_weighted_dimensional_metrics_equal_replicated_rows(rows, data):
    truth, prediction = map(np.array, zip(*rows, strict=True))
    times = st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any)
    weights = np.array(data.draw(st.lists(times, min_size=1, max_size=5)))
    ours = Moments.of(truth, prediction).score(weights)
    copies = [(np.repeat(truth, w), np.repeat(prediction, w)) for w in weights]
    theirs = {name: [getattr(m, name)(t, p) for t, p in copies] for name in DIMENSIONAL}
    # sums instead of deviations: 20 values of size 1 leave 1e-15 of a variance of 1e-2 or more
    assert_allclose([ours[d] for d in DIMENSIONAL], list(theirs.values()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_corr_and_errors_equal_scipy_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, 500)
    prediction = 0.5 * truth + rng.normal(0, 0.3, 500)
    ours = [m.corr(truth, prediction), m.rmse(truth, prediction), m.mae(truth, prediction)]
    theirs = [
        scipy.stats.pearsonr(truth, prediction).statistic,
        sk.root_mean_squared_error(truth, prediction),
        sk.mean_absolute_error(truth, prediction),
    ]
    assert_allclose(ours, theirs, **EXACT)


def test_constant_vectors():
    constant, other = [0.1] * 7, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert math.isnan(m.corr(constant, other))
    assert math.isnan(m.corr(other, constant))
    assert m.ccc(constant, other) == 0
    assert math.isnan(m.ccc(constant, constant))
    assert m.rmse(constant, constant) == 0


def test_almost_constant_predictions_far_from_the_truth_are_not_constant():
    truth = np.random.default_rng(0).uniform(-1, 1, 50)
    prediction = 0.7 + 1e-7 * truth
    once = Moments.of(truth, prediction).score(np.ones((1, 50), dtype=int))
    # 0.7 + 1e-7·t keeps t to 1e-16 / 1e-7 = 1e-9
    assert_allclose([once["corr"][0], m.corr(truth, prediction)], 1.0, rtol=1e-8)
    assert_allclose(once["ccc"][0], m.ccc(truth, prediction), rtol=1e-8)


def test_constant_guess_is_the_floor():
    truth = np.random.default_rng(0).uniform(-1, 1, 100)
    floor = m.constant_guess_rmse(truth)
    assert_allclose(floor, m.rmse(truth, np.full(100, truth.mean())), **EXACT)
    assert_allclose(floor, truth.std(), **EXACT)
    given = m.constant_guess_rmse(truth, guess=0.4)
    assert_allclose(given, m.rmse(truth, np.full(100, 0.4)), **EXACT)
    assert given > floor


def test_bad_measurements_are_refused():
    with pytest.raises(InputError, match="no rows"):
        m.rmse([], [])
    with pytest.raises(InputError, match="row 1"):
        m.rmse([0.0, math.nan], [0.0, 0.0])
    with pytest.raises(MismatchError):
        m.rmse([0.0, 0.1], [0.0])


# ---- agreement of raters ----------------------------------------------------------------

ratings = st.integers(2, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.integers(-1, 3), min_size=raters, max_size=raters), min_size=1, max_size=12
    )
)


def gaps(units):
    return [[None if v == -1 else v for v in unit] for unit in units]


@settings(max_examples=80, deadline=None)
@given(units=ratings)
def test_alpha_of_any_raters_equals_its_definition(units):
    nominal = number(reference.alpha(gaps(units), lambda a, b: a != b))
    interval = number(reference.alpha(gaps(units), lambda a, b: (a - b) ** 2))
    floats = np.where(np.array(units) == -1, math.nan, np.array(units, dtype=float))
    assert_allclose(m.alpha_nominal(units), nominal, **EXACT)
    assert_allclose(m.alpha_nominal(floats), nominal, **EXACT)
    assert_allclose(m.alpha_interval(floats), interval, **EXACT)


def test_alpha_of_krippendorffs_own_example():
    # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C: four
    # observers, twelve units, gaps; α nominal .743, interval .849
    observers = """
        1 2 3 3 2 1 4 1 2 . . .
        1 2 3 3 2 2 4 1 2 5 . 3
        . 3 3 3 2 3 4 2 2 5 1 .
        1 2 3 3 2 4 4 1 2 5 1 ."""
    rows = [line.split() for line in observers.strip().splitlines()]
    units = np.array([[-1 if v == "." else int(v) for v in row] for row in rows]).T
    assert round(m.alpha_nominal(units), 3) == 0.743
    assert round(m.alpha_interval(np.where(units < 0, math.nan, units)), 3) == 0.849


def test_alpha_of_two_raters_equals_alpha_of_their_confusion_matrix():
    truth, prediction, k = random_rows(4)
    from_rows = m.alpha_nominal(np.stack([truth, prediction], axis=1))
    assert_allclose(m.alpha(m.confusion_matrix(truth, prediction, k)), from_rows, **EXACT)


def test_alpha_of_ratings_needs_two_by_two_values():
    assert math.isnan(m.alpha_nominal([[1, -1], [-1, 2]]))
    assert math.isnan(m.alpha_interval([[0.5, math.nan]]))
    assert math.isnan(m.alpha_interval([[0.1] * 3] * 3))
    with pytest.raises(InputError, match="units, raters"):
        m.alpha_nominal([1, 2])
