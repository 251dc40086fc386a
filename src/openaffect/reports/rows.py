"""The rows that a report scores: chosen from a dataset, joined with predictions, kept as a table.

What is scored, in one place. Categorical: the rows of the split whose expression is in the label
set. Dimensional: the same rows as far as they have valence and arousal; with `affect_rows="all"`
every row of the split that has them. Rows are sorted by face_id, so that the order of a dataset
or of predictions never changes a number.
"""

from __future__ import annotations

import collections
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect import tables
from openaffect.dataset import Dataset
from openaffect.errors import FormatError, InputError, MismatchError, UnknownName
from openaffect.face_table import float_lists
from openaffect.labels import EMOTIONS, EXPRESSIONS, Expression, parse_labels
from openaffect.predictions import Predictions, align_predictions
from openaffect.schemas import SPLITS

Floats = NDArray[np.float64]
AffectRows = Literal["labels", "all"]

OK, FAILED, OUTSIDE = "ok", "failed", "outside"
"""What became of a row: scored; no prediction; or everything said lies outside the label set."""

ALL = "all"
"""The name of the split that holds every row."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """Truth and prediction of every scored row, sorted by face_id.

    Attributes:
        ids: face_id, n of them.
        labels: the label set, k expressions in the order of their ids.
        expressions: the true expression of each row, or None.
        truth: its position in the label set, (n,); −1 for rows scored for affect alone.
        status: `ok`, `failed` or `outside`, (n,).
        probabilities: (n, k) over the label set, rows sum to 1, NaN rows where status is not
            `ok`; None without scores.
        choices: for systems without scores, position in the label set, (n,), −1 where status is
            not `ok`; None otherwise, or where the system tells no expression.
        affect_truth: valence and arousal, (n, 2), NaN where there is none.
        affect: predicted valence and arousal, (n, 2), NaN where there is none; None without any.
        soft_labels: (n, 8) of ids 0–7, NaN where there is none; None without any.
    """

    ids: list[str]
    labels: tuple[Expression, ...]
    expressions: list[str | None]
    truth: NDArray[np.intp]
    status: NDArray[np.str_]
    probabilities: Floats | None
    choices: NDArray[np.intp] | None
    affect_truth: Floats
    affect: Floats | None
    soft_labels: Floats | None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """Which rows are scored for their expression, (n,)."""
        result: NDArray[np.bool_] = self.truth >= 0
        return result

    @property
    def dimensional(self) -> NDArray[np.bool_]:
        """Which rows are scored for valence and arousal, (n,)."""
        result: NDArray[np.bool_] = ~np.isnan(self.affect_truth[:, 0])
        return result

    @property
    def answers(self) -> Floats | NDArray[np.intp] | None:
        """Probabilities, else choices, else None."""
        return self.choices if self.probabilities is None else self.probabilities

    @property
    def predicted(self) -> NDArray[np.intp] | None:
        """Position of the class that wins, (n,), ties to the lowest id; −1 where there is none."""
        if self.probabilities is None:
            return self.choices
        best = np.nan_to_num(self.probabilities, nan=0.0).argmax(axis=1)
        return np.where(self.status == OK, best, -1)

    def to_table(self) -> pa.Table:
        """The rows as an Arrow table; null is unknown."""
        columns: dict[str, pa.Array] = {
            "face_id": pa.array(self.ids, pa.string()),
            "expression": pa.array(self.expressions, pa.string()),
            "status": pa.array(self.status.tolist(), pa.string()),
        }
        if self.probabilities is not None:
            for number, label in enumerate(self.labels):
                columns[f"p_{label}"] = _nullable(self.probabilities[:, number])
        elif self.choices is not None:
            names = [None if c < 0 else self.labels[c].value for c in self.choices]
            columns["choice"] = pa.array(names, pa.string())
        columns["valence"] = _nullable(self.affect_truth[:, 0])
        columns["arousal"] = _nullable(self.affect_truth[:, 1])
        if self.affect is not None:
            columns["predicted_valence"] = _nullable(self.affect[:, 0])
            columns["predicted_arousal"] = _nullable(self.affect[:, 1])
        if self.soft_labels is not None:
            missing = np.isnan(self.soft_labels[:, 0])
            flat = pa.array(self.soft_labels.astype(np.float32).reshape(-1))
            kind = pa.list_(pa.float32(), len(EMOTIONS))
            columns["soft_label"] = pa.FixedSizeListArray.from_arrays(
                flat, type=kind, mask=pa.array(missing)
            )
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table, labels: Sequence[str], where: str) -> ScoredRows:
        """The rows back from their table.

        Raises:
            FormatError: a column is missing, or holds an expression that is not in the label set.
        """
        chosen = parse_labels(labels)
        needed = {"face_id", "expression", "status", "valence", "arousal"}
        if not needed <= set(table.column_names):
            lacking = ", ".join(sorted(needed - set(table.column_names)))
            raise FormatError(
                f"expected the scored rows of a report in {where}; it lacks {lacking}"
            )
        tables.reject_doubled(table.column_names, where)
        table = _conform(table, chosen, where)
        expressions = table["expression"].to_pylist()
        position = {label.value: number for number, label in enumerate(chosen)}
        probabilities = choices = affect = soft = None
        if all(f"p_{label}" in table.column_names for label in chosen):
            probabilities = _columns(table, [f"p_{label}" for label in chosen])
        elif "choice" in table.column_names:
            named = table["choice"].to_pylist()
            choices = np.array([position.get(name or "", -1) for name in named], np.intp)
        if "predicted_valence" in table.column_names:
            affect = _columns(table, ["predicted_valence", "predicted_arousal"])
        if "soft_label" in table.column_names:
            soft = float_lists(table["soft_label"]).astype(np.float64)
        return cls(
            table["face_id"].to_pylist(),
            chosen,
            expressions,
            np.array([position.get(name or "", -1) for name in expressions], np.intp),
            np.array(table["status"].to_pylist(), dtype=np.str_),
            probabilities,
            choices,
            _columns(table, ["valence", "arousal"]),
            affect,
            soft,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a dataset are scored.

    Attributes:
        rows: their row numbers, in the order of face_id.
        split: name of the split, or `all`.
        labels: the label set.
        affect_rows: `labels` or `all`.
        left_out: rows of the split that are not scored for their expression, by name.
        train: row numbers of the training rows that pass the same rule for affect.
    """

    rows: NDArray[np.intp]
    split: str
    labels: tuple[Expression, ...]
    affect_rows: AffectRows
    left_out: dict[str, int]
    train: NDArray[np.intp]


