"""Hair: locks between guide curves, filled with strands that follow them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.synthetic.anatomy import Color, Points
from openaffect.synthetic.paint import (
    Canvas,
    Field,
    Floats,
    Window,
    circle,
    ramp,
    ribbons,
    ring,
    soften,
    spline,
)
from openaffect.synthetic.scene import SKULL_CENTER, SKULL_RADII
from openaffect.synthetic.skin import Face, head_mask, light_direction, skull


@dataclass(frozen=True, slots=True)
class Style:
    """A cut, in face units: what the hair adds to the skull, where it starts and ends.

    `line` is the height of the hairline, `temple` how far the temples recede, `end` the height
    of the tips (y down; the chin is near 1.5), `wave` the sideways swing of long hair.
    """

    top: float = 0.14
    sides: float = 0.07
    line: float = -0.98
    temple: float = 0.0
    end: float = 0.05
    wave: float = 0.0
    centered: float = 1.0
    fringe: float | None = None
    curls: float = 0.0
    bun: bool = False
    slick: bool = False


STYLES: dict[str, Style] = {
    "short": Style(top=0.15, sides=0.06, temple=0.06, end=0.02),
    "quiff": Style(top=0.30, sides=0.04, line=-1.02, temple=0.10, end=-0.08, slick=True),
    "crop": Style(top=0.10, sides=0.04, line=-0.92, end=-0.02, fringe=-0.74),
    "receding": Style(top=0.05, sides=0.07, line=-1.30, temple=0.16, end=0.08),
    "shaggy": Style(top=0.20, sides=0.13, end=0.55, wave=0.05, fringe=-0.58),
    "pixie": Style(top=0.17, sides=0.08, end=0.12, fringe=-0.52),
    "bob": Style(top=0.17, sides=0.12, end=1.12, wave=0.02),
    "fringe": Style(top=0.17, sides=0.12, end=1.35, fringe=-0.46),
    "long": Style(top=0.16, sides=0.11, end=2.35, centered=0.5),
    "wavy": Style(top=0.19, sides=0.15, end=2.15, wave=0.09),
    "bun": Style(top=0.11, sides=0.05, end=-0.05, bun=True, slick=True),
    "tied": Style(top=0.10, sides=0.05, end=-0.05, slick=True, centered=0.3),
    "curly": Style(top=0.28, sides=0.20, line=-0.94, end=0.15, curls=0.10),
    "afro": Style(top=0.52, sides=0.46, line=-0.96, end=0.20, curls=0.085),
}
"""Cuts by the name that an identity carries; `bald`, `buzz` and `scarf` are drawn otherwise."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Guide curves side by side, shape (guides, n, 2), in pixels, from the roots to the tips."""

    guides: Points

    def outline(self) -> Points:
        """The polygon around all guides."""
        tips = spline(self.guides[:, -1], steps=4) if len(self.guides) > 2 else self.guides[:, -1]
        roots = spline(self.guides[:, 0], steps=4) if len(self.guides) > 2 else self.guides[:, 0]
        return np.concatenate((self.guides[0], tips[1:-1], self.guides[-1][::-1], roots[-2:0:-1]))

    def strands(self, count: int, rng: np.random.Generator) -> Points:
        """Curves between the guides, shape (count, n, 2)."""
        place = np.sort(rng.uniform(0.02, 0.98, count)) * (len(self.guides) - 1)
        lower = np.minimum(place.astype(int), len(self.guides) - 2)
        share = (place - lower)[:, None, None]
        length = self.guides.shape[1]
        lean = (np.arange(length) * (2 / (length - 1)) - 1)[:, None]
        share = share + rng.normal(0, 0.05, (count, 1, 1)) * lean
        np.maximum(share, 0, out=share)
        np.minimum(share, 1, out=share)
        near = self.guides[lower]
        between: Points = near + (self.guides[lower + 1] - near) * share
        return between


def _on_skull(x: float, y: float, grow: float = 0.02) -> tuple[float, float, float]:
    """The point of the skull's front at x, y."""
    (cx, cy, cz), (rx, ry, rz) = SKULL_CENTER, SKULL_RADII
    rest = 1 - ((x - cx) / (rx + grow)) ** 2 - ((y - cy) / (ry + grow)) ** 2
    return x, y, cz + (rz + grow) * float(np.sqrt(max(rest, 0.0)))


def locks_of(face: Face, style: Style) -> list[Lock]:
    """The locks before the face: both sides of the parting, then the fringe."""
    locks = [_side_lock(face, style, side) for side in (-1.0, 1.0)]
    if style.fringe is not None:
        locks.append(_fringe(face, style))
    return locks


