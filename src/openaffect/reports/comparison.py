"""Systems side by side: measured against each other where they were scored on the same rows.

Reports whose fingerprints are equal were scored on the same rows by the same rules: their
difference is bootstrapped over rows that both share. Reports of other fingerprints stand in
groups of their own, with a plain word on what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openaffect import metrics
from openaffect.errors import InputError, MismatchError
from openaffect.metrics import Difference
from openaffect.pages.text import METRIC_NAMES, bounds, number
from openaffect.reports.comparison_page import render_comparison
from openaffect.reports.contents import Score, to_data, to_json_value
from openaffect.reports.evaluation import AXES
from openaffect.reports.report import Report
from openaffect.reports.rows import ScoredRows, fingerprint
from openaffect.storage import atomic_file

_SHOWN = ("accuracy", "f1", "kappa", "auc", "auc_pr", "ece")


@dataclass(frozen=True, slots=True)
class Entry:
    """One report in a group.

    Attributes:
        name: of the system.
        report: its report.
        differences: metric → its score minus the baseline's, such as `accuracy` or
            `valence.ccc`; {} for the baseline itself.
        is_baseline: whether the others are measured against it.
    """

    name: str
    report: Report
    differences: dict[str, Difference]
    is_baseline: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Reports on the same rows, in the order in which they were given.

    Attributes:
        fingerprint: of the scored rows.
        entries: the reports.
    """

    fingerprint: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table for a terminal: every cell is text.

    Attributes:
        title: what was scored.
        header: one text a column: "", then the systems.
        rows: one line per metric.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Attributes:
        groups: one for each set of scored rows, in the order of the reports.
        notes: why reports of different groups are not ranked against each other.
        names: of the systems, in the order of the reports.
    """

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as strict JSON-ready data; undefined numbers are None."""
        groups = [
            {
                "fingerprint": group.fingerprint,
                "protocol": {k: getattr(group.entries[0].report.protocol, k) for k in _SAME},
                "reports": [
                    {
                        "name": entry.name,
                        "baseline": entry.is_baseline,
                        "categorical": to_data(entry.report.categorical),
                        "dimensional": to_data(entry.report.dimensional),
                        "differences": {
                            metric: {
                                "value": d.value,
                                "low": d.low,
                                "high": d.high,
                                "p": d.p,
                                "n": d.n,
                            }
                            for metric, d in entry.differences.items()
                        },
                    }
                    for entry in group.entries
                ],
            }
            for group in self.groups
        ]
        result: dict[str, Any] = to_json_value({"groups": groups, "notes": list(self.notes)})
        return result

    def tables(self) -> list[Table]:
        """One table of scores a group, and one of differences where it has two or more."""
        found = []
        for group in self.groups:
            found.append(_score_table(group))
            if len(group.entries) > 1:
                found.append(_difference_table(group))
        return found

    def save(
        self,
        path: str | Path,
        *,
        title: str = "Systems side by side",
        pages: Sequence[str] = (),
        overwrite: bool = False,
    ) -> Path:
        """Write the comparison as one self-contained HTML page; its path.

        Args:
            path: of the page.
            title: its heading.
            pages: for each report, in the order that was given, the address of its own page
                as seen from this one; () for no links.
            overwrite: replace an existing page.

        Raises:
            DestinationExists: `path` exists and `overwrite` is false.
            InputError: not as many pages as reports.
        """
        if pages and len(pages) != len(self.names):
            raise InputError(f"expected a page for each of {len(self.names)} reports: {pages}")
        links = dict(zip(self.names, pages, strict=True)) if pages else {}
        with atomic_file(path, overwrite=overwrite) as temporary:
            temporary.write_text(render_comparison(self, title, links), encoding="utf-8")
        return Path(path)


_SAME = ("dataset", "split", "labels", "rows", "rows_affect", "affect_rows", "fingerprint")


