"""The rule by which a model's outputs become labels: fitted on held-out faces, applied to any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.autolabel.held_out import CALIBRATION, THRESHOLD, HeldOut
from openaffect.errors import InputError
from openaffect.labels import EXPRESSIONS, Expression
from openaffect.metrics.arrays import Floats
from openaffect.predictions import Predictions

LOW_CONFIDENCE = "low_confidence"
"""Why a face has no label: the model is less sure than the threshold. Other reasons are `error: …`."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of labels.

    Attributes:
        accuracy: of the labels that are given; None if a share, or all, shall be labeled.
        certainty: with which that accuracy shall be reached.
        share: of the faces that shall be labeled, or None.
        coverage: of sets and intervals.
        by_class: whether the sets keep it within each class.
    """

    accuracy: float | None = None
    certainty: float = 0.9
    share: float | None = None
    coverage: float = 0.9
    by_class: bool = False

    def __post_init__(self) -> None:
        if self.accuracy is not None and self.share is not None:
            raise InputError(
                "expected a wanted accuracy or a share to label, but got both: each sets the threshold"
            )
        # What the functions would refuse, before anything is predicted.
        metrics.least_rows(self.coverage)
        if self.accuracy is not None:
            metrics.find_threshold([True], [1.0], self.accuracy, certainty=self.certainty)
        if self.share is not None:
            metrics.find_share_threshold([1.0], self.share)


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What decides labels, sets and intervals.

    Attributes:
        labels: the expressions that count, in the order of their ids.
        temperature: by which the model's scores are divided.
        threshold: the confidence below which no label is given.
        least: the probability of each label with which it is in a set; −inf for always.
        half_widths: of the intervals of valence and arousal; None without human values, inf where
            these are too few.
    """

    labels: tuple[Expression, ...]
    temperature: float
    threshold: float
    least: tuple[float, ...]
    half_widths: tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What a rule makes of n faces.

    Attributes:
        shares: calibrated probabilities of the labels, float64 (n, k); NaN where it failed.
        expression: AffectNet's id of the likeliest label, or of no_face by the detector, int8 (n,);
            −1 where it failed.
        confidence: of the likeliest label, (n,); NaN where it failed or the detector decided.
        sets: bool (n, k).
        labeled: whether the label is given, bool (n,).
        no_face: whether the detector decided, bool (n,).
        affect: valence and arousal, (n, 2); NaN without.
    """

    shares: Floats
    expression: NDArray[np.int8]
    confidence: Floats
    sets: NDArray[np.bool_]
    labeled: NDArray[np.bool_]
    no_face: NDArray[np.bool_]
    affect: Floats


def fit_rule(
    held: HeldOut, predictions: Predictions, labels: Sequence[Expression], wish: Wish
) -> LabelRule:
    """Fit a rule on the faces that are for calibration and threshold.

    Only faces that have one of the labels, and in which the detector saw a face if it looked, count.

    Raises:
        InputError: no threshold reaches the wanted accuracy, or a class without a face that sets by
            class need.
    """
    rows = predictions.align(held.ids)
    found = _raw(predictions, rows, labels)
    truth = positions(held.expression, labels)
    counts = (truth >= 0) & ~found.no_face
    first = counts & held.is_for(CALIBRATION)
    second = counts & held.is_for(THRESHOLD)
    _check_counts(int(first.sum()), int(second.sum()), wish)
    temperature = metrics.fit_temperature(truth[first], found.shares[first])
    shares = metrics.divide_scores(found.shares[second], temperature)
    if wish.by_class:
        _check_classes(truth[second], labels)
    least = metrics.fit_sets(truth[second], shares, wish.coverage, by_class=wish.by_class)
    right = shares.argmax(axis=1) == truth[second]
    return LabelRule(
        labels=tuple(labels),
        temperature=temperature,
        threshold=_find_threshold(right, shares.max(axis=1), wish),
        least=tuple(least.tolist()),
        half_widths=_fit_intervals(held, found.affect, wish.coverage),
    )


def decide(rule: LabelRule, predictions: Predictions, rows: NDArray[np.integer]) -> Decisions:
    """What a rule makes of some rows of predictions."""
    found = _raw(predictions, rows, rule.labels)
    with np.errstate(invalid="ignore"):
        shares = metrics.divide_scores(found.shares, rule.temperature)
    failed = np.isnan(shares).any(axis=1)
    ids = np.array([label.id for label in rule.labels], np.int8)
    expression = ids[np.where(failed, 0, np.nan_to_num(shares).argmax(axis=1))]
    expression[failed] = -1
    expression[found.no_face] = Expression.NO_FACE.id
    confidence = shares.max(axis=1)
    confidence[found.no_face] = np.nan
    sets = metrics.make_sets(shares, rule.least)
    sets[found.no_face | failed] = False
    affect = found.affect.copy()
    affect[found.no_face] = np.nan
    with np.errstate(invalid="ignore"):
        labeled = found.no_face | (confidence >= rule.threshold)
    return Decisions(shares, expression, confidence, sets, labeled, found.no_face, affect)


def positions(expression: NDArray[np.int8], labels: Sequence[Expression]) -> NDArray[np.int64]:
    """The position of each AffectNet id among the labels, int64 (n,); −1 where it is none of them."""
    place = np.full(len(EXPRESSIONS) + 1, -1)
    for number, label in enumerate(labels):
        place[label.id] = number
    return place[expression].astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Raw:
    shares: Floats
    no_face: NDArray[np.bool_]
    affect: Floats


def _raw(predictions: Predictions, rows: NDArray[np.integer], labels: Sequence[Expression]) -> _Raw:
    """The model's own probabilities of the labels, made to sum to 1 again, and what else is known."""
    assert predictions.probabilities is not None  # of a model that tells expressions
    columns = [predictions.labels.index(label) for label in labels]
    shares = predictions.probabilities[rows][:, columns]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = shares / shares.sum(axis=1, keepdims=True)
    failed = np.isnan(shares).any(axis=1)
    no_face = np.zeros(len(rows), dtype=bool)
    if predictions.face_found is not None:
        no_face = ~predictions.face_found[rows] & ~failed
    affect = np.full((len(rows), 2), np.nan)
    if predictions.affect is not None:
        affect = predictions.affect[rows]
    return _Raw(shares, no_face, affect)


