"""All metrics of a system at once, with intervals; and two systems on the same rows.

This is what a report calls. `score_categorical` gives each metric twice: "orig" on the rows
as they are, "norm" skew-normalized, as the mean over balanced draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError
from openaffect.metrics import agreement, confusion
from openaffect.metrics.arrays import (
    FAILED,
    Counts,
    Floats,
    Integers,
    class_positions,
    distributions,
    mean_defined,
    numbers,
    same_length,
)
from openaffect.metrics.dimensional import Moments
from openaffect.metrics.estimate import (
    ALL_FAILED,
    NO_PREDICTIONS,
    NO_SCORES,
    NO_SOFT_LABELS,
    Difference,
    Estimate,
    difference,
    estimate,
    undefined,
)
from openaffect.metrics.resampling import (
    balanced_draws,
    balanced_weights,
    bootstrap_balanced,
    bootstrap_matrices,
    bootstrap_weights,
    smallest_class,
)
from openaffect.metrics.score_table import SCORE_METRICS, ScoreStatistics

Samples = dict[str, Floats]

LABEL_METRICS: Mapping[str, Callable[[Counts], Floats]] = {
    "accuracy": confusion.accuracy,
    "balanced_accuracy": confusion.balanced_accuracy,
    "f1": confusion.macro_f1,
    "weighted_f1": confusion.weighted_f1,
    "kappa": agreement.kappa,
    "kappa_ovr": agreement.kappa_ovr,
    "alpha": agreement.alpha,
    "alpha_ovr": agreement.alpha_ovr,
}
"""Metrics from labels alone; all rows, failed ones as wrong."""

DIMENSIONAL_METRICS: tuple[str, ...] = ("rmse", "mae", "corr", "sagr", "ccc")
"""Metrics of valence or of arousal."""


def score_categorical(
    truth: ArrayLike,
    answers: ArrayLike,
    k: int,
    *,
    soft_labels: ArrayLike | None = None,
    draws: int = 200,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Every categorical metric with its interval: metric → "orig" and "norm" → estimate.

    Args:
        truth: shape (n,), positions 0 to k − 1 in the label set.
        answers: probabilities of shape (n, k), a row of NaN where the picture failed; or,
            for a system without scores, labels of shape (n,) with −1 where it failed.
        k: number of classes.
        soft_labels: shape (n, k) over the label set, a row of NaN where there is none.
        draws: balanced draws that the norm value is the mean of.
        rounds: bootstrap samples; 0 for values without intervals.
        seed: the same seed gives the same numbers.
    Returns:
        The metrics of `LABEL_METRICS` and `SCORE_METRICS`; `cross_entropy` has "orig" only.
        What cannot be computed is NaN and says why.
    Raises:
        InputError: no rows, or numbers that are no classes or no probabilities.
        MismatchError: inputs of different lengths.

    >>> result = score_categorical([0, 1, 1], [0, 1, 0], 2, rounds=100)
    >>> round(result["accuracy"]["orig"].value, 3), result["auc"]["orig"].reason
    (0.667, 'the system gives labels without scores')
    """
    if draws < 1 or rounds < 0:
        raise InputError(f"need 1 or more draws, 0 or more rounds, but got {draws} and {rounds}")
    t = class_positions(truth, k, "truth")
    labels, probabilities = _read_answers(answers, k, len(t))
    matrix = confusion.confusion_matrix(t, labels, k)
    result = _score_labels(matrix, draws, rounds, np.random.default_rng([seed, 0]))
    if probabilities is None:
        return result | _undefined_scores(NO_SCORES)
    rows = ~np.isnan(probabilities[:, 0])
    if not rows.any():
        return result | _undefined_scores(ALL_FAILED)
    soft = _read_soft_labels(soft_labels, k, len(t))
    table = ScoreStatistics.of(t[rows], probabilities[rows], None if soft is None else soft[rows])
    return result | _score_scores(table, draws, rounds, np.random.default_rng([seed, 1]))


