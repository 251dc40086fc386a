"""Drawings of an analysis: boxes, labels, and a small circumplex with a dot beside every face.

Everything is blended through smooth masks, and sized by the face and the picture, so that a
thumbnail and a poster look alike. Each expression has one color; a dark edge under the lines and
a dark disc under the circumplex keep them readable on any picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.analysis.overlay.layout import Place, place_all
from openaffect.analysis.overlay.shapes import (
    SHIFT,
    Color,
    blend,
    disc,
    load_font,
    ring,
    round_rectangle,
    segment,
    text_mask,
)
from openaffect.faces.boxes import Box
from openaffect.images import Pixels, read_image
from openaffect.labels import COLORS
from openaffect.recognition import NO_FACE_FOUND

Row: TypeAlias = Mapping[str, Any]

GRAY: Color = (128, 134, 142)
"""The color of a face without an answer, RGB."""

INK: Color = (18, 22, 28)
WHITE: Color = (255, 255, 255)

_SMALLEST = 320  # the long side below which a picture is enlarged: less has no room for text


def color_of(expression: str) -> Color:
    """The color of an expression, RGB: that of dark pages, as bright lines stand out on a photo.

    >>> color_of("happy")
    (240, 181, 47)
    """
    red, green, blue = bytes.fromhex(COLORS[expression][1].removeprefix("#"))
    return red, green, blue


def overlay_image(image: Pixels, rows: Sequence[Row]) -> Pixels:
    """A copy of a picture with the faces of its rows drawn in.

    Args:
        image: RGB uint8 (h, w, 3), upright.
        rows: the rows of this picture, with the columns of `analysis_schema`; rows without a
            box draw nothing, but a picture without a face says so.
    Returns:
        RGB uint8. A picture whose long side is less than 320 is enlarged by a whole factor.
        Expression and confidence are on the label, in videos after the
        number of the track; valence (right) and arousal (up) place the
        dot in the disc, whose rim is the unit circle. Where a disc would cover a face, the
        numbers go on the label instead.
    """
    canvas = read_image(image).copy()
    factor = math.ceil(_SMALLEST / max(canvas.shape[:2]))
    if factor > 1:
        canvas = _enlarge(canvas, factor)
    height, width = canvas.shape[:2]
    faces = [_Drawn.of(row, factor, (width, height)) for row in rows if row["box"] is not None]
    places = _place(faces, (width, height))
    for face in faces:
        _draw_landmarks(canvas, face)
        _draw_box(canvas, face)
    for face, place in zip(faces, places, strict=True):
        if place.inset is not None:
            _draw_circumplex(canvas, face, place.inset)
        _draw_label(canvas, face, place.label, face.text(place.inset is None))
    if not faces and any(row["status"] == NO_FACE_FOUND for row in rows):
        _draw_note(canvas, "no face found")
    return canvas


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A face on the canvas.

    Attributes:
        row: of the analysis.
        box: in pixels of the canvas.
        color: of its expression.
        letter: height of its text in pixels; all other measures follow from it.
        landmarks: float32 (68, 2) in pixels of the canvas, or None.
    """

    row: Row
    box: Box
    color: Color
    letter: float
    landmarks: NDArray[np.float32] | None

    @classmethod
    def of(cls, row: Row, factor: int, size: tuple[int, int]) -> _Drawn:
        box = Box(*row["box"]).scale(factor)
        usual = 0.029 * math.sqrt(size[0] * size[1])
        letter = min(max(0.15 * box.w, 0.55 * usual), 1.25 * usual)
        points = row["landmarks"]
        color = GRAY
        if row["expression"] is not None:
            color = color_of(row["expression"])
        elif row["confidence"] is None and row["valence"] is not None:
            color = WHITE  # a model without classes
        scaled = None if points is None else np.reshape(points, (-1, 2)).astype(np.float32) * factor
        return cls(row, box, color, max(letter, 12.0), scaled)

    @property
    def has_affect(self) -> bool:
        return self.row["valence"] is not None

    @property
    def line(self) -> int:
        """Thickness of the box in pixels."""
        return max(2, round(self.letter / 9))

    @property
    def inset(self) -> float:
        """Side of the circumplex in pixels."""
        return max(min(4.6 * self.letter, 0.62 * self.box.w), 2.4 * self.letter)

    def text(self, with_affect: bool) -> str:
        """What the label says; the affect in numbers where no circumplex shows it."""
        parts = []
        if self.row["track_id"] is not None:
            parts.append(f"#{self.row['track_id']}")
        if self.row["status"] != "ok":
            parts.append("failed")
        elif self.row["expression"] is not None:
            parts.append(f"{self.row['expression'].replace('_', ' ')} {self.row['confidence']:.0%}")
        elif self.row["confidence"] is not None:
            parts.append("unsure")
        named = len(parts) > (self.row["track_id"] is not None)
        if self.has_affect and (with_affect or not named):
            valence, arousal = self.row["valence"], self.row["arousal"]
            parts.append(f"v {valence:+.2f}  a {arousal:+.2f}")
        return "   ".join(parts)


