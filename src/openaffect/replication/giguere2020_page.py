"""The page of the tables of Giguere 2020: ours, the printed, and what the printed must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openaffect.labels import Expression
from openaffect.pages import render
from openaffect.pages.text import number, wide
from openaffect.replication.experiment_page import warnings
from openaffect.replication.experiments import ExperimentResult
from openaffect.replication.giguere2020_tables import (
    FIVE,
    SIX,
    SPLITS,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TOTALS,
    TRAINED,
    misprints,
    recompute,
    recompute_recall,
)
from openaffect.reports.comparison_page import paired
from openaffect.reports.contents import Score
from openaffect.reports.published import TEST

if TYPE_CHECKING:
    from openaffect.replication.giguere2020 import Giguere2020

_METRICS = ("accuracy", "weighted_f1", "f1")
_BASELINE = "AlexNet, weighted loss"


def render_giguere2020(replication: Giguere2020) -> str:
    """The whole text of `giguere2020.html`."""
    setup, transfer, vgg = replication.setup, *map(replication.outcome, ("transfer", "vgg"))
    comparison = replication.comparison
    return render(
        "replication/templates/giguere2020.html.j2",
        title=f"The tables of Giguere 2020 on {setup.dataset.info.name}",
        setup=setup,
        tables=replication.tables,
        scored=sum(replication.counts.get(setup.split, {}).values()),
        learned=sum(replication.counts["train"].values()),
        warnings=warnings(replication.outcomes, setup.settings) + _differences(replication),
        counts=_counts(replication),
        transfer=_model(FIVE, TABLE_4, (0.57, 0.59, None), [transfer]),
        vgg=_model(SIX, TABLE_5, (0.63, 0.62, None), [vgg, replication.outcome("vgg-unweighted")]),
        paired=None if comparison is None else paired(comparison.groups[0]),
        recalls=_recalls(vgg),
        models=_models(transfer, vgg),
        misprints=misprints(),
        outcomes=replication.outcomes,
        protocol=_protocol(replication),
    )


def _differences(replication: Giguere2020) -> list[str]:
    info = replication.setup.dataset.info
    found = []
    if "affectnet" not in f"{info.name} {info.source}".lower():
        found.append(f"another dataset ({info.name}, not AffectNet)")
    if (
        tuple(replication.counts["test"].values()) != SPLITS["test"]
        or replication.setup.split != "test"
    ):
        found.append("other scored faces")
    if tuple(replication.counts["train"].values()) != TRAINED:
        found.append("other numbers of training faces")
    if not found:
        return []
    return [f"The printed numbers do not compare with ours: {'; '.join(found)}."]


def _counts(replication: Giguere2020) -> dict[str, Any]:
    """Table 3: what stands before a line, whether it is this dataset's, and its numbers."""
    lines: list[tuple[str, bool, tuple[int, ...]]] = []
    for split, printed in SPLITS.items():
        here = tuple(replication.counts[split].values())
        lines.append((f"{split.capitalize()}, printed", False, (*printed, TOTALS[split])))
        if split == "train":
            lines.append(("Train, as it must be", False, (*TRAINED, sum(TRAINED))))
        lines.append((f"{split.capitalize()}, here", True, (*here, sum(here))))
    return {"heads": [wide(label).capitalize() for label in SIX], "lines": lines}


def _model(
    labels: Sequence[Expression],
    printed: Sequence[Sequence[int]],
    stated: Sequence[float | None],
    outcomes: Sequence[ExperimentResult | None],
) -> dict[str, Any]:
    """Tables 4 and 5: scores and confusion matrices, the printed matrix first."""
    right = recompute(printed)
    names = [f"ours: {o.row.title}" if o is not None else "ours" for o in outcomes]
    matrices: list[tuple[str, Sequence[str], list[Any]]] = [
        ("Printed", labels, list(zip(labels, printed, strict=True)))
    ]
    for outcome in outcomes:
        if outcome is None or outcome.report is None or outcome.report.confusion is None:
            continue
        found = outcome.report.confusion
        rows = [(name, row[:-1]) for name, row in zip(found.labels, found.counts, strict=True)]
        matrices.append((f"Ours: {outcome.row.title}", found.labels, rows))
    return {
        "heads": names if len(names) > 1 else ["ours"],
        "lines": [
            (metric, [_score(o, metric) for o in outcomes], value, right[metric])
            for metric, value in zip(_METRICS, stated, strict=True)
        ],
        "matrices": matrices,
    }


def _score(outcome: ExperimentResult | None, metric: str) -> Score | None:
    if outcome is None or outcome.report is None or outcome.report.categorical is None:
        return None
    return outcome.report.categorical[metric].orig


def _recalls(vgg: ExperimentResult | None) -> list[tuple[Any, ...]]:
    """Table 6: an expression, its scores, the printed and the recomputed recall."""
    classes = (vgg.report.per_class if vgg is not None and vgg.report is not None else None) or {}
    right = recompute_recall()
    return [(name, classes.get(name), recall, right[name]) for name, recall in TABLE_6.items()]


def _models(
    transfer: ExperimentResult | None, vgg: ExperimentResult | None
) -> list[tuple[Any, ...]]:
    """Table 7: a model, its expressions, our scores, the printed ones, and the F1 that are right."""
    baseline = next(row for row in TEST.rows if row.name == _BASELINE)
    about = "AffectNet’s weighted loss, eight expressions"
    f1s = ("–", number(baseline.scores["f1"][0], 2))
    lines: list[tuple[Any, ...]] = [("Baseline", about, [None] * 3, TABLE_7["baseline"], f1s)]
    for key, name, about, outcome, matrix in (
        ("transfer", "ResNet-50 transfer", "five expressions", transfer, TABLE_4),
        ("vgg", "VGG type", "six expressions", vgg, TABLE_5),
    ):
        right = recompute(matrix)
        f1s = (number(right["weighted_f1"]), number(right["f1"]))
        lines.append((name, about, [_score(outcome, m) for m in _METRICS], TABLE_7[key], f1s))
    return lines


def _protocol(replication: Giguere2020) -> list[str]:
    return [
        *replication.protocol,
        "Giguere watched the validation faces to stop; here a seeded share of the training faces "
        "(early_stopping_fraction of the recipe) serves for that, and no scored face is looked at.",
        "Giguere’s class weights were made from all training and validation faces (Appendix B), "
        "ours from those that are learned from: on AffectNet they differ by 6 % at most.",
        f"Intervals: 95 %, {replication.setup.rounds:,} bootstrap samples of the faces. Giguere prints "
        "none.",
        "The two models tell different sets of expressions, so they are scored on different faces "
        "and not ranked against each other.",
    ]
