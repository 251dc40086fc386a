"""The page of a report: one HTML file that needs no network and no script.

What `templates/report.html.j2` shows is gathered here from the numbers of `report.json` and the scored
rows; drawings are in `plots`, what they need in `figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openaffect.dataset import Dataset
from openaffect.pages import render
from openaffect.pages.text import wide
from openaffect.reports import figures
from openaffect.reports.contents import NO_SCORE, Confusion, Contents, Protocol
from openaffect.reports.published import show_published
from openaffect.reports.rows import ScoredRows

_ABOUT = {
    "accuracy": "",
    "f1": "mean over classes",
    "balanced_accuracy": "mean recall over classes",
    "weighted_f1": "mean weighted by support",
    "kappa": "multi-class",
    "kappa_ovr": "mean over one-against-rest",
    "alpha": "nominal, multi-class",
    "alpha_ovr": "mean over one-against-rest",
    "auc": "mean over one-against-rest",
    "auc_pr": "mean over one-against-rest",
    "top2": "truth among the two most likely",
    "ece": "15 bins; 0 is best",
    "cross_entropy": "against soft labels, in nats; 0 is best",
    "rmse": "root mean squared error; 0 is best",
    "mae": "mean absolute error; 0 is best",
    "corr": "Pearson’s correlation",
    "sagr": "share of faces with the right sign",
    "ccc": "concordance: agreement, not only correlation",
}


def render_page(
    report: Contents, rows: ScoredRows, dataset: Dataset | None, pictures: bool | None
) -> str:
    """The whole text of `report.html`.

    Args:
        report: what was scored and how it came out.
        rows: the scored rows.
        dataset: where pictures of mistakes come from, or None.
        pictures: show them; None asks the dataset whether it may be shared.
    """
    protocol, classes = report.protocol, report.per_class or {}
    return render(
        "reports/templates/report.html.j2",
        report=report,
        title=f"{protocol.model or 'A system'} on {protocol.dataset}",
        facts=_facts(report),
        abouts=_ABOUT,
        no_score=NO_SCORE,
        most_faces=max((max(c.support, c.predicted, 1) for c in classes.values()), default=1),
        confusion=_confusion(report.confusion),
        curves=figures.curves(report, rows),
        circumplex=figures.circumplex(report, rows),
        reliability=figures.reliability(report),
        mistakes=figures.mistakes(report, rows, dataset, pictures),
        published=show_published(report),
        protocol=_protocol(protocol),
    )


def _facts(report: Contents) -> list[tuple[str, str, str]]:
    protocol = report.protocol
    split = "all rows" if protocol.split == "all" else f"{protocol.split} split"
    facts = [
        ("", f"{protocol.rows:,}", " faces"),
        ("", split, ""),
        ("", f"{len(protocol.labels)}", " expressions"),
    ]
    if report.dimensional is not None:
        facts.append(("", f"{protocol.rows_affect:,}", " with valence and arousal"))
    return [*facts, ("", f"{protocol.n_failed:,}", " failed")]


def _confusion(
    found: Confusion | None,
) -> tuple[Sequence[str], list[tuple[str, Sequence[int]]]] | None:
    """The columns and labeled rows; without the column of failed faces where none failed."""
    if found is None:
        return None
    columns, counts = found.columns, found.counts
    if not any(row[-1] for row in counts):
        columns, counts = columns[:-1], [row[:-1] for row in counts]
    return columns, list(zip(found.labels, counts, strict=True))


def _protocol(p: Protocol) -> list[tuple[str, Any]]:
    made_with = {k: v for k, v in p.made_with.items() if k not in ("model", "recipe", "crop")}
    return [
        ("Dataset", p.dataset),
        ("Source", p.dataset_source),
        ("License", p.license),
        ("Split", p.split),
        ("Label set", ", ".join(wide(name) for name in p.labels)),
        ("Rows scored for expression", f"{p.rows:,}"),
        ("Rows scored for valence and arousal", f"{p.rows_affect:,}"),
        ("Rows of the split left out", _counts(p.left_out) or "no row"),
        ("Affect rows", p.affect_rows),
        ("Failed", f"{p.n_failed:,}"),
        ("Nothing said inside the label set", f"{p.n_outside:,}"),
        ("Origin of expressions", _counts(p.expression_origin)),
        ("Origin of valence and arousal", _counts(p.affect_origin)),
        ("Crop of the dataset", _settings(p.crop_dataset)),
        ("Crop of the model", _settings(p.crop_model)),
        ("Model", p.model),
        ("Recipe", _settings(p.recipe)),
        *((f"Model: {key}", _settings(value)) for key, value in made_with.items()),
        ("Balanced draws", f"{p.draws:,}"),
        ("Bootstrap rounds", f"{p.rounds:,}"),
        ("Seed", str(p.seed)),
        ("Fingerprint of the scored rows", p.fingerprint),
        ("Fingerprint of the dataset", p.dataset_fingerprint),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {wide(name)}" for name, count in counts.items())


def _settings(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_settings(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_settings(item) for item in value)
    return "" if value is None else str(value)