def _side_lock(face: Face, style: Style, side: float) -> Lock:
    part = face.identity.parting * style.centered
    wide = 1 + 0.05 * face.identity.width
    stop = 0.34 if style.end < 0.3 else 0.10
    # Angles run from the parting at the crown down to the ear; the left side is mirrored.
    crown = -np.pi / 2 + 0.8 * side * part
    angles = crown + (stop - crown) * _EIGHT
    arc = np.array((side * np.cos(angles), np.sin(angles))).T
    grow = (style.sides, style.top, style.top)
    radii = np.array(SKULL_RADII) * (wide, 1, 1) + grow
    outer = face.camera.ellipse(np.array(SKULL_CENTER), radii, arc)
    recess = style.temple + 0.10 * max(0.0, face.identity.age - 0.5) * (style.end < 0.3)
    solid = [
        _on_skull(part, style.line),
        _on_skull(part + (side * 0.52 - part) * 0.62, style.line - 0.02 - 0.5 * recess),
        _on_skull(side * (0.70 - 0.3 * recess), style.line + 0.17 - 1.4 * recess),
        _on_skull(side * (0.86 - 0.1 * recess), -0.50 - 0.6 * recess),
        (side * 0.94 * wide, -0.24, 0.24),
        (side * 0.985 * wide, min(style.end, 0.05), 0.16),
    ]
    inner = face.camera.flat(np.array(solid))
    if style.end > 0.3:
        outer, inner = _lengthen(face, style, side, outer, inner)
    a, b = _resample(spline(outer, steps=4)), _resample(spline(inner, steps=4))
    return Lock(face.camera.place(np.stack((a, b))))


_EIGHT = np.linspace(0, 1, 8)


def _lengthen(
    face: Face, style: Style, side: float, outer: Points, inner: Points
) -> tuple[Points, Points]:
    """Carry both edges of a side lock down to its end, swinging with the wave."""
    steps = np.linspace(0.30, style.end, max(3, round((style.end - 0.1) / 0.3)))
    t = np.linspace(0, 1, len(steps))
    swing = style.wave * np.sin(np.arange(len(steps)) * 1.9 + 0.6)
    reach = 1.06 + style.sides + 0.10 * np.sin(t * np.pi) - 0.10 * t
    near = 0.985 - 0.10 * np.minimum(t * 2, 1) - 0.10 * t

    def down(x: Points, z: float) -> Points:
        return face.camera.flat(np.stack((side * x, steps, np.full(len(steps), z)), axis=1))

    long_outer = down(reach + swing, -0.1)
    long_inner = down(near + 0.5 * swing, 0.18)
    return np.concatenate((outer, long_outer)), np.concatenate((inner[:-1], long_inner))


def _resample(line: Points, count: int = 22) -> Points:
    """The same curve at equal steps of its length."""
    z = line.view(complex)[:, 0]
    length = np.zeros(len(z))
    np.cumsum(np.abs(z[1:] - z[:-1]), out=length[1:])
    where = np.arange(count) * (length[-1] / (count - 1))
    even: Points = np.interp(where, length, z).view(float).reshape(count, 2)
    return even


def _fringe(face: Face, style: Style) -> Lock:
    assert style.fringe is not None
    part = 0.4 * face.identity.parting
    solid = []
    for x, drop in ((-0.94, 0.24), (-0.5, 0.03), (0.0, 0.0), (0.5, 0.03), (0.94, 0.24)):
        root = part + (0.55 - 0.3 * abs(part)) * x, style.line - 0.30 + 0.12 * abs(x)
        middle = 0.5 * (style.line + style.fringe) - 0.12 + 0.3 * drop
        solid.append(_on_skull(*root, 0.06))
        solid.append(_on_skull(part * 0.35 + 0.84 * x, middle, 0.10))
        solid.append(_on_skull(x, style.fringe + drop, 0.08))
    guides = face.camera.flat(np.array(solid)).reshape(5, 3, 2)
    return Lock(face.camera.place(spline(guides, steps=9)))


def hair_ramp(color: Color, tone: Floats) -> Floats:
    """Colors of hair from shadow (0) to gloss (1): planes first."""
    base = np.array(color, dtype=float)
    return ramp(base * 0.30, base, base * 0.75 + np.array((76.0, 70.0, 63.0)), tone)


def hair_tone(face: Face, window: Window) -> Floats:
    """Light on the round of the hair with a band of gloss, for a window of the picture."""
    field = Field(face.camera, 5.0, (-1.5, -1.95), (1.5, 2.15))
    light = light_direction(face.scene, face.camera).tolist()
    u, v = field.u[None] / 1.15, (field.v[:, None] + 0.35) / 1.35
    nx, ny = np.clip(u, -1, 1), np.clip(v, -1, 1)
    nz = np.sqrt(np.maximum(1 - 0.8 * nx * nx - 0.8 * ny * ny, 0.05))
    facing = nx * light[0] + ny * light[1] + nz * light[2]
    lamp = 0.5 * float(np.sign(light[0]))
    bumps = [
        (lamp, -1.10, 0.42, 0.13, 0.30),
        (-0.8 * lamp, -1.15, 0.40, 0.11, 0.14),
        (1.8 * lamp, 0.2, 0.14, 0.4, 0.14),
    ]
    tone = 0.26 + 0.34 * face.scene.strength * facing + field.total(np.array(bumps))
    return field.project(tone.astype(np.float32), window)


