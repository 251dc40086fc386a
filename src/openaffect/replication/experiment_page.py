"""What the pages of both publications share: rows, cells with intervals, two-row heads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from openaffect.metrics import Difference
from openaffect.pages.text import METRIC_NAMES, bounds, number
from openaffect.replication.experiments import Outcome
from openaffect.reports import Group
from openaffect.reports.markup import section, table
from openaffect.training import Recipe

_STATUS = {
    "done": "run",
    "kept": "run by an earlier call",
    "failed": "failed",
    "not run": "not run",
}


def header(kicker: str, title: str, facts: Sequence[str]) -> str:
    """The top of a page; `facts` are HTML."""
    return (
        f'<header>\n<p class="kicker">{escape(kicker)}</p>\n<h1>{escape(title)}</h1>\n'
        f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>\n</header>\n'
    )


def read_first(lines: Sequence[str]) -> str:
    """The box of what a reader has to know before any number; "" if there is nothing."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<aside class="warnings"><h2>Read this first</h2><ul>{items}</ul></aside>\n'


def rows_section(outcomes: Sequence[Outcome]) -> str:
    """What became of every row, how it was made, and where its own report is."""
    lines = [[f"<b>{escape(o.row.title)}</b>", _status(o), _made_by(o), _link(o)] for o in outcomes]
    return section(
        "rows",
        "Rows",
        "One recipe each. A value that is recalled was not read in the publication: check it there "
        "before you quote it.",
        table(["Row", "", "Recipe", "Report"], lines, kinds="llll", name="rows"),
    )


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each row that failed."""
    return [f"{o.row.title} failed: {o.reason}" for o in outcomes if o.status == "failed"]


def recipe_warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """The habits of their sources that recipes warn of, each once."""
    rows: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.recipe is not None and outcome.recipe.warning:
            rows.setdefault(outcome.recipe.warning, []).append(outcome.row.title)
    return [f"{'; '.join(titles)}: {warning}." for warning, titles in rows.items()]


def settings_warning(settings: Sequence[str]) -> list[str]:
    """That the recipes did not run with their own values, if so."""
    if not settings:
        return []
    return [f"Recipes ran with {', '.join(settings)}, not with their own values."]


def own(scores: Mapping[str, Any] | None, digits: int = 3) -> str:
    """A cell with a score of ours and its interval below."""
    if scores is None or scores["value"] is None:
        return "–"
    range_ = bounds(scores)
    about = f'<span class="about">{range_}</span>' if range_ else ""
    return f"<b>{number(scores['value'], digits)}</b>{about}"


def paired_table(systems: Sequence[str], lines: Sequence[Sequence[str]], theirs: str) -> str:
    """A table with two columns a system: ours, and the published number beside it.

    Args:
        systems: their names.
        lines: a name and two cells for each system; cells are HTML.
        theirs: the heading of the published numbers.
    """
    few = " few" if len(systems) < 4 else ""
    top = "".join(f'<th scope="col" colspan="2">{escape(name)}</th>' for name in systems)
    below = f'<th scope="col">ours</th><th scope="col" class="their">{escape(theirs)}</th>'
    body = "".join(
        f'<tr><td class="k-l">{line[0]}</td>'
        + "".join(
            f'<td class="{"k-n" if i % 2 == 0 else "their"}">{cell}</td>'
            for i, cell in enumerate(line[1:])
        )
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="scroll"><table class="data pairs{few}"><thead><tr><th></th>{top}</tr>'
        f'<tr><th class="k-l">Metric</th>{below * len(systems)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def differences_section(group: Group, name: str) -> str:
    """The differences to the group's baseline, one column per system; "" for a group of one."""
    baseline = next(entry.name for entry in group.entries if entry.is_baseline)
    others = [entry for entry in group.entries if not entry.is_baseline]
    if not others:
        return ""
    keys = list(dict.fromkeys(key for entry in others for key in entry.differences))
    lines = []
    for key in keys:
        axis, _, metric = key.rpartition(".")
        about = f'<span class="about">{axis}</span>' if axis else ""
        cells = [_difference(entry.differences.get(key)) for entry in others]
        lines.append([METRIC_NAMES[metric] + about, *cells])
    return section(
        name,
        f"Differences to {baseline}",
        "A paired bootstrap: both systems are scored on the same resampled faces. Bold: the 95 % "
        "interval does not hold 0. Many cells are looked at, so a single small p is weak evidence.",
        table(
            ["Metric", *(entry.name for entry in others)],
            lines,
            kinds="l" + "n" * len(others),
            name="giguere2020",
        ),
    )


def _difference(difference: Difference | None) -> str:
    if difference is None or math.isnan(difference.value):
        return "–"
    value, low, high = (
        number(n, sign=True) for n in (difference.value, difference.low, difference.high)
    )
    clear = difference.low > 0 or difference.high < 0
    p = "p &lt; 0.01" if difference.p < 0.01 else f"p {difference.p:.2f}"
    shown = f"<b>{value}</b>" if clear else value
    return f'{shown}<span class="about">[{low}, {high}] {p}</span>'


def span(counts: Iterable[int]) -> str:
    """The smallest and the largest of some numbers.

    >>> span([500, 499]), span([12, 12])
    ('499 to 500', '12')
    """
    low, high = min(values := list(counts)), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def paragraphs(texts: Sequence[str]) -> str:
    """A list of plain sentences."""
    return f'<ul class="words">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>'


def _status(outcome: Outcome) -> str:
    return f"<b>{_STATUS['failed']}</b>" if outcome.status == "failed" else _STATUS[outcome.status]


def _made_by(outcome: Outcome) -> str:
    row, recipe = outcome.row, outcome.recipe
    why = f"<br>{escape(outcome.reason)}" if outcome.reason else ""
    if row.predictions is not None:
        return f"an outside system’s file <code>{escape(row.predictions.name)}</code>{why}"
    name = f"<code>{escape(row.recipe)}</code>"
    if row.settings:
        name += f" with {escape(', '.join(row.settings))}"
    about = f'<span class="about">{escape(_source(recipe))}</span>' if recipe else ""
    return name + why + about


def _source(recipe: Recipe) -> str:
    unverified = f". Recalled: {', '.join(recipe.unverified)}" if recipe.unverified else ""
    return f"{recipe.source}{unverified}"


def _link(outcome: Outcome) -> str:
    if outcome.report is None:
        return ""
    return f'<a href="{escape(outcome.row.key)}/report/report.html">report</a>'
