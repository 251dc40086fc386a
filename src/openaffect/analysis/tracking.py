"""Tracks: which face of a frame is which face of the frames before.

A track moves on at its last speed; finds are given to tracks greedily, the best overlap first,
then the nearest center. A track without a find waits, and keeps its number if the face comes
back in time. Nothing is recognized: a face that comes back later is a new track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openaffect.faces.boxes import Box

PATIENCE = 30
"""Frames that a track waits for its face unless the caller says otherwise."""

_MIN_IOU = 0.15
# Without overlap, a center may be this many mean sides from where it is expected, and further
# for every frame that the face was away.
_REACH, _DISTANCE_PER_FRAME, _MAX_DISTANCE = 0.5, 0.05, 1.5
_MAX_SIDE_RATIO = 1.8  # of the sides of two boxes that can be one face
_INERTIA = 0.6  # share of the old speed in the new one
_COAST = 10  # frames that a track moves on alone; then it waits in place


@dataclass(frozen=True, slots=True)
class Track:
    """A face over frames.

    Attributes:
        id: its number in the video.
        box: where it was last seen, in pixels.
        speed: of its center, in pixels a frame (x, y).
        missed: frames since then; 0 while it is seen.
    """

    id: int
    box: Box
    speed: tuple[float, float] = (0.0, 0.0)
    missed: int = 0

    def expect(self) -> Box:
        """Where it should be in the next frame."""
        steps = min(self.missed + 1, _COAST)
        dx, dy = (steps * value for value in self.speed)
        return Box(self.box.x + dx, self.box.y + dy, self.box.w, self.box.h)

    def seen(self, box: Box) -> Track:
        """The track after it was found in the next frame."""
        steps = self.missed + 1
        (x, y), (old_x, old_y) = box.center, self.box.center
        moved = ((x - old_x) / steps, (y - old_y) / steps)
        speed = tuple(
            _INERTIA * old + (1 - _INERTIA) * new
            for old, new in zip(self.speed, moved, strict=True)
        )
        return replace(self, box=box, speed=(speed[0], speed[1]), missed=0)


class Tracker:
    """The tracks of one video, brought forward frame by frame.

    Attributes:
        tracks: that are seen or waited for, the oldest first.
    """

    def __init__(self, patience: int = PATIENCE, first_id: int = 0) -> None:
        self.tracks: tuple[Track, ...] = ()
        self._patience = patience
        self._next = first_id

    def match(self, boxes: Sequence[Box]) -> dict[int, int]:
        """For each box that continues a track, by its number: the number of that track in `tracks`."""
        expected = [track.expect() for track in self.tracks]
        scores = _scores(expected, boxes, [track.missed for track in self.tracks])
        matches: dict[int, int] = {}
        taken: set[int] = set()
        # Ties go to the older track and the earlier box.
        for flat in np.argsort(-scores, axis=None, kind="stable"):
            track, box = divmod(int(flat), len(boxes))
            if not np.isfinite(scores[track, box]):
                break
            if track not in taken and box not in matches:
                matches[box] = track
                taken.add(track)
        return matches

    def update(self, boxes: Sequence[Box]) -> list[int]:
        """Bring the tracks forward by a frame; the track id of each box."""
        matches = self.match(boxes)
        ids = []
        seen: dict[int, Track] = {}
        new = []
        for number, box in enumerate(boxes):
            if number in matches:
                track = self.tracks[matches[number]]
                seen[matches[number]] = track.seen(box)
                ids.append(track.id)
            else:
                new.append(Track(self._next, box))
                ids.append(self._next)
                self._next += 1
        old = (
            seen.get(number) or replace(track, missed=track.missed + 1)
            for number, track in enumerate(self.tracks)
        )
        self.tracks = (*(track for track in old if track.missed <= self._patience), *new)
        return ids


def _scores(
    expected: Sequence[Box], boxes: Sequence[Box], missed: Sequence[int]
) -> NDArray[np.float64]:
    """How well each box fits each track, (tracks, boxes): IoU, or minus the distance; −inf for never."""
    scores = np.full((len(expected), len(boxes)), -np.inf)
    if not scores.size:
        return scores
    a, b = _corners(expected)[:, None], _corners(boxes)[None]
    shared = np.clip(
        np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None
    )
    common = shared.prod(axis=-1)
    sizes_a, sizes_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    iou = common / (sizes_a.prod(axis=-1) + sizes_b.prod(axis=-1) - common)
    side_a, side_b = np.sqrt(sizes_a.prod(axis=-1)), np.sqrt(sizes_b.prod(axis=-1))
    steps = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = np.hypot(steps[..., 0], steps[..., 1]) / ((side_a + side_b) / 2)
    reach = np.minimum(_REACH + _DISTANCE_PER_FRAME * np.asarray(missed)[:, None], _MAX_DISTANCE)
    alike = np.maximum(side_a / side_b, side_b / side_a) <= _MAX_SIDE_RATIO
    scores = np.where(alike & (distance <= reach), -distance, scores)
    return np.where(iou >= _MIN_IOU, iou, scores)


def _corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    return np.array([(box.x, box.y, box.x + box.w, box.y + box.h) for box in boxes])
