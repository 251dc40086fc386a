"""What a consensus rule is given and what it gives back, and draws that no order of rows changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect.metrics.arrays import Floats

_PRIME = np.uint64(0x100000001B3)  # of FNV-1a
_START = 0xCBF29CE484222325


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Who says which expression of which face: n ratings that count, of f faces.

    Attributes:
        face, person: numbers, int64 (n,).
        said: AffectNet's ids, int64 (n,).
        counts: how many raters say each expression of each face, int64 (f, 11).
        people: names of the raters, by number.
        intended: the expression that the query of each face hoped for, int64 (f,); −1 where it is
            not known.
        chance: a number in [0, 1) for each face, from the seed and its id alone, (f,).
    """

    face: NDArray[np.int64]
    person: NDArray[np.int64]
    said: NDArray[np.int64]
    counts: NDArray[np.int64]
    people: list[str]
    intended: NDArray[np.int64]
    chance: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a rule says of f faces.

    Attributes:
        expression: AffectNet's id, int64 (f,); any number where nobody has rated the face.
        weights: of each expression, not negative, (f, 11); their shares are the soft label.
        by_chance: whether the rule left it to the draw, bool (f,).
    """

    expression: NDArray[np.int64]
    weights: Floats
    by_chance: NDArray[np.bool_]


class ExpressionRule(Protocol):
    """A file in `expressions/`."""

    def choose(self, ratings: Ratings) -> Choice:
        """The expression of each face.

        Raises:
            InputError: the ratings are not such that the rule can be used.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Who puts which face where: n points, sorted by face and by the rater's name, of f faces.

    Attributes:
        face: numbers, int64 (n,), rising.
        affect: valence and arousal, (n, 2).
        start, size: of the points of each face, int64 (f,).
        chance: as in `Ratings`, another number, (f,).
    """

    face: NDArray[np.int64]
    affect: Floats
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    chance: Floats


class AffectRule(Protocol):
    """A file in `affects/`."""

    def combine(self, points: Points) -> Floats:
        """Valence and arousal of each face, (f, 2); anything where it has no point."""


def draw(names: pa.Array, salt: str) -> Floats:
    """A number in [0, 1) for each name, (n,), that depends on the name and the salt alone.

    FNV-1a (Fowler, Noll, Vo; RFC 9923) of salt and name, mixed as in SplitMix64 (Steele, Lea,
    Flood 2014, doi:10.1145/2714064.2660195), for the last letters move FNV-1a's high bits little.
    """
    texts = names.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(texts) + 1, texts.offset * 8)
    letters = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    start, size = bounds[:-1], np.diff(bounds)
    first = _START
    for byte in salt.encode():
        first = (first ^ byte) * int(_PRIME) % 2**64
    mixed = np.full(len(texts), first, np.uint64)
    order = np.argsort(-size, kind="stable")
    longer = np.searchsorted(-size[order], -np.arange(size.max(initial=0)), side="left")
    for place, count in enumerate(longer):  # one letter of all names at once
        rows = order[:count]
        mixed[rows] = (mixed[rows] ^ letters[start[rows] + place]) * _PRIME
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def pick(weights: NDArray[np.int64], chance: Floats) -> NDArray[np.int64]:
    """A column of each row, (n,), with a chance in proportion to its whole weight; (n, k) and (n,).

    The last column where all weights of a row are 0.
    """
    total = weights.cumsum(axis=1)
    place = np.floor(chance * total[:, -1]).astype(np.int64)
    found: NDArray[np.int64] = (total <= place[:, None]).sum(axis=1)
    return found.clip(max=weights.shape[1] - 1)
