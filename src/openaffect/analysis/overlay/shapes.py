"""Smooth shapes and text as masks, and the one function that lays a color through a mask."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from openaffect.images import Pixels

Color: TypeAlias = tuple[int, int, int]
"""RGB, 0–255."""

SHIFT = 4
"""OpenCV takes coordinates in sixteenths of a pixel."""


@lru_cache(maxsize=64)
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow; `size` in pixels."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def text_mask(text: str, letter: float) -> NDArray[np.uint8]:
    """Text as a smooth mask; its height is that of a line, so that labels share a baseline."""
    font = load_font(round(letter))
    width, ascent, descent = math.ceil(font.getlength(text)), *font.getmetrics()
    picture = Image.new("L", (width + 2, ascent + descent))
    ImageDraw.Draw(picture).text((1, 0), text, fill=255, font=font)
    return np.asarray(picture)


def round_rectangle(x: float, y: float, w: float, h: float, radius: float) -> NDArray[np.int32]:
    """The outline of a rectangle with round corners, in sixteenths of a pixel, (n, 2)."""
    radius = min(radius, w / 2, h / 2)
    turns = np.linspace(0, math.pi / 2, 12)
    points = []
    for number, (cx, cy) in enumerate(
        (
            (x + w - radius, y + h - radius),
            (x + radius, y + h - radius),
            (x + radius, y + radius),
            (x + w - radius, y + radius),
        )
    ):
        angles = turns + number * math.pi / 2
        points.append(np.stack([cx + radius * np.cos(angles), cy + radius * np.sin(angles)], 1))
    outline: NDArray[np.int32] = np.rint(np.concatenate(points) * 2**SHIFT).astype(np.int32)
    return outline


def disc(side: int, cx: float, cy: float, radius: float) -> NDArray[np.uint8]:
    """A filled circle as a smooth mask (side, side), by each pixel's distance to the center."""
    return _coverage(radius - _distance(side, cx, cy) + 0.5)


def ring(side: int, cx: float, cy: float, radius: float, thick: float) -> NDArray[np.uint8]:
    """A circle's line as a smooth mask (side, side)."""
    return _coverage(thick / 2 - np.abs(_distance(side, cx, cy) - radius) + 0.5)


def _distance(side: int, cx: float, cy: float) -> NDArray[np.float32]:
    steps = np.arange(side, dtype=np.float32)
    result: NDArray[np.float32] = np.hypot(steps[None, :] - cx, steps[:, None] - cy)
    return result


def _coverage(inside: NDArray[np.float32]) -> NDArray[np.uint8]:
    """How much of a pixel a shape covers, 0–255, from how far inside it the pixel's center is."""
    share: NDArray[np.uint8] = (np.clip(inside, 0, 1) * 255).astype(np.uint8)
    return share


def segment(
    side: int, start: tuple[float, float], end: tuple[float, float], thickness: int
) -> NDArray[np.uint8]:
    """A line as a smooth mask (side, side)."""
    mask = np.zeros((side, side), np.uint8)
    a, b = (tuple(round(v * 2**SHIFT) for v in point) for point in (start, end))
    cv2.line(mask, a, b, 255, thickness, cv2.LINE_AA, SHIFT)
    return mask


def blend(
    canvas: Pixels, mask: NDArray[np.uint8], x: int, y: int, color: Color, alpha: float
) -> None:
    """Lay a color over the canvas through a mask whose top left pixel is at x, y."""
    height, width = canvas.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    if x1 <= x0 or y1 <= y0:
        return
    share = mask[y0 - y : y1 - y, x0 - x : x1 - x, None].astype(np.float32) * (alpha / 255)
    part = canvas[y0:y1, x0:x1]
    part[:] = np.rint(part + (np.array(color, np.float32) - part) * share)
