"""Head and skin: the outline, light and shadow on the relief, creases, blush, freckles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from openaffect.synthetic.anatomy import Color, Identity, Points, by
from openaffect.synthetic.muscles import Muscles
from openaffect.synthetic.paint import (
    Canvas,
    Field,
    Floats,
    Window,
    circle,
    ramp,
    ribbons,
    spline,
)
from openaffect.synthetic.scene import SKULL_CENTER, SKULL_RADII, Camera, Scene

Bump = tuple[float, float, float, float, float]


class Fold(NamedTuple):
    """A fold of the skin: flat knots as complex numbers, width in face units, depth 0 to 1."""

    knots: list[complex]
    width: float
    depth: float


@dataclass(frozen=True, slots=True)
class Face:
    """All that the painters of one face share; points of `flat` are upright, of `pixels` placed."""

    identity: Identity
    scene: Scene
    muscles: Muscles
    camera: Camera
    solid: Points
    flat: Points
    pixels: Points

    @property
    def unit(self) -> float:
        """Pixels of one face unit."""
        return self.camera.scale

    def spots(self) -> list[complex]:
        """The flat landmarks as complex numbers, x + iy: far faster one by one than arrays."""
        spots: list[complex] = self.flat.view(complex)[:, 0].tolist()
        return spots

    def lay(self, *points: tuple[float, float, float]) -> list[complex]:
        """Points in face units, turned, as complex numbers."""
        laid: list[complex] = self.camera.flat(np.array(points)).view(complex)[:, 0].tolist()
        return laid

    def place(self, *points: tuple[float, float, float]) -> Points:
        """Points in face units, turned and placed in pixels."""
        return self.camera.place(self.camera.flat(np.array(points)))


def skull(face: Face, grow: tuple[float, float, float] = (0, 0, 0), count: int = 48) -> Points:
    """The outline of the skull, grown by face units along its axes; flat."""
    wide = 1 + 0.05 * face.identity.width
    radii = np.array(SKULL_RADII) * (wide, 1, 1) + grow
    return face.camera.ellipse(np.array(SKULL_CENTER), radii, circle(count))


def head_outline(face: Face) -> list[Points]:
    """The head as two polygons that overlap, skull and face; flat."""
    jaw = face.flat[0:17]
    temples = face.camera.flat(np.array([(-0.93, -0.6, 0.05), (0.93, -0.6, 0.05)]))
    closed = spline(np.concatenate((temples[:1], jaw, temples[1:])), closed=True, steps=5)
    return [skull(face), closed]


def head_mask(canvas: Canvas, face: Face, window: Window) -> Floats:
    """How far each pixel of a window belongs to the head, 0 to 1."""
    return canvas.mask([face.camera.place(part) for part in head_outline(face)], window)


def skin_ramp(color: Color, tone: Floats, light: Color) -> Floats:
    """Colors of skin from shadow (tone 0) over itself (about 0.5) to light (1): planes first.

    A quadratic Bézier curve through color space: shadows are redder, lights paler.
    """
    base = np.array(color, dtype=float)
    bright = float(base.mean()) / 255
    shadow = base * np.array((0.40, 0.27, 0.25)) + np.array((10, 3, 4))
    lit = base * (1.55 - 0.48 * bright)
    top = lit + (np.array(light) - lit) * (0.10 + 0.26 * bright * bright)
    return ramp(shadow, base, top, tone)


def light_direction(scene: Scene, camera: Camera) -> Points:
    """The unit vector to the lamp in the upright plane."""
    x, y, z = scene.light
    upright = np.array(
        (x * camera.cos_roll + y * camera.sin_roll, -x * camera.sin_roll + y * camera.cos_roll, z)
    )
    return np.asarray(upright / np.linalg.norm(upright))


def _bump(spot: complex, wide: float, high: float, height: float) -> Bump:
    return spot.real, spot.imag, wide, high, height


def _relief(face: Face) -> Points:
    """Bumps of the face: rows (u, v, σu, σv, height), face units."""
    q, m, i = face.spots(), face.muscles, face.identity
    smile = min(m.corner_pull, 1.2)
    level = 0.52 - 0.10 * m.cheek_raise - 0.05 * smile
    sides = face.lay(
        *((-0.56, level, 0.62), (0.56, level, 0.62)),
        *((-0.74, 0.86, 0.4), (0.74, 0.86, 0.4)),
        *((-0.38, -0.82, 0.7), (0.38, -0.82, 0.7)),
    )
    lip, chin = q[57], 0.5 * (q[8] + q[57])
    rows = [
        _bump(q[27], 0.10, 0.14, 0.035),
        _bump(q[28], 0.085, 0.14, 0.085),
        _bump(q[29], 0.085, 0.15, 0.12),
        _bump(q[30] - 0.02j, 0.10, 0.13, 0.14),
        _bump(q[30] + 0.05j, 0.13, 0.10, 0.10),
        _bump(q[31] + 0.03 - 0.06j, 0.075, 0.075, 0.060),
        _bump(q[35] - 0.03 - 0.06j, 0.075, 0.075, 0.060),
        _bump(q[33] + 0.16j, 0.05, 0.10, -0.012),
        _bump(0.5 * (q[51] + lip), 0.34, 0.25, 0.055),
        _bump(lip + 0.10j, 0.20, 0.06, -0.040),
        _bump(chin + 0.10j, 0.20, 0.15, 0.075 + 0.03 * m.chin_raise),
    ]
    for cheek, hollow, brow in zip(sides[0:2], sides[2:4], sides[4:6], strict=True):
        rows.append(_bump(cheek, 0.24, 0.20, 0.075 + 0.075 * (smile + 0.5 * m.cheek_raise)))
        rows.append(_bump(hollow, 0.20, 0.22, -0.035 * (1 - 0.6 * i.cheeks)))
        rows.append(_bump(brow, 0.32, 0.26, 0.035))
    for first, arch in ((36, 19), (42, 24)):
        eye = sum(q[first : first + 6]) / 6
        rows.append(_bump(eye, 0.24, 0.14, -0.075))
        rows.append(_bump(eye - 0.05j, 0.16, 0.09, 0.040))
        rows.append(_bump(q[arch] - 0.02j, 0.24, 0.075, 0.040 + 0.02 * m.brow_lower))
    return np.array(rows)


def _shadows(face: Face) -> Points:
    """Places that little light reaches: rows (u, v, σu, σv, darkness)."""
    q, m, i = face.spots(), face.muscles, face.identity
    under = 0.035 + 0.10 * max(0.0, i.age - 0.3)
    frown = 0.5 * (q[21] + q[22])
    rows = [
        _bump(q[33] + 0.035j, 0.15, 0.045, 0.19),
        _bump(q[57] + 0.065j, 0.17, 0.045, 0.15),
        _bump(q[48] - 0.03 + 0.02j, 0.06, 0.06, 0.10),
        _bump(q[54] + 0.03 + 0.02j, 0.06, 0.06, 0.10),
        _bump(q[39] + 0.05 - 0.06j, 0.07, 0.10, 0.15),
        _bump(q[42] - 0.05 - 0.06j, 0.07, 0.10, 0.15),
        _bump(0.5 * (q[37] + q[38]) - 0.05j, 0.18, 0.045, 0.10),
        _bump(0.5 * (q[43] + q[44]) - 0.05j, 0.18, 0.045, 0.10),
        _bump(0.5 * (q[40] + q[41]) + 0.02 + 0.07j, 0.14, 0.05, under),
        _bump(0.5 * (q[46] + q[47]) - 0.02 + 0.07j, 0.14, 0.05, under),
        _bump(frown, 0.06, 0.10, 0.13 * m.brow_lower),
        _bump(frown + 0.14j, 0.14, 0.10, 0.10 * m.nose_wrinkle),
    ]
    return np.array(rows)


def _blush(face: Face) -> Points:
    q, i = face.spots(), face.identity
    red = 0.30 + 0.35 * i.makeup
    cheeks = face.lay((-0.60, 0.48, 0.55), (0.60, 0.48, 0.55))
    rows = [_bump(cheek, 0.24, 0.19, red) for cheek in cheeks]
    rows.append(_bump(q[30] + 0.03j, 0.16, 0.12, 0.30))
    rows.append(_bump(q[8] - 0.13j, 0.20, 0.10, 0.16))
    for first in (36, 42):
        lid = sum(q[first : first + 6]) / 6 - 0.09j
        rows.append(_bump(lid, 0.18, 0.07, 0.2 + 0.5 * i.makeup))
    return np.array(rows)


def _sphere(field: Field, face: Face) -> tuple[Floats, Floats]:
    """Slopes of the round head under the relief: the normal's x and y parts, −1 to 1."""
    jaw = face.flat[0:17]
    left, right = float(jaw[:, 0].min()), float(jaw[:, 0].max())
    top, bottom = float(skull(face, count=16)[:, 1].min()), float(jaw[:, 1].max())
    x = (field.u - 0.5 * (left + right)) / (0.5 * (right - left) + 0.06)
    y = (field.v - 0.5 * (top + bottom)) / (0.5 * (bottom - top) + 0.10)
    # Odd powers keep the face plane flat and turn its sides away quickly.
    x = np.clip(x, -1, 1)
    y = np.clip(y, -1, 1)
    row = (0.34 * x + 0.58 * x**3).astype(np.float32)
    column = (0.22 * y + 0.50 * y**3).astype(np.float32)
    return row[None], column[:, None]


