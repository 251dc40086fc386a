"""What a report holds, as types: one that somebody else has written is checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np

from openaffect.errors import FormatError, InputError
from openaffect.labels import parse_labels

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Score:
    """A value and its 95 % interval; None is undefined.

    Attributes:
        value: the score.
        low, high: the bounds of its bootstrap interval.
        n: number of rows behind it; for Norm, the size of one balanced draw.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


NO_SCORE = Score(None, None, None, 0)
"""What stands where a metric has no score."""


# A struct, as a dataclass would write `"norm": null` where a metric has none.
class Ways(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric on the rows as they are, and on balanced draws; `ways["norm"]` is `ways.norm`.

    Attributes:
        orig: over the rows as they are.
        norm: over draws in which all classes have the same size; None for `cross_entropy`.
    """

    orig: Score
    norm: Score | None = None

    def __getitem__(self, way: str) -> Score | None:
        found: Score | None = getattr(self, way)
        return found


@dataclass(frozen=True, slots=True)
class Categorical:
    """Every metric of expressions; `categorical["f1"]` is `categorical.f1`."""

    accuracy: Ways
    balanced_accuracy: Ways
    f1: Ways
    weighted_f1: Ways
    kappa: Ways
    kappa_ovr: Ways
    alpha: Ways
    alpha_ovr: Ways
    auc: Ways
    auc_pr: Ways
    top2: Ways
    ece: Ways
    cross_entropy: Ways

    def __getitem__(self, metric: str) -> Ways:
        found: Ways = getattr(self, metric)
        return found

    def items(self) -> Iterator[tuple[str, Ways]]:
        """Every metric with its scores."""
        return ((field.name, self[field.name]) for field in fields(self))


@dataclass(frozen=True, slots=True)
class HumanCeiling(Score):
    """One rater against the others.

    Attributes:
        accuracy: the system's, on the same faces.
    """

    accuracy: Score


@dataclass(frozen=True, slots=True)
class ClassScores:
    """What is known of one expression.

    Attributes:
        support: faces that have it.
        predicted: faces for which it is predicted.
        failed: faces that have it and no prediction.
        precision, recall, f1: in [0, 1]; None is undefined.
        auc, auc_pr: of the class against the rest; None without scores.
    """

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
    """How many faces of each expression got which prediction.

    Attributes:
        labels: the true expressions, one per row.
        columns: the predicted ones; the last column is `failed`.
        counts: faces, rows by columns.
    """

    labels: list[str]
    columns: list[str]
    counts: list[list[int]]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of the reliability diagram: the faces with a confidence of `low` to `high`."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """The calibration error, the number of faces behind it, and its bars."""

    ece: float | None
    n: int
    bins: list[Bin]


@dataclass(frozen=True, slots=True)
class Floor:
    """The RMSE of saying `guess`, the mean of `n` rows, for every face."""

    guess: float
    rmse: float
    n: int


@dataclass(frozen=True, slots=True)
class Floors:
    """What guessing the mean of the scored or of the training rows scores; None without rows."""

    scored_mean: Floor | None
    train_mean: Floor | None


@dataclass(frozen=True, slots=True)
class Axis:
    """Every metric of valence or of arousal; `axis["ccc"]` is `axis.ccc`."""

    rmse: Score
    mae: Score
    corr: Score
    sagr: Score
    ccc: Score
    floors: Floors

    def __getitem__(self, metric: str) -> Score:
        found: Score = getattr(self, metric)
        return found


@dataclass(frozen=True, slots=True)
class Dimensional:
    """Both axes; `dimensional["valence"]` is `dimensional.valence`."""

    valence: Axis
    arousal: Axis

    def __getitem__(self, axis: str) -> Axis:
        found: Axis = getattr(self, axis)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What was scored, and by which rules; docs/reports.md has the meaning of every key."""

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
    crop_model: Any = None
    model: str | None = None
    recipe: Any = None
    made_with: dict[str, Any]
    model_labels: list[str]
    expression_origin: dict[str, int]
    affect_origin: dict[str, int]
    shareable: bool
    fingerprint: str
    draws: int
    rounds: int
    seed: int
    learned: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that `report.json` holds; undefined numbers are None.

    Attributes:
        schema: version of the layout.
        made_by: the openaffect that scored.
        protocol: what was scored, and by which rules.
        categorical, per_class, confusion: how expressions came out; None where there is nothing to
            score.
        human_ceiling: what one more rater would reach; None where the dataset knows no raters, and
            in reports of earlier versions.
        reliability: how honest the probabilities are; None without scores.
        dimensional: how valence and arousal came out; None where there is nothing to score.
        undefined: metric → why it is undefined.
        warnings: plain lines that a reader has to know.
    """

    schema: int = SCHEMA
    made_by: str
    protocol: Protocol
    categorical: Categorical | None
    per_class: dict[str, ClassScores] | None
    confusion: Confusion | None
    human_ceiling: HumanCeiling | None = None
    reliability: Reliability | None
    dimensional: Dimensional | None
    undefined: dict[str, str]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """What `report.json` holds, as plain data."""
        return {field.name: to_data(getattr(self, field.name)) for field in fields(Contents)}


def to_data(part: object) -> Any:
    """A part of a report as plain data: dicts, lists, numbers and texts."""
    return msgspec.to_builtins(part)


def defined(number: float) -> float | None:
    """A number, or None where it is NaN or infinite.

    >>> defined(0.5), defined(float("nan"))
    (0.5, None)
    """
    return number if math.isfinite(number) else None


def to_json_value(value: Any) -> Any:
    """A value as strict JSON can hold it: numpy numbers become plain, NaN and infinity null.

    >>> to_json_value({"a": float("nan"), "b": (np.int64(1), 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    if isinstance(value, dict):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return defined(value) if isinstance(value, float) else value


def check_contents(contents: Contents, where: str) -> None:
    """Raise an error if the parts of a report do not fit each other.

    Raises:
        FormatError: no label set, classes other than those in it, or a part without its others.
    """
    try:
        labels = [label.value for label in parse_labels(contents.protocol.labels)]
    except InputError as error:
        raise FormatError(f"`protocol.labels` of {where} is no label set: {error}") from error
    parts = (contents.categorical, contents.per_class, contents.confusion)
    if None in parts and parts != (None, None, None):
        raise FormatError(f"{where} has only some of `categorical`, `per_class` and `confusion`")
    for metric, ways in contents.categorical.items() if contents.categorical else ():
        if ways.norm is None and metric != "cross_entropy":
            raise FormatError(f"`categorical.{metric}` of {where} has no `norm`")
    if contents.per_class is not None and [*contents.per_class] != labels:
        raise FormatError(f"`per_class` of {where} does not have the classes of its label set")
    table = contents.confusion
    if table is not None and (
        table.labels != labels
        or len(table.counts) != len(labels)
        or {len(row) for row in table.counts} != {len(labels) + 1}
    ):
        raise FormatError(f"`confusion` of {where} does not have the classes of its label set")
