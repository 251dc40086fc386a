"""Near copies among all images of a project: resized, compressed, cut a little, with a caption.

`faces.near_search` finds faces whose hashes differ in a few bits. A caption or a cut changes more
bits than a search among a million hashes can allow, so the spectra of the thumbnails are compared
here: their low frequencies find candidates, all of them decide.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openaffect.collection.spectra import (
    Floats,
    Thumbs,
    View,
    compare_aligned,
    find_outlines,
    measure_detail,
)
from openaffect.errors import InputError
from openaffect.faces.near_search import Components, Rows
from openaffect.faces.signatures import THUMB, Hashes
from openaffect.progress import OnProgress, Progress

PLAIN = 12.0
"""An image with less detail (see `measure_detail`) is recognized by its pixels alone: the walls
and edges of one thing look like those of another."""

RICH = 20.0
"""The detail from which on `ALIKE_RICH` is enough."""

ALIKE_PLAIN, ALIKE_RICH = 0.99, 0.965
"""The least correlation of the spectra of copies, at a detail of `PLAIN` and from `RICH` on.

Chosen on other photographs than those on which it is measured (docs/duplicates.md)."""

SLACK = 0.05
"""How much less the low frequencies of a candidate may correlate, since it is not aligned yet."""

CELLS = 2048
"""Into how many cells the images are sorted by the direction of their low frequencies."""

NEAREST = 3
"""In how many cells each image lies, so that copies have one in common."""

CROWD = 60_000
"""With how many images of a cell each of its images is compared, at most.