def tone_field(face: Face, field: Field) -> Floats:
    """Brightness of the skin, 0 (shadow) to 1 (light), on the flat grid."""
    slope_u, slope_v = field.slopes(_relief(face))
    round_u, round_v = _sphere(field, face)
    nx, ny = round_u - 1.15 * slope_u, round_v - 1.15 * slope_v
    nz = np.sqrt(np.maximum(1 - np.square(round_u) - np.square(round_v), 0.08))
    inverse = 1 / np.sqrt(nx * nx + ny * ny + nz * nz)
    light = light_direction(face.scene, face.camera).astype(np.float32)
    facing = (nx * light[0] + ny * light[1] + nz * light[2]) * inverse
    half = light + np.array((0, 0, 1), np.float32)
    half /= np.linalg.norm(half)
    gleam = np.clip((nx * half[0] + ny * half[1] + nz * half[2]) * inverse, 0, 1)
    for _ in range(4):  # to the 16th power, by squaring, which is much faster
        gleam *= gleam
    strength = face.scene.strength
    tone = 0.64 - 0.44 * strength + 0.60 * strength * facing
    tone += (0.10 + 0.06 * strength) * gleam
    # A weak second light from behind on the dark side keeps the outline readable.
    behind = np.maximum(1 - nz * inverse, 0) * np.maximum(-light[0] * nx * inverse, 0)
    tone += np.float32(0.10) * behind
    tone -= field.total(_shadows(face))
    return np.asarray(tone, dtype=np.float32)


