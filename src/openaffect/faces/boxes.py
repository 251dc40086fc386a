"""Boxes and faces, the values that detectors return."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in float pixels of a picture: left, top, width, height.

    Raises:
        ValueError: a number that is not finite, or a size that is not positive.

    >>> Box(10, 20, 30, 40).center
    (25.0, 40.0)
    """

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.w, self.h))):
            raise ValueError(f"expected a box of finite numbers, but got {self}")
        if self.w <= 0 or self.h <= 0:
            raise ValueError(f"expected a box of positive width and height, but got {self}")

    @property
    def center(self) -> tuple[float, float]:
        """The middle, x and y in pixels."""
        return self.x + self.w / 2, self.y + self.h / 2

    @property
    def area(self) -> float:
        """Width times height, in square pixels."""
        return self.w * self.h

    def expand(self, factor: float) -> Box:
        """The box `factor` times as wide and high about the same center."""
        cx, cy = self.center
        w, h = self.w * factor, self.h * factor
        return Box(cx - w / 2, cy - h / 2, w, h)

    def shift(self, dx: float, dy: float) -> Box:
        """The box moved by shares of its own width and height."""
        return Box(self.x + dx * self.w, self.y + dy * self.h, self.w, self.h)

    def scale(self, factor: float) -> Box:
        """The same box in a picture that is `factor` times as large."""
        return Box(self.x * factor, self.y * factor, self.w * factor, self.h * factor)

    def clip(self, width: float, height: float) -> Box | None:
        """The part inside a picture of this size, or None if there is none."""
        left, top = max(self.x, 0.0), max(self.y, 0.0)
        right, bottom = min(self.x + self.w, width), min(self.y + self.h, height)
        if right <= left or bottom <= top:
            return None
        return Box(left, top, right - left, bottom - top)

    def intersection(self, other: Box) -> float:
        """The area shared with another box, in square pixels."""
        w = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        h = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        return w * h if w > 0 and h > 0 else 0.0

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, in [0, 1]."""
        shared = self.intersection(other)
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True)
class Face:
    """A face found in a picture.

    Attributes:
        box: in pixels of the picture, inside it, in YuNet's framing whatever detector found
            it, so that a crop rule can be used on it as it is.
        score: the detector's confidence, in [0, 1].
        detector: the name of the detector, such as `yunet`.
        landmarks: 68 points in iBUG-68 order, float32 (68, 2), pixels of the picture; or None.
            Two faces are compared without them.
    """

    box: Box
    score: float
    detector: str
    landmarks: NDArray[np.float32] | None = field(default=None, compare=False)
