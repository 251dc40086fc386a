"""The rules that a table of faces keeps, whoever wrote it, and its lists as arrays.

Whole columns are looked at, no row by itself: 300,000 faces take a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from openaffect import schemas, tables
from openaffect.errors import InputError
from openaffect.labels import EXPRESSIONS

IMAGE_LEAVES = r"^\.?$|^/|\\|\x00|(^|/)\.\.(/|$)|^[A-Za-z]:"
"""What no path of a picture may look like: it must name a file in the images folder by `/`."""

_SUM_SLACK = 0.01  # of soft labels: shares that other tools printed with two digits


def check_faces(faces: pa.Table, where: str) -> None:
    """Raise an InputError if a faces table breaks a rule of the schema; it names the first row.

    Ids are unique; names of expressions, splits and origins are known; pictures lie in the images
    folder; boxes have a size, landmarks are numbers, soft labels sum to 1; valence and arousal
    are both there or neither, in [−1, 1].
    """
    tables.reject_repeated(faces, "face_id", where)
    for column, allowed in (
        ("expression", EXPRESSIONS),
        ("split", schemas.SPLITS),
        ("expression_origin", schemas.ORIGINS),
        ("affect_origin", schemas.ORIGINS),
    ):
        _check_names(faces, column, allowed, where)
    if "image" in faces.column_names:
        leaves = pc.match_substring_regex(faces["image"], IMAGE_LEAVES).to_numpy()
        _reject_rows(faces, leaves, "image", "a path inside the images folder, with /", where)
    _check_lists(faces, where)
    _check_affect(faces, "face_id", where)


def check_annotations(annotations: pa.Table, where: str) -> None:
    """Raise an InputError if an annotations table breaks a rule of the schema.

    Names of expressions, kinds and origins are known; an id is there once; valence and arousal
    are both there or neither, in [−1, 1].
    """
    for column, allowed in (
        ("expression", EXPRESSIONS),
        ("kind", schemas.KINDS),
        ("origin", schemas.ORIGINS),
    ):
        _check_names(annotations, column, allowed, where)
    tables.reject_repeated(annotations.filter(annotations["id"].is_valid()), "id", where)
    _check_affect(annotations, "face_id", where)


def _check_names(table: pa.Table, column: str, allowed: Collection[str], where: str) -> None:
    if column not in table.column_names:
        return
    strange = set(pc.unique(table[column]).to_pylist()) - {*allowed, None}
    if strange:
        raise InputError(
            f"expected {column} in {where} to be one of {', '.join(allowed)}, "
            f"but got {', '.join(sorted(strange)[:3])}"
        )


def _check_affect(table: pa.Table, name: str, where: str) -> None:
    """The rule of valence and arousal, where both columns were read."""
    if not {"valence", "arousal"} <= {*table.column_names}:
        return
    valence, arousal = table["valence"].to_numpy(), table["arousal"].to_numpy()
    if (np.isnan(valence) != np.isnan(arousal)).any():
        raise InputError(f"{where} has rows with only one of valence and arousal")
    with np.errstate(invalid="ignore"):
        outside = (np.abs(valence) > 1) | (np.abs(arousal) > 1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"expected valence and arousal of {where} in [-1, 1], but {table[name][row]} "
            f"has {valence[row]:g}, {arousal[row]:g}"
        )


def _check_lists(faces: pa.Table, where: str) -> None:
    """The rules of boxes, landmarks and soft labels; null lists break none."""
    there = faces.column_names

    def values_of(column: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return float_lists(faces[column]), faces[column].is_valid().to_numpy()

    if "box" in there:
        boxes, given = values_of("box")
        wrong = given & ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
        _reject_rows(faces, wrong, "box", "finite x, y and a positive width and height", where)
    if "landmarks" in there:
        finite = pc.all(pc.is_finite(pc.list_flatten(faces["landmarks"])), skip_nulls=False)
        if finite.as_py() is not True:  # looked for row by row only then: they are most of a table
            points, given = values_of("landmarks")
            wrong = given & ~np.isfinite(points).all(axis=1)
            _reject_rows(faces, wrong, "landmarks", "136 finite numbers", where)
    if "soft_label" in there:
        shares, given = values_of("soft_label")
        sums = np.abs(shares.sum(axis=1, dtype=np.float64) - 1) <= _SUM_SLACK
        wrong = given & ~(sums & (shares >= 0).all(axis=1))
        _reject_rows(faces, wrong, "soft_label", "8 shares, at least 0, that sum to 1", where)


def _reject_rows(
    faces: pa.Table, wrong: NDArray[np.bool_], column: str, expected: str, where: str
) -> None:
    """Raise an InputError with the first row of a mask (n,), if it has any."""
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    value = faces[column][row].as_py()
    shown = repr(value) if isinstance(value, str) else ", ".join(map(_shown, value[:8]))
    more = int(wrong.sum()) - 1
    raise InputError(
        f"expected column '{column}' of {where} to hold {expected}, but {faces['face_id'][row]} "
        f"has {shown[:200]}" + (f", and {more:,} more" if more else "")
    )


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:g}"


def float_lists(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of lists of k numbers as float32 (n, k); NaN where the list, or a number, is null."""
    width = column.type.list_size
    result = np.empty((len(column), width), np.float32)
    start = 0
    for chunk in column.chunks:
        rows = result[start : start + len(chunk)]
        flat = chunk.values.slice(chunk.offset * width, len(chunk) * width)
        rows[:] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
        # The slots of a null list hold values of no meaning.
        rows[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
        start += len(chunk)
    return result