def crease_lines(face: Face) -> list[Fold]:
    """Folds that come from actions and from age; depths under 0.04 would not be seen."""
    lines = [*_mouth_folds(face), *_eye_folds(face), *_brow_folds(face), *_nose_folds(face)]
    return [line for line in lines if line.depth >= 0.04]


def _mouth_folds(face: Face) -> list[Fold]:
    q, m, i = face.spots(), face.muscles, face.identity
    old = max(0.0, i.age - 0.3)
    both = 0.05 + 0.40 * m.corner_pull + 0.42 * m.upper_lip_raise + 0.3 * m.nose_wrinkle + 0.6 * old
    lines: list[Fold] = []
    for wing, corner, side in ((q[31], q[48], -1.0), (q[35], q[54], 1.0)):
        own = 0.5 * max(0.0, side * m.smirk)
        out = 0.10 + 0.06 * m.corner_pull + 0.08 * own
        fold = [
            wing + side * 0.06 - 0.08j,
            0.6 * wing + 0.4 * corner + side * (0.09 + out * 0.5) - 0.02j,
            corner + side * out - 0.03j,
            corner + side * (out - 0.01) + 0.11j,
        ]
        lines.append(Fold(fold, 0.050, min(both + own, 0.85) * 0.50))
        dimple = [corner + side * x + y * 1j for x, y in ((0.05, -0.06), (0.085, 0), (0.06, 0.07))]
        depth = 0.34 * max(0.0, side * m.smirk) + 0.10 * m.corner_pull + 0.25 * m.lip_stretch
        lines.append(Fold(dimple, 0.035, min(depth, 0.5)))
        frown = [corner + side * x + y * 1j for x, y in ((0.02, 0.03), (0.06, 0.12), (0.07, 0.22))]
        lines.append(Fold(frown, 0.035, min(0.30 * m.corner_depress + 0.4 * old, 0.5)))
    boss = [q[57] + step for step in (-0.15 + 0.16j, -0.06 + 0.125j, 0.06 + 0.125j, 0.15 + 0.16j)]
    lines.append(Fold(boss, 0.045, 0.40 * m.chin_raise))
    return lines


