"""Dawid and Skene's model: each rater has a confusion matrix of their own, and both are estimated.

Dawid & Skene 1979 (doi:10.2307/2346806), by expectation and maximization from the shares of votes.
A rater who is often wrong counts less; one who swaps two expressions counts as if they had not.

The prior is Laplace's, with one rating more shared out over each row of a matrix, and as if each
rater had been right once more about each expression, and once more in a hundred of the own ratings.
Without that anchor a rare class becomes a heap of faces that are merely hard, and on FER+ the model
does worse than a majority (docs/consensus.md).
"""

import numpy as np
from numpy.typing import NDArray

from openaffect.consensus.ratings import Choice, Ratings, pick
from openaffect.errors import InputError
from openaffect.labels import EXPRESSIONS
from openaffect.metrics.arrays import Floats
from openaffect.texts import counted

_ROUNDS, _ENOUGH = 100, 1e-3  # no share of any face moves by more
_ONCE, _SHARE = 1.0, 0.01  # more ratings in which a rater is right about each expression
_MANY = 10  # faces, from which on a class can be seen to have switched


def choose(ratings: Ratings) -> Choice:
    """The most probable expression of each face; its weights are the posterior.

    A face with one rater has that rater's label, and tells nothing of anybody.

    Raises:
        InputError: a face with two raters, raters who are not known, or classes that have switched.
    """
    counts = ratings.counts
    size = counts.sum(axis=1)
    _check(ratings, size)
    decides = size >= 3
    weights = counts.astype(np.float64)
    weights[decides] = _estimate(ratings, decides)
    _check_switched(counts[decides], weights[decides])
    leads = weights >= weights.max(axis=1, keepdims=True) * (1 - 1e-9)
    return Choice(pick(leads.astype(np.int64), ratings.chance), weights, leads.sum(axis=1) > 1)


def _estimate(ratings: Ratings, decides: NDArray[np.bool_]) -> Floats:
    """The posterior of each face that decides, (faces, 11)."""
    k, people = ratings.counts.shape[1], len(ratings.people)
    rows = np.flatnonzero(decides[ratings.face])
    rows = rows[np.argsort(ratings.face[rows], kind="stable")]
    size = ratings.counts[decides].sum(axis=1)
    first, face = np.cumsum(size) - size, np.repeat(np.arange(len(size)), size)
    cell = ratings.person[rows] * k + ratings.said[rows]
    nth = [np.flatnonzero(size > n) for n in range(size.max())]  # faces that have an nth rating
    posterior = ratings.counts[decides] / size[:, None]
    anchor = _ONCE + _SHARE * np.bincount(ratings.person[rows], minlength=people)
    prior = anchor[:, None, None] * np.eye(k) + 1 / k
    for _ in range(_ROUNDS):
        sums = [np.bincount(cell, posterior[:, c][face], people * k) for c in range(k)]
        table = np.stack(sums, axis=1).reshape(people, k, k) + prior  # (rater, said, true)
        matrix = np.log(table / table.sum(axis=1, keepdims=True)).reshape(people * k, k)
        share = np.log((posterior.sum(axis=0) + 1 / k) / (len(posterior) + 1))
        found = np.tile(share, (len(size), 1))
        for n, faces in enumerate(nth):
            found[faces] += matrix[cell[first[faces] + n]]
        found = np.exp(found - found.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
        moved = np.abs(found - posterior).max()
        posterior = found
        if moved < _ENOUGH:
            break
    estimate: Floats = posterior
    return estimate


def _check(ratings: Ratings, size: NDArray[np.int64]) -> None:
    many, two = (size > 1).sum(), (size == 2).sum()
    if two or not many:
        raise InputError(
            "dawid-skene needs three raters or more on every face that has more than one, but "
            + (f"{counted(int(two), 'face')} of {many:,} have two" if two else "no face has three")
            + "; use majority"
        )
    raters = [ratings.people[p] for p in np.unique(ratings.person[size[ratings.face] > 1])]
    nameless = [name for name in raters if name.startswith("import:") and "/" not in name]
    if nameless:
        raise InputError(
            f"dawid-skene needs raters who are known, but {nameless[0]} stands for labels that name "
            "nobody; use majority"
        )


def _check_switched(counts: NDArray[np.int64], weights: Floats) -> None:
    """Refuse classes that have become something else: raters say another expression more often."""
    label = weights.argmax(axis=1)
    said = np.zeros((counts.shape[1], counts.shape[1]), np.int64)
    np.add.at(said, label, counts)
    many = np.bincount(label, minlength=counts.shape[1]) >= _MANY
    for c in np.flatnonzero(many & (said.argmax(axis=1) != np.arange(len(said)))):
        raise InputError(
            f"dawid-skene calls {EXPRESSIONS[c]} what most raters call {EXPRESSIONS[said[c].argmax()]}:"
            " its classes have switched, for the ratings are too few or too unlike; use majority"
        )
