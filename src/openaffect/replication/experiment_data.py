"""What the tables of both publications share: their folder, and what they take from rows and data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.labels import Expression
from openaffect.replication.experiments import ExperimentConfig, ExperimentResult
from openaffect.reports import Comparison, Report, compare
from openaffect.reports.contents import to_data
from openaffect.reports.report import made_by
from openaffect.storage import atomic_file, is_temporary

SCHEMA = 1
"""Version of the JSON files of the tables."""


def claim_folder(folder: Path, manifest: str) -> None:
    """Make the folder of a table, or raise if it is something else.

    Raises:
        InputError: it holds things, but not the manifest of such a table.
    """
    # The page is written first: a kill may have come between the two.
    known = {manifest, str(Path(manifest).with_suffix(".html"))}
    if folder.is_file() or (
        folder.is_dir()
        and not all(map(is_temporary, folder.iterdir()))
        and not any((folder / name).is_file() for name in known)
    ):
        raise InputError(
            f"{folder} holds other things (and no {manifest}); choose a new or an empty folder"
        )
    folder.mkdir(parents=True, exist_ok=True)


def write_files(folder: Path, name: str, page: str, data: Mapping[str, Any]) -> None:
    """Write the page of a table and the same as JSON; the JSON last, as a folder is known by it."""
    with atomic_file(folder / f"{name}.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_file(folder / f"{name}.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def setup_to_dict(setup: ExperimentConfig) -> dict[str, Any]:
    """What all tables say of themselves first, as JSON-ready data."""
    info = setup.dataset.info
    return {
        "schema": SCHEMA,
        "made_by": made_by(),
        "dataset": {
            "name": info.name,
            "source": info.source,
            "license": info.license,
            "fingerprint": setup.fingerprint,
        },
        "split": setup.split,
    }


def outcome_to_dict(outcome: ExperimentResult) -> dict[str, Any]:
    """A row as JSON-ready data, scores included."""
    row, recipe, report = outcome.row, outcome.recipe, outcome.report
    parts = ("categorical", "per_class", "confusion", "dimensional")
    return {
        "key": row.key,
        "title": row.title,
        "status": outcome.status,
        "reason": outcome.reason or None,
        "recipe": row.recipe or None,
        "recipe_sha256": None if recipe is None else recipe.sha256(),
        "unverified": [] if recipe is None else list(recipe.unverified),
        "settings": list(row.settings),
        "published": row.published or None,
        "report": None if report is None else f"{row.key}/report/report.json",
        "fingerprint": None if report is None else report.protocol.fingerprint,
        **{part: to_data(getattr(report, part, None)) for part in parts},
    }


def compare_rows(outcomes: Sequence[ExperimentResult], part: str, rounds: int) -> Comparison | None:
    """The reports that have a part, `categorical` or `dimensional`; the first is the baseline."""
    found = [
        (o.row.title, o.report)
        for o in outcomes
        if o.report is not None and getattr(o.report, part) is not None
    ]
    if len(found) < 2:
        return None
    reports: list[Report] = [report for _, report in found]
    return compare(reports, names=[title for title, _ in found], rounds=rounds)


def count_classes(dataset: Dataset, split: str, labels: Sequence[Expression]) -> dict[str, int]:
    """Faces of each expression in a split."""
    counts = dataset.class_counts()
    return {label.value: counts.get((split, label.value), 0) for label in labels}
