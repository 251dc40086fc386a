"""The spectra of thumbnails: how much an image shows, and how alike two images are.

A spectrum is the cosine transform of a thumbnail, each frequency weighted by itself: photographs
have about as much of each then, so that a fine detail counts as much as a coarse one.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.faces.signatures import BLANK, THUMB

Thumbs: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

SPREAD = 48.0
"""The number of places with edges from which on an image is as detailed as its spectrum says."""

MOVE = 0.6
"""By how many pixels of the thumbnail alignment moves its edges, at most, in each way.

A cut of 3 % on one side is half a pixel."""

_RIDGE = 0.02  # the share of a mean gradient that keeps directions without edges from moving
_COARSE, _FINE = 6, 12  # the highest sum of two frequencies
_MOVES = 4  # to the side, down, and a stretch in each of these directions
_PORTION = 8192  # thumbnails that become floats at a time


class View(NamedTuple):
    """A part of a thumbnail, stretched to 16 × 16 again.

    Attributes:
        top, bottom: its first row and the one after its last, in pixels of the thumbnail.
        mirrored: whether left and right are exchanged.
    """

    top: float = 0
    bottom: float = THUMB
    mirrored: bool = False


def measure_detail(thumbs: Thumbs, view: View | None = None) -> Floats:
    """How many independent details images show; 0 where they are blank.

    It is the number of frequencies over which the spectrum is spread, less where the edges are in
    a few places only. A photograph has 20 to 70; a wall, or the straight edge of one, has less.

    Args:
        thumbs: uint8 (n, 256), also mapped to memory.
        view: the part that is looked at; all of it by default.

    Returns:
        float32 (n,).
    """
    result = np.zeros(len(thumbs), np.float32)
    look = _stretch(view or View()).T.astype(np.float32)
    transform = (_cosines() * _weights()[:, None]).T.astype(np.float32)
    for start in range(0, len(thumbs), _PORTION):
        seen = thumbs[start : start + _PORTION].astype(np.float32) @ look
        frequencies = _count_even(np.square(seen @ transform))
        cells = seen.reshape(-1, THUMB, THUMB)
        across = np.diff(cells, axis=2)[:, :-1].reshape(len(seen), -1)
        down = np.diff(cells, axis=1)[:, :, :-1].reshape(len(seen), -1)
        places = _count_even(np.square(across) + np.square(down))
        detail = frequencies * np.minimum(1, places / SPREAD)
        result[start : start + _PORTION] = np.where(seen.std(axis=1) < BLANK, 0, detail)
    return result


def find_outlines(thumbs: Thumbs, rows: NDArray[np.int64], view: View) -> Floats:
    """The low frequencies of some images as vectors of length 1; float32 (m, 25).

    Args:
        thumbs: uint8 (n, 256), also mapped to memory.
        rows: which of them, int64 (m,).
        view: the part that is looked at.
    """
    matrix = _spectrum(view, _COARSE)
    result = np.empty((len(rows), matrix.shape[1]), np.float32)
    for start in range(0, len(rows), _PORTION):
        part = thumbs[rows[start : start + _PORTION]].astype(np.float32)
        result[start : start + _PORTION] = _scale(part @ matrix)
    return result


def compare_aligned(left: Thumbs, right: Thumbs, left_view: View, right_view: View) -> Floats:
    """How alike pairs of images are, once they are shifted and stretched a little to meet.

    The shift and the stretch, each in two directions, are those of the least squared difference
    to first order.

    Args:
        left, right: uint8 (m, 256), the two thumbnails of each pair.
        left_view, right_view: the parts of them that should be the same.

    Returns:
        float32 (m,), the correlation of their spectra.
    """
    a = _scale(left.astype(np.float32) @ _spectrum(left_view, _FINE))
    b = _scale(right.astype(np.float32) @ _spectrum(right_view, _FINE))
    gradients = [(side @ _moves()).reshape(len(a), _MOVES, a.shape[1]) for side in (a, b)]
    slopes = (gradients[0] + gradients[1]) / 2
    products = slopes @ slopes.transpose(0, 2, 1)
    kinds = np.arange(_MOVES)
    ridge = _RIDGE * np.trace(products, axis1=1, axis2=2) / _MOVES
    products[:, kinds, kinds] += ridge[:, None] + 1e-9
    by = np.linalg.solve(products, slopes @ (b - a)[:, :, None])
    # Each side goes half of the way: that turns every wave as it should and keeps its height.
    half = np.clip(by, -MOVE, MOVE).transpose(0, 2, 1) / 2
    moved = _scale(a + (half @ gradients[0])[:, 0])
    met = _scale(b - (half @ gradients[1])[:, 0])
    result: Floats = (moved * met).sum(axis=1)
    return result


def _scale(vectors: Floats) -> Floats:
    result: Floats = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6)
    return result


def _count_even(energy: Floats) -> Floats:
    """Over how many of its columns the energy of each row is spread (participation ratio)."""
    result: Floats = np.square(energy.sum(axis=1)) / (np.square(energy).sum(axis=1) + 1e-6)
    return result


@functools.cache
def _cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform of 16 × 16 pixels, (256, 256)."""
    places = (np.arange(THUMB) + 0.5) / THUMB
    waves = np.cos(np.pi * np.arange(THUMB)[:, None] * places) * np.sqrt(2 / THUMB)
    waves[0] *= np.sqrt(0.5)
    return np.kron(waves, waves)


