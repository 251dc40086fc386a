"""The page of a comparison: systems side by side, their differences, and each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from openaffect.metrics import Difference
from openaffect.reports import plots
from openaffect.reports.markup import METRIC_NAMES, bounds, document, number, section, table, wide

if TYPE_CHECKING:
    from openaffect.reports.comparison import Comparison, Entry, Group

_SIGNED = ("kappa", "kappa_ovr", "alpha", "alpha_ovr", "ccc", "corr")
_EXPRESSION = ("accuracy", "f1", "kappa", "alpha", "auc", "auc_pr")
_DRAWN = 3  # systems whose intervals are drawn beside each other
_AFFECT = ("ccc", "rmse", "corr", "sagr")


def render_comparison(comparison: Comparison, title: str, pages: Mapping[str, str]) -> str:
    """The whole text of the page.

    Args:
        comparison: what `compare` found.
        title: the heading.
        pages: for the name of a system, the address of its own report, relative to this page.
    """
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    warnings = (
        f'<aside class="warnings"><h2>Read this first</h2><ul>{notes}</ul></aside>' if notes else ""
    )
    groups = "".join(_group(group, pages) for group in comparison.groups)
    body = (
        f'<header>\n<p class="kicker">Comparison</p>\n<h1>{escape(title)}</h1>\n</header>\n'
        f"{warnings}{groups}"
    )
    return document(title, body)


def _group(group: Group, pages: Mapping[str, str]) -> str:
    protocol = group.entries[0].report["protocol"]
    facts = (
        f"<b>{protocol['rows']:,}</b> faces",
        f"dataset <b>{escape(protocol['dataset'])}</b>",
        f"split <b>{escape(str(protocol['split']))}</b>",
        f"<b>{len(protocol['labels'])}</b> expressions",
        f"fingerprint <code>{group.fingerprint[:12]}</code>",
    )
    head = f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>'
    links = [
        f'<a href="{escape(pages[e.name])}">{escape(e.name)}</a>'
        for e in group.entries
        if e.name in pages
    ]
    whole = f'<p class="note">The whole report of each: {" · ".join(links)}</p>' if links else ""
    return (
        head + whole + _expression(group) + classes_section(group) + _affect(group) + _paired(group)
    )


def _expression(group: Group) -> str:
    entries = [e for e in group.entries if e.report["categorical"] is not None]
    if not entries:
        return ""
    lines = []
    for metric in _EXPRESSION:
        for way in ("orig", "norm"):
            scores = [e.report["categorical"][metric][way] for e in entries]
            name = f'{METRIC_NAMES[metric]}<span class="about">{way.capitalize()}</span>'
            lines.append([name, *_cells(scores, metric, lower=False)])
    return section(
        "scores",
        "Expressions",
        "<b>Orig</b> is the rows as they are, <b>Norm</b> the mean over class-balanced draws. "
        "Bold is the best of a line; brackets are 95 % intervals.",
        _score_table(entries, lines),
    )


def _affect(group: Group) -> str:
    entries = [e for e in group.entries if e.report["dimensional"] is not None]
    if not entries:
        return ""
    lines = []
    for axis in ("valence", "arousal"):
        for metric in _AFFECT:
            scores = [e.report["dimensional"][axis][metric] for e in entries]
            name = f'{METRIC_NAMES[metric]}<span class="about">{axis}</span>'
            lines.append([name, *_cells(scores, metric, lower=metric == "rmse")])
    return section(
        "affect",
        "Valence and arousal",
        "An RMSE is the better the lower; all others the higher.",
        _score_table(entries, lines),
    )


def _score_table(entries: Sequence[Entry], lines: Sequence[Sequence[str]]) -> str:
    heads = ["Metric"]
    for entry in entries:
        heads += [entry.name, "95 %", ""]
    kinds = "l" + "nib" * len(entries)
    if len(entries) > _DRAWN:  # more drawings would push the last systems off the page
        kept = [place for place, kind in enumerate(kinds) if kind != "b"]
        heads = [heads[place] for place in kept]
        lines = [[line[place] for place in kept] for line in lines]
        kinds = kinds.replace("b", "")
    return table(heads, lines, kinds=kinds, name="scores")


def _cells(scores: Sequence[Mapping[str, Any]], metric: str, *, lower: bool) -> list[str]:
    known = [s["value"] for s in scores if s["value"] is not None]
    best = (min if lower else max)(known, default=None)
    floor = -1.0 if metric in _SIGNED else 0.0
    cells = []
    for s in scores:
        text = number(s["value"])
        cells += [
            f"<b>{text}</b>" if s["value"] is not None and s["value"] == best else text,
            bounds(s),
            plots.interval_bar(s["value"], s["low"], s["high"], floor),
        ]
    return cells


def classes_section(group: Group) -> str:
    """F1 of each expression, a column per system."""
    entries = [e for e in group.entries if e.report["per_class"] is not None]
    if not entries:
        return ""
    first: Mapping[str, Mapping[str, Any]] = entries[0].report["per_class"]
    lines = []
    for name, facts in first.items():
        cells = [f'<i class="swatch c-{name}"></i>{escape(wide(name))}', f"{facts['support']:,}"]
        for entry in entries:
            value = entry.report["per_class"][name]["f1"]
            cells.append(
                f'<span class="bar"><span class="fill c-{name}" style="width:{value or 0:.1%}">'
                f"</span></span><span>{number(value)}</span>"
            )
        lines.append(cells)
    heads = ["F1 of each class", "Faces", *(entry.name for entry in entries)]
    return section(
        "classes",
        "Each expression",
        "F1 on the rows as they are. What a strategy against imbalance gives to the rare classes "
        "it takes from the frequent ones.",
        table(heads, lines, kinds="ln" + "w" * len(entries), name="classes"),
    )


def _paired(group: Group) -> str:
    baseline = next(e.name for e in group.entries if e.is_baseline)
    others = [e for e in group.entries if not e.is_baseline]
    if not others:
        return ""
    keys = list(dict.fromkeys(key for entry in others for key in entry.differences))
    lines = [
        [_name(key), *(cell for e in others for cell in _difference(e.differences.get(key)))]
        for key in keys
    ]
    heads = ["Metric"]
    for entry in others:
        heads += [entry.name, "95 %", "p"]
    return section(
        "differences",
        f"Differences to {baseline}",
        "A paired bootstrap: both systems are scored on the same resampled faces. An interval that "
        "holds 0 is no evidence of a difference; many lines are looked at, so a single small p is "
        "weak evidence.",
        table(heads, lines, kinds="l" + "nin" * len(others), name="scores"),
    )


def _name(key: str) -> str:
    axis, _, metric = key.rpartition(".")
    about = f'<span class="about">{axis}</span>' if axis else ""
    return METRIC_NAMES[metric] + about


def _difference(difference: Difference | None) -> list[str]:
    if difference is None or np.isnan(difference.value):
        return ["–", "", ""]
    value = number(difference.value, sign=True)
    clear = difference.low > 0 or difference.high < 0
    low, high = number(difference.low, sign=True), number(difference.high, sign=True)
    p = "&lt; 0.01" if difference.p < 0.01 else f"{difference.p:.2f}"
    return [f"<b>{value}</b>" if clear else value, f"[{low}, {high}]", p]
