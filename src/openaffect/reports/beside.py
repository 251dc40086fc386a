"""The section of a report's page that sets published results beside it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from openaffect.reports.markup import METRIC_NAMES, number, section, table
from openaffect.reports.published import PublishedRow, PublishedTable, differences, tables_for


def published(data: Mapping[str, Any]) -> str:
    """The tables that fit this report, each with what is known to differ."""
    blocks = [_published_table(t, data) for t in tables_for(dict(data))]
    if not blocks:
        return ""
    return section(
        "published",
        "Beside published results",
        "Landmarks, not rivals: how faces were cropped and whether rows were cleaned is not "
        "printed anywhere. What is known to differ stands above each table.",
        "".join(blocks),
    )


_SAME = "Dataset, split, label set and number of images are the same."
_SAME_AS_FAR_AS_PRINTED = "Dataset and split are the same; the rest is not printed."


def _published_table(t: PublishedTable, data: Mapping[str, Any]) -> str:
    differs = differences(t, dict(data))
    verdict = (
        f'<p class="differs"><b>Not the same protocol:</b> {escape("; ".join(differs))}.</p>'
        if differs
        else f'<p class="same">{_SAME if t.images else _SAME_AS_FAR_AS_PRINTED}</p>'
    )
    note = f'<p class="note">{escape(t.note)}</p>' if t.note else ""
    lines = [[escape(row.name), *(_printed(row, metric) for metric in t.metrics)] for row in t.rows]
    doubts = [
        f"{METRIC_NAMES[m]} of {row.name}: {why}"
        for row in t.rows
        for m, why in (row.doubtful or {}).items()
    ]
    doubt = f'<p class="note">† {escape("; ".join(doubts))}.</p>' if doubts else ""
    heads = ["System", *(METRIC_NAMES[m] for m in t.metrics)]
    ours = ["This report", *(_ours(t, m, data) for m in t.metrics)]
    paired = any(pair[1] is not None for row in t.rows for pair in row.scores.values())
    form = "; Orig / Norm" if paired else ""
    return (
        f'<div class="beside{" narrow" if len(t.metrics) == 1 else ""}"><h3>{escape(t.title)}</h3><p class="source">{escape(t.source)}{form}'
        f"</p>{verdict}{table(heads, [ours, *lines], kinds='l' + 'n' * len(t.metrics), name='beside')}"
        f"{doubt}{note}</div>"
    )


def _printed(row: PublishedRow, metric: str) -> str:
    if metric not in row.scores:
        return "–"
    orig, norm = row.scores[metric]
    mark = "†" if row.doubtful and metric in row.doubtful else ""
    shown = number(orig, row.digits)
    return shown + mark if norm is None else f"{shown} / {number(norm, row.digits)}"


def _ours(t: PublishedTable, metric: str, data: Mapping[str, Any]) -> str:
    if t.part != "categorical":
        return number(data["dimensional"][t.part][metric]["value"])
    ways = data["categorical"][metric]
    if t.rows[0].scores[t.metrics[0]][1] is None:
        return number(ways["orig"]["value"])
    return f"{number(ways['orig']['value'])} / {number(ways['norm']['value'])}"