The largest cell of 1,800,000 windows of photographs has a third of it."""

CANDIDATES = 30
"""How many candidates of a cell are looked at, for each of its images, at most; on windows of
photographs it is less than one."""

_HIDDEN = 3.0  # rows that a caption may cover: up to 15 % of the height, and the pixel it cuts
_ADDED = 1.5  # rows of the image without caption that are hidden then, where it was added outside
_WAYS = (
    (View(), View()),
    (View(), View(mirrored=True)),
    (View(top=_ADDED), View(top=_HIDDEN)),
    (View(bottom=THUMB - _ADDED), View(bottom=THUMB - _HIDDEN)),
    (View(top=_HIDDEN), View(top=_HIDDEN)),
    (View(bottom=THUMB - _HIDDEN), View(bottom=THUMB - _HIDDEN)),
)
_BLOCK = (256, 8192)  # images of a cell that are compared at a time
_PORTION = 8192  # images or pairs at a time, so that what becomes floats stays small
_WAITING = 262_144  # candidates before they are looked at: joining takes time for all images


@dataclass(frozen=True, slots=True)
class Copies:
    """Which images are copies of one another.

    Attributes:
        labels: int64 (n,), the smallest member of each image's cluster.
        complete: whether nothing was left out. Where crowds of images resemble each other without
            being copies, the search stops at `CROWD` and `CANDIDATES`, and copies among these
            may be missing.
    """

    labels: Rows
    complete: bool


class _Cells(NamedTuple):
    """Images sorted by the directions next to their low frequencies.

    Attributes:
        rows: int64 (m,), the images.
        outlines: float32 (m, 25), their low frequencies.
        order: indices of `rows`, cell after cell, each `NEAREST` times.
        starts: where each cell starts in `order`, and where the last one ends.
    """

    rows: Rows
    outlines: Floats
    order: NDArray[np.int32]
    starts: Rows


def find_near_copies(
    pixels: Hashes, thumbs: Thumbs, *, on_progress: OnProgress | None = None
) -> Copies:
    """Find the copies among images, as they are, altered a little, or mirrored.

    Images of equal pixels are copies. Others are copies if they have some detail and their
    spectra correlate, as they are, or without the strip above or below that a caption may take.
    What is a copy of a copy is in its cluster.

    Args:
        pixels: uint64 (n,), the digest of each image's pixels; see `signatures.Signature`.
        thumbs: uint8 (n, 256), the thumbnails; may be mapped to memory, and is never copied whole.
        on_progress: called now and then with the share of the search that is done.

    Raises:
        InputError: the arrays do not fit together.
    """
    if pixels.ndim != 1 or thumbs.shape != (len(pixels), THUMB * THUMB):
        raise InputError(
            f"expected thumbnails of shape ({len(pixels)}, {THUMB * THUMB}), one for each digest, "
            f"but got {thumbs.shape}; give both of the same images"
        )
    components = Components(len(pixels))
    components.join_equal(pixels, np.arange(len(pixels)))
    firsts = components.labels == np.arange(len(pixels))
    detail: dict[View, Floats] = {}
    complete = True
    for way, views in enumerate(_WAYS):
        for view in views:
            if view not in detail:
                detail[view] = measure_detail(thumbs, view)
        judge = _Judge(components, thumbs, views, (detail[views[0]], detail[views[1]]))
        for cell, searched in enumerate(_search(thumbs, firsts, judge)):
            complete &= searched
            if on_progress is not None and cell % 64 == 0:
                done = way * CELLS + cell
                on_progress(Progress("copies", done=done, total=len(_WAYS) * CELLS))
        judge.decide()
    return Copies(components.labels, complete)


class _Judge:
    """Decides which candidates are copies, and joins them."""

    def __init__(
        self,
        components: Components,
        thumbs: Thumbs,
        views: tuple[View, View],
        detail: tuple[Floats, Floats],
    ) -> None:
        self.views = views
        self.detail = detail
        self._components = components
        self._thumbs = thumbs
        self._waiting: list[tuple[Rows, Rows]] = []
        self._count = 0

    def add(self, left: Rows, right: Rows, outlines: Floats) -> int:
        """Take candidates whose outlines correlate so; returns how many there are to look at."""
        labels = self._components.labels
        possible = labels[left] != labels[right]
        possible &= outlines >= self._least(left, right) - SLACK
        self._waiting.append((left[possible], right[possible]))
        count = int(possible.sum())
        self._count += count
        if self._count > _WAITING:
            self.decide()
        return count

    def decide(self) -> None:
        """Compare those that wait, and join the copies."""
        if not self._count:
            return
        left, right = (np.concatenate(rows) for rows in zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        for start in range(0, len(left), _PORTION):
            a, b = left[start : start + _PORTION], right[start : start + _PORTION]
            apart = self._components.labels[a] != self._components.labels[b]
            a, b = a[apart], b[apart]
            alike = compare_aligned(self._thumbs[a], self._thumbs[b], *self.views)
            same = alike >= self._least(a, b)
            self._components.join(a[same], b[same])

    def _least(self, left: Rows, right: Rows) -> Floats:
        """The correlation that makes pairs copies: the higher, the less there is to compare."""
        detail = np.minimum(self.detail[0][left], self.detail[1][right])
        least = np.interp(detail, [PLAIN, RICH], [ALIKE_PLAIN, ALIKE_RICH])
        return least.astype(np.float32)


def _search(thumbs: Thumbs, firsts: NDArray[np.bool_], judge: _Judge) -> Iterator[bool]:
    """Give the candidates to the judge; whether all were given, a cell at a time."""
    sides: dict[View, _Cells] = {}
    for view, detail in zip(judge.views, judge.detail, strict=True):
        if view not in sides:
            sides[view] = _sort(thumbs, np.flatnonzero(firsts & (detail >= PLAIN)), view)
    left, right = (sides[view] for view in judge.views)
    for cell in range(CELLS):
        yield _search_cell(left, right, cell, judge)


def _sort(thumbs: Thumbs, rows: Rows, view: View) -> _Cells:
    outlines = find_outlines(thumbs, rows, view)
    directions = _directions(outlines.shape[1], CELLS)
    nearest = np.empty((len(rows), NEAREST), np.int16)
    for start in range(0, len(rows), _PORTION):
        near = outlines[start : start + _PORTION] @ directions
        for place in range(NEAREST):
            best = near.argmax(axis=1)
            nearest[start : start + _PORTION, place] = best
            near[np.arange(len(near)), best] = -2  # less than any
    cells = nearest.reshape(-1)
    order = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells, np.arange(CELLS + 1), sorter=order)
    return _Cells(rows, outlines, (order // NEAREST).astype(np.int32), starts)


@functools.cache
def _directions(dimensions: int, count: int) -> Floats:
    """Directions that are spread evenly and never change, (dimensions, count).

    They do not depend on the images, so that two copies are found or missed whatever else there
    is; the weights of a spectrum make the images lie about evenly in every direction.
    """
    drawn = np.random.default_rng(0).normal(size=(dimensions, count))
    drawn /= np.linalg.norm(drawn, axis=0)
    return drawn.astype(np.float32)


def _search_cell(left: _Cells, right: _Cells, cell: int, judge: _Judge) -> bool:
    """Give the candidates of one cell to the judge; returns whether all of them were given."""
    a, b = (side.order[side.starts[cell] : side.starts[cell + 1]] for side in (left, right))
    allowed = CANDIDATES * (len(a) + len(b))
    # Where both sides are the same, each pair is looked at from its earlier member.
    for near, far in _blocks(min(len(a), CROWD), len(b), halve=left is right):
        similar = left.outlines[a[near]] @ right.outlines[b[far]].T
        found = np.flatnonzero(similar >= ALIKE_RICH - SLACK)
        i, j = np.divmod(found, similar.shape[1])
        rows, others = left.rows[a[near][i]], right.rows[b[far][j]]
        new = rows != others
        allowed -= judge.add(rows[new], others[new], similar.reshape(-1)[found[new]])
        if allowed < 0:
            return False
    return len(a) <= CROWD


def _blocks(height: int, width: int, *, halve: bool) -> Iterator[tuple[slice, slice]]:
    """Blocks of a table, or of its half above the diagonal, with some of what is below it.

    The first row of blocks is whole: it joins a crowd of copies before all of it is looked at.
    """
    rows, columns = _BLOCK
    for top in range(0, height, rows):
        for start in range(top if halve else 0, width, columns):
            yield slice(top, min(height, top + rows)), slice(start, start + columns)