def score_dimensional(
    truth: ArrayLike, prediction: ArrayLike, *, rounds: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """RMSE, MAE, CORR, SAGR and CCC of valence or of arousal, with intervals.

    Args:
        truth: shape (n,), finite.
        prediction: shape (n,); NaN where the picture failed, left out and not in `n`.
        rounds: bootstrap samples; 0 for values without intervals.
        seed: the same seed gives the same numbers.
    Raises:
        InputError: no rows, or truth that is not finite.
        MismatchError: different lengths.

    >>> round(score_dimensional([0.1, 0.5, -0.2], [0.2, 0.4, -0.1], rounds=50)["rmse"].value, 6)
    0.1
    """
    t, p = numbers(truth, "truth"), numbers(prediction, "prediction", missing=True)
    same_length(len(t), len(p), "prediction")
    rows = ~np.isnan(p)
    if not rows.any():
        return {metric: undefined(NO_PREDICTIONS) for metric in DIMENSIONAL_METRICS}
    t, p = t[rows], p[rows]
    n = len(t)
    moments = Moments.of(t, p)
    value = moments.score(_once(n))
    weights = bootstrap_weights(n, rounds, np.random.default_rng([seed, 2]))
    samples = _collect(map(moments.score, weights), DIMENSIONAL_METRICS)
    return {m: estimate(m, value[m].item(), samples[m], n) for m in DIMENSIONAL_METRICS}


def compare_categorical(
    truth: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: int,
    *,
    soft_labels: ArrayLike | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Each metric of system a minus that of system b, by a paired bootstrap of the rows.

    Both systems are scored on the same resampled rows, so what is hard for both cancels out.

    Args:
        truth: shape (n,), positions 0 to k − 1.
        a: answers of one system, as in `score_categorical`.
        b: answers of the other, rows in the same order.
        k: number of classes.
        soft_labels: as in `score_categorical`.
        rounds: bootstrap samples, 1 or more.
        seed: the same seed gives the same numbers.
    Returns:
        Orig differences. Score metrics are in it only if both systems give scores, on the
        rows where neither failed; `cross_entropy` only if these have soft labels.
    Raises:
        InputError, MismatchError: as `score_categorical`.

    >>> result = compare_categorical([0, 1, 1], [0, 1, 0], [0, 1, 0], 2, rounds=100)
    >>> result["accuracy"].value, result["accuracy"].p
    (0.0, 1.0)
    """
    _check_rounds(rounds)
    t = class_positions(truth, k, "truth")
    labels_a, scores_a = _read_answers(a, k, len(t))
    labels_b, scores_b = _read_answers(b, k, len(t))
    joint = _joint_table(t, labels_a, labels_b, k)
    result = _compare_labels(joint, rounds, np.random.default_rng([seed, 0]))
    if scores_a is None or scores_b is None:
        return result
    rows = ~np.isnan(scores_a[:, 0]) & ~np.isnan(scores_b[:, 0])
    if not rows.any():
        return result
    soft = _read_soft_labels(soft_labels, k, len(t))
    soft = None if soft is None else soft[rows]
    table_a = ScoreStatistics.of(t[rows], scores_a[rows], soft)
    table_b = ScoreStatistics.of(t[rows], scores_b[rows], soft)
    rng = np.random.default_rng([seed, 1])
    return result | _compare_tables(table_a, table_b, rounds, rng)


def compare_dimensional(
    truth: ArrayLike, a: ArrayLike, b: ArrayLike, *, rounds: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """Each metric of system a minus that of system b, by a paired bootstrap of the rows.

    Args:
        truth: shape (n,), finite.
        a: predictions of one system, shape (n,), NaN where it failed.
        b: predictions of the other; rows where either failed are left out.
        rounds: bootstrap samples, 1 or more.
        seed: the same seed gives the same numbers.
    Raises:
        InputError: no rows that both predict.
        MismatchError: different lengths.

    >>> round(compare_dimensional([0, 0.5, 1], [0, 0.5, 1], [0.5, 0.5, 0.5])["mae"].value, 4)
    -0.3333
    """
    _check_rounds(rounds)
    t = numbers(truth, "truth")
    p, q = (numbers(x, name, missing=True) for x, name in ((a, "a"), (b, "b")))
    same_length(len(t), len(p), "a")
    same_length(len(t), len(q), "b")
    rows = ~np.isnan(p) & ~np.isnan(q)
    if not rows.any():
        raise InputError("a and b have no row with a prediction of both: nothing to compare")
    t, p, q = t[rows], p[rows], q[rows]

    first, second = Moments.of(t, p), Moments.of(t, q)

    def score(weights: Integers) -> Samples:
        one, other = first.score(weights), second.score(weights)
        return {m: one[m] - other[m] for m in DIMENSIONAL_METRICS}

    value = score(_once(len(t)))
    weights = bootstrap_weights(len(t), rounds, np.random.default_rng([seed, 2]))
    samples = _collect(map(score, weights), DIMENSIONAL_METRICS)
    return {m: difference(value[m].item(), samples[m], len(t)) for m in DIMENSIONAL_METRICS}


def predicted_labels(probabilities: ArrayLike) -> NDArray[np.intp]:
    """The position of the highest probability, ties to the lowest; −1 for a row of NaN.

    >>> predicted_labels([[0.5, 0.5], [0.2, 0.8], [float("nan"), float("nan")]]).tolist()
    [0, 1, -1]
    """
    p = np.asarray(probabilities)
    return np.where(np.isnan(p).any(axis=1), FAILED, p.argmax(axis=1))


# ---- labels -----------------------------------------------------------------------------


def _score_labels(
    matrix: Counts, draws: int, rounds: int, rng: np.random.Generator
) -> dict[str, dict[str, Estimate]]:
    orig = bootstrap_matrices(matrix, rounds, rng)
    norm = balanced_draws(matrix, draws, rng)
    resampled = bootstrap_balanced(matrix, rounds, rng)
    n, size = int(matrix.sum()), int(norm[0].sum())
    return {
        name: {
            "orig": estimate(name, float(metric(matrix)), metric(orig), n),
            "norm": estimate(name, float(mean_defined(metric(norm))), metric(resampled), size),
        }
        for name, metric in LABEL_METRICS.items()
    }


def _joint_table(
    truth: NDArray[np.intp], a: NDArray[np.intp], b: NDArray[np.intp], k: int
) -> Counts:
    """Counts of truth, prediction of a, prediction of b; shape (k, k + 1, k + 1)."""
    columns = [np.where(x == FAILED, k, x) for x in (a, b)]
    cell = (truth * (k + 1) + columns[0]) * (k + 1) + columns[1]
    return np.bincount(cell, minlength=k * (k + 1) ** 2).reshape(k, k + 1, k + 1)


def _compare_labels(joint: Counts, rounds: int, rng: np.random.Generator) -> dict[str, Difference]:
    samples = bootstrap_matrices(joint, rounds, rng)
    result = {}
    for name, metric in LABEL_METRICS.items():
        value = metric(joint.sum(axis=-1)) - metric(joint.sum(axis=-2))
        change = metric(samples.sum(axis=-1)) - metric(samples.sum(axis=-2))
        result[name] = difference(float(value), change, int(joint.sum()))
    return result


# ---- scores -----------------------------------------------------------------------------


def _score_scores(
    table: ScoreStatistics, draws: int, rounds: int, rng: np.random.Generator
) -> dict[str, dict[str, Estimate]]:
    truth, k, n = table.truth, table.k, len(table.truth)

    def score_all(chunks: Iterator[Integers]) -> Samples:
        return _collect(map(table.score, chunks), SCORE_METRICS)

    value = table.score(_once(n))
    orig = score_all(bootstrap_weights(n, rounds, rng))
    norm = score_all(balanced_weights(truth, k, draws, rng))
    resampled = score_all(balanced_weights(truth, k, rounds, rng, bootstrap=True))
    classes = np.bincount(truth, minlength=k)
    size = smallest_class(classes) * int((classes > 0).sum())
    result: dict[str, dict[str, Estimate]] = {
        name: {
            "orig": estimate(name, value[name].item(), orig[name], n),
            "norm": estimate(name, float(mean_defined(norm[name])), resampled[name], size),
        }
        for name in SCORE_METRICS
        if name != "cross_entropy"
    }
    if table.soft_rows:
        entropy, samples = value["cross_entropy"].item(), orig["cross_entropy"]
        given = estimate("cross_entropy", entropy, samples, table.soft_rows)
    else:
        given = undefined(NO_SOFT_LABELS)
    return result | {"cross_entropy": {"orig": given}}


def _undefined_scores(reason: str) -> dict[str, dict[str, Estimate]]:
    result = {
        name: {"orig": undefined(reason), "norm": undefined(reason)} for name in SCORE_METRICS
    }
    del result["cross_entropy"]["norm"]
    return result


def _compare_tables(
    a: ScoreStatistics, b: ScoreStatistics, rounds: int, rng: np.random.Generator
) -> dict[str, Difference]:
    def score(weights: Integers) -> Samples:
        one, other = a.score(weights), b.score(weights)
        return {name: one[name] - other[name] for name in SCORE_METRICS}

    n = len(a.truth)
    value = score(_once(n))
    samples = _collect(map(score, bootstrap_weights(n, rounds, rng)), SCORE_METRICS)
    rows = dict.fromkeys(SCORE_METRICS, n) | {"cross_entropy": a.soft_rows}
    return {
        name: difference(value[name].item(), samples[name], rows[name])
        for name in SCORE_METRICS
        if rows[name]
    }


# ---- reading ----------------------------------------------------------------------------


def _read_answers(
    answers: ArrayLike, k: int, n: int
) -> tuple[NDArray[np.intp], Floats | NDArray[np.float32] | None]:
    """Labels (n,), and probabilities (n, k) where the system gives them."""
    array = np.asarray(answers)
    if array.ndim == 2:
        probabilities = distributions(array, k, "answers")
        same_length(n, len(probabilities), "answers")
        return predicted_labels(probabilities), probabilities
    labels = class_positions(array, k, "answers", lowest=FAILED)
    same_length(n, len(labels), "answers")
    return labels, None


def _read_soft_labels(soft_labels: ArrayLike | None, k: int, n: int) -> Floats | None:
    if soft_labels is None:
        return None
    soft = distributions(soft_labels, k, "soft_labels").astype(np.float64)
    same_length(n, len(soft), "soft_labels")
    return soft


def _collect(chunks: Iterable[Samples], metrics: Iterable[str]) -> Samples:
    parts = list(chunks)
    return {m: np.concatenate([np.empty(0), *(part[m] for part in parts)]) for m in metrics}


def _once(n: int) -> NDArray[np.int32]:
    return np.ones((1, n), dtype=np.int32)


def _check_rounds(rounds: int) -> None:
    if rounds < 1:
        raise InputError(f"a comparison needs 1 or more bootstrap rounds, but got {rounds}")
