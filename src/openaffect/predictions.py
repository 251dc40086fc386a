"""Predictions: one Parquet file keyed by face_id; the order of its rows never matters.

Columns: `face_id`; `p_<name>` for each class of the model, each row summing to 1, all null with
`error` where a picture could not be read; or `expression` alone for systems without scores;
`valence` and `arousal`, null where the model has none. The model's name, its crop rule and the
like are in the file's metadata under `openaffect`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import openaffect
from openaffect import schemas, tables
from openaffect.dataset import Dataset
from openaffect.documents import decode_json, decode_versioned
from openaffect.errors import FormatError, InputError, MismatchError
from openaffect.labels import EMOTIONS, EXPRESSIONS, Expression, parse_expression
from openaffect.storage import atomic_file

_METADATA = b"openaffect"
_FARTHEST = 1.5  # valence and arousal beyond it are of another scale, not of a rough model
_SUM_SLACK = 1e-3  # float32 columns, or percentages printed with three digits by other systems


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a system says of faces.

    Attributes:
        ids: face_id of every row.
        labels: the classes that have a score, in the order of the ids; () if there are no scores.
        probabilities: float64 (n, len(labels)), rows sum to 1; NaN rows could not be read; None
            where the system gives no scores.
        choices: AffectNet's id of the class that a system without scores chose, int8 (n,), −1
            for a failed row; None where there are scores or no classes.
        affect: valence and arousal, float64 (n, 2), NaN where there is none; None if no row has it.
        errors: why a row failed, or None.
        made_with: what made them: model name, recipe, crop rule, and the like; JSON-ready.
        learned: which faces lie in images that the model learned from, bool (n,); None where
            that is not known.
        notes: what a reader of them should know of how the file was understood.
        face_found: in which crops a detector found a face, bool (n,); None where none looked.
    """

    ids: list[str]
    labels: tuple[Expression, ...] = ()
    probabilities: NDArray[np.float64] | None = None
    choices: NDArray[np.int8] | None = None
    affect: NDArray[np.float64] | None = None
    errors: list[str | None] = field(default_factory=list)
    made_with: dict[str, Any] = field(default_factory=dict)
    learned: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    face_found: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def align(self, ids: Sequence[str], where: str = "the predictions") -> NDArray[np.int64]:
        """For each of `ids`, the row of these predictions, int64 (len(ids),).

        Raises:
            MismatchError: ids that the predictions lack; the message names the first.
        """
        rows = pc.index_in(pa.array(ids, pa.string()), value_set=pa.array(self.ids, pa.string()))
        if rows.null_count:
            missing = [i for i, row in zip(ids, rows.to_pylist(), strict=True) if row is None]
            raise MismatchError(
                f"expected a prediction for each of {len(ids)} faces, but {where} lack "
                f"{len(missing)}: {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}"
            )
        result: NDArray[np.int64] = rows.to_numpy(zero_copy_only=False).astype(np.int64)
        return result

    def learned_warning(self, rows: NDArray[np.integer] | None = None) -> str | None:
        """What to say of faces in images that the model learned from; None where there are none.

        Args:
            rows: that are meant; by default all. As many as chance explains are no finding: an
                image is known by 32 bits.
        """
        if self.learned is None:
            return None
        learned = self.learned if rows is None else self.learned[rows]
        return warn_of_learned(int(learned.sum()), len(learned), self.made_with)

    def to_table(self) -> pa.Table:
        """The predictions as an Arrow table, metadata included."""
        columns: dict[str, pa.Array] = {"face_id": pa.array(self.ids, pa.string())}
        if self.probabilities is not None:
            for number, label in enumerate(self.labels):
                columns[f"p_{label}"] = _nullable(self.probabilities[:, number])
        elif self.choices is not None:
            names = [None if c < 0 else EXPRESSIONS[c].value for c in self.choices]
            columns["expression"] = pa.array(names, pa.string())
        affect = self.affect if self.affect is not None else np.full((len(self), 2), np.nan)
        columns["valence"], columns["arousal"] = _nullable(affect[:, 0]), _nullable(affect[:, 1])
        errors = self.errors or [None] * len(self)
        columns["error"] = pa.array(errors, pa.string())
        if self.learned is not None:
            columns["learned"] = pa.array(self.learned, pa.bool_())
        if self.face_found is not None:
            columns["face_found"] = pa.array(self.face_found, pa.bool_())
        return pa.table(columns).replace_schema_metadata(metadata_of(self.made_with))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the predictions as one Parquet file, whole or not at all.

        Raises:
            DestinationExists: `path` exists and `overwrite` is false.
        """
        with atomic_file(path, overwrite=overwrite) as temporary:
            tables.write_table(self.to_table(), temporary)


def metadata_of(made_with: Mapping[str, Any]) -> dict[bytes, str]:
    """The metadata of a predictions file.

    Raises:
        InputError: `made_with` is not JSON-ready.
    """
    about = {"schema": schemas.VERSION, "made_by": _made_by(), **made_with}
    try:
        return {_METADATA: json.dumps(about, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise InputError(f"`made_with` cannot be written as JSON: {error}") from error


def warn_of_learned(count: int, rows: int, made_with: Mapping[str, Any]) -> str | None:
    """What to say of faces in images that the model learned from; None for as many as by chance.

    Args:
        count: of such faces.
        rows: faces in all.
        made_with: what made the predictions.
    """
    images = made_with.get("learned_images")
    chance = rows * (images if isinstance(images, int) else 0) / 2**32
    if count <= 5 * chance + 2:
        return None
    return (
        f"{count:,} of {rows:,} faces lie in images that the model learned from: "
        "scores on them say nothing about new faces"
    )


def open_predictions(path: str | Path) -> Predictions:
    """Read a predictions file, openaffect's own or any other with the same columns.

    Other columns are not read.

    Raises:
        FormatError: no Parquet file, no face_id, types that do not fit, or neither scores, an
            expression nor affect.
        InputError: repeated ids, probabilities that are NaN, negative or do not sum to 1, valence
            or arousal of another scale.
        NewerSchema: written by a newer openaffect.
    """
    return read_predictions(tables.read_parquet(path, "predictions", _is_ours), str(path))


def _is_ours(column: str) -> bool:
    return column.startswith("p_") or column in _COLUMNS


_COLUMNS = ("face_id", "expression", "valence", "arousal", "error", "learned", "face_found")


def join_predictions(parts: Sequence[Predictions], made_with: dict[str, Any]) -> Predictions:
    """Predictions of different faces by models of the same classes, as one, such as of folds.

    Args:
        parts: at least one; all with scores of the same classes, or all with choices.
        made_with: what the whole remembers of its making.

    Raises:
        MismatchError: a face occurs twice, or the parts differ in their classes or kind.
    """
    first = parts[0]
    for part in parts[1:]:
        kinds = [(p.labels, p.probabilities is None, p.affect is None) for p in (first, part)]
        if kinds[0] != kinds[1]:
            raise MismatchError(
                "expected predictions of the same classes and kind, but got "
                f"{', '.join(first.labels) or 'none'} and {', '.join(part.labels) or 'none'}"
            )
    ids = [face_id for part in parts for face_id in part.ids]
    twice = [face_id for face_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise MismatchError(f"{len(twice)} faces occur in several predictions, first {twice[0]}")
    arrays: dict[str, Any] = {}
    for name in ("probabilities", "choices", "affect"):
        values = [getattr(part, name) for part in parts]
        arrays[name] = None if values[0] is None else np.concatenate(values)
    errors = [error for part in parts for error in (part.errors or [None] * len(part))]
    return Predictions(
        ids,
        first.labels,
        arrays["probabilities"],
        arrays["choices"],
        arrays["affect"],
        errors,
        made_with,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def read_predictions(table: pa.Table, where: str = "the table") -> Predictions:
    """Predictions from an Arrow table; see `open_predictions`."""
    given = [name for name in table.column_names if _is_ours(name)]
    tables.reject_doubled(given, where)
    if "face_id" not in given:
        raise FormatError(
            f"expected a column 'face_id' in {where}, which names the face of each prediction; "
            f"it has {_few(table.column_names)}"
        )
    ids = tables.cast(table["face_id"], pa.string(), "face_id", where)
    if ids.null_count:
        raise FormatError(
            f"column 'face_id' of {where} is null in {ids.null_count:,} of {len(ids):,} rows"
        )
    table = table.select(given).set_column(given.index("face_id"), "face_id", ids)
    tables.reject_repeated(table, "face_id", where)
    made_with = _read_metadata(table, where)
    errors: list[str | None] = [None] * len(table)
    if "error" in given:
        errors = tables.cast(table["error"], pa.string(), "error", where).to_pylist()
    notes: list[str] = []
    labels, probabilities = _read_probabilities(table, where)
    choices = None
    if probabilities is None and "expression" in given:
        choices = _read_choices(table["expression"], where, notes)
    affect = _read_affect(table, where, notes)
    if probabilities is None and choices is None and affect is None:
        raise FormatError(
            f"expected p_<name> columns, a column 'expression', or valence and arousal in {where}; "
            f"it has {_few(given)}"
        )
    return Predictions(
        ids.to_pylist(),
        labels,
        probabilities,
        choices,
        affect,
        errors,
        made_with,
        _read_flags(table, "learned", where),
        tuple(notes),
        _read_flags(table, "face_found", where),
    )


def _few(names: Sequence[str]) -> str:
    """Some names of columns, cut where they are long or many."""
    shown = ", ".join(name[:40] for name in names[:10])
    return f"{shown}, … ({len(names):,} columns)" if len(names) > 10 else shown


def _read_flags(table: pa.Table, name: str, where: str) -> NDArray[np.bool_] | None:
    if name not in table.column_names:
        return None
    values = tables.cast(table[name], pa.bool_(), name, where).fill_null(False)
    found: NDArray[np.bool_] = values.to_numpy().astype(bool)
    return found


def align_predictions(
    dataset: Dataset, predictions: Predictions, ids: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """For each of some faces of a dataset, by default all, the row of the predictions.

    Raises:
        MismatchError: a face without a prediction, or a prediction of a face that the dataset lacks.
    """
    known = pc.is_in(
        pa.array(predictions.ids, pa.string()), value_set=dataset.faces["face_id"].combine_chunks()
    )
    if not pc.all(known, min_count=0).as_py():
        pairs = zip(predictions.ids, known.to_pylist(), strict=True)
        foreign = [face_id for face_id, is_known in pairs if not is_known]
        raise MismatchError(
            f"{len(foreign)} predictions are of faces that {dataset.path} lacks: "
            f"{', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}"
        )
    return predictions.align(dataset.ids if ids is None else ids)


@dataclass(frozen=True, slots=True)
class _Known:
    """The keys of the metadata that are used, and their types."""

    model: str | None = None
    crop: dict[str, Any] | None = None
    labels: list[str] | None = None


def _read_metadata(table: pa.Table, where: str) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(_METADATA)
    if raw is None:
        return {}
    where = f"the metadata of {where}"
    data = decode_json(raw, dict[str, Any], where)
    if "schema" in data:
        decode_versioned(raw, _Known, schemas.VERSION, where)
    decode_json(raw, _Known, where)
    data.pop("schema", None)
    data.pop("made_by", None)
    return data


def _read_choices(column: pa.ChunkedArray, where: str, notes: list[str]) -> NDArray[np.int8]:
    """AffectNet's id of each expression, −1 where it is null; names, or numbers with a note."""
    if pa.types.is_dictionary(column.type):
        column = tables.cast(column, column.type.value_type, "expression", where)
    if pa.types.is_floating(column.type):  # pandas makes floats of numbers where some are missing
        column = pc.if_else(pc.is_nan(column), None, column)
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    kind = pa.int64() if is_number else pa.string()
    column = tables.cast(column, kind, "expression", where)
    known = column.unique().drop_null()
    ids = np.array([parse_expression(value, where).id for value in known.to_pylist()], np.int8)
    names = [] if is_number else known.to_pylist()
    if len(known) and not any(c.isalpha() for name in names for c in name):
        numbers = ", ".join(f"{label.id} {label}" for label in EMOTIONS)
        notes.append(f"The expressions are numbers, read as AffectNet's ids: {numbers}.")
    places = pc.index_in(column, value_set=known).fill_null(-1).to_numpy()
    return np.where(places < 0, np.int8(-1), np.append(ids, np.int8(-1))[places])


