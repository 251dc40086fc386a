"""The page of the AffectNet paper's tables: ours beside the published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openaffect.pages import render
from openaffect.pages.text import METRIC_NAMES, wide
from openaffect.replication.experiment_page import printed, span, warnings
from openaffect.replication.experiments import ExperimentResult
from openaffect.reports.comparison_page import paired, scored
from openaffect.reports.contents import Score
from openaffect.reports.published import (
    AROUSAL,
    TEST,
    VALENCE,
    VALIDATION,
    PublishedRow,
    PublishedTable,
)

if TYPE_CHECKING:
    from openaffect.replication.affectnet2017 import AffectNet2017

_LEARNED = 287_651  # AffectNet's training faces of the eight expressions
_AFFECT_METRICS = ("rmse", "corr", "sagr", "ccc")
_AXES = {"valence": VALENCE, "arousal": AROUSAL}
# Six systems side by side leave little room for names.
_SHORT = {"kappa_ovr": "κ, one vs rest", "alpha_ovr": "α, one vs rest"}
_CNN = "AlexNet, one for each axis"

# The name of a metric, what is said of it, and for each system ours and the published number.
_Line = tuple[str, str, list[tuple[Score | None, str]]]


def render_affectnet2017(replication: AffectNet2017) -> str:
    """The whole text of `affectnet2017.html`."""
    setup = replication.setup
    comparisons = {"differences": replication.expressions, "affect-differences": replication.affect}
    return render(
        "replication/templates/affectnet2017.html.j2",
        title=f"The AffectNet paper’s tables on {setup.dataset.info.name}",
        setup=setup,
        scored=sum(replication.faces.values()),
        learned=sum(replication.learned.values()),
        labels=len(replication.labels),
        warnings=warnings(replication.outcomes, setup.settings),
        test=_test(replication),
        validation=_validation(replication),
        affect=_affect(replication),
        comparisons=[
            # All rows are scored on the same faces by the same rules: there is one group.
            (id_, scored(found.groups[0], "per_class"), paired(found.groups[0]))
            for id_, found in comparisons.items()
            if found is not None
        ],
        outcomes=replication.outcomes,
        protocol=_protocol(replication),
    )


# ---- expressions ------------------------------------------------------------------------

_System = tuple[str, ExperimentResult | None, PublishedRow | None]


def _test(replication: AffectNet2017) -> dict[str, Any]:
    systems = _systems(replication, TEST)
    return {
        "note": TEST.note,
        "differences": replication.differences(TEST),
        "systems": [name for name, _, _ in systems],
        "lines": [
            _line(systems, metric, _SHORT.get(metric, METRIC_NAMES[metric]), way)
            for metric in TEST.metrics
            for way in ("orig", "norm")
        ],
    }


def _validation(replication: AffectNet2017) -> dict[str, Any]:
    if not replication.is_like_validation:
        counts = replication.faces.values()
        text = (
            f"The published validation scores are of 4,000 faces, 500 of each of eight "
            f"expressions. The scored split, {replication.setup.split}, has {sum(counts):,} faces, "
            f"{span(counts)} of an expression: it is of another kind, so "
            "they are not set beside ours."
        )
        return {"systems": [], "why_not": text}
    systems = _systems(replication, VALIDATION)
    return {
        "note": VALIDATION.note,
        "differences": replication.differences(VALIDATION),
        "systems": [name for name, _, _ in systems],
        "lines": [_line(systems, metric, METRIC_NAMES[metric]) for metric in VALIDATION.metrics],
        "doubts": VALIDATION.doubts,
    }


def _systems(replication: AffectNet2017, published: PublishedTable) -> list[_System]:
    """The columns: rows of ours that tell expressions, and published ones that we cannot run."""
    by_name = {row.name: row for row in published.rows}
    found: list[_System] = []
    for outcome in replication.outcomes:
        row = by_name.pop(outcome.row.published, None)
        has = outcome.report is not None and outcome.report.categorical is not None
        if row is not None or has:
            found.append((outcome.row.title, outcome, row))
    found += [(name, None, row) for name, row in by_name.items()]
    return found


def _line(systems: list[_System], metric: str, name: str, way: str = "") -> _Line:
    place = int(way == "norm")
    return (
        name,
        way.capitalize(),
        [(_way(o, metric, way or "orig"), printed(row, metric, place)) for _, o, row in systems],
    )


def _way(outcome: ExperimentResult | None, metric: str, way: str) -> Score | None:
    if outcome is None or outcome.report is None or outcome.report.categorical is None:
        return None
    return outcome.report.categorical[metric][way]


# ---- valence and arousal ----------------------------------------------------------------


def _affect(replication: AffectNet2017) -> dict[str, Any]:
    outcomes = [
        o
        for o in replication.outcomes
        if o.row.published == _CNN
        or (o.recipe is not None and o.recipe.target == "affect")
        or (o.report is not None and o.report.dimensional is not None)
    ]
    lines: list[_Line] = []
    for axis, published in _AXES.items():
        by_name = {row.name: row for row in published.rows}
        lines += [
            (
                METRIC_NAMES[metric],
                axis,
                [
                    (_score(o, axis, metric), printed(by_name.get(o.row.published), metric))
                    for o in outcomes
                ],
            )
            for metric in _AFFECT_METRICS
        ]
    return {
        "differences": replication.differences(VALENCE),
        "systems": [o.row.title for o in outcomes],
        "lines": lines,
        "floors": _floors(outcomes),
    }


def _score(outcome: ExperimentResult, axis: str, metric: str) -> Score | None:
    if outcome.report is None or outcome.report.dimensional is None:
        return None
    return outcome.report.dimensional[axis][metric]


def _floors(outcomes: list[ExperimentResult]) -> list[tuple[str, list[Any]]] | None:
    """What constant guesses score on the same faces; the same for every system."""
    reports = [o.report.dimensional for o in outcomes if o.report and o.report.dimensional]
    if not reports:
        return None
    axes = [reports[0][axis].floors for axis in _AXES]
    lines = [
        ("the scored faces", [floors.scored_mean for floors in axes]),
        ("the training faces", [floors.train_mean for floors in axes]),
    ]
    return [(what, floors) for what, floors in lines if None not in floors]


# ---- protocol ---------------------------------------------------------------------------


def _protocol(replication: AffectNet2017) -> list[str]:
    left_out = ", ".join(f"{count:,} {wide(name)}" for name, count in replication.left_out.items())
    classes = ", ".join(f"{count:,} {wide(name)}" for name, count in replication.faces.items())
    setup = replication.setup
    return [
        f"Scored: the faces of the split {setup.split} of {setup.dataset.info.name} "
        f"({setup.dataset.info.source or 'source not stated'}) that have one of "
        f"{len(replication.labels)} expressions: {classes}. Left out: {left_out or 'none'}.",
        f"Learned: from the {sum(replication.learned.values()):,} faces of its split train that have "
        f"one of these; the published systems learned from AffectNet’s {_LEARNED:,}.",
        "κ and α of the test table are means over one-against-rest scores. That the published "
        "ones are such means is inferred: accuracy .72 with κ .53 needs a chance agreement of "
        ".40, and the shares of the classes give .24. The multi-class values are in each report.",
        f"Norm: {setup.draws:,} random draws without replacement, each class as large as the "
        f"smallest. Intervals: 95 %, {setup.rounds:,} bootstrap samples of the faces.",
        "Differences between rows: a paired bootstrap, both scored on the same resampled faces.",
        "Stopping, the choice of the epoch and the temperature look at a seeded share of the "
        "training faces (early_stopping_fraction of the recipe), never at the scored ones. How the published "
        "systems were chosen is not printed in what we could read.",
        "How the published systems’ faces were cropped beyond the detector’s box and whether rows "
        "were cleaned is not printed: even where nothing above differs, two numbers may.",
    ]
