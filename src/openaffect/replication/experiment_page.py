"""What the pages of both publications share: what a reader has to know first, and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from openaffect.pages.text import number
from openaffect.replication.experiments import ExperimentResult
from openaffect.reports.published import PublishedRow


def warnings(outcomes: Sequence[ExperimentResult], settings: Sequence[str]) -> list[str]:
    """Rows that failed, settings that are not the recipes' own, and habits that recipes warn of."""
    failed = [f"{o.row.title} failed: {o.reason}" for o in outcomes if o.status == "failed"]
    habits: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.recipe is not None and outcome.recipe.warning:
            habits.setdefault(outcome.recipe.warning, []).append(outcome.row.title)
    return [
        *failed,
        *([f"Recipes ran with {', '.join(settings)}, not with their own values."] * bool(settings)),
        *(f"{'; '.join(titles)}: {warning}." for warning, titles in habits.items()),
    ]


def printed(row: PublishedRow | None, metric: str, place: int = 0) -> str:
    """A published number as it was printed, `†` if it is doubtful; an en dash for none.

    Args:
        row: the system, None if it was not published.
        metric: of a report.
        place: 0 for Orig, 1 for Norm.
    """
    value = None if row is None else row.scores[metric][place]
    if row is None or value is None:
        return "–"
    return number(value, row.digits) + ("†" if metric in (row.doubtful or {}) else "")


def span(counts: Iterable[int]) -> str:
    """The smallest and the largest of some numbers.

    >>> span([500, 499]), span([12, 12])
    ('499 to 500', '12')
    """
    low, high = min(values := list(counts)), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
