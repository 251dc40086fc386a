"""Published results beside a report's own, as its page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openaffect.pages.text import METRIC_NAMES, number
from openaffect.reports.published import PublishedRow, PublishedTable, differences, tables_for

_SAME = "Dataset, split, label set and number of images are the same."
_SAME_AS_FAR_AS_PRINTED = "Dataset and split are the same; the rest is not printed."


@dataclass(frozen=True, slots=True)
class Beside:
    """A published table with this report as its first line.

    Attributes:
        title, source, note: as published.
        metrics: the names of the columns.
        lines: the name of a system, then its scores.
        paired: scores are Orig / Norm.
        differs: what is known to differ in the protocol.
        same: what is said if nothing is.
        doubts: why some of the numbers are doubtful.
    """

    title: str
    source: str
    note: str
    metrics: list[str]
    lines: list[list[str]]
    paired: bool
    differs: list[str]
    same: str
    doubts: list[str]


def published(data: Mapping[str, Any]) -> list[Beside]:
    """The tables that fit this report, each with what is known to differ."""
    return [_beside(t, data) for t in tables_for(dict(data))]


def _beside(t: PublishedTable, data: Mapping[str, Any]) -> Beside:
    return Beside(
        t.title,
        t.source,
        t.note,
        [METRIC_NAMES[metric] for metric in t.metrics],
        [
            ["This report", *(_ours(t, metric, data) for metric in t.metrics)],
            *([row.name, *(_printed(row, metric) for metric in t.metrics)] for row in t.rows),
        ],
        any(pair[1] is not None for row in t.rows for pair in row.scores.values()),
        list(differences(t, dict(data))),
        _SAME if t.images else _SAME_AS_FAR_AS_PRINTED,
        [
            f"{METRIC_NAMES[metric]} of {row.name}: {why}"
            for row in t.rows
            for metric, why in (row.doubtful or {}).items()
        ],
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