def _place(faces: Sequence[_Drawn], size: tuple[int, int]) -> list[Place]:
    sides = [face.inset if face.has_affect else 0.0 for face in faces]
    gaps = [0.45 * face.letter for face in faces]
    boxes = [face.box for face in faces]

    def find(numbers: Sequence[bool]) -> list[Place]:
        labels = [
            _label_size(face.text(with_affect), face.letter)
            for face, with_affect in zip(faces, numbers, strict=True)
        ]
        return place_all(size, boxes, labels, sides, gaps)

    places = find([False] * len(faces))
    missing = [place.inset is None for place in places]
    if not any(m and face.has_affect for m, face in zip(missing, faces, strict=True)):
        return places
    # Longer labels need other places; who had no inset before gets none now.
    sides = [0.0 if m else side for m, side in zip(missing, sides, strict=True)]
    return find(missing)


def _draw_box(canvas: Pixels, face: _Drawn) -> None:
    radius = 0.6 * face.letter
    rim = math.ceil(radius) + face.line + 3
    x, y = math.floor(face.box.x) - rim, math.floor(face.box.y) - rim
    w, h = math.ceil(face.box.w) + 2 * rim, math.ceil(face.box.h) + 2 * rim
    band = min(2 * rim, w // 2, h // 2)
    # Four strips along the sides: inside them there is nothing to blend, however large the face.
    for left, top, width, height in (
        (x, y, w, band),
        (x, y + h - band, w, band),
        (x, y + band, band, h - 2 * band),
        (x + w - band, y + band, band, h - 2 * band),
    ):
        # OpenCV ends a line at the edge of a mask with a cap; beyond the strip nobody sees it.
        spare = face.line + 4
        offset = left - spare, top - spare
        corner = face.box.x - offset[0], face.box.y - offset[1]
        path = round_rectangle(*corner, face.box.w, face.box.h, radius)
        for color, alpha, line in ((INK, 0.35, face.line + 2), (face.color, 1.0, face.line)):
            mask = np.zeros((height + 2 * spare, width + 2 * spare), np.uint8)
            cv2.polylines(mask, [path], True, 255, line, cv2.LINE_AA, SHIFT)
            blend(canvas, mask[spare:-spare, spare:-spare], left, top, color, alpha)


def _draw_landmarks(canvas: Pixels, face: _Drawn) -> None:
    if face.landmarks is None:
        return
    radius = max(0.8, 0.07 * face.letter)
    for px, py in face.landmarks.tolist():
        x, y = math.floor(px - radius) - 2, math.floor(py - radius) - 2
        side = math.ceil(2 * radius) + 5
        blend(canvas, disc(side, px - x, py - y, radius + 0.7), x, y, INK, 0.35)
        blend(canvas, disc(side, px - x, py - y, radius), x, y, WHITE, 0.9)


def _draw_label(canvas: Pixels, face: _Drawn, place: Box, text: str) -> None:
    if not text:
        return
    dark = np.dot(face.color, (0.299, 0.587, 0.114)) < 110
    _draw_pill(canvas, place, text, face.letter, face.color, WHITE if dark else INK)


def _draw_note(canvas: Pixels, text: str) -> None:
    height, width = canvas.shape[:2]
    letter = max(12.0, 0.029 * math.sqrt(width * height))
    w, h = _label_size(text, letter)
    _draw_pill(canvas, Box(letter, height - h - letter, w, h), text, letter, INK, WHITE)


def _draw_pill(
    canvas: Pixels, place: Box, text: str, letter: float, color: Color, ink: Color
) -> None:
    x, y = math.floor(place.x) - 2, math.floor(place.y) - 2
    mask = np.zeros((math.ceil(place.h) + 5, math.ceil(place.w) + 5), np.uint8)
    radius = 0.38 * place.h
    path = round_rectangle(place.x - x, place.y - y, place.w, place.h, radius)
    cv2.fillPoly(mask, [path], 255, cv2.LINE_AA, SHIFT)
    edge = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)
    blend(canvas, edge, x, y, INK, 0.35)
    blend(canvas, mask, x, y, color, 0.94)
    words = text_mask(text, letter)
    left = round(place.x + (place.w - words.shape[1]) / 2)
    blend(canvas, words, left, round(place.y + (place.h - words.shape[0]) / 2), ink, 1.0)


