"""The crop rule: from a box in a picture to the square that a model sees, and back.

The rule is data that travels with datasets and models, so that training and prediction frame
a face alike. Boxes are in YuNet's framing; `find_faces` brings the boxes of other detectors there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.faces.boxes import Box
from openaffect.images import MAX_PIXELS, Pixels, resize_image

BORDERS = {"replicate": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}


@dataclass(frozen=True, slots=True)
class CropRule:
    """How a box becomes a crop.

    Attributes:
        detector: whose framing the margin is measured against.
        margin: added on each side, as a share of the box; 0.15 is AffectNet's.
        square: take a square on the longer side; else expand width and height each.
        border: what lies outside the picture: `replicate` its edge, or `black`.
    """

    detector: str = "yunet"
    margin: float = 0.15
    square: bool = True
    border: str = "replicate"

    def __post_init__(self) -> None:
        if self.border not in BORDERS:
            raise UnknownName("border", self.border, BORDERS, "the crop rule")
        if not -0.5 < self.margin <= 5:
            raise FormatError(f"expected a crop margin in (-0.5, 5], but got {self.margin}")
        if not isinstance(self.square, bool):
            raise FormatError(f"expected square to be true or false, but got {self.square!r}")

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON-ready data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "the crop rule") -> CropRule:
        """The rule from its data.

        Raises:
            FormatError: a key that no rule has, or a value that is out of range.
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise FormatError(
                f"{where} is not {{detector, margin, square, border}}: {data}"
            ) from error


@dataclass(frozen=True, slots=True)
class Window:
    """The whole pixels of a picture that a crop takes; they may lie outside of it."""

    x: int
    y: int
    w: int
    h: int

    def to_crop(self, points: NDArray[np.floating], width: int, height: int) -> NDArray[np.float32]:
        """Points (n, 2) of the picture, in pixels of a crop resized to width × height."""
        scale = np.array([width / self.w, height / self.h])
        moved = (np.asarray(points, np.float64) - [self.x, self.y]) * scale
        return np.asarray(moved, np.float32)

    def from_crop(
        self, points: NDArray[np.floating], width: int, height: int
    ) -> NDArray[np.float32]:
        """Points (n, 2) of a crop resized to width × height, in pixels of the picture."""
        scale = np.array([self.w / width, self.h / height])
        moved = np.asarray(points, np.float64) * scale + [self.x, self.y]
        return np.asarray(moved, np.float32)


def crop_window(box: Box, rule: CropRule) -> Window:
    """The pixels that the rule takes around a box.

    >>> crop_window(Box(10, 10, 20, 10), CropRule(margin=0.25))
    Window(x=5, y=0, w=30, h=30)
    """
    cx, cy = box.center
    grow = 1 + 2 * rule.margin
    w, h = (max(box.w, box.h),) * 2 if rule.square else (box.w, box.h)
    width, height = max(1, round(w * grow)), max(1, round(h * grow))
    return Window(round(cx - width / 2), round(cy - height / 2), width, height)


def crop(
    image: Pixels, box: Box | None, rule: CropRule, size: tuple[int, int] | None = None
) -> Pixels:
    """The crop of a face; a box of None says that the whole picture already is the crop.

    Args:
        image: RGB uint8 (h, w, 3).
        box: in pixels of `image`; may leave it.
        rule: how much to take around the box.
        size: (width, height) to resize to; None keeps the pixels as they are.
    Raises:
        InputError: the crop would be larger than any picture that is read (`MAX_PIXELS`).
    """
    piece = image if box is None else _take(image, crop_window(box, rule), BORDERS[rule.border])
    return piece if size is None else resize_image(piece, *size)


def _take(image: Pixels, window: Window, border: int) -> Pixels:
    height, width = image.shape[:2]
    if window.w * window.h > MAX_PIXELS:
        raise InputError(
            f"a crop of {window.w} × {window.h} pixels was asked of a picture of "
            f"{width} × {height}; the limit is {MAX_PIXELS:,}. Is the box of another picture?"
        )
    if border == cv2.BORDER_CONSTANT and not _touches(window, width, height):
        return np.zeros((window.h, window.w, *image.shape[2:]), np.uint8)
    x, left, right = _overlap(window.x, window.w, width)
    y, top, bottom = _overlap(window.y, window.h, height)
    piece = image[y, x]
    if not (left or top or right or bottom):
        return piece
    return cv2.copyMakeBorder(piece, top, bottom, left, right, border)  # type: ignore[return-value]


def _overlap(start: int, length: int, limit: int) -> tuple[slice, int, int]:
    """The part of [start, start + length) in [0, limit), and what is missing before and after it.

    A stretch wholly outside gets the nearest single pixel, which the border then repeats.
    """
    first = min(max(start, 0), limit - 1)
    last = max(min(start + length, limit), first + 1)
    missing = length - (last - first)
    before = min(max(first - start, 0), missing)
    return slice(first, last), before, missing - before


def _touches(window: Window, width: int, height: int) -> bool:
    return -window.w < window.x < width and -window.h < window.y < height