def _strand_map(window: Window, locks: list[Lock], rng: np.random.Generator, unit: float) -> Floats:
    """Lighter and darker strands along the locks: about −0.2 to 0.2 for a window."""
    fine, origin = _plain(window)
    for lock in locks:
        count = 40
        lines = np.rint((lock.strands(count, rng)[:, ::2] - origin) * 16 - 8).astype(np.int32)
        # Balanced levels, so that neighboring locks are equally bright on the whole.
        levels = rng.permutation(_LEVELS).tolist()
        thick = max(1, round(0.022 * unit))
        for number, level in enumerate(levels):
            cv2.polylines(fine, list(lines[number::8]), False, level, thick, cv2.LINE_AA, 4)
    return (fine.astype(np.float32) - 128) * np.float32(1 / 350)


_LEVELS = np.linspace(78, 178, 8).astype(int)


def _plain(window: Window) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A window in middle gray, and its corner as x, y."""
    rows, columns = window
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    return np.full(shape, 128, np.uint8), (columns.start, rows.start)


def _curl_map(window: Window, face: Face, radius: float, rng: np.random.Generator) -> Floats:
    """Small rings of light and dark all over the head, for a window."""
    fine, origin = _plain(window)
    count = 230
    spots = face.camera.place(
        np.stack((rng.uniform(-1.5, 1.5, count), rng.uniform(-2.05, 0.5, count)), axis=1)
    )
    sizes = rng.uniform(0.5, 1.1, count) * radius * face.unit
    turns = rng.integers(0, 12, count)
    arcs = circle(12)[(np.arange(8) - turns[:, None]) % 12]
    spots = spots[:, None] - origin
    rings = np.rint((spots + arcs * (sizes[:, None, None] * (1.0, 0.75))) * 16 - 8)
    thick = max(1, round(0.028 * face.unit))
    for part, level in ((turns < 7, 176), (turns >= 7, 74)):
        cv2.polylines(fine, list(rings[part].astype(np.int32)), False, level, thick, cv2.LINE_8, 4)
    return (soften(fine, 0.014 * face.unit) - 128) * np.float32(1 / 300)


def _curl_outline(face: Face, style: Style, rng: np.random.Generator) -> list[Points]:
    """Balls of hair along the crown and the hairline."""
    grow = (style.sides - style.curls, style.top - style.curls, style.top)
    angles = np.linspace(np.pi - 0.25, 2 * np.pi + 0.25, 22) + rng.normal(0, 0.02, 22)
    radii = np.array(SKULL_RADII) + grow
    arc = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    crown = face.camera.ellipse(np.array(SKULL_CENTER), radii, arc)
    x = np.linspace(-0.78, 0.78, 9)
    line = face.camera.flat(
        np.array([_on_skull(a, style.line - 0.02 + 0.30 * abs(a) ** 3, 0.05) for a in x])
    )
    balls = []
    for centers, size in ((crown, 1.5), (line, 0.75)):
        for spot, factor in zip(
            face.camera.place(centers), rng.uniform(0.8, 1.2, len(centers)), strict=True
        ):
            radius = factor * size * style.curls * face.unit
            balls.append(ring(spot, (radius, radius), 14))
    return balls


def _curl_back(face: Face, style: Style, rng: np.random.Generator) -> list[Points]:
    """The curls behind the ears: the head's outline down to the nape, with balls at its lower edge."""
    grow = (style.sides - style.curls, style.top - style.curls, style.top)
    radii = np.array(SKULL_RADII) + grow
    arc = circle(48)
    whole = face.camera.ellipse(np.array(SKULL_CENTER), radii, arc[arc[:, 1] <= _NAPE])
    turns = np.linspace(-0.1, np.arcsin(_NAPE), 7)
    half = np.stack((np.cos(turns), np.sin(turns)), axis=1)
    edge = np.concatenate((half, half * (-1, 1)))
    spots = face.camera.ellipse(np.array(SKULL_CENTER), radii * (0.96, 1, 1), edge)
    sizes = rng.uniform(1.1, 1.5, len(spots)) * style.curls * face.unit
    balls = [
        ring(spot, (size, size), 14)
        for spot, size in zip(face.camera.place(spots), sizes, strict=True)
    ]
    return [face.camera.place(whole), *balls]


_NAPE = 0.42  # of the head's height below its middle


