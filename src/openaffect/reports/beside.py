"""Published results beside a report's own, as its page shows them."""

from __future__ import annotations

from typing import Any

from openaffect.pages.text import METRIC_NAMES, number
from openaffect.reports.contents import Contents
from openaffect.reports.published import (
    PublishedRow,
    PublishedTable,
    Subject,
    differences,
    tables_for,
)

_SAME = "Dataset, split, label set and number of images are the same."
_SAME_AS_FAR_AS_PRINTED = "Dataset and split are the same; the rest is not printed."


def published(report: Contents) -> list[dict[str, Any]]:
    """The tables that fit this report, as the page shows them: this report is their first line."""
    return [_beside(t, report) for t in tables_for(report)]


def _beside(t: PublishedTable, report: Contents) -> dict[str, Any]:
    return {
        "title": t.title,
        "source": t.source,
        "note": t.note,
        "metrics": [METRIC_NAMES[metric] for metric in t.metrics],
        "lines": [
            ["This report", *(_ours(t, metric, report) for metric in t.metrics)],
            *([row.name, *(_printed(row, metric) for metric in t.metrics)] for row in t.rows),
        ],
        "paired": any(pair[1] is not None for row in t.rows for pair in row.scores.values()),
        "differs": differences(t, Subject.of(report.protocol)),
        "same": _SAME if t.images else _SAME_AS_FAR_AS_PRINTED,
        "doubts": [
            f"{METRIC_NAMES[metric]} of {row.name}: {why}"
            for row in t.rows
            for metric, why in (row.doubtful or {}).items()
        ],
    }


def _printed(row: PublishedRow, metric: str) -> str:
    if metric not in row.scores:
        return "–"
    orig, norm = row.scores[metric]
    mark = "†" if row.doubtful and metric in row.doubtful else ""
    shown = number(orig, row.digits)
    return shown + mark if norm is None else f"{shown} / {number(norm, row.digits)}"


def _ours(t: PublishedTable, metric: str, report: Contents) -> str:
    if t.part != "categorical":
        assert report.dimensional is not None  # as the table fits the report
        return number(report.dimensional[t.part][metric].value)
    assert report.categorical is not None
    ways = report.categorical[metric]
    if ways.norm is None or t.rows[0].scores[t.metrics[0]][1] is None:
        return number(ways.orig.value)
    return f"{number(ways.orig.value)} / {number(ways.norm.value)}"
