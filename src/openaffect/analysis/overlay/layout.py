"""Where labels and insets go in a picture: near their face, inside the picture, on nobody's face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.faces.boxes import Box

Rectangles: TypeAlias = NDArray[np.float64]
"""Rows of x, y, w, h in pixels, (n, 4)."""

_GRID = 16  # samples a side when the part of a rectangle that lies on a face is measured
_ON_FACE = 0.02  # the share of an inset that may lie on a face
_SHRINK = (1.0, 0.82, 0.66)


@dataclass(frozen=True, slots=True)
class Place:
    """What belongs to one face: the rectangle of its label, and of its inset if there is room."""

    label: Box
    inset: Box | None


def place_all(
    size: tuple[int, int],
    faces: Sequence[Box],
    labels: Sequence[tuple[float, float]],
    insets: Sequence[float],
    gaps: Sequence[float],
) -> list[Place]:
    """Places for the label and the inset of every face, large faces first.

    Args:
        size: width and height of the picture.
        faces: boxes in its pixels.
        labels: width and height of each face's label.
        insets: side of each face's inset; 0 for none.
        gaps: the room to keep around each.
    Returns:
        In the order of `faces`. A label always has a place, if need be on a face; an inset
        shrinks where room is short, and is left out where it would cover a face.
    """
    shapes = _rectangles(faces)
    taken = np.empty((0, 4))
    order = sorted(range(len(faces)), key=lambda i: -faces[i].area)
    label_places: dict[int, Box] = {}
    for i in order:
        spots = _keep_inside(_rectangles(_label_spots(faces[i], *labels[i], gaps[i])), size, 0)
        # Each step down the list of spots costs as much as a fifth of a face of distance.
        costs = _costs(spots, shapes, taken, i) + 0.2 * np.arange(len(spots))
        best = spots[np.argmin(costs)]
        label_places[i] = Box(*best.tolist())
        taken = np.vstack([taken, best])
    inset_places: dict[int, Box | None] = {}
    for i in order:
        found = _place_inset(faces[i], insets[i], gaps[i], size, shapes, taken, i)
        inset_places[i] = None if found is None else Box(*found.tolist())
        if found is not None:
            taken = np.vstack([taken, found])
    return [Place(label_places[i], inset_places[i]) for i in range(len(faces))]


def _place_inset(
    face: Box,
    side: float,
    gap: float,
    size: tuple[int, int],
    shapes: Rectangles,
    taken: Rectangles,
    own: int,
) -> Rectangles | None:
    """The best free rectangle for an inset, (4,), or None."""
    for factor in _SHRINK if side else ():
        spots = _rectangles(_inset_spots(face, side * factor, gap, size))
        spots = _keep_inside(spots, size, gap)
        grown = spots + np.array([-gap / 2, -gap / 2, gap, gap])
        free = (_common(grown, taken) <= 0).all(axis=1)
        free &= (_share_on_faces(spots, shapes) <= _ON_FACE).all(axis=1)
        if free.any():
            spots = spots[free]
            costs = _costs(spots, shapes, taken, own)
            return np.asarray(spots[np.argmin(costs)], float)
    return None


def _label_spots(face: Box, w: float, h: float, gap: float) -> Iterator[Box]:
    """Where a label may go, the best place first."""
    top, bottom = face.y - h - gap / 2, face.y + face.h + gap / 2
    right = face.x + face.w - w
    for y in (top, bottom):
        yield Box(face.x, y, w, h)
        yield Box(right, y, w, h)
    yield Box(face.x + face.w + gap, face.y, w, h)
    yield Box(face.x - w - gap, face.y, w, h)
    yield Box(face.x + gap, face.y + gap, w, h)
    yield Box(face.x + gap, face.y + face.h - h - gap, w, h)


def _inset_spots(face: Box, side: float, gap: float, size: tuple[int, int]) -> Iterator[Box]:
    """Where an inset may go: beside the face, above, below, and in the corners of the picture."""
    columns = (face.x - side - gap, face.x + face.w + gap)
    for x in columns:
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            yield Box(x, face.y + share * (face.h - side), side, side)
    for y in (face.y + face.h + gap, face.y - side - gap):
        for x in (face.x, face.center[0] - side / 2, face.x + face.w - side, *columns):
            yield Box(x, y, side, side)
    for x in (gap, size[0] - side - gap):
        for y in (gap, size[1] - side - gap):
            yield Box(x, y, side, side)


def _rectangles(boxes: Iterable[Box]) -> Rectangles:
    rows = [(box.x, box.y, box.w, box.h) for box in boxes]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 4)


def _costs(
    spots: Rectangles, faces: Rectangles, taken: Rectangles, own: int
) -> NDArray[np.float64]:
    """For each spot, lower is better: off the faces, off what is placed already, and near."""
    areas = spots[:, 2] * spots[:, 3]
    on_faces = _share_on_faces(spots, faces).sum(axis=1)
    on_boxes = _common(spots, faces).sum(axis=1) / areas
    on_taken = _common(spots, taken).sum(axis=1) / areas
    face = faces[own]
    steps = (spots[:, :2] + spots[:, 2:] / 2 - face[:2] - face[2:] / 2) / face[2:]
    far: NDArray[np.float64] = np.hypot(steps[:, 0], steps[:, 1])
    costs: NDArray[np.float64] = 8 * on_faces + 12 * on_taken + 2 * on_boxes + far
    return costs


def _share_on_faces(spots: Rectangles, faces: Rectangles) -> NDArray[np.float64]:
    """The part of each spot inside the ellipse of each face's box, in [0, 1], (spots, faces)."""
    shares = np.zeros((len(spots), len(faces)))
    steps = (np.arange(_GRID) + 0.5) / _GRID
    for number in np.flatnonzero((_common(spots, faces) > 0).any(axis=0)):
        left, top, w, h = faces[number]
        x = (spots[:, 0, None] + steps * spots[:, 2, None] - left) / w * 2 - 1
        y = (spots[:, 1, None] + steps * spots[:, 3, None] - top) / h * 2 - 1
        shares[:, number] = (x[:, None, :] ** 2 + y[:, :, None] ** 2 < 1).mean(axis=(1, 2))
    return shares


def _common(a: Rectangles, b: Rectangles) -> NDArray[np.float64]:
    """The area that each of `a` shares with each of `b`, (len(a), len(b))."""
    ends = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    sides = np.maximum(ends - np.maximum(a[:, None, :2], b[None, :, :2]), 0)
    area: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return area


def _keep_inside(spots: Rectangles, size: tuple[int, int], gap: float) -> Rectangles:
    """The spots moved into the picture; one that is larger than the picture starts at its edge."""
    moved = spots.copy()
    for axis in (0, 1):
        room = size[axis] - spots[:, axis + 2]
        least = np.minimum(gap, np.maximum(room, 0))
        moved[:, axis] = np.maximum(np.minimum(spots[:, axis], room - gap), least)
    return moved