def choose_labels(
    predictions: Predictions, labels: str | int | Sequence[str] | None
) -> tuple[Expression, ...]:
    """The label set to score: what was asked for, by default the eight as far as the model has them.

    Raises:
        MismatchError: the model lacks a class of the label set that was asked for.
    """
    known = _known_labels(predictions)
    if labels is None:
        chosen = tuple(e for e in EMOTIONS if known is None or e in known)
        if len(chosen) < 2:
            raise MismatchError(
                f"expected a model with two or more of {', '.join(EMOTIONS)}, but it has "
                f"{', '.join(known or ())}; name the label set to score with --labels"
            )
        return chosen
    wanted = parse_labels(labels)
    lacking = [e for e in wanted if known is not None and e not in known]
    if known is not None and lacking:
        raise MismatchError(
            f"the label set has {', '.join(lacking)}, but the model has only "
            f"{', '.join(known)}; choose --labels from these"
        )
    return wanted


def select_rows(
    dataset: Dataset,
    labels: tuple[Expression, ...],
    split: str | None = None,
    affect_rows: AffectRows = "labels",
) -> Selection:
    """The rows of a dataset that are scored.

    Raises:
        UnknownName: a split or a rule that does not exist.
        InputError: the split has no row that can be scored.
    """
    if affect_rows not in ("labels", "all"):
        raise UnknownName("choice of affect rows", affect_rows, ["labels", "all"])
    splits = np.array([name or "" for name in dataset.faces["split"].to_pylist()], dtype=np.str_)
    chosen = _choose_split(dataset, splits, split)
    inside = np.ones(len(dataset), dtype=bool) if chosen == ALL else splits == chosen
    expressions = dataset.expression_ids
    scored = np.isin(expressions, [label.id for label in labels])
    has_affect = ~np.isnan(dataset.affect[:, 0])
    for_affect = has_affect & (scored | (affect_rows == "all"))
    rows = np.flatnonzero(inside & (scored | for_affect))
    if not rows.size:
        raise InputError(
            f"no row of {dataset.path}, split '{chosen}', has one of {', '.join(labels)}"
            + (", or valence and arousal" if affect_rows == "all" else "")
            + f"; the split has {_named_counts(expressions[inside]) or 'no rows'}"
        )
    ids = dataset.ids
    rows = rows[sorted(range(len(rows)), key=lambda i: ids[rows[i]])]
    return Selection(
        rows=rows.astype(np.intp),
        split=chosen,
        labels=labels,
        affect_rows=affect_rows,
        left_out=_count_names(expressions[inside & ~scored]),
        train=np.flatnonzero((splits == "train") & for_affect).astype(np.intp),
    )