def compare(
    reports: Sequence[Report],
    *,
    names: Sequence[str] | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Set reports side by side; in each group the first given is the baseline of the others.

    Args:
        reports: two or more, with their rows.
        names: one for each; by default the model's own, numbered where two are alike.
        rounds: bootstrap samples behind each difference.
        seed: the same seed gives the same numbers.

    Raises:
        InputError: fewer than two reports, as many names as reports, or a report without rows.
        MismatchError: rows that do not have the fingerprint that their report states.
    """
    if len(reports) < 2:
        raise InputError(f"a comparison needs two or more reports, but got {len(reports)}")
    if names is not None and len(names) != len(reports):
        raise InputError(f"expected a name for each of {len(reports)} reports, got {len(names)}")
    named = list(names) if names is not None else _names(reports)
    members: dict[str, list[tuple[str, Report, ScoredRows]]] = {}
    for name, report in zip(named, reports, strict=True):
        rows = report.rows
        _check_rows(name, report, rows)
        members.setdefault(report.protocol.fingerprint, []).append((name, report, rows))
    groups = tuple(_group(key, group, rounds, seed) for key, group in members.items())
    return Comparison(groups, tuple(_notes(groups)), tuple(named))


def _check_rows(name: str, report: Report, rows: ScoredRows) -> None:
    protocol = report.protocol
    found = fingerprint(rows, protocol.split, protocol.crop_dataset)
    if found != protocol.fingerprint:
        raise MismatchError(
            f"rows.parquet of {name} has fingerprint {found[:12]}…, but its report.json states "
            f"{protocol.fingerprint[:12]}…: they are not of one report; evaluate again"
        )


def _names(reports: Sequence[Report]) -> list[str]:
    names: list[str] = []
    for report in reports:
        stem = str(report.protocol.model or "unnamed")
        name, again = stem, 2
        while name in names:
            name, again = f"{stem} ({again})", again + 1
        names.append(name)
    return names


def _group(
    key: str, members: Sequence[tuple[str, Report, ScoredRows]], rounds: int, seed: int
) -> Group:
    baseline = members[0][2]
    entries = [
        Entry(name, report, {} if i == 0 else _differences(rows, baseline, rounds, seed), i == 0)
        for i, (name, report, rows) in enumerate(members)
    ]
    return Group(key, tuple(entries))


def _differences(
    rows: ScoredRows, baseline: ScoredRows, rounds: int, seed: int
) -> dict[str, Difference]:
    """Every metric that both have; rows are in one order as both are sorted by face_id."""
    found: dict[str, Difference] = {}
    mine, theirs = rows.answers, baseline.answers
    picked = rows.categorical
    if mine is not None and theirs is not None and picked.any():
        soft = None
        if rows.soft_labels is not None:
            ids = [label.id for label in rows.labels]
            soft = metrics.restrict_soft_labels(rows.soft_labels[picked], ids)
        found |= metrics.compare_categorical(
            rows.truth[picked],
            mine[picked],
            theirs[picked],
            len(rows.labels),
            soft_labels=soft,
            rounds=rounds,
            seed=seed,
        )
    if rows.affect is None or baseline.affect is None:
        return found
    both = ~np.isnan(rows.affect[:, 0]) & ~np.isnan(baseline.affect[:, 0]) & rows.dimensional
    if both.any():
        for column, axis in enumerate(AXES):
            pair = metrics.compare_dimensional(
                rows.affect_truth[both, column],
                rows.affect[both, column],
                baseline.affect[both, column],
                rounds=rounds,
                seed=seed,
            )
            found |= {f"{axis}.{metric}": d for metric, d in pair.items()}
    return found


def _notes(groups: Sequence[Group]) -> list[str]:
    learned = [
        f"{entry.name}: {entry.report.protocol.learned}."
        for group in groups
        for entry in group.entries
        if entry.report.protocol.learned
    ]
    if len(groups) < 2:
        return learned
    first = groups[0].entries[0].report.protocol
    notes = [
        *learned,
        f"{len(groups)} groups: they were not scored on the same rows by the same rules, so no "
        "system of one group is ranked against one of another.",
    ]
    for group in groups[1:]:
        other = group.entries[0].report.protocol
        differs = [
            f"{what} {_said(getattr(other, key))}, not {_said(getattr(first, key))}"
            for key, what in (
                ("dataset", "dataset"),
                ("split", "split"),
                ("labels", "label set"),
                ("rows", "rows"),
                ("rows_affect", "rows with valence and arousal"),
                ("affect_rows", "affect rows"),
                ("crop_dataset", "crop"),
            )
            if getattr(other, key) != getattr(first, key)
        ]
        members = ", ".join(entry.name for entry in group.entries)
        reason = "; ".join(differs) or "the same numbers of rows, but other rows or other labels"
        notes.append(f"{members}: {reason}.")
    return notes


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


# ---- tables -----------------------------------------------------------------------------


def _title(group: Group) -> str:
    p = group.entries[0].report.protocol
    return (
        f"{p.dataset}, split {p.split}, {len(p.labels)} expressions, {p.rows:,} rows "
        f"(fingerprint {group.fingerprint[:12]})"
    )


def _keys(group: Group) -> list[str]:
    """The metrics that a table of this group shows."""
    keys = []
    if any(entry.report.categorical is not None for entry in group.entries):
        keys += list(_SHOWN)
    if any(entry.report.dimensional is not None for entry in group.entries):
        keys += [f"{axis}.{metric}" for axis in AXES for metric in ("ccc", "rmse")]
    return keys


def _heading(key: str) -> str:
    axis, _, metric = key.rpartition(".")
    return f"{METRIC_NAMES[metric]} {axis}".strip()


def _score(report: Report, key: str) -> Score | None:
    axis, _, metric = key.rpartition(".")
    if axis:
        return None if report.dimensional is None else report.dimensional[axis][metric]
    return None if report.categorical is None else report.categorical[metric].orig


def _score_table(group: Group) -> Table:
    header = [f"{e.name} (baseline)" if e.is_baseline else e.name for e in group.entries]
    rows = [
        [_heading(key), *(_score_text(_score(entry.report, key)) for entry in group.entries)]
        for key in _keys(group)
    ]
    return Table(_title(group), ["", *header], rows)


def _difference_table(group: Group) -> Table:
    baseline = next(entry.name for entry in group.entries if entry.is_baseline)
    others = [entry for entry in group.entries if not entry.is_baseline]
    rows = [
        [_heading(key), *(_difference_text(entry.differences.get(key)) for entry in others)]
        for key in _keys(group)
    ]
    title = f"difference to {baseline}, with 95 % interval and p of a paired bootstrap"
    return Table(title, ["", *(entry.name for entry in others)], rows)


def _score_text(score: Score | None) -> str:
    if score is None or score.value is None:
        return "–"
    return f"{number(score.value)} {bounds(score)}".strip()


def _difference_text(difference: Difference | None) -> str:
    if difference is None or np.isnan(difference.value):
        return "–"
    low, high = number(difference.low, sign=True), number(difference.high, sign=True)
    return f"{number(difference.value, sign=True)} [{low}, {high}] p={difference.p:.3f}"
