"""Label metrics from one confusion matrix, or from a batch of them.

A confusion matrix has k rows and k + 1 columns: rows are the truth, columns the predictions,
the last column the rows that failed. A failed row counts in its class's support, in no
predicted class, and is never right. Every function takes shape (..., k, k + 1) and gives
shape (...) or (..., k), so that a thousand resampled matrices cost one call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from openaffect.errors import InputError
from openaffect.metrics.arrays import (
    FAILED,
    Counts,
    Floats,
    class_positions,
    mean_where,
    ratio,
    same_length,
)


def confusion_matrix(truth: ArrayLike, prediction: ArrayLike, k: int) -> Counts:
    """Counts of truth (rows) against prediction (columns; the last one is "failed").

    Args:
        truth: shape (n,), positions 0 to k − 1.
        prediction: shape (n,), positions 0 to k − 1, or −1 for a row that failed.
        k: number of classes.
    Returns:
        int64, shape (k, k + 1).
    Raises:
        InputError: no rows, or a number out of range.
        MismatchError: different lengths.

    >>> confusion_matrix([0, 0, 1], [0, 1, -1], 2).tolist()
    [[1, 1, 0], [0, 0, 1]]
    """
    t = class_positions(truth, k, "truth")
    p = class_positions(prediction, k, "prediction", lowest=FAILED)
    same_length(len(t), len(p), "prediction")
    cell = t * (k + 1) + np.where(p == FAILED, k, p)
    return np.bincount(cell, minlength=k * (k + 1)).reshape(k, k + 1)


def with_failed_column(matrix: ArrayLike) -> Counts:
    """A square matrix such as a paper prints, with an empty "failed" column.

    >>> with_failed_column([[3, 1], [0, 2]]).tolist()
    [[3, 1, 0], [0, 2, 0]]
    """
    square = np.asarray(matrix, dtype=np.int64)
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        raise InputError(f"a printed confusion matrix is square, but has shape {square.shape}")
    return np.pad(square, ((0, 0), (0, 1)))


def support(matrix: Counts) -> Counts:
    """Rows of each class, failed ones included; shape (..., k)."""
    result: Counts = matrix.sum(axis=-1)
    return result


def absent_classes(matrix: Counts) -> list[int]:
    """Positions of the classes without support, which macro means leave out.

    >>> absent_classes(with_failed_column([[3, 1], [0, 0]]))
    [1]
    """
    return [int(c) for c in np.flatnonzero(support(matrix) == 0)]


def _right(matrix: Counts) -> Counts:
    result: Counts = np.diagonal(matrix, axis1=-2, axis2=-1)
    return result


def _predicted(matrix: Counts) -> Counts:
    result: Counts = matrix.sum(axis=-2)[..., :-1]
    return result


def accuracy(matrix: Counts) -> Floats:
    """Share of rows that are right; in [0, 1].

    >>> float(accuracy(with_failed_column([[3, 1], [0, 2]])).round(3))
    0.833
    """
    return ratio(_right(matrix).sum(axis=-1), matrix.sum(axis=(-2, -1)))


def recall(matrix: Counts) -> Floats:
    """TP / (TP + FN) of each class; NaN without support. Shape (..., k)."""
    return ratio(_right(matrix), support(matrix))


def precision(matrix: Counts) -> Floats:
    """TP / (TP + FP) of each class; 0 when a present class is never predicted. Shape (..., k).

    NaN only when a class is neither true nor predicted: the rule of F1, so that never to
    predict a rare class cannot raise the mean.
    """
    value = ratio(_right(matrix), _predicted(matrix))
    missed = (_predicted(matrix) == 0) & (support(matrix) > 0)
    result: Floats = np.where(missed, 0.0, value)
    return result


def f1(matrix: Counts) -> Floats:
    """2TP / (2TP + FP + FN) of each class; NaN only when neither true nor predicted.

    >>> f1(with_failed_column([[3, 1], [0, 2]])).round(3).tolist()
    [0.857, 0.8]
    """
    return ratio(2 * _right(matrix), support(matrix) + _predicted(matrix))


def _over_present(values: Floats, matrix: Counts) -> Floats:
    return mean_where(values, support(matrix) > 0)


def balanced_accuracy(matrix: Counts) -> Floats:
    """Mean recall of the classes with support; in [0, 1]."""
    return _over_present(recall(matrix), matrix)


def macro_f1(matrix: Counts) -> Floats:
    """Mean F1 of the classes with support; in [0, 1].

    >>> float(macro_f1(with_failed_column([[3, 1], [0, 2]])).round(3))
    0.829
    """
    return _over_present(f1(matrix), matrix)


def weighted_f1(matrix: Counts) -> Floats:
    """Mean F1 weighted by support; in [0, 1]."""
    rows = support(matrix)
    weighted = np.where(rows > 0, f1(matrix) * rows, 0.0)
    return ratio(weighted.sum(axis=-1), rows.sum(axis=-1))


def one_vs_rest(matrix: Counts) -> Counts:
    """Each class against all others; shape (..., k, 2, 3).

    Rows: the class, the rest. Columns: the class, the rest, failed. A failed row stays failed:
    it is not a right "rest".

    >>> one_vs_rest(with_failed_column([[3, 1], [0, 2]]))[1].tolist()
    [[2, 0, 0], [1, 3, 0]]
    """
    failed = matrix[..., -1]
    tp = _right(matrix)
    fn = support(matrix) - tp - failed
    fp = _predicted(matrix) - tp
    all_failed = failed.sum(axis=-1, keepdims=True)
    tn = matrix.sum(axis=(-2, -1))[..., None] - all_failed - tp - fn - fp
    own = np.stack([tp, fn, failed], axis=-1)
    rest = np.stack([fp, tn, all_failed - failed], axis=-1)
    return np.stack([own, rest], axis=-2)


def best_renaming(matrix: ArrayLike) -> list[int]:
    """What each predicted class would have to mean, one to one, for most rows to be right.

    Args:
        matrix: shape (k, k + 1); k is small, as the time grows with 2ᵏ.
    Returns:
        The class for each predicted class, k of them; each its own where nothing is gained.

    >>> best_renaming([[1, 5, 0], [7, 2, 0]])
    [1, 0]
    """
    counts = np.asarray(matrix)[:, :-1]
    k = len(counts)
    # best[m]: most right rows, and their names, when the first predicted classes mean those of m.
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for column in range(k):
        longer: dict[int, tuple[int, list[int]]] = {}
        for used, (right, names) in best.items():
            for name in [column, *range(k)]:  # its own first, which wins ties
                key = used | 1 << name
                total = right + int(counts[name, column])
                if not used >> name & 1 and total > longer.get(key, (-1, []))[0]:
                    longer[key] = (total, [*names, name])
        best = longer
    right, names = best[(1 << k) - 1]
    return names if right > int(np.trace(counts)) else list(range(k))
