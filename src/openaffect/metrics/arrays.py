"""Array types of the metrics, and the checks of what comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.errors import InputError, MismatchError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Integers = NDArray[np.integer[Any]]

FAILED = -1
"""The prediction of a row whose picture could not be read: counted, never right."""

_SUM_TOLERANCE = 1e-3  # rows are float32 and may have been averaged over crops


def class_positions(values: ArrayLike, k: int, what: str, lowest: int = 0) -> NDArray[np.intp]:
    """Checked class positions: shape (n,), integers `lowest` to k − 1, n ≥ 1.

    Raises:
        InputError: no rows, another shape, another type, or a number out of range.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"{what} needs shape (n,), one class a row, but has shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{what} has no rows: there is nothing to score; check the selection")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{what} needs integers, the positions of classes, but is {array.dtype}")
    if array.min() < lowest or array.max() >= k:
        raise InputError(
            f"{what} needs numbers from {lowest} to {k - 1}, but goes from "
            f"{array.min()} to {array.max()}; map the labels to positions in the label set first"
        )
    return array.astype(np.intp, copy=False)


def same_length(n: int, other: int, what: str) -> None:
    """Check that a second input has as many rows as the truth.

    Raises:
        MismatchError: with both counts.
    """
    if n != other:
        raise MismatchError(f"truth has {n} rows, but {what} has {other}; join them by face first")


def distributions(values: ArrayLike, k: int, what: str) -> Floats | NDArray[np.float32]:
    """Checked probabilities: shape (n, k), rows that sum to 1, or whole rows of NaN.

    float32 stays float32, so that ties are the ties of the given numbers.

    Raises:
        InputError: another shape, a row that is NaN in part, negative, or far from sum 1.
    """
    array = np.asarray(values)
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if array.ndim != 2 or array.shape[1] != k:
        raise InputError(f"{what} needs shape (n, {k}), but has shape {array.shape}")
    missing = np.isnan(array)
    whole = missing.all(axis=1)
    bad = missing.any(axis=1) & ~whole
    bad |= (array < 0).any(axis=1)
    bad |= ~whole & ~(np.abs(array.sum(axis=1, dtype=np.float64) - 1) <= _SUM_TOLERANCE)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{what} needs rows that sum to 1, or rows of NaN for what failed, but row {row} is "
            f"{array[row].tolist()} ({int(bad.sum())} such rows); renormalize them"
        )
    return array


def numbers(values: ArrayLike, what: str, *, missing: bool = False) -> Floats:
    """Checked measurements: float64 of shape (n,), n ≥ 1, finite (or NaN where allowed).

    Raises:
        InputError: no rows, another shape, or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"{what} needs shape (n,), but has shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{what} has no rows: there is nothing to score; check the selection")
    bad = np.isinf(array) if missing else ~np.isfinite(array)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{what} needs finite numbers, but row {row} is {array[row]}")
    return array


def mean_where(values: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Mean over the last axis of the values where `valid`; NaN where none is."""
    total = np.where(valid, values, 0.0).sum(axis=-1)
    return ratio(total, valid.sum(axis=-1))


def mean_defined(values: Floats) -> Floats:
    """Mean over the last axis of the values that are not NaN; NaN where none is."""
    return mean_where(values, ~np.isnan(values))


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Numerator / denominator, NaN where the denominator is 0."""
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where(bottom == 0, np.nan, top / bottom)
    return result
