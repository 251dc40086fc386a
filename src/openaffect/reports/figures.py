"""The sections of a report's page that draw: curves, circumplex, reliability, mistakes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import ImageError
from openaffect.faces.crops import CropRule
from openaffect.images import encode_image
from openaffect.metrics import Curve, precision_recall_curve, roc_curve
from openaffect.reports import plots
from openaffect.reports.markup import number, section, table, wide
from openaffect.reports.rows import ScoredRows

Floats = NDArray[np.float64]

MOST_POINTS = 1500
MOST_MISTAKES = 24
_PICTURE = (112, 112)


def curves(data: Mapping[str, Any], rows: ScoredRows) -> str:
    """ROC and precision–recall curves, one line per class."""
    if data["categorical"] is None:
        return ""
    title = "Expressions: ROC and precision–recall curves"
    if rows.probabilities is None or not (rows.categorical & (rows.status == "ok")).any():
        return section("curves", title, "The system gives no scores, so there are no curves.", "")
    readable = rows.categorical & (rows.status == "ok")
    truth, p = rows.truth[readable], rows.probabilities[readable]
    roc, pr = [], []
    for i, label in enumerate(rows.labels):
        positive, scores = truth == i, data["per_class"][label.value]
        if not positive.any() or positive.all():
            continue
        auc, area = number(scores["auc"]), number(scores["auc_pr"])
        name = wide(label.value)
        roc.append(_line(label.value, roc_curve(positive, p[:, i]), f"{name}: AUC {auc}"))
        curve = precision_recall_curve(positive, p[:, i])
        pr.append(_line(label.value, curve, f"{name}: AUC-PR {area}"))
    drawn = [line.label for line in roc]
    legend = "".join(
        f'<li><svg viewBox="0 0 26 8" aria-hidden="true"><line class="c-{name}" x1="1" x2="25" '
        f'y1="4" y2="4"/></svg>{escape(wide(name))}'
        f"<span>AUC {number(data['per_class'][name]['auc'])}</span>"
        f"<span>PR {number(data['per_class'][name]['auc_pr'])}</span></li>"
        for name in drawn
    )
    body = (
        '<div class="figures"><figure>'
        + plots.curves_plot(roc, "false positive rate", "true positive rate", diagonal=True)
        + "<figcaption>ROC; the broken line is chance</figcaption></figure><figure>"
        + plots.curves_plot(pr, "recall", "precision", diagonal=False)
        + "<figcaption>Precision–recall; chance is the share of the class</figcaption></figure></div>"
        f'<ul class="legend curves-legend">{legend}</ul>'
    )
    return section("curves", title, "Each class against the rest, from its probability.", body)


def _line(label: str, curve: Curve, title: str) -> plots.Line:
    return plots.Line(label, curve.x, curve.y, title)


def circumplex(data: Mapping[str, Any], rows: ScoredRows) -> str:
    """Labels, predictions and class means on the valence–arousal disc."""
    if data["dimensional"] is None or rows.affect is None:
        return ""
    known = np.flatnonzero(rows.dimensional & ~np.isnan(rows.affect[:, 0]))
    title = "Valence and arousal: the circumplex"
    if not known.size:
        return section("circumplex", title, "No scored row has a prediction to draw.", "")
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
    drawings = (
        (plots.circumplex_points(by_class(truth), "labels of the faces"), "Labels"),
        (plots.circumplex_points(by_class(prediction), "predictions"), "Predictions, same faces"),
        (
            plots.circumplex_means(means, present),
            "Class means: ring labeled, dot predicted; frames: expected regions",
        ),
    )
    figures = "".join(
        f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
        for drawing, caption in drawings
    )
    legend = "".join(
        f'<li><i class="swatch c-{name or "other"}"></i>{escape(wide(name) or "unlabeled")}</li>'
        for name in [*present, *others]
    )
    count = f"{len(shown):,} of {len(known):,} faces" if len(shown) < len(known) else "All faces"
    lead = (
        f"{count}, colored by their true expression. Happy’s expected region is the published "
        "one; the others span the 2nd to 98th percentile of public validation labels, a proposal "
        "of this project."
    )
    body = f'<div class="figures three">{figures}</div><ul class="legend">{legend}</ul>'
    return section("circumplex", title, lead, body)


def reliability(data: Mapping[str, Any]) -> str:
    """How honest the probabilities are."""
    if data["categorical"] is None:
        return ""
    title = "Expressions: reliability"
    found = data["reliability"]
    if found is None:
        return section(
            "reliability", title, "The system gives no scores, so none can be honest or not.", ""
        )
    bins = [b for b in found["bins"] if b["count"]]
    mean = sum(b["count"] * b["confidence"] for b in bins) / found["n"]
    right = sum(b["count"] * b["accuracy"] for b in bins) / found["n"]
    verdict = "more sure than right" if mean > right else "less sure than right"
    text = (
        f'<div class="beside-figure"><p class="big">{number(found["ece"])}</p>'
        "<p>expected calibration error (ECE): the mean gap between how sure the system is and "
        "how often it is right.</p>"
        f"<p>Over {found['n']:,} faces it is on average {mean:.1%} sure and {right:.1%} right: "
        f"<b>{verdict}</b>.</p>"
        '<ul class="legend column"><li><i class="swatch bar"></i>accuracy of the bin</li>'
        '<li><i class="swatch over"></i>surer than right</li>'
        '<li><i class="swatch under"></i>less sure than right</li>'
        '<li><i class="swatch count"></i>faces in the bin</li></ul></div>'
    )
    body = (
        f'<div class="figures"><figure>{plots.reliability_plot(found["bins"])}</figure>{text}</div>'
    )
    lead = "Confidence is the highest probability of a face; 15 bins of equal width."
    return section("reliability", title, lead, body)


# ---- mistakes ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mistake:
    """A scored row with a wrong label, its confidence, and what the right label was given."""

    face_id: str
    truth: str
    predicted: str
    confidence: float
    given: float


def mistakes(
    data: Mapping[str, Any], rows: ScoredRows, dataset: Dataset | None, pictures: bool | None
) -> str:
    """The wrong rows that the system was surest of, with pictures where they may be shown."""
    if data["categorical"] is None:
        return ""
    title, predicted = "Expressions: the surest mistakes", rows.predicted
    if rows.probabilities is None or predicted is None:
        return section(
            "mistakes",
            title,
            "The system gives no scores, so no mistake is surer than another.",
            "",
        )
    wrong = np.flatnonzero(rows.categorical & (predicted >= 0) & (predicted != rows.truth))
    if not wrong.size:
        return section("mistakes", title, "Not one scored face was given a wrong label.", "")
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
    lead = (
        f"{len(wrong):,} faces were given a wrong label; these are the {len(worst)} of them "
        "with most confidence."
    )
    why_not = _why_no_pictures(dataset, pictures)
    if why_not is not None or dataset is None:
        lead += f" {escape(why_not or '')}"
        return section("mistakes", title, lead, _mistake_table(worst))
    return section(
        "mistakes", title, lead, _mistake_cards(worst, dataset, _crop_rule(data, dataset))
    )


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


def _mistake_table(worst: Sequence[Mistake]) -> str:
    lines = [
        [
            f"<code>{escape(mistake.face_id)}</code>",
            _chip(mistake.truth),
            _chip(mistake.predicted),
            f"{mistake.confidence:.1%}",
            f"{mistake.given:.1%}",
        ]
        for mistake in worst
    ]
    heads = ["Face", "Labeled", "Predicted", "Confidence", "Given to the label"]
    return table(heads, lines, kinds="lllnn", name="mistakes")


def _mistake_cards(worst: Sequence[Mistake], dataset: Dataset, rule: CropRule) -> str:
    row_of = {face_id: number for number, face_id in enumerate(dataset.ids)}
    cards = []
    for mistake in worst:
        face_id = escape(mistake.face_id)
        picture = _picture(dataset, row_of.get(mistake.face_id), rule)
        shown = (
            f'<img src="{picture}" width="112" height="112" alt="">'
            if picture
            else '<div class="missing">picture cannot be read</div>'
        )
        cards.append(
            f'<li>{shown}<p class="id" title="{face_id}">{face_id}</p>'
            f"<p>{_chip(mistake.truth)}</p>"
            f"<p>{_chip(mistake.predicted)} <b>{mistake.confidence:.0%}</b></p></li>"
        )
    return (
        '<p class="note">Under each face its label, then what was predicted and how surely.</p>'
        f'<ul class="faces">{"".join(cards)}</ul>'
    )


def _crop_rule(data: Mapping[str, Any], dataset: Dataset) -> CropRule:
    """What the model saw: its own crop rule, else the dataset's, else the usual one."""
    stated = data["protocol"]["crop_model"]
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
    data = base64.b64encode(encode_image(pixels, ".jpg", quality=82)).decode("ascii")
    return f"data:image/jpeg;base64,{data}"


def _chip(name: str) -> str:
    return f'<span class="chip"><i class="swatch c-{name}"></i>{escape(wide(name))}</span>'