def _find_threshold(right: NDArray[np.bool_], confidence: Floats, wish: Wish) -> float:
    if wish.share is not None:
        return metrics.find_share_threshold(confidence, wish.share)
    if wish.accuracy is None:
        return 0.0
    found = metrics.find_threshold(right, confidence, wish.accuracy, certainty=wish.certainty)
    if found is None:
        best = max(metrics.trace_accuracy(right, confidence), key=lambda p: (p.accuracy, p.count))
        raise InputError(
            f"no threshold reaches an accuracy of {wish.accuracy:g} with a certainty of "
            f"{wish.certainty:g}: the best is {best.accuracy:.3f} on the {best.count:,} surest of "
            f"{len(right):,} held-out faces; ask for less, or give more held-out labels"
        )
    return found


def _fit_intervals(held: HeldOut, affect: Floats, coverage: float) -> tuple[float, float] | None:
    errors = (affect - held.affect)[held.is_for(THRESHOLD)]
    errors = errors[~np.isnan(errors).any(axis=1)]
    if not len(errors):
        return None
    valence, arousal = (metrics.fit_interval(errors[:, axis], coverage) for axis in (0, 1))
    return valence, arousal


def _check_counts(first: int, second: int, wish: Wish) -> None:
    need = metrics.least_rows(wish.coverage)
    if not first or second < need:
        raise InputError(
            f"a coverage of {wish.coverage:g} needs at least {need} held-out faces for the threshold "
            f"and one for calibration, but there are {second} and {first} with a label that counts"
        )


def _check_classes(truth: NDArray[np.int64], labels: Sequence[Expression]) -> None:
    counts = np.bincount(truth, minlength=len(labels))
    absent = [str(label) for label, count in zip(labels, counts, strict=True) if not count]
    if absent:
        raise InputError(
            f"sets by class need held-out faces of each class, but there are none of "
            f"{', '.join(absent)} among those for the threshold; leave it out by --labels, or make "
            "the sets over all classes together"
        )