@dataclass(frozen=True, slots=True)
class HairShape:
    """What is drawn of the hair: its outline in front, its back, and its locks."""

    front: list[Points]
    back: list[Points]
    locks: list[Lock]


def shape_hair(face: Face, rng: np.random.Generator) -> HairShape:
    """The hair of an identity as polygons in pixels; empty for `bald`, `buzz` and `scarf`."""
    style = STYLES.get(face.identity.hair)
    if style is None:
        return HairShape([], [], [])
    locks = locks_of(face, style)
    front = [lock.outline() for lock in locks]
    back = []
    if style.end > 0.3 or style.bun:
        back = [face.camera.place(skull(face, (style.sides, style.top, style.top)))]
    if style.curls:
        front += _curl_outline(face, style, rng)
        back = _curl_back(face, style, rng)
    if style.end > 0.3:
        back += [_curtain(face, style)]
    if style.bun:
        top = face.camera.place(skull(face)[36:37])[0]
        up = face.camera.place(np.array([(0.0, -0.25)]))[0] - face.camera.place(np.zeros((1, 2)))[0]
        back += [ring(top + up, (0.40 * face.unit, 0.34 * face.unit))]
    return HairShape(front, back, locks)


def _curtain(face: Face, style: Style) -> Points:
    """Long hair behind neck and shoulders."""
    reach = 1.0 + style.sides
    half = [
        (0.96 * reach, -0.5),
        (1.02 * reach, 0.3),
        (1.0 * reach, 0.7 * style.end),
        (0.93 * reach, style.end),
    ]
    solid = (
        [(-x, y, -0.25) for x, y in half]
        + [(0.0, style.end + 0.06, -0.25)]
        + [(x, y, -0.25) for x, y in half[::-1]]
    )
    return face.camera.place(spline(face.camera.flat(np.array(solid))))


def paint_back_hair(canvas: Canvas, face: Face, shape: HairShape, rng: np.random.Generator) -> None:
    """What lies behind the head."""
    if not shape.back:
        return
    window = canvas.window(np.concatenate(shape.back))
    alpha = canvas.mask(shape.back, window)
    curls = STYLES[face.identity.hair].curls
    if curls:  # seen beside the face, where smooth hair in shadow would show a seam
        tone = hair_tone(face, window) * 0.8 + _curl_map(window, face, curls, rng)
    else:
        tone = hair_tone(face, window) * 0.55 + 0.02
    canvas.blend(window, hair_ramp(face.identity.hair_color, tone), alpha)


def paint_front_hair(
    canvas: Canvas, face: Face, shape: HairShape, rng: np.random.Generator
) -> None:
    """The locks before the head, with strands; or the shaved head's shade."""
    if face.identity.hair == "buzz":
        _paint_buzz(canvas, face)
    if not shape.front:
        return
    style = STYLES[face.identity.hair]
    window = canvas.window(np.concatenate(shape.front), 2)
    polygons = list(shape.front)
    if not style.curls:
        polygons += _wisps(shape.locks, face.unit, rng)
    alpha = canvas.mask(polygons, window)
    texture = (
        _curl_map(window, face, style.curls, rng)
        if style.curls
        else _strand_map(window, shape.locks, rng, face.unit)
    )
    canvas.blend(
        window,
        hair_ramp(face.identity.hair_color, hair_tone(face, window) + texture),
        alpha,
    )


def _wisps(locks: list[Lock], unit: float, rng: np.random.Generator) -> list[Points]:
    """Fine hairs at the edges of the locks that keep their outlines from looking cut."""
    tips = np.concatenate([lock.strands(6, rng)[:, -5:] for lock in locks])
    bend = rng.normal(0, 0.05 * unit, (len(tips), 1, 2)) * _RISE
    tips = tips + bend
    tips += (tips[:, -1:] - tips[:, :1]) * 0.12
    return list(ribbons(tips, 0.05 * unit, (1.0, 0.0)))


_RISE = np.linspace(0, 1, 5)[:, None]


def _paint_buzz(canvas: Canvas, face: Face) -> None:
    """Hair cut to stubble: a soft cap of its color over the skull."""
    cap = locks_of(face, Style(top=0.0, sides=-0.01, line=-0.96, end=0.0, temple=0.05))
    polygons = [lock.outline() for lock in cap]
    window = canvas.window(np.concatenate(polygons), 6)
    alpha = canvas.mask(polygons, window, 0.035 * face.unit) * head_mask(canvas, face, window)
    grain = np.random.default_rng(face.scene.decor).normal(0, 0.07, alpha.shape).astype(np.float32)
    color = 0.75 * np.array(face.identity.hair_color) + 0.10 * np.array(face.identity.skin)
    canvas.blend(window, color, np.clip(alpha * (0.72 + grain), 0, 1))
