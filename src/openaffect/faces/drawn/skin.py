"""Head and skin: the outline, light and shadow on the relief, creases, blush, freckles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from openaffect.faces.drawn.anatomy import Colour, Identity, Points, by
from openaffect.faces.drawn.muscles import Muscles
from openaffect.faces.drawn.paint import (
    Canvas,
    Field,
    Floats,
    Window,
    circle,
    ramp,
    ribbons,
    spline,
)
from openaffect.faces.drawn.scene import SKULL_CENTRE, SKULL_RADII, Camera, Scene


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

    def place(self, *points: tuple[float, float, float]) -> Points:
        """Points in face units, turned and placed in pixels."""
        return self.camera.place(self.camera.flat(np.array(points)))


def skull(face: Face, grow: tuple[float, float, float] = (0, 0, 0), count: int = 48) -> Points:
    """The outline of the skull, grown by face units along its axes; flat."""
    wide = 1 + 0.05 * face.identity.width
    radii = np.array(SKULL_RADII) * (wide, 1, 1) + grow
    return face.camera.ellipse(np.array(SKULL_CENTRE), radii, circle(count))


def head_outline(face: Face) -> list[Points]:
    """The head as two polygons that overlap, skull and face; flat."""
    jaw = face.flat[0:17]
    temples = face.camera.flat(np.array([(-0.93, -0.6, 0.05), (0.93, -0.6, 0.05)]))
    closed = spline(np.concatenate((temples[:1], jaw, temples[1:])), closed=True, steps=5)
    return [skull(face), closed]


def head_mask(canvas: Canvas, face: Face, window: Window) -> Floats:
    """How far each pixel of a window belongs to the head, 0 to 1."""
    return canvas.mask([face.camera.place(part) for part in head_outline(face)], window)


def skin_ramp(colour: Colour, tone: Floats, light: Colour) -> Floats:
    """Colours of skin from shadow (tone 0) over itself (about 0.5) to light (1): planes first.

    A quadratic Bézier curve through colour space: shadows are redder, lights paler.
    """
    base = np.array(colour, dtype=float)
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


def _relief(face: Face) -> Points:
    """Bumps of the face: rows (u, v, σu, σv, height), face units."""
    q, m, i = face.flat, face.muscles, face.identity
    eyes = (q[36:42].mean(axis=0), q[42:48].mean(axis=0))
    smile = min(m.corner_pull, 1.2)
    lift = 0.10 * m.cheek_raise + 0.05 * smile
    cheeks = face.camera.flat(np.array([(-0.56, 0.52 - lift, 0.62), (0.56, 0.52 - lift, 0.62)]))
    hollows = face.camera.flat(np.array([(-0.74, 0.86, 0.4), (0.74, 0.86, 0.4)]))
    brows = face.camera.flat(np.array([(-0.38, -0.82, 0.7), (0.38, -0.82, 0.7)]))
    lip, chin = q[57], 0.5 * (q[8] + q[57])
    rows = [
        (*q[27], 0.10, 0.14, 0.035),
        (*q[28], 0.085, 0.14, 0.085),
        (*q[29], 0.085, 0.15, 0.12),
        (*(q[30] + by(0, -0.02)), 0.10, 0.13, 0.14),
        (*(q[30] + by(0, 0.05)), 0.13, 0.10, 0.10),
        (*(q[31] + by(0.03, -0.06)), 0.075, 0.075, 0.060),
        (*(q[35] + by(-0.03, -0.06)), 0.075, 0.075, 0.060),
        (*(q[33] + by(0, 0.16)), 0.05, 0.10, -0.012),
        (*(0.5 * (q[51] + q[57])), 0.34, 0.25, 0.055),
        (*(lip + by(0, 0.10)), 0.20, 0.06, -0.040),
        (*(chin + by(0, 0.10)), 0.20, 0.15, 0.075 + 0.03 * m.chin_raise),
        *((*c, 0.24, 0.20, 0.075 + 0.075 * (smile + 0.5 * m.cheek_raise)) for c in cheeks),
        *((*h, 0.20, 0.22, -0.035 * (1 - 0.6 * i.cheeks)) for h in hollows),
        *((*e, 0.24, 0.14, -0.075) for e in eyes),
        *((*(e + by(0, -0.05)), 0.16, 0.09, 0.040) for e in eyes),
        *((*(b + by(0, -0.02)), 0.24, 0.075, 0.040 + 0.02 * m.brow_lower) for b in (q[19], q[24])),
        *((*b, 0.32, 0.26, 0.035) for b in brows),
    ]
    return np.array(rows, dtype=float)


def _shadows(face: Face) -> Points:
    """Places that little light reaches: rows (u, v, σu, σv, darkness)."""
    q, m, i = face.flat, face.muscles, face.identity
    under = 0.035 + 0.10 * max(0.0, i.age - 0.3)
    rows = [
        (*(q[33] + by(0, 0.035)), 0.15, 0.045, 0.19),
        (*(q[57] + by(0, 0.065)), 0.17, 0.045, 0.15),
        (*(q[48] + by(-0.03, 0.02)), 0.06, 0.06, 0.10),
        (*(q[54] + by(0.03, 0.02)), 0.06, 0.06, 0.10),
        (*(q[39] + by(0.05, -0.06)), 0.07, 0.10, 0.15),
        (*(q[42] + by(-0.05, -0.06)), 0.07, 0.10, 0.15),
        (*(q[37:39].mean(axis=0) + by(0, -0.05)), 0.18, 0.045, 0.10),
        (*(q[43:45].mean(axis=0) + by(0, -0.05)), 0.18, 0.045, 0.10),
        (*(q[40:42].mean(axis=0) + by(0.02, 0.07)), 0.14, 0.05, under),
        (*(q[46:48].mean(axis=0) + by(-0.02, 0.07)), 0.14, 0.05, under),
        (*(0.5 * (q[21] + q[22])), 0.06, 0.10, 0.13 * m.brow_lower),
        (*(0.5 * (q[21] + q[22]) + by(0, 0.14)), 0.14, 0.10, 0.10 * m.nose_wrinkle),
    ]
    return np.array(rows, dtype=float)


def _blush(face: Face) -> Points:
    q, i = face.flat, face.identity
    cheeks = face.camera.flat(np.array([(-0.60, 0.48, 0.55), (0.60, 0.48, 0.55)]))
    red = 0.30 + 0.35 * i.makeup
    rows = [
        *((*c, 0.24, 0.19, red) for c in cheeks),
        (*(q[30] + by(0, 0.03)), 0.16, 0.12, 0.30),
        (*(q[8] - (0, 0.13)), 0.20, 0.10, 0.16),
        *(
            (*(q[k : k + 6].mean(axis=0) + by(0, -0.09)), 0.18, 0.07, 0.2 + 0.5 * i.makeup)
            for k in (36, 42)
        ),
    ]
    return np.array(rows, dtype=float)


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


def crease_lines(face: Face) -> list[tuple[Points, float, float]]:
    """Folds as (flat knots, width in face units, depth 0 to 1); none are left out silently.

    Folds come from actions and from age; depths under 0.04 would not be seen and are dropped.
    """
    lines = [*_mouth_folds(face), *_eye_folds(face), *_brow_folds(face), *_nose_folds(face)]
    return [line for line in lines if line[2] >= 0.04]


def _mouth_folds(face: Face) -> list[tuple[Points, float, float]]:
    q, m, i = face.flat, face.muscles, face.identity
    old = max(0.0, i.age - 0.3)
    both = 0.05 + 0.40 * m.corner_pull + 0.42 * m.upper_lip_raise + 0.3 * m.nose_wrinkle + 0.6 * old
    lines: list[tuple[Points, float, float]] = []
    for wing, corner, side in ((31, 48, -1.0), (35, 54, 1.0)):
        own = 0.5 * max(0.0, side * m.smirk)
        out = 0.10 + 0.06 * m.corner_pull + 0.08 * own
        fold = np.array(
            [
                q[wing] + by(side * 0.06, -0.08),
                0.6 * q[wing] + 0.4 * q[corner] + by(side * (0.09 + out * 0.5), -0.02),
                q[corner] + by(side * out, -0.03),
                q[corner] + by(side * (out - 0.01), 0.11),
            ]
        )
        lines.append((fold, 0.050, min(both + own, 0.85) * 0.50))
        dimple = np.array([(side * 0.05, -0.06), (side * 0.085, 0.0), (side * 0.06, 0.07)])
        depth = 0.34 * max(0.0, side * m.smirk) + 0.10 * m.corner_pull + 0.25 * m.lip_stretch
        lines.append((q[corner] + dimple, 0.035, min(depth, 0.5)))
        frown = np.array([(side * 0.02, 0.03), (side * 0.06, 0.12), (side * 0.07, 0.22)])
        lines.append((q[corner] + frown, 0.035, min(0.30 * m.corner_depress + 0.4 * old, 0.5)))
    boss = q[57] + np.array([(-0.15, 0.16), (-0.06, 0.125), (0.06, 0.125), (0.15, 0.16)])
    lines.append((boss, 0.045, 0.40 * m.chin_raise))
    return lines


def _eye_folds(face: Face) -> list[tuple[Points, float, float]]:
    q, m, i = face.flat, face.muscles, face.identity
    old = max(0.0, i.age - 0.35)
    lines: list[tuple[Points, float, float]] = []
    for outer, inner, low, side in ((36, 39, (41, 40), -1.0), (45, 42, (46, 47), 1.0)):
        crow = 0.40 * m.cheek_raise * (0.5 + i.age) + 0.45 * old
        for lift, reach in ((-0.05, 0.16), (0.01, 0.18), (0.07, 0.15)):
            start = q[outer] + by(side * 0.05, 0.3 * lift + 0.01)
            line = np.array(
                [
                    start,
                    start + by(side * reach * 0.5, 0.5 * lift),
                    start + by(side * reach, lift * 1.3),
                ]
            )
            lines.append((line, 0.022, min(crow, 0.5)))
        bag = np.array(
            [
                q[inner] + by(side * 0.03, 0.05),
                q[low[1]] + by(0, 0.075),
                q[low[0]] + by(0, 0.085),
                q[outer] + by(0, 0.075),
            ]
        )
        depth = 0.08 + 0.24 * m.cheek_raise + 0.26 * m.lid_tighten + 0.35 * old
        lines.append((bag, 0.035, min(depth, 0.5)))
    return lines


def _brow_folds(face: Face) -> list[tuple[Points, float, float]]:
    q, m, i = face.flat, face.muscles, face.identity
    old = max(0.0, i.age - 0.45)
    lines: list[tuple[Points, float, float]] = []
    raised = 0.5 * m.inner_brow_raise + 0.5 * m.outer_brow_raise
    depth = min(0.36 * raised * (0.6 + i.age) + 0.5 * old, 0.5)
    arch = 0.05 * (m.outer_brow_raise - m.inner_brow_raise)
    for level, wide in ((-0.20, 0.50), (-0.32, 0.58), (-0.44, 0.46)):
        knots = [
            (
                x * wide,
                0.5 * (face.solid[19, 1] + face.solid[21, 1])
                + level
                - arch * (x * x)
                + 0.02 * abs(x),
                0.86 - 0.25 * x * x,
            )
            for x in (-1, -0.5, 0, 0.5, 1)
        ]
        lines.append((face.camera.flat(np.array(knots)), 0.035, depth))
    furrow = min(0.42 * m.brow_lower + 0.25 * old, 0.6)
    for inner, side in ((21, 1.0), (22, -1.0)):
        line = q[inner] + np.array(
            [(side * 0.10, -0.13), (side * 0.085, 0.0), (side * 0.115, 0.12)]
        )
        lines.append((line, 0.040, furrow))
    return lines


def _nose_folds(face: Face) -> list[tuple[Points, float, float]]:
    q, m = face.flat, face.muscles
    lines: list[tuple[Points, float, float]] = []
    for share in (0.15, 0.55, 0.95):
        centre = q[27] + share * (q[28] - q[27])
        line = centre + np.array([(-0.10, 0.035), (-0.045, -0.01), (0.045, -0.01), (0.10, 0.035)])
        lines.append((line, 0.032, 0.55 * m.nose_wrinkle))
    for wing, side in ((31, -1.0), (35, 1.0)):
        base = q[wing]
        curve = base + np.array(
            [
                (side * 0.01, -0.15),
                (side * 0.065, -0.09),
                (side * 0.05, -0.01),
                (-side * 0.02, 0.02),
            ]
        )
        lines.append((curve, 0.030, 0.34))
        side_wrinkle = np.array([(side * 0.01, -0.26), (side * 0.05, -0.20), (side * 0.12, -0.17)])
        lines.append((base + side_wrinkle, 0.030, 0.45 * m.nose_wrinkle))
    return lines


def _crease_map(face: Face, canvas: Canvas, window: Window) -> Floats:
    """Darkness of all folds in a window, soft; light follows on the lower lip of each."""
    polygons: list[Points] = []
    levels: list[float] = []
    lines = crease_lines(face)
    for knots in (3, 4, 5):
        group = [line for line in lines if len(line[0]) == knots]
        if group:
            curves = spline(np.stack([line[0] for line in group]), steps=12 // (knots - 1))
            widths = np.array([[line[1]] for line in group])
            polygons += list(face.camera.place(ribbons(curves, widths)))
            levels += [line[2] for line in group]
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
    field = Field(face.camera)
    outline = [face.camera.place(part) for part in head_outline(face)]
    window = canvas.window(np.concatenate(outline))
    tone = field.project(tone_field(face, field), window)
    tone -= 0.85 * _crease_map(face, canvas, window)
    if hair_shadow:
        low = 0.07 * face.unit
        light = face.scene.light
        moved = [p + by(-0.6 * light[0] * low, low) for p in hair_shadow]
        tone -= 0.20 * canvas.mask(moved, window, 0.8 * low, 1)
    colours = skin_ramp(face.identity.skin, tone, face.scene.light_colour)
    soft = Field(face.camera, 5.0)
    blush = soft.project(soft.total(_blush(face)), window)
    blush *= -0.11
    blush += 1
    colours[1:] *= blush
    if face.identity.freckles > 0:
        colours *= _freckles(face, canvas)[window]
    canvas.blend(window, colours, canvas.mask(outline, window))
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
        centre = np.rint(spot * 16 - 8).astype(int).tolist()
        cv2.circle(dots, centre, round(radius * face.unit * 16), 150, -1, cv2.LINE_AA, 4)
    return 1 - dots.astype(np.float32) * np.float32(0.16 / 150)
