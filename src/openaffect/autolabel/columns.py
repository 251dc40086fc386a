"""The columns of a labeled dataset: what a rule makes of a portion of faces, as tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from openaffect import schemas
from openaffect.autolabel.held_out import is_unlabeled
from openaffect.autolabel.rules import LOW_CONFIDENCE, Decisions, LabelRule, decide
from openaffect.dataset import Dataset
from openaffect.errors import MismatchError
from openaffect.labels import EXPRESSIONS
from openaffect.predictions import Predictions

MODEL = "model"
_AXES = ("valence", "arousal")
_NAMES = pa.array([*map(str, EXPRESSIONS)], pa.string())


@dataclass(slots=True)
class FaceCounts:
    """What became of the faces of a dataset.

    Attributes:
        labeled: number of faces that got a label, by expression.
        abstained: number that got none, by reason.
        kept: number whose label stayed, by origin.
        affect: number that got valence and arousal.
    """

    labeled: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    affect: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; expressions in the order of their ids."""
        labeled = {str(name): self.labeled[str(name)] for name in EXPRESSIONS}
        return {
            "labeled": {name: count for name, count in labeled.items() if count},
            "abstained": dict(sorted(self.abstained.items())),
            "kept": dict(sorted(self.kept.items())),
            "affect": self.affect,
        }


def label_portion(
    portion: Dataset, predictions: Predictions, rule: LabelRule, counts: FaceCounts
) -> tuple[pa.Table, pa.Table]:
    """A portion with its labels, and the calibrated predictions of the faces that could get one.

    Args:
        portion: faces of the dataset with all columns.
        predictions: of those that `is_unlabeled` names, in their order.
        rule: decides.
        counts: is added to.

    Raises:
        MismatchError: the predictions are of other faces: the dataset has changed meanwhile.
    """
    rows = np.flatnonzero(is_unlabeled(portion))
    if portion.select(rows).ids != predictions.ids:
        raise MismatchError(
            f"the faces of {portion.path} have changed since they were predicted; start again with "
            "--overwrite"
        )
    made = decide(rule, predictions, np.arange(len(rows)))
    reasons = _reasons(made, predictions)
    given = np.where(made.labeled, made.expression, -1)
    faces = portion.faces
    names = _names(_spread(given, rows, len(portion)))
    faces = _fill(faces, "expression", names, rows)
    origin = _constant(MODEL, _spread(made.labeled, rows, len(portion)))
    faces = _fill(faces, "expression_origin", origin, rows)
    faces = _fill_affect(faces, made, rule, rows, counts)
    confidence = np.full(len(portion), np.nan)
    confidence[rows] = made.confidence
    faces = _put(faces, "confidence", _floats(confidence))
    faces = _put(faces, "expression_set", _sets(made, rule, rows, len(portion)))
    abstained: list[str | None] = [None] * len(portion)
    for row, reason in zip(rows.tolist(), reasons, strict=True):
        abstained[row] = reason
    faces = _put(faces, "abstained", pa.array(abstained, pa.string()))
    counts.labeled.update(EXPRESSIONS[number].value for number in given[given >= 0].tolist())
    counts.abstained.update(reason.partition(":")[0] for reason in reasons if reason)
    stays = np.ones(len(portion), dtype=bool)
    stays[rows] = False
    origins = portion.select(stays).column("expression_origin").to_pylist()
    counts.kept.update(str(origin or "not stated") for origin in origins)
    return faces, _to_predictions(made, rule, predictions)


def _reasons(made: Decisions, predictions: Predictions) -> list[str | None]:
    return [
        f"error: {error}" if error is not None else None if is_labeled else LOW_CONFIDENCE
        for error, is_labeled in zip(predictions.errors, made.labeled.tolist(), strict=True)
    ]


def _fill_affect(
    faces: pa.Table,
    made: Decisions,
    rule: LabelRule,
    rows: NDArray[np.int64],
    counts: FaceCounts,
) -> pa.Table:
    """Valence and arousal of faces that nobody has given any, and their intervals."""
    old = faces["affect_origin"].to_pylist()
    given = np.array([old[row] in (None, MODEL) for row in rows.tolist()], dtype=bool)
    given &= ~np.isnan(made.affect).any(axis=1)
    mine, values = rows[given], made.affect[given]
    counts.affect += len(mine)
    for axis, name in enumerate(_AXES):
        whole = np.full(len(faces), np.nan)
        whole[mine] = values[:, axis]
        faces = _fill(faces, name, _floats(whole), mine)
        if rule.half_widths is not None:
            width = rule.half_widths[axis]
            for end, sign in (("low", -1), ("high", 1)):
                faces = _put(faces, f"{name}_{end}", _floats(np.clip(whole + sign * width, -1, 1)))
    is_mine = np.zeros(len(faces), dtype=bool)
    is_mine[mine] = True
    return _fill(faces, "affect_origin", _constant(MODEL, is_mine), mine)


def _to_predictions(made: Decisions, rule: LabelRule, predictions: Predictions) -> pa.Table:
    whole = Predictions(
        predictions.ids,
        rule.labels,
        made.shares,
        None,
        predictions.affect,
        predictions.errors,
        predictions.made_with,
        predictions.learned,
        face_found=predictions.face_found,
    )
    return whole.to_table()


def _spread(values: NDArray[Any], rows: NDArray[np.int64], n: int) -> NDArray[Any]:
    """Values at some of n rows; −1, or false, at the others."""
    whole = np.zeros(n, values.dtype) if values.dtype == bool else np.full(n, -1, values.dtype)
    whole[rows] = values
    return whole


def _names(ids: NDArray[np.integer]) -> pa.Array:
    return _NAMES.take(pa.array(ids.astype(np.int64), mask=ids < 0))


def _constant(text: str, where: NDArray[np.bool_]) -> pa.Array:
    return pa.array([text]).take(pa.array(np.zeros(len(where), np.int64), mask=~where))


def _floats(values: NDArray[np.floating]) -> pa.Array:
    return pa.array(values.astype(np.float32), pa.float32(), mask=np.isnan(values))


def _sets(made: Decisions, rule: LabelRule, rows: NDArray[np.int64], n: int) -> pa.Array:
    """The names in each set; null where no model decided on one."""
    inside = np.zeros((n, len(rule.labels)), dtype=bool)
    inside[rows] = made.sets
    missing = np.ones(n, dtype=bool)
    missing[rows[~np.isnan(made.confidence)]] = False
    offsets = np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.int32)
    ids = np.array([label.id for label in rule.labels])[np.nonzero(inside)[1]]
    return pa.ListArray.from_arrays(
        pa.array(offsets), _names(ids), pa.list_(pa.string()), mask=pa.array(missing)
    )


def _fill(faces: pa.Table, name: str, values: pa.Array, rows: NDArray[np.int64]) -> pa.Table:
    """The table with other values at some rows of a column."""
    mine = np.zeros(len(faces), dtype=bool)
    mine[rows] = True
    kind = schemas.FACES.field(name).type
    filled = pc.if_else(pa.array(mine), values.cast(kind), faces[name].combine_chunks())
    return faces.set_column(faces.column_names.index(name), name, filled)


def _put(faces: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with a column replaced or added."""
    if name in faces.column_names:
        return faces.set_column(faces.column_names.index(name), name, values)
    return faces.append_column(name, values)