def _read_probabilities(
    table: pa.Table, where: str
) -> tuple[tuple[Expression, ...], NDArray[np.float64] | None]:
    columns: dict[Expression, str] = {}
    for name in table.column_names:
        if not name.startswith("p_"):
            continue
        label = parse_expression(name.removeprefix("p_"), f"{where}, column {name}")
        if label in columns:
            raise InputError(f"{where} has two columns for {label}: {columns[label]} and {name}")
        columns[label] = name
    if not columns:
        return (), None
    labels = tuple(sorted(columns, key=lambda label: label.id))
    names = [columns[label] for label in labels]
    arrays = [tables.cast(table[name], pa.float64(), name, where) for name in names]
    nulls = np.stack([a.is_null().to_numpy() for a in arrays], axis=1)
    values = np.stack([a.to_numpy() for a in arrays], axis=1)
    ids = table["face_id"]
    bad = ~nulls.all(axis=1) & ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"expected probabilities in {where}, but {ids[row]} (and {int(bad.sum()) - 1} more) has "
            "NaN or a null beside numbers; a failed row has nulls in every p_ column"
        )
    failed = nulls.all(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = values.sum(axis=1)
        wrong = ~failed & ((values < 0).any(axis=1) | (np.abs(sums - 1) > _SUM_SLACK))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"expected probabilities in {where} to be at least 0 and to sum to 1, but those of "
            f"{ids[row]} sum to {sums[row]:g} (smallest {values[row].min():g})"
        )
    values[failed] = np.nan
    values /= values.sum(axis=1, keepdims=True)
    return labels, values