@functools.cache
def _weights() -> NDArray[np.float64]:
    """The frequency of each row of `_cosines`, (256,)."""
    vertical, horizontal = np.divmod(np.arange(THUMB * THUMB), THUMB)
    return np.hypot(vertical, horizontal)


@functools.cache
def _chosen(highest: int) -> NDArray[np.int64]:
    """The rows of `_cosines` with at most this sum of frequencies, each below it; not the mean."""
    vertical, horizontal = np.divmod(np.arange(THUMB * THUMB), THUMB)
    inside = (vertical + horizontal <= highest) & (np.maximum(vertical, horizontal) < highest)
    return np.flatnonzero(inside & (vertical + horizontal > 0))


@functools.cache
def _stretch(view: View) -> NDArray[np.float64]:
    """What makes the view of a thumbnail, (256, 256)."""
    edges = np.linspace(view.top, view.bottom, THUMB + 1)
    rows = np.arange(THUMB)
    overlap = np.minimum(edges[1:, None], rows + 1) - np.maximum(edges[:-1, None], rows)
    vertical = np.clip(overlap, 0, None)
    horizontal = np.eye(THUMB)[:, ::-1] if view.mirrored else np.eye(THUMB)
    return np.kron(vertical / vertical.sum(axis=1, keepdims=True), horizontal)


@functools.cache
def _spectrum(view: View, highest: int) -> Floats:
    """What makes the weighted spectrum of a view of a thumbnail, (256, frequencies)."""
    chosen = _chosen(highest)
    weighted = _cosines()[chosen] * _weights()[chosen, None]
    return (weighted @ _stretch(view)).T.astype(np.float32)


@functools.cache
def _moves() -> Floats:
    """What makes the change of a spectrum by each of four moves, (frequencies, 4 × frequencies).

    The moves are one pixel to the side, one pixel down, and a stretch by one pixel at the edges
    in each direction.
    """
    slope = (np.eye(THUMB, k=1) - np.eye(THUMB, k=-1)) / 2
    slope[0, 0], slope[-1, -1] = -0.5, 0.5  # the edge repeats
    half = (THUMB - 1) / 2
    stretch = ((np.arange(THUMB) - half) / half)[:, None] * slope
    still = np.eye(THUMB)
    ways = [np.kron(still, slope), np.kron(slope, still)]
    ways += [np.kron(still, stretch), np.kron(stretch, still)]
    chosen = _chosen(_FINE)
    there = _cosines()[chosen] * _weights()[chosen, None]
    back = _cosines()[chosen].T / _weights()[chosen]
    return np.concatenate([(there @ way @ back).T for way in ways], axis=1).astype(np.float32)