def _draw_circumplex(canvas: Pixels, face: _Drawn, place: Box) -> None:
    """A disc whose rim is the unit circle, its two axes, and the dot."""
    x, y = math.floor(place.x) - 2, math.floor(place.y) - 2
    side = math.ceil(place.w) + 5
    cx, cy = place.center[0] - x, place.center[1] - y
    outer, thin = place.w / 2, max(1, round(place.w / 70))
    radius = 0.84 * outer
    blend(canvas, disc(side, cx, cy, outer), x, y, INK, 0.72)
    blend(canvas, ring(side, cx, cy, radius, thin), x, y, face.color, 0.85)
    for dx, dy in ((radius, 0.0), (0.0, radius)):
        axis = segment(side, (cx - dx, cy - dy), (cx + dx, cy + dy), 1)
        blend(canvas, axis, x, y, WHITE, 0.28)
    if outer >= 36:  # smaller letters could not be read
        for text, dx, dy in (("v", 0.72, 0.2), ("a", 0.17, -0.7)):
            letter = text_mask(text, 0.24 * outer)
            left, top = cx + dx * radius, cy + dy * radius
            left, top = left - letter.shape[1] / 2, top - letter.shape[0] / 2
            blend(canvas, letter, x + round(left), y + round(top), WHITE, 0.6)
    valence, arousal = float(face.row["valence"]), float(face.row["arousal"])
    # A point outside the unit circle is shown on its rim.
    reach = radius / max(1.0, math.hypot(valence, arousal))
    dot = cx + reach * valence, cy - reach * arousal
    blend(canvas, segment(side, (cx, cy), dot, max(1, thin)), x, y, face.color, 0.8)
    size = max(2.6, 0.11 * outer)
    blend(canvas, disc(side, *dot, size + max(1.0, 0.03 * outer)), x, y, WHITE, 1.0)
    blend(canvas, disc(side, *dot, size), x, y, face.color, 1.0)


def _enlarge(image: Pixels, factor: int) -> Pixels:
    size = image.shape[1] * factor, image.shape[0] * factor
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def _label_size(text: str, letter: float) -> tuple[float, float]:
    """Width and height of a label in pixels."""
    height = 1.55 * letter
    return (load_font(round(letter)).getlength(text) + 1.1 * letter if text else height), height
