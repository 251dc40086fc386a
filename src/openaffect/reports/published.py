"""Published results to stand beside a report, and in what their protocol differs from it.

The tables of the AffectNet database's own pages, and of later systems' own pages. A result is
set beside another as a landmark, never as a rival: rows, split, label set and crop are rarely
the same, and `differences` says which are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openaffect.labels import EMOTIONS
from openaffect.pages.text import METRIC_NAMES, number
from openaffect.reports.contents import Contents, Protocol

Pair = tuple[float, float | None]
"""A printed score as is ("orig"), and skew-normalized ("norm") where it was printed."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One system's scores.

    Attributes:
        name: of the system.
        scores: metric of a report → the printed numbers.
        doubtful: metrics whose printed number cannot be right, with the reason.
        digits: how many decimals were printed.
    """

    name: str
    scores: dict[str, Pair]
    doubtful: dict[str, str] | None = None
    digits: int = 2


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """Systems that were scored by one protocol.

    Attributes:
        title: of the table.
        source: who printed the numbers.
        part: `categorical`, `valence` or `arousal`.
        split: of AffectNet.
        classes: number of classes, 7 or 8; None where it is not printed.
        images: number of scored images; None where it is not printed.
        metrics: the metrics of a report that stand in its columns, in order.
        rows: the systems.
        note: what a reader has to know, or "".
    """

    title: str
    source: str
    part: str
    split: str
    classes: int | None
    images: int | None
    metrics: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    note: str = ""

    @property
    def doubts(self) -> list[str]:
        """Which printed numbers cannot be right, and why."""
        return [
            f"{METRIC_NAMES[metric]} of {row.name}: {why}"
            for row in self.rows
            for metric, why in (row.doubtful or {}).items()
        ]


_DATABASE = "as published with the database"
_OWN_PAGES = "as their authors' own pages state"


def _systems(
    metrics: tuple[str, ...], names: tuple[str, ...], lines: tuple[tuple[Pair, ...], ...]
) -> tuple[PublishedRow, ...]:
    """Rows from a table that has one line per metric and one column per system."""
    return tuple(
        PublishedRow(name, {m: line[i] for m, line in zip(metrics, lines, strict=True)})
        for i, name in enumerate(names)
    )


_TEST_METRICS = ("accuracy", "f1", "kappa_ovr", "alpha_ovr", "auc", "auc_pr")

TEST = PublishedTable(
    title="AffectNet test set, 8 expressions",
    source=_DATABASE,
    part="categorical",
    split="test",
    classes=8,
    images=27_318,  # all manual minus train and validation, classes 0–7
    metrics=_TEST_METRICS,
    rows=_systems(
        _TEST_METRICS,
        (
            *("AlexNet, imbalanced", "AlexNet, down-sampling", "AlexNet, up-sampling"),
            *("AlexNet, weighted loss", "HOG and SVM", "MS Cognitive"),
        ),
        (
            ((0.72, 0.54), (0.68, 0.58), (0.68, 0.57), (0.64, 0.63), (0.60, 0.37), (0.68, 0.48)),
            ((0.57, 0.52), (0.56, 0.57), (0.56, 0.55), (0.55, 0.62), (0.37, 0.31), (0.51, 0.45)),
            ((0.53, 0.46), (0.51, 0.51), (0.52, 0.49), (0.50, 0.57), (0.32, 0.25), (0.46, 0.40)),
            ((0.52, 0.45), (0.51, 0.51), (0.51, 0.48), (0.50, 0.57), (0.31, 0.22), (0.46, 0.37)),
            ((0.85, 0.80), (0.82, 0.85), (0.82, 0.84), (0.86, 0.86), (0.77, 0.70), (0.83, 0.77)),
            ((0.56, 0.55), (0.54, 0.57), (0.55, 0.56), (0.58, 0.64), (0.39, 0.37), (0.52, 0.50)),
        ),
    ),
    note=(
        "This test set was never released. Its κ and α can only be means over one-against-rest "
        "scores (an inference from the printed accuracy and class shares), so they stand beside "
        "κ and α of that kind."
    ),
)

_VALIDATION_METRICS = ("accuracy", "f1", "kappa", "alpha", "auc", "auc_pr")

VALIDATION = PublishedTable(
    title="AffectNet validation set, 8 expressions",
    source=_DATABASE,
    part="categorical",
    split="validation",
    classes=8,
    images=4_000,
    metrics=_VALIDATION_METRICS,
    rows=(
        PublishedRow(
            "AlexNet, down-sampling",
            {
                "accuracy": (0.50, None),
                "f1": (0.49, None),
                "kappa": (0.42, None),
                "alpha": (0.42, None),
                "auc": (0.47, None),
                "auc_pr": (0.48, None),
            },
            {"auc": "printed so, but below chance: a misprint"},
        ),
        PublishedRow(
            "AlexNet, up-sampling",
            {
                "accuracy": (0.47, None),
                "f1": (0.44, None),
                "kappa": (0.38, None),
                "alpha": (0.37, None),
                "auc": (0.75, None),
                "auc_pr": (0.44, None),
            },
        ),
        PublishedRow(
            "AlexNet, weighted loss",
            {
                "accuracy": (0.58, None),
                "f1": (0.58, None),
                "kappa": (0.51, None),
                "alpha": (0.51, None),
                "auc": (0.82, None),
                "auc_pr": (0.56, None),
            },
        ),
    ),
    note="All classes have the same size, so Orig and Norm mean the same here.",
)


def _later(classes: int, scores: tuple[float, ...]) -> PublishedTable:
    names = ("DAN", "EmotiEffNet-B2", "POSTER++ (disputed)", "DDAMFN++")
    return PublishedTable(
        title=f"Later systems, AffectNet-{classes} validation set",
        source=_OWN_PAGES,
        part="categorical",
        split="validation",
        classes=classes,
        images=500 * classes,
        metrics=("accuracy",),
        rows=tuple(
            PublishedRow(name, {"accuracy": (score, None)}, digits=3)
            for name, score in zip(names, scores, strict=True)
        ),
        note="Many copies of the 8-expression release hold 3,999 images, not 4,000."
        if classes == 8
        else "",
    )


LATER_8 = _later(8, (0.621, 0.631, 0.638, 0.650))
LATER_7 = _later(7, (0.657, 0.665, 0.675, 0.674))

_AXIS_METRICS = ("rmse", "corr", "sagr", "ccc")


def _axis(axis: str, first: tuple[float, ...], cage: dict[str, Pair]) -> PublishedTable:
    baseline: dict[str, Pair] = {m: (v, None) for m, v in zip(_AXIS_METRICS, first, strict=True)}
    return PublishedTable(
        title=f"{axis.capitalize()}, AffectNet validation set",
        source=_DATABASE + "; CAGE " + _OWN_PAGES.replace("their authors'", "its authors'"),
        part=axis,
        split="validation",
        classes=None,
        images=None,
        metrics=_AXIS_METRICS,
        rows=(
            PublishedRow("AlexNet, one for each axis", baseline),
            PublishedRow("CAGE", cage, digits=3),
        ),
        note=(
            "Which rows were scored is not printed. An RMSE says little without its floor: what "
            "guessing one constant scores."
        ),
    )


VALENCE = _axis("valence", (0.37, 0.66, 0.74, 0.60), {"ccc": (0.716, None), "rmse": (0.331, None)})
AROUSAL = _axis("arousal", (0.41, 0.54, 0.65, 0.34), {"ccc": (0.642, None), "rmse": (0.305, None)})

TABLES = (VALIDATION, TEST, LATER_8, LATER_7, VALENCE, AROUSAL)
"""Every table, in the order that a report shows them."""


def tables_for(report: Contents) -> list[PublishedTable]:
    """The tables that a report can stand beside at all, its own split first."""
    parts = [
        part
        for part, there in (
            ("categorical", report.categorical),
            ("valence", report.dimensional),
            ("arousal", report.dimensional),
        )
        if there is not None
    ]
    seven = len(report.protocol.labels) == 7
    fitting = [t for t in TABLES if t.part in parts and t is not (LATER_8 if seven else LATER_7)]
    return sorted(fitting, key=lambda t: (parts.index(t.part), t.split != report.protocol.split))


@dataclass(frozen=True, slots=True)
class Subject:
    """What was scored, as far as publications print it.

    Attributes:
        dataset, source: its name and where it is from.
        split: that was scored.
        labels: the label set.
        rows: number of scored faces.
    """

    dataset: str
    source: str
    split: str
    labels: list[str]
    rows: int

    @classmethod
    def of(cls, protocol: Protocol) -> Subject:
        """What a report scored."""
        p = protocol
        return cls(p.dataset, p.dataset_source, p.split, p.labels, p.rows)


def differences(table: PublishedTable, ours: Subject) -> list[str]:
    """In what the protocol of a report differs from that of a published table; [] if in nothing.

    Whether rows were cleaned and how faces were cropped is not printed anywhere, so that even
    an empty list is no proof that two numbers may be compared.
    """
    found = []
    named = f"{ours.dataset} {ours.source}".lower()
    if "affectnet" not in named:
        found.append(f"another dataset ({ours.dataset})")
    if ours.split != table.split:
        found.append(f"another split ({ours.split}, not {table.split})")
    eight = [expression.value for expression in EMOTIONS]
    if table.classes is not None and ours.labels != eight[: table.classes]:
        found.append(f"another label set ({', '.join(ours.labels)}; not the {table.classes})")
    if table.images is not None and ours.rows != table.images:
        found.append(f"{ours.rows:,} images, not {table.images:,}")
    return found


# ---- on the page of a report ------------------------------------------------------------

_SAME = "Dataset, split, label set and number of images are the same."
_SAME_AS_FAR_AS_PRINTED = "Dataset and split are the same; the rest is not printed."


def show_published(report: Contents) -> list[dict[str, Any]]:
    """The tables that fit a report, as its page shows them: the report is their first line."""
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
        "doubts": t.doubts,
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


@dataclass(frozen=True, slots=True)
class PublishedAgreement:
    """How far the two annotators of AffectNet's agreement study agreed.

    Attributes:
        faces: that both annotated; as recalled.
        pair_agreement: share of faces with one category; as published with the database.
        by_class: of some categories; as recalled.
        affect: `all` or `same_category` pairs → axis → metric → number. RMSE is confirmed by a
            second public source; the others are as recalled.
    """

    faces: int
    pair_agreement: float
    by_class: dict[str, float]
    affect: dict[str, dict[str, dict[str, float]]]


def _four(*values: float) -> dict[str, float]:
    return dict(zip(("rmse", "corr", "sagr", "ccc"), values, strict=True))


AGREEMENT = PublishedAgreement(
    faces=36_000,
    pair_agreement=0.607,
    by_class={"happy": 0.796, "none": 0.096, "no_face": 0.839},
    affect={
        "all": {
            "valence": _four(0.340, 0.823, 0.815, 0.821),
            "arousal": _four(0.362, 0.567, 0.667, 0.551),
        },
        "same_category": {
            "valence": _four(0.190, 0.951, 0.906, 0.951),
            "arousal": _four(0.261, 0.766, 0.709, 0.746),
        },
    },
)
"""AffectNet's own agreement study; what is recalled must be shown as such."""