def _eye_folds(face: Face) -> list[Fold]:
    q, m, i = face.spots(), face.muscles, face.identity
    old = max(0.0, i.age - 0.35)
    lines: list[Fold] = []
    for outer, inner, low, side in ((36, 39, (41, 40), -1.0), (45, 42, (46, 47), 1.0)):
        crow = 0.40 * m.cheek_raise * (0.5 + i.age) + 0.45 * old
        for lift, reach in ((-0.05, 0.16), (0.01, 0.18), (0.07, 0.15)):
            start = q[outer] + complex(side * 0.05, 0.3 * lift + 0.01)
            line = [
                start,
                start + complex(side * reach * 0.5, 0.5 * lift),
                start + complex(side * reach, lift * 1.3),
            ]
            lines.append(Fold(line, 0.022, min(crow, 0.5)))
        bag = [
            q[inner] + side * 0.03 + 0.05j,
            q[low[1]] + 0.075j,
            q[low[0]] + 0.085j,
            q[outer] + 0.075j,
        ]
        depth = 0.08 + 0.24 * m.cheek_raise + 0.26 * m.lid_tighten + 0.35 * old
        lines.append(Fold(bag, 0.035, min(depth, 0.5)))
    return lines


def _brow_folds(face: Face) -> list[Fold]:
    q, m, i = face.spots(), face.muscles, face.identity
    old = max(0.0, i.age - 0.45)
    lines: list[Fold] = []
    raised = 0.5 * m.inner_brow_raise + 0.5 * m.outer_brow_raise
    depth = min(0.36 * raised * (0.6 + i.age) + 0.5 * old, 0.5)
    arch = 0.05 * (m.outer_brow_raise - m.inner_brow_raise)
    brow = 0.5 * float(face.solid[19, 1] + face.solid[21, 1])
    knots = [
        (x * wide, brow + level - arch * (x * x) + 0.02 * abs(x), 0.86 - 0.25 * x * x)
        for level, wide in ((-0.20, 0.50), (-0.32, 0.58), (-0.44, 0.46))
        for x in (-1, -0.5, 0, 0.5, 1)
    ]
    laid = face.lay(*knots)
    lines += [Fold(laid[start : start + 5], 0.035, depth) for start in (0, 5, 10)]
    furrow = min(0.42 * m.brow_lower + 0.25 * old, 0.6)
    for inner, side in ((q[21], 1.0), (q[22], -1.0)):
        line = [inner + side * x + y * 1j for x, y in ((0.10, -0.13), (0.085, 0.0), (0.115, 0.12))]
        lines.append(Fold(line, 0.040, furrow))
    return lines


