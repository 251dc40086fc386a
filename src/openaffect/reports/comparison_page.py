"""The page of a comparison: systems side by side, their differences, and each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from openaffect.metrics import Difference
from openaffect.pages import render
from openaffect.pages.text import number
from openaffect.reports.contents import NO_SCORE, Score

if TYPE_CHECKING:
    from openaffect.reports.comparison import Comparison, Entry, Group

_EXPRESSION = ("accuracy", "f1", "kappa", "alpha", "auc", "auc_pr")
_AFFECT = ("ccc", "rmse", "corr", "sagr")

_Line = tuple[str, str, list[Score], float | None]


def render_comparison(comparison: Comparison, title: str, pages: Mapping[str, str]) -> str:
    """The whole text of the page.

    Args:
        comparison: what `compare` found.
        title: the heading.
        pages: for the name of a system, the address of its own report, relative to this page.
    """
    return render(
        "reports/templates/comparison.html.j2",
        title=title,
        notes=comparison.notes,
        pages=pages,
        groups=[
            {
                "entries": group.entries,
                "fingerprint": group.fingerprint[:12],
                "classes": scored(group, "per_class"),
                "protocol": group.entries[0].report.protocol,
                "expression": _expression(group),
                "affect": _affect(group),
                "paired": paired(group),
            }
            for group in comparison.groups
        ],
    )


def scored(group: Group, part: str) -> list[Entry]:
    """The systems of a group whose reports have a part, such as `per_class`."""
    return [entry for entry in group.entries if getattr(entry.report, part) is not None]


def _expression(group: Group) -> tuple[list[Entry], list[_Line]]:
    entries = scored(group, "categorical")
    return entries, [
        _line(
            metric,
            way.capitalize(),
            [
                e.report.categorical[metric][way] or NO_SCORE
                for e in entries
                if e.report.categorical
            ],
        )
        for metric in _EXPRESSION
        for way in ("orig", "norm")
    ]


def _affect(group: Group) -> tuple[list[Entry], list[_Line]]:
    entries = scored(group, "dimensional")
    return entries, [
        _line(
            metric,
            axis,
            [e.report.dimensional[axis][metric] for e in entries if e.report.dimensional],
        )
        for axis in ("valence", "arousal")
        for metric in _AFFECT
    ]


def _line(metric: str, about: str, scores: list[Score]) -> _Line:
    """A metric, what is said of it, the scores of the systems, and the best of them."""
    known = [s.value for s in scores if s.value is not None]
    return metric, about, scores, (min if metric == "rmse" else max)(known, default=None)


def paired(group: Group) -> dict[str, Any]:
    """What templates show of the differences to the baseline of a group."""
    others = [entry for entry in group.entries if not entry.is_baseline]
    keys = dict.fromkeys(key for entry in others for key in entry.differences)
    return {
        "baseline": next(entry.name for entry in group.entries if entry.is_baseline),
        "names": [entry.name for entry in others],
        "lines": [
            (*key.rpartition(".")[::2], [_difference(e.differences.get(key)) for e in others])
            for key in keys
        ],
    }


def _difference(difference: Difference | None) -> tuple[bool, Sequence[str]]:
    """Whether the interval excludes 0; value, interval and p as texts."""
    if difference is None or np.isnan(difference.value):
        return False, ("–", "", "")
    value, low, high = (
        number(n, sign=True) for n in (difference.value, difference.low, difference.high)
    )
    p = "< 0.01" if difference.p < 0.01 else f"{difference.p:.2f}"
    return difference.low > 0 or difference.high < 0, (value, f"[{low}, {high}]", p)
