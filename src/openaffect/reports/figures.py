"""What the page of a report draws: curves, circumplex, reliability, mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import ImageError
from openaffect.faces.crops import CropRule
from openaffect.metrics import precision_recall_curve, roc_curve
from openaffect.pages.environment import data_url
from openaffect.pages.svg import Element
from openaffect.pages.text import number, wide
from openaffect.reports import plots
from openaffect.reports.contents import Contents
from openaffect.reports.rows import ScoredRows

Floats = NDArray[np.float64]

MOST_POINTS = 1500
MOST_MISTAKES = 24
_PICTURE = (112, 112)


@dataclass(frozen=True, slots=True)
class Curves:
    """Both plots, and the classes that have a curve."""

    roc: Element
    precision_recall: Element
    names: list[str]


def curves(report: Contents, rows: ScoredRows) -> Curves | None:
    """ROC and precision–recall curves, one line per class; None if there are no scores."""
    readable = rows.categorical & (rows.status == "ok")
    classes = report.per_class
    if classes is None or rows.probabilities is None or not readable.any():
        return None
    truth, p = rows.truth[readable], rows.probabilities[readable]
    roc, pr = [], []
    for i, label in enumerate(rows.labels):
        positive, scores = truth == i, classes[label.value]
        if not positive.any() or positive.all():
            continue
        name = wide(label.value)
        curve = roc_curve(positive, p[:, i])
        title = f"{name}: AUC {number(scores.auc)}"
        roc.append(plots.Line(label.value, curve.x, curve.y, title))
        curve = precision_recall_curve(positive, p[:, i])
        title = f"{name}: AUC-PR {number(scores.auc_pr)}"
        pr.append(plots.Line(label.value, curve.x, curve.y, title))
    return Curves(
        plots.curves_plot(roc, "false positive rate", "true positive rate", diagonal=True),
        plots.curves_plot(pr, "recall", "precision", diagonal=False),
        [line.label for line in roc],
    )


@dataclass(frozen=True, slots=True)
class Circumplex:
    """Plots with their captions, none if nothing is known; classes; and how many faces."""

    drawings: list[tuple[Element, str]]
    names: list[str]
    shown: int
    known: int


def circumplex(report: Contents, rows: ScoredRows) -> Circumplex | None:
    """Labels, predictions and class means on the valence–arousal disc."""
    if report.dimensional is None or rows.affect is None:
        return None
    known = np.flatnonzero(rows.dimensional & ~np.isnan(rows.affect[:, 0]))
    if not known.size:
        return Circumplex([], [], 0, 0)
    shown = known
    if len(known) > MOST_POINTS:
        # A fixed seed: the same report gives the same page.
        shown = np.sort(np.random.default_rng(0).choice(known, MOST_POINTS, replace=False))
    names = np.array([name or "" for name in rows.expressions], dtype=np.str_)
    present = [label.value for label in rows.labels if (names[known] == label.value).any()]
    others = sorted(set(names[known].tolist()) - set(present))
    truth, prediction = rows.affect_truth, rows.affect

    def by_class(values: Floats) -> dict[str, Floats]:
        return {name: values[shown[names[shown] == name]] for name in [*others, *present]}

    means = {}
    for name in present:
        chosen = known[names[known] == name]
        means[name] = (truth[chosen].mean(axis=0), prediction[chosen].mean(axis=0))
    drawings = [
        (plots.circumplex_points(by_class(truth), "labels of the faces"), "Labels"),
        (plots.circumplex_points(by_class(prediction), "predictions"), "Predictions, same faces"),
        (
            plots.circumplex_means(means, present),
            "Class means: ring labeled, dot predicted; frames: expected regions",
        ),
    ]
    return Circumplex(drawings, [*present, *others], len(shown), len(known))


@dataclass(frozen=True, slots=True)
class Reliability:
    """How sure a system is, and how often it is right, over `n` faces."""

    plot: Element
    ece: float | None
    n: int
    sure: float
    right: float


def reliability(report: Contents) -> Reliability | None:
    """How honest the probabilities are; None without any."""
    found = report.reliability
    if found is None:
        return None
    sure = sum(b.count * b.confidence for b in found.bins if b.confidence is not None) / found.n
    right = sum(b.count * b.accuracy for b in found.bins if b.accuracy is not None) / found.n
    return Reliability(plots.reliability_plot(found.bins), found.ece, found.n, sure, right)


# ---- mistakes ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mistake:
    """A scored row with a wrong label, its confidence, and what the right label was given."""

    face_id: str
    truth: str
    predicted: str
    confidence: float
    given: float


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The mistakes with most confidence.

    Attributes:
        wrong: how many faces got a wrong label.
        worst: those that are shown.
        faces: a data URL for each, None for one that cannot be read; None if none may be shown.
        why_no_pictures: the reason, or None.
    """

    wrong: int
    worst: list[Mistake]
    faces: list[str | None] | None
    why_no_pictures: str | None


def mistakes(
    report: Contents, rows: ScoredRows, dataset: Dataset | None, pictures: bool | None
) -> Mistakes | None:
    """The wrong rows that the system was surest of, with pictures where they may be shown."""
    predicted = rows.predicted
    if report.categorical is None or rows.probabilities is None or predicted is None:
        return None
    wrong = np.flatnonzero(rows.categorical & (predicted >= 0) & (predicted != rows.truth))
    sure = rows.probabilities[wrong, predicted[wrong]]
    worst = [
        Mistake(
            rows.ids[row],
            rows.labels[rows.truth[row]].value,
            rows.labels[predicted[row]].value,
            rows.probabilities[row, predicted[row]].item(),
            rows.probabilities[row, rows.truth[row]].item(),
        )
        for row in wrong[np.argsort(-sure, kind="stable")[:MOST_MISTAKES]].tolist()
    ]
    why_not = _why_no_pictures(dataset, pictures)
    if why_not is not None or dataset is None:
        return Mistakes(len(wrong), worst, None, why_not)
    rule = _crop_rule(report, dataset)
    row_of = {face_id: row for row, face_id in enumerate(dataset.ids)} if worst else {}
    faces = [_picture(dataset, row_of.get(mistake.face_id), rule) for mistake in worst]
    return Mistakes(len(wrong), worst, faces, None)


def _why_no_pictures(dataset: Dataset | None, pictures: bool | None) -> str | None:
    """Why no faces are shown, or None where they may be."""
    if pictures is False:
        return "Pictures are left out because they were not wanted."
    if dataset is None:
        return "Pictures are left out because no dataset was at hand to take them from."
    if pictures is None and not dataset.info.shareable:
        return (
            "Pictures are left out because the dataset does not say that they may be shared; "
            "a report that stays on this machine can show them if asked to."
        )
    return None


def _crop_rule(report: Contents, dataset: Dataset) -> CropRule:
    """What the model saw: its own crop rule, else the dataset's, else the usual one."""
    stated = report.protocol.crop_model
    if isinstance(stated, dict):
        return CropRule.from_dict(stated, "the crop rule of the predictions")
    return dataset.info.crop or CropRule()


def _picture(dataset: Dataset, row: int | None, rule: CropRule) -> str | None:
    if row is None:
        return None
    try:
        pixels = dataset.crop(row, rule, _PICTURE)
    except ImageError:
        return None
    return data_url(pixels, quality=82)
