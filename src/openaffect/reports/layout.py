"""The types of what `report.json` holds: a report of somebody else is checked before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from openaffect import metrics
from openaffect.errors import FormatError, InputError
from openaffect.labels import parse_labels


@dataclass(frozen=True, slots=True)
class Score:
    """A value and its interval; null is undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Ways:
    """A metric on the rows as they are, and on balanced draws."""

    orig: Score
    norm: Score | None = None


@dataclass(frozen=True, slots=True)
class ClassScores:
    """What is known of one expression."""

    support: int
    predicted: int
    failed: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    auc_pr: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of truth against prediction."""

    labels: list[str]
    columns: list[str]
    counts: list[list[int]]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of the reliability diagram."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """The calibration error and its bars."""

    ece: float | None
    n: int
    bins: list[Bin]


@dataclass(frozen=True, slots=True)
class Floor:
    """What guessing one number scores."""

    guess: float
    rmse: float
    n: int


@dataclass(frozen=True, slots=True)
class Floors:
    """The floors of an axis."""

    scored_mean: Floor | None
    train_mean: Floor | None


@dataclass(frozen=True, slots=True)
class HumanCeiling(Score):
    """One rater against the others, and the system's accuracy on the same faces."""

    accuracy: Score


@dataclass(frozen=True, slots=True)
class Protocol:
    """What was scored, and by which rules."""

    dataset: str
    dataset_source: str
    dataset_fingerprint: str
    license: str | None
    split: str
    labels: list[str]
    rows: int
    rows_affect: int
    left_out: dict[str, int]
    affect_rows: str
    n_failed: int
    n_failed_affect: int
    n_outside: int
    absent: list[str]
    crop_dataset: dict[str, Any] | None
    made_with: dict[str, Any]
    model_labels: list[str]
    expression_origin: dict[str, int]
    affect_origin: dict[str, int]
    shareable: bool
    fingerprint: str
    draws: int
    rounds: int
    seed: int
    model: str | None = None
    learned: str | None = None


Categorical = msgspec.defstruct(
    "Categorical", [(name, Ways) for name in (*metrics.LABEL_METRICS, *metrics.SCORE_METRICS)]
)
Axis = msgspec.defstruct(
    "Axis", [*((name, Score) for name in metrics.DIMENSIONAL_METRICS), ("floors", Floors)]
)


class Axes(msgspec.Struct):
    """Both axes."""

    valence: Axis  # type: ignore[valid-type]
    arousal: Axis  # type: ignore[valid-type]


class Layout(msgspec.Struct):
    """The whole of `report.json`."""

    protocol: Protocol
    categorical: Categorical | None  # type: ignore[valid-type]
    per_class: dict[str, ClassScores] | None
    confusion: Confusion | None
    reliability: Reliability | None
    dimensional: Axes | None
    undefined: dict[str, str]
    warnings: list[str]
    made_by: str
    human_ceiling: HumanCeiling | None = None  # reports of earlier versions have none


def check_layout(layout: Layout, where: str) -> None:
    """Raise an error if the parts of a report do not fit each other.

    Raises:
        FormatError: no label set, or classes other than those in it.
    """
    try:
        labels = [label.value for label in parse_labels(layout.protocol.labels)]
    except InputError as error:
        raise FormatError(f"`protocol.labels` of {where} is no label set: {error}") from error
    if layout.per_class is not None and [*layout.per_class] != labels:
        raise FormatError(f"`per_class` of {where} does not have the classes of its label set")
    table = layout.confusion
    if table is not None and (
        table.labels != labels
        or len(table.counts) != len(labels)
        or {len(row) for row in table.counts} != {len(labels) + 1}
    ):
        raise FormatError(f"`confusion` of {where} does not have the classes of its label set")
