"""Beards, moustaches and stubble: soft shapes of hair on the skin around the mouth."""

from __future__ import annotations

import cv2
import numpy as np

from openaffect.synthetic.anatomy import Points, by
from openaffect.synthetic.hair import hair_ramp
from openaffect.synthetic.paint import Canvas, Floats, spline
from openaffect.synthetic.skin import Face, head_mask


def paint_beard(canvas: Canvas, face: Face, tone: Floats, rng: np.random.Generator) -> None:
    """Beard or moustache on the skin, under the lips."""
    kind, unit = face.identity.beard, face.unit
    if kind == "none":
        return
    polygons = _beard_polygons(face, kind)
    window = canvas.window(np.concatenate(polygons), 0.2 * unit)
    alpha = canvas.mask(polygons, window, (0.055 if kind == "stubble" else 0.030) * unit)
    if kind == "stubble":
        alpha *= head_mask(canvas, face, window)
    light = 0.62 + 0.6 * (np.clip(tone[window], 0.1, 0.9) - 0.5)
    grain = rng.standard_normal(alpha.shape, np.float32)
    if kind == "stubble":
        strength = np.clip(alpha * (0.34 + 0.05 * grain), 0, 1)
    else:
        strength = np.clip(alpha * (0.90 + 0.05 * grain), 0, 1)
    color = np.array(face.identity.hair_color) * 0.80 + 4
    streak = cv2.GaussianBlur(grain, (0, 0), sigmaX=0.5, sigmaY=1.6) * 0.20
    canvas.blend(window, hair_ramp((*color.tolist(),), 0.75 * light + streak), strength)


def _beard_polygons(face: Face, kind: str) -> list[Points]:
    q = face.flat
    lip, corner_l, corner_r = q[51], q[48], q[54]
    base = q[33] + by(0, 0.075)
    moustache = np.array(
        [
            base + by(-0.05, 0.01),
            0.5 * (base + corner_l) + by(-0.06, -0.035),
            corner_l + by(-0.07, 0.03),
            corner_l + by(-0.05, 0.09),
            corner_l + by(0.02, 0.0),
            q[50],
            lip,
            q[52],
            corner_r + by(-0.02, 0.0),
            corner_r + by(0.05, 0.09),
            corner_r + by(0.07, 0.03),
            0.5 * (base + corner_r) + by(0.06, -0.035),
            base + by(0.05, 0.01),
        ]
    )
    chin = np.concatenate(
        (
            [corner_l + by(-0.07, 0.06)],
            0.25 * corner_l[None] + 0.75 * q[6:7],
            q[7:10] + by(0, 0.03),
            0.25 * corner_r[None] + 0.75 * q[10:11],
            [corner_r + by(0.07, 0.06), q[57] + by(0.09, 0.03), q[57] + by(-0.09, 0.03)],
        )
    )
    shapes = []
    if kind in ("moustache", "goatee", "full", "stubble"):
        shapes.append(spline(moustache, closed=True, steps=4))
    if kind == "goatee":
        shapes.append(spline(chin, closed=True, steps=4))
    if kind in ("full", "stubble"):
        shapes.append(_full_beard(face))
    return [face.camera.place(shape) for shape in shapes]


def _full_beard(face: Face) -> Points:
    q = face.flat
    jaw = q[1:16]
    away = jaw - q[30]
    outer = jaw + 0.035 * away / np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-6)[:, None]
    # The cheek line runs from the ears to the corners, below the lips, and back.
    left = [
        q[1] + by(0.07, 0.0),
        0.55 * q[3] + 0.45 * q[48] + by(-0.10, -0.10),
        q[48] + by(-0.06, -0.02),
        q[58] + by(-0.06, 0.02),
    ]
    right = [
        q[56] + by(0.06, 0.02),
        q[54] + by(0.06, -0.02),
        0.55 * q[13] + 0.45 * q[54] + by(0.10, -0.10),
        q[15] + by(-0.07, 0.0),
    ]
    return spline(
        np.concatenate((outer, np.array([*right[::-1], q[57] + by(0, 0.045), *left[::-1]]))),
        closed=True,
        steps=3,
    )
