"""Face detectors: one file each, found by its file name, tested at once by a contract test.

A detector file holds

- `FRAMING`: the `Framing` that brings its boxes to those of YuNet;
- `MIN_SCORE`: the score below which a find is no face, unless the caller says otherwise;
- `detect(image, min_score, close=False)`: RGB uint8 (h, w, 3) to a list of (box, score), the boxes
  in pixels of `image` as the detector frames faces, they may leave it; the scores in [0, 1],
  none below `min_score`, each face once. With `close` the picture was cut out around a face of a
  third to two thirds of its longer side: one quick look is enough. It must be safe to call from
  several threads.

`openaffect.faces.find_faces` does the rest: framing, clipping, order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openaffect.faces.boxes import Box
from openaffect.images import Pixels, resize_image

__all__ = ["Found", "Framing", "ScaledImage", "non_max_suppression"]

Found = list[tuple[Box, float]]


@dataclass(frozen=True, slots=True)
class Framing:
    """What brings a detector's box to the box that YuNet draws around the same face.

    Attributes:
        width, height: factors on the sides of the box, about its center.
        dx, dy: shift of the center, in shares of the detector's own box; positive is right, down.
    """

    width: float = 1.0
    height: float = 1.0
    dx: float = 0.0
    dy: float = 0.0

    def apply(self, box: Box) -> Box:
        """The box in YuNet's framing.

        >>> Framing(width=2, height=1, dy=0.5).apply(Box(10, 10, 4, 4))
        Box(x=8.0, y=12.0, w=8, h=4)
        """
        cx, cy = box.shift(self.dx, self.dy).center
        w, h = box.w * self.width, box.h * self.height
        return Box(cx - w / 2, cy - h / 2, w, h)

    def undo(self, box: Box) -> Box:
        """A box in YuNet's framing as the detector itself would have drawn it."""
        w, h = box.w / self.width, box.h / self.height
        cx, cy = box.center
        return Box(cx - self.dx * w - w / 2, cy - self.dy * h - h / 2, w, h)


@dataclass(frozen=True, slots=True)
class ScaledImage:
    """A picture at the size that a detector works at, and the way back.

    Attributes:
        pixels: RGB uint8 (h, w, 3).
        scale_x, scale_y: pixels of the original in one of these.
    """

    pixels: Pixels
    scale_x: float
    scale_y: float

    @classmethod
    def of(cls, image: Pixels, least: int, most: int) -> ScaledImage:
        """The picture with its longer side brought into [least, most], enlarged if need be."""
        return cls(image, 1.0, 1.0).resized(min(max(*image.shape[:2], least), most))

    def resized(self, long_side: int) -> ScaledImage:
        """This one with its longer side brought to so many pixels."""
        height, width = self.pixels.shape[:2]
        factor = long_side / max(height, width)
        w, h = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = resize_image(self.pixels, w, h)
        return ScaledImage(pixels, self.scale_x * width / w, self.scale_y * height / h)

    def to_original(self, x: float, y: float, w: float, h: float) -> Box:
        """A box of the working picture in pixels of the original.

        Raises:
            ValueError: the numbers make no box.
        """
        left, top = float(x) * self.scale_x, float(y) * self.scale_y
        return Box(left, top, float(w) * self.scale_x, float(h) * self.scale_y)


def non_max_suppression(
    found: Iterable[tuple[Box, float]], iou: float = 0.4, inside: float = 0.7
) -> Found:
    """Each face once: of boxes that overlap, the one with the highest score.

    Args:
        found: boxes and scores.
        iou: two boxes with a larger intersection over union are one face.
        inside: so are they when this share of the smaller one lies in the other.
    """
    kept: Found = []
    for box, score in sorted(found, key=lambda one: -one[1]):
        if not any(
            box.iou(other) > iou or box.intersection(other) > inside * min(box.area, other.area)
            for other, _ in kept
        ):
            kept.append((box, score))
    return kept
