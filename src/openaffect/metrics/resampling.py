"""Random data sets made from one: bootstrap samples and skew-normalized draws.

Label metrics need no rows: a bootstrap sample of rows is a multinomial draw of the confusion
matrix, a balanced draw without replacement a multivariate hypergeometric draw of its rows.
Score metrics use integer weights per row, made a chunk of rounds at a time.

A bootstrap sample *followed by* a balanced draw is made in one step: the rows of a class in a
bootstrap sample are independent, so any m of them are m independent rows of that class.
Only the class sizes of the bootstrap sample are drawn first, as they set m.
Reference for the balanced draws: Jeni, Cohn, De la Torre (2013), ACII.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from openaffect.metrics.arrays import Counts, Integers

Weights = NDArray[np.int32]

_CHUNK = 2**19  # weights made at once: 2 MB, which stays in cache while classes take turns


def smallest_class(sizes: Integers) -> int:
    """Rows of the smallest class that has any.

    >>> smallest_class(np.array([5, 0, 3]))
    3
    """
    return int(sizes[sizes > 0].min())


def balanced_draws(matrix: Counts, rounds: int, rng: np.random.Generator) -> Counts:
    """Confusion matrices of draws, without replacement, of equally many rows of each class.

    Args:
        matrix: shape (k, k + 1), at least one row with support.
        rounds: number of draws b.
        rng: source of randomness.
    Returns:
        Shape (b, k, k + 1); each class with support has the size of the smallest one.
    """
    m = smallest_class(matrix.sum(axis=1))
    result = np.zeros((rounds, *matrix.shape), dtype=np.int64)
    for c in np.flatnonzero(matrix.sum(axis=1)):
        result[:, c] = rng.multivariate_hypergeometric(matrix[c], m, size=rounds)
    return result


def bootstrap_matrices(table: Counts, rounds: int, rng: np.random.Generator) -> Counts:
    """Tables of counts of bootstrap samples of the rows; shape (rounds, *table.shape).

    Works for any table whose cells partition the rows, such as a confusion matrix, or the
    joint table of truth and two predictions.
    """
    cells = np.flatnonzero(table)  # empty cells stay empty; the last drawn cell takes the rest
    n = int(table.sum())
    result = np.zeros((rounds, table.size), dtype=np.int64)
    result[:, cells] = rng.multinomial(n, table.ravel()[cells] / n, size=rounds)
    return result.reshape(rounds, *table.shape)


def bootstrap_balanced(matrix: Counts, rounds: int, rng: np.random.Generator) -> Counts:
    """Confusion matrices of bootstrap samples, each followed by one balanced draw.

    Returns:
        Shape (rounds, k, k + 1). A class that a bootstrap sample misses has no rows there.
    """
    sizes = bootstrap_matrices(matrix.sum(axis=1), rounds, rng)  # (rounds, k)
    m = _smallest_of_each(sizes)
    result = np.zeros((rounds, *matrix.shape), dtype=np.int64)
    for c in np.flatnonzero(matrix.sum(axis=1)):
        cells = np.flatnonzero(matrix[c])
        drawn = rng.multinomial(np.where(sizes[:, c] > 0, m, 0), matrix[c, cells] / matrix[c].sum())
        result[:, c, cells] = drawn
    return result


def _smallest_of_each(sizes: Counts) -> Counts:
    largest = np.iinfo(np.int64).max
    result: Counts = np.where(sizes > 0, sizes, largest).min(axis=1)
    return result


def bootstrap_weights(n: int, rounds: int, rng: np.random.Generator) -> Iterator[Weights]:
    """How often each row occurs in bootstrap samples; chunks of shape (b, n), `rounds` in all."""
    for b in _chunks(n, rounds):
        weights = np.empty((b, n), dtype=np.int32)
        for row in weights:
            drawn = rng.integers(0, n, n, dtype=np.int32)
            # Counting numbers of another width takes four times as long as changing it first.
            row[:] = np.bincount(drawn.astype(np.intp), minlength=n)
        yield weights


def balanced_weights(
    truth: Integers, k: int, rounds: int, rng: np.random.Generator, *, bootstrap: bool = False
) -> Iterator[Weights]:
    """Balanced draws as weights of rows; chunks of shape (b, n), `rounds` in all.

    Args:
        truth: shape (n,), positions 0 to k − 1.
        k: number of classes.
        rounds: number of draws.
        rng: source of randomness.
        bootstrap: draw from a new bootstrap sample each time (weights above 1 are possible);
            without it, each draw is without replacement from the rows (weights 0 and 1).
    """
    rows = [np.flatnonzero(truth == c) for c in range(k)]
    sizes = np.array([len(r) for r in rows])
    n = len(truth)
    for b in _chunks(n, rounds):
        weights = np.empty((b, n), dtype=np.int32)
        for row in weights:
            if bootstrap:
                now = bootstrap_matrices(sizes, 1, rng)[0]
                m = smallest_class(now)
                drawn = [rows[c][rng.integers(0, sizes[c], m)] for c in np.flatnonzero(now)]
            else:
                m = smallest_class(sizes)
                drawn = [
                    rows[c][rng.choice(sizes[c], m, replace=False, shuffle=False)]
                    for c in np.flatnonzero(sizes)
                ]
            row[:] = np.bincount(np.concatenate(drawn), minlength=n)
        yield weights


def _chunks(n: int, rounds: int) -> Iterator[int]:
    step = max(1, _CHUNK // n)
    for start in range(0, rounds, step):
        yield min(step, rounds - start)