def join_rows(dataset: Dataset, predictions: Predictions, selection: Selection) -> ScoredRows:
    """Truth and predictions of the selected rows, over the label set.

    Raises:
        MismatchError: a selected row without a prediction, or a prediction of a foreign face.
    """
    ids = dataset.faces["face_id"].take(pa.array(selection.rows)).to_pylist()
    matched = align_predictions(dataset, predictions, ids)
    labels = selection.labels
    status = np.full(len(ids), OK, dtype="<U7")
    probabilities = choices = None
    if predictions.probabilities is not None:
        columns = [predictions.labels.index(label) for label in labels]
        whole = predictions.probabilities[matched]
        kept = whole[:, columns]
        mass = kept.sum(axis=1, keepdims=True)
        status[~(mass[:, 0] > 0)] = OUTSIDE
        status[np.isnan(whole).any(axis=1)] = FAILED
        # A row that gives the label set nothing cannot be renormalized.
        probabilities = np.full_like(kept, np.nan)
        np.divide(kept, mass, out=probabilities, where=mass > 0)
    elif predictions.choices is not None:
        chosen = predictions.choices[matched]
        position = np.full(len(EXPRESSIONS) + 1, -1, dtype=np.intp)  # the last one is for −1
        position[[label.id for label in labels]] = np.arange(len(labels))
        choices = position[chosen]
        status[choices < 0] = OUTSIDE
        status[chosen < 0] = FAILED
    expressions = dataset.expression_ids[selection.rows]
    places = np.full(len(EXPRESSIONS) + 1, -1, dtype=np.intp)
    places[[label.id for label in labels]] = np.arange(len(labels))
    soft = dataset.lists("soft_label")[selection.rows].astype(np.float64)
    return ScoredRows(
        ids,
        labels,
        [None if number < 0 else EXPRESSIONS[number].value for number in expressions],
        places[expressions],
        status,
        probabilities,
        choices,
        dataset.affect[selection.rows].astype(np.float64),
        None if predictions.affect is None else predictions.affect[matched],
        None if np.isnan(soft).all() else soft,
    )


def fingerprint(rows: ScoredRows, split: str, crop: dict[str, Any] | None) -> str:
    """SHA-256 over what was scored: equal for two systems that were judged on the same rows.

    Rows sorted by face_id (id, expression, valence and arousal to six digits), then the label
    set, the crop rule of the dataset, and the split. The predictions are not part of it.
    """
    digest = hashlib.sha256()
    order = sorted(range(len(rows)), key=rows.ids.__getitem__)
    for i in order:
        valence, arousal = rows.affect_truth[i]
        line = (rows.ids[i], rows.expressions[i] or "", _digits(valence), _digits(arousal))
        digest.update(("\t".join(line) + "\n").encode())
    tail = {"labels": [label.value for label in rows.labels], "crop": crop, "split": split}
    digest.update(json.dumps(tail, sort_keys=True).encode())
    return digest.hexdigest()


def _known_labels(predictions: Predictions) -> tuple[Expression, ...] | None:
    """The classes that a system can answer; None where nothing says so."""
    if predictions.probabilities is not None:
        return predictions.labels
    stated = predictions.made_with.get("labels")
    if predictions.choices is not None and isinstance(stated, list) and stated:
        return parse_labels(stated)
    return None


def _choose_split(dataset: Dataset, splits: NDArray[np.str_], wanted: str | None) -> str:
    present = [name for name in SPLITS if (splits == name).any()]
    if wanted is None:
        found = next((name for name in ("test", "validation") if name in present), None)
        if found is None and present:
            raise InputError(
                f"{dataset.path} has rows of the split '{present[0]}' alone, and a score on "
                "training rows says little; name the split to score with --split (or `all`)"
            )
        return found or ALL
    if wanted not in (*SPLITS, ALL):
        raise UnknownName("split", wanted, [*SPLITS, ALL])
    if wanted != ALL and wanted not in present:
        raise InputError(
            f"{dataset.path} has no rows of the split '{wanted}'; it has "
            f"{', '.join(present) or 'no splits'} (`all` takes every row)"
        )
    return wanted


def _count_names(expressions: NDArray[np.int8]) -> dict[str, int]:
    """How many rows have each expression, in the order of the ids; null is `unlabeled`."""
    counts = collections.Counter(expressions.tolist())
    named = {e.value: counts[e.id] for e in EXPRESSIONS if counts[e.id]}
    return named | ({"unlabeled": counts[-1]} if counts[-1] else {})


def _named_counts(expressions: NDArray[np.int8]) -> str:
    return ", ".join(f"{count} {name}" for name, count in _count_names(expressions).items())


def _digits(value: float) -> str:
    return "" if np.isnan(value) else f"{value + 0.0:.6f}"  # adding zero turns -0.0 into 0.0


def _conform(table: pa.Table, labels: Sequence[Expression], where: str) -> pa.Table:
    """The columns that scored rows may have, in their types."""
    text, number = pa.string(), pa.float64()
    kinds = dict.fromkeys(("face_id", "expression", "status", "choice"), text)
    kinds |= dict.fromkeys(("valence", "arousal", *(f"p_{label}" for label in labels)), number)
    if "predicted_valence" in table.column_names:  # one without the other is null
        kinds |= {"predicted_valence": number, "predicted_arousal": number}
    kinds["soft_label"] = pa.list_(pa.float32(), len(EMOTIONS))
    fields = [
        pa.field(name, kind, nullable=name not in ("face_id", "status"))
        for name, kind in kinds.items()
        if name in table.column_names or name == "predicted_arousal"
    ]
    return tables.conform(table, pa.schema(fields), where)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def _columns(table: pa.Table, names: list[str]) -> Floats:
    return np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float64)
