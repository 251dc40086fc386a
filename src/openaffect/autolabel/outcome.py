"""How good labels are: measured on held-out faces that decided nothing; and what came of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.autolabel.held_out import REPORT, HeldOut
from openaffect.autolabel.rules import Decisions, LabelRule, decide, positions
from openaffect.dataset import DatasetInfo
from openaffect.labels import EXPRESSIONS, Expression
from openaffect.predictions import Predictions
from openaffect.reports.contents import to_json_value

SCHEMA = 1
FILES = ("label.json", "label.html", "held-out.parquet")
"""The files of a labeled dataset that tell how good its labels are."""

_AXES = ("valence", "arousal")
_FEW = 100  # faces of a class, below which its own numbers are warned of


@dataclass(frozen=True, slots=True, eq=False)
class LabelReport:
    """What `label_faces` made, and how good it is; `data` is what `label.json` holds.

    Attributes:
        path: the dataset.
        data: see docs/labeling.md.
    """

    path: Path
    data: dict[str, Any]

    @property
    def warnings(self) -> list[str]:
        """Plain lines that a reader has to know."""
        return list(self.data["warnings"])


def measure(
    rule: LabelRule, held: HeldOut, predictions: Predictions, *, by_detector: bool
) -> dict[str, Any]:
    """How good labels, sets and intervals are on the faces for the report.

    Args:
        rule: fitted on the others.
        held: all held-out faces.
        predictions: of them.
        by_detector: whether a detector decided what is no face.

    Returns:
        `expression` and `affect` of `label.json`.
    """
    used = held.is_for(REPORT)
    rows = predictions.align([i for i, use in zip(held.ids, used, strict=True) if use])
    truth, made = held.expression[used], decide(rule, predictions, rows)
    place = positions(truth, rule.labels)
    counts = place >= 0
    if by_detector:
        counts |= truth == Expression.NO_FACE.id
    right = made.expression == truth
    labeled, in_set = made.labeled, counts & (place >= 0)
    covered = made.sets[np.arange(len(place)), np.maximum(place, 0)] & in_set
    sizes = made.sets.sum(axis=1)
    raw = _raw_shares(predictions, rows, rule.labels)
    sure = in_set & ~made.no_face
    expression = {
        "n": int(counts.sum()),
        "accuracy": _share(right & labeled, counts & labeled),
        "labeled": _share(labeled, counts),
        "accuracy_of_all": _share(right, counts),
        "accuracy_with_others": _share(right & labeled & counts, labeled),
        "others": _others(truth, counts, labeled),
        "coverage": _share(covered, in_set),
        "set_size": float(sizes[in_set].mean()),
        "set_sizes": np.bincount(sizes[in_set], minlength=len(rule.labels) + 1).tolist(),
        "ece": metrics.ece(place[sure], made.shares[sure]),
        "ece_before": metrics.ece(place[sure], raw[sure]),
        "by_class": _by_class(rule, truth, made, covered, counts, by_detector),
        "curve": [
            {
                "confidence": point.confidence,
                "labeled": point.share,
                **_score(point.count, point.accuracy, point.low, point.high),
            }
            for point in metrics.trace_accuracy(right[sure], made.confidence[sure])
        ],
    }
    return {
        "expression": expression,
        "affect": _affect(rule, held.affect[used], made.affect),
    }


def _raw_shares(
    predictions: Predictions, rows: NDArray[np.int64], labels: Sequence[Expression]
) -> NDArray[np.float64]:
    plain = LabelRule(tuple(labels), 1.0, 0.0, (0.0,) * len(labels), None)
    return decide(plain, predictions, rows).shares


def _others(
    truth: NDArray[np.int8], counts: NDArray[np.bool_], labeled: NDArray[np.bool_]
) -> dict[str, dict[str, int]]:
    """The faces that people put elsewhere, by what they say: how many, and how many get a label."""
    return {
        EXPRESSIONS[number].value: {
            "n": int((truth == number).sum()),
            "labeled": int((labeled & (truth == number)).sum()),
        }
        for number in sorted({*truth[~counts].tolist()})
    }


def _by_class(
    rule: LabelRule,
    truth: NDArray[np.int8],
    made: Decisions,
    covered: NDArray[np.bool_],
    counts: NDArray[np.bool_],
    by_detector: bool,
) -> dict[str, dict[str, Any]]:
    labels = [*rule.labels, *([Expression.NO_FACE] if by_detector else [])]
    found = {}
    for label in labels:
        of_class = np.equal(truth, label.id)
        said = made.labeled & np.equal(made.expression, label.id)
        has_sets = label in rule.labels
        found[label.value] = {
            "n": int(of_class.sum()),
            "labeled": _share(made.labeled, of_class),
            "accuracy": _share(said, of_class & made.labeled),
            "precision": _share(said & of_class, said & counts),
            "coverage": _share(covered, of_class) if has_sets else None,
            "set_size": float(made.sets[of_class].sum(axis=1).mean())
            if has_sets and of_class.any()
            else None,
        }
    return found


def _affect(
    rule: LabelRule, truth: NDArray[np.float64], said: NDArray[np.float64]
) -> dict[str, Any] | None:
    """Half widths and coverage of the intervals; None without human values."""
    if rule.half_widths is None:
        return None
    errors = np.abs(said - truth)
    known = np.asarray(~np.isnan(errors).any(axis=1), dtype=bool)
    return {
        name: {
            "half_width": width,
            "coverage": _share(known & (errors[:, axis] <= width), known),
        }
        for axis, (name, width) in enumerate(zip(_AXES, rule.half_widths, strict=True))
    }


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[str, Any]:
    count, n = int((hits & among).sum()), int(among.sum())
    return _score(n, count / n if n else float("nan"), *metrics.share_interval(count, n))


def _score(n: int, value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


def find_warnings(data: Mapping[str, Any], *, knows_learned: bool) -> list[str]:
    """What a reader of a report has to know.

    Args:
        data: `label.json` without them.
        knows_learned: whether the model says which images it learned from.
    """
    protocol, found = data["protocol"], []
    expression, wanted = data["expression"], protocol["accuracy"]
    if not knows_learned:
        found.append(
            "The model does not say which images it learned from: whether the held-out labels are "
            "new to it is for you to know."
        )
    if protocol.get("protocol_warning"):
        found.append(protocol["protocol_warning"])
    reached, strict = expression["accuracy"], expression["accuracy_with_others"]
    if not reached["n"]:
        found.append(
            "No held-out face for the report is labeled: nothing says how good labels are."
        )
    elif wanted is not None and reached["value"] < wanted:
        found.append(
            f"On the faces for the report the labels are right in {reached['value']:.3f} "
            f"[{reached['low']:.3f}, {reached['high']:.3f}], less than the wanted {wanted:g}."
        )
    others = {name: one for name, one in expression["others"].items() if one["labeled"]}
    if others:
        said = ", ".join(
            f"{one['labeled']:,} of {one['n']:,} {name}" for name, one in others.items()
        )
        found.append(
            f"Of held-out faces that people put elsewhere, {said} get a label, which cannot be right. "
            f"Where they count as wrong, the accuracy is {strict['value']:.3f} "
            f"[{strict['low']:.3f}, {strict['high']:.3f}]."
        )
    never = [
        name
        for name, one in expression["by_class"].items()
        if not one["precision"]["n"] and not data["faces"]["labeled"].get(name)
    ]
    if never:
        found.append(f"Above the threshold no face is labeled {', '.join(never)}.")
    few = [name for name, one in expression["by_class"].items() if one["n"] < _FEW]
    if few:
        found.append(
            f"Fewer than {_FEW} held-out faces are {', '.join(few)}: see the intervals before you "
            "rely on these rows."
        )
    always = [
        name
        for name, bound in zip(protocol["labels"], data["rule"]["least"], strict=True)
        if bound is None
    ]
    if always:
        found.append(
            f"Too few held-out faces are {', '.join(always)}, so every set holds "
            f"{'it' if len(always) == 1 else 'them'}."
        )
    if protocol["affect_origins"] not in ([], ["human"]) and data["faces"]["affect"]:
        found.append(
            "The model learned valence and arousal from values of origin "
            f"{', '.join(protocol['affect_origins'])}, not from people's alone."
        )
    if data["faces"]["affect"] and data["affect"] is None:
        found.append("Valence and arousal have no intervals: no held-out face has human values.")
    return found


def to_data(
    protocol: Mapping[str, Any],
    rule: LabelRule,
    measured: Mapping[str, Any],
    faces: Mapping[str, Any],
    *,
    knows_learned: bool,
) -> dict[str, Any]:
    """The whole of `label.json`."""
    data: dict[str, Any] = to_json_value(
        {
            "schema": SCHEMA,
            "made_by": DatasetInfo("").made_by,
            "protocol": dict(protocol),
            "rule": {
                "temperature": rule.temperature,
                "threshold": rule.threshold,
                "least": list(rule.least),
                "half_widths": rule.half_widths and list(rule.half_widths),
            },
            "faces": dict(faces),
            **measured,
        }
    )
    data["warnings"] = find_warnings(data, knows_learned=knows_learned)
    return data
