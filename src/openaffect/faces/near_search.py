"""The search for pictures that are the same: pairs of near hashes, judged by their thumbnails.

Hashes that differ in a few bits make candidates, the thumbnails decide: on 48 × 48 faces half of
the candidates are other people.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.faces.signatures import Hashes, Signatures, correlate, mirror

Rows: TypeAlias = NDArray[np.int64]

ALIKE = 0.95
"""The least correlation of two thumbnails that makes them one picture.

On pairs of FER+ pictures whose hashes differ in at most four bits, those above are copies by eye
and those below 0.92 mostly other people (docs/curation.md)."""

COMPARISONS = 100
"""With how many neighbors a hash is compared in each table, on average, at most.

On FER+ it is less than one (at most 4 bits) or five (8 bits); it grows with the dataset."""

FEW = 10_000_000
"""So many comparisons in a table are always made: a tenth of a second."""


class NearSearch:
    """All pairs of hashes that differ in at most `distance` bits, without comparing all pairs.

    The 64 bits are dealt out to `distance` + 3 bands, so at least three bands of such a pair are
    equal. For each three bands the hashes are sorted by those, and equal neighbors compared; a
    pair counts in the table of its first three equal bands only, so that it comes once.
    The bands take every so-manieth bit: neighboring bits of pictures hang together.

    In each table every hash is compared with its next neighbor, those that share its bands with
    the one after, and so on, until there are none or `budget` comparisons are made: that bounds
    the time whatever the pictures are. `complete` tells whether it left anything out.
    """

    def __init__(self, hashes: Hashes, distance: int, budget: int | None = None) -> None:
        self._hashes = hashes
        self._distance = distance
        self._budget = max(FEW, COMPARISONS * len(hashes)) if budget is None else budget
        self.complete = True

    def pairs(self) -> Iterator[tuple[Rows, Rows]]:
        """Arrays of the lower and the higher index of pairs, a portion at a time."""
        by_value = np.argsort(self._hashes, kind="stable")
        values = self._hashes[by_value]
        bands = self._distance + 3
        masks = [np.uint64(sum(1 << bit for bit in range(b, 64, bands))) for b in range(bands)]
        for chosen in itertools.combinations(range(bands), 3):
            keys = values & (masks[chosen[0]] | masks[chosen[1]] | masks[chosen[2]])
            order = np.argsort(keys, kind="stable")
            earlier = [masks[band] for band in range(chosen[2]) if band not in chosen]
            for left, right in self._table(keys[order], values[order], earlier):
                a, b = by_value[order[left]], by_value[order[right]]
                yield np.minimum(a, b), np.maximum(a, b)

    def _table(
        self, keys: Hashes, values: Hashes, earlier: Sequence[np.uint64]
    ) -> Iterator[tuple[Rows, Rows]]:
        rows = np.arange(len(keys), dtype=np.int64)
        compared = 0
        for step in range(1, len(keys)):
            rows = rows[rows + step < len(keys)]
            rows = rows[keys[rows] == keys[rows + step]]
            if not len(rows):
                return
            compared += len(rows)
            if compared > self._budget:
                self.complete = False
                return
            differing = values[rows] ^ values[rows + step]
            near = count_bits(differing) <= self._distance
            for mask in earlier:
                near &= (differing & mask) != 0
            if near.any():
                yield rows[near], rows[near] + step


def count_bits(values: Hashes) -> NDArray[np.uint64]:
    """How many bits of each uint64 are set; shape of the input.

    >>> count_bits(np.array([0, 7, 2**64 - 1], np.uint64)).tolist()
    [0, 3, 64]
    """
    # Sums of neighboring bits, pairs and nibbles; numpy has bitwise_count only since version 2.
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    pairs, nibbles = np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    values = values - ((values >> one) & np.uint64(0x5555555555555555))
    values = (values & pairs) + ((values >> two) & pairs)
    values = (values + (values >> four)) & nibbles
    result: Hashes = (values * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return result


class Components:
    """Union-find over n things, many pairs at a time.

    Attributes:
        labels: int64 (n,), the smallest member of each thing's component.
    """

    def __init__(self, n: int) -> None:
        self.labels: Rows = np.arange(n, dtype=np.int64)

    def join(self, left: Rows, right: Rows) -> None:
        """Put the two things of every pair into one component."""
        while True:
            a, b = self.labels[left], self.labels[right]
            apart = a != b
            if not apart.any():
                return
            left, right, a, b = left[apart], right[apart], a[apart], b[apart]
            np.minimum.at(self.labels, np.maximum(a, b), np.minimum(a, b))
            while not np.array_equal(upper := self.labels[self.labels], self.labels):
                self.labels = upper

    def join_equal(self, keys: NDArray[np.generic], rows: Rows) -> None:
        """Join those of the rows that have equal keys; `keys` is (len(rows),)."""
        order = np.argsort(keys, kind="stable")
        equal = keys[order][:-1] == keys[order][1:]
        self.join(rows[order][:-1][equal], rows[order][1:][equal])


def find_copies(signatures: Signatures, near: int) -> tuple[Rows, bool]:
    """Which faces are the same picture, as it is or mirrored.

    Args:
        signatures: of n faces.
        near: the most bits by which the hashes of copies may differ; 0 needs equal hashes.

    Returns:
        int64 (n,), the first row of each row's cluster; and whether the search was complete.
        Rows that are broken are alone; rows that are blank are joined only by equal pixels.
    """
    components = Components(len(signatures.pixels))
    rows = np.flatnonzero(signatures.readable)
    components.join_equal(signatures.pixels[rows], rows)
    firsts = components.labels == np.arange(len(components.labels))
    rows = np.flatnonzero(firsts & signatures.readable & ~signatures.blank)
    n = len(rows)
    both = np.concatenate([signatures.dhash[rows], signatures.mirrored[rows]])
    search = NearSearch(both, near)
    for pairs in search.pairs():
        new = pairs[0] < n  # what is near in two mirrors is near without them
        left, right = pairs[0][new], pairs[1][new]
        for start in range(0, len(left), 32_768):  # bounds the floats of the thumbnails
            part = slice(start, start + 32_768)
            a, b, in_mirror = rows[left[part]], rows[right[part] % n], right[part] >= n
            apart = components.labels[a] != components.labels[b]
            a, b, in_mirror = a[apart], b[apart], in_mirror[apart]
            others = signatures.thumbs[b]
            others[in_mirror] = mirror(others[in_mirror])
            alike = correlate(signatures.thumbs[a], others) >= ALIKE
            components.join(a[alike], b[alike])
    return components.labels, search.complete