def _read_affect(table: pa.Table, where: str, notes: list[str]) -> NDArray[np.float64] | None:
    axes = ("valence", "arousal")
    present = [name in table.column_names for name in axes]
    if not any(present):
        return None
    if not all(present):
        raise FormatError(f"{where} has only one of the columns valence and arousal")
    columns = [tables.cast(table[name], pa.float64(), name, where).to_numpy() for name in axes]
    affect = np.stack(columns, axis=1)
    if (np.isnan(affect[:, 0]) != np.isnan(affect[:, 1])).any():
        raise InputError(f"{where} has rows with only one of valence and arousal")
    if np.isinf(affect).any():
        raise InputError(f"{where} has a valence or arousal that is not finite")
    if np.isnan(affect).all():
        return None
    sizes = np.nan_to_num(np.abs(affect)).max(axis=1)
    beyond, farthest = int((sizes > 1).sum()), float(sizes.max())
    if farthest > _FARTHEST:
        raise InputError(
            f"expected valence and arousal of {where} in [-1, 1], but {beyond:,} of "
            f"{len(affect):,} rows reach farther, up to {farthest:g}: divide values of another "
            "scale by its half width (and center them on 0), or clip outliers"
        )
    if beyond:
        notes.append(
            f"Valence or arousal of {beyond:,} predictions lies outside [-1, 1], up to "
            f"{farthest:.3g}; they are scored as they are."
        )
    return affect


def _nullable(values: NDArray[np.floating]) -> pa.Array:
    return pa.array(values.astype(np.float32), pa.float32(), mask=np.isnan(values))


def _made_by() -> str:
    return f"openaffect {openaffect.__version__}"