def _nose_folds(face: Face) -> list[Fold]:
    q, m = face.spots(), face.muscles
    lines: list[Fold] = []
    for share in (0.15, 0.55, 0.95):
        center = q[27] + share * (q[28] - q[27])
        line = [
            center + step for step in (-0.10 + 0.035j, -0.045 - 0.01j, 0.045 - 0.01j, 0.10 + 0.035j)
        ]
        lines.append(Fold(line, 0.032, 0.55 * m.nose_wrinkle))
    for base, side in ((q[31], -1.0), (q[35], 1.0)):
        curve = [
            base + side * x + y * 1j
            for x, y in ((0.01, -0.15), (0.065, -0.09), (0.05, -0.01), (-0.02, 0.02))
        ]
        lines.append(Fold(curve, 0.030, 0.34))
        wrinkle = [
            base + side * x + y * 1j for x, y in ((0.01, -0.26), (0.05, -0.20), (0.12, -0.17))
        ]
        lines.append(Fold(wrinkle, 0.030, 0.45 * m.nose_wrinkle))
    return lines


def _crease_map(face: Face, canvas: Canvas, window: Window) -> Floats:
    """Darkness of all folds in a window, soft; light follows on the lower lip of each."""
    polygons: list[Points] = []
    levels: list[float] = []
    lines = crease_lines(face)
    for knots in (3, 4, 5):
        group = [line for line in lines if len(line.knots) == knots]
        if group:
            laid = np.array([line.knots for line in group]).view(float)
            curves = spline(laid.reshape(len(group), knots, 2), steps=12 // (knots - 1))
            widths = np.array([[line.width] for line in group])
            polygons += list(face.camera.place(ribbons(curves, widths)))
            levels += [line.depth for line in group]
    soft = canvas.mask(polygons, window, max(0.5, 0.011 * face.unit), 2, levels)
    down = max(1, round(0.028 * face.unit))
    dark = soft.copy()
    dark[down:] -= 0.45 * soft[:-down]
    return dark


def paint_head(canvas: Canvas, face: Face, hair_shadow: list[Points]) -> Floats:
    """Paint skull and face with light; returns the tone of the skin for later painters.

    Args:
        canvas: what is behind is on it already.
        face: who, how, from where.
        hair_shadow: polygons in pixels whose shadow falls on the skin.
    Returns:
        Shape (size, size); 0.5 where there is no head.
    """
    shapes = head_outline(face)
    every = np.concatenate(shapes)
    corners = every.min(axis=0).tolist(), every.max(axis=0).tolist()
    field = Field(face.camera, 2.4, *corners)
    outline = [face.camera.place(part) for part in shapes]
    window = canvas.window(face.camera.place(every))
    tone = field.project(tone_field(face, field), window)
    tone -= 0.85 * _crease_map(face, canvas, window)
    if hair_shadow:
        low = 0.07 * face.unit
        light = face.scene.light
        moved = [p + by(-0.6 * light[0] * low, low) for p in hair_shadow]
        tone -= 0.20 * canvas.mask(moved, window, 0.8 * low, 1)
    colors = skin_ramp(face.identity.skin, tone, face.scene.light_color)
    soft = Field(face.camera, 5.0, *corners)
    blush = soft.project(soft.total(_blush(face)), window)
    blush *= -0.11
    blush += 1
    colors[1:] *= blush
    if face.identity.freckles > 0:
        colors *= _freckles(face, canvas)[window]
    canvas.blend(window, colors, canvas.mask(outline, window))
    whole = np.full((canvas.size, canvas.size), 0.5, np.float32)
    whole[window] = tone
    return whole


def _freckles(face: Face, canvas: Canvas) -> Floats:
    rng = np.random.default_rng(face.scene.decor)
    count = round(90 * face.identity.freckles)
    x = rng.normal(0, 0.36, count)
    y = 0.40 + rng.normal(0, 0.13, count) + 0.1 * np.abs(x)
    spots = face.camera.place(face.camera.flat(np.stack((x, y, 0.95 - 0.6 * x * x), axis=1)))
    dots = np.zeros((canvas.size, canvas.size), np.uint8)
    for spot, radius in zip(spots, rng.uniform(0.005, 0.011, count), strict=True):
        center = np.rint(spot * 16 - 8).astype(int).tolist()
        cv2.circle(dots, center, round(radius * face.unit * 16), 150, -1, cv2.LINE_AA, 4)
    return 1 - dots.astype(np.float32) * np.float32(0.16 / 150)
