"""All around the face: background, neck, clothes, ears, head scarf."""

from __future__ import annotations

import math

import cv2
import numpy as np

from openaffect.synthetic.anatomy import Points, by
from openaffect.synthetic.paint import Canvas, Floats, Window, ribbon, ribbons, soften, spline
from openaffect.synthetic.scene import Scene
from openaffect.synthetic.skin import Face, skin_ramp, skull


def paint_background(canvas: Canvas, scene: Scene) -> None:
    """A soft scene out of focus, darker to the corners; drawn small, then enlarged."""
    rng = np.random.default_rng(scene.decor)
    low, high = np.array(scene.hues[0], dtype=float), np.array(scene.hues[1], dtype=float)
    x, y = _ACROSS, _ACROSS[:, None]
    across = 0.5 + 0.5 * ((x - 0.5) * scene.light[0] * 1.4 + (0.5 - y) * 0.9)
    small = (low + (high - low) * np.clip(across, 0, 1)[..., None]).astype(np.float32)
    if scene.background != "gradient":
        small = _decorate(small, scene.background, low, high, rng)
    small *= _CORNERS
    for plane, part in zip(canvas.pixels, cv2.split(small), strict=True):
        cv2.resize(part, (canvas.size, canvas.size), dst=plane, interpolation=cv2.INTER_LINEAR)


_ACROSS = np.linspace(0, 1, 48)
_FROM_MIDDLE = np.hypot(_ACROSS - 0.5, _ACROSS[:, None] - 0.5)
_CORNERS = (1 - 0.30 * np.clip(_FROM_MIDDLE - 0.2, 0, 1))[..., None].astype(np.float32)


def _decorate(
    small: Floats, kind: str, low: Points, high: Points, rng: np.random.Generator
) -> Floats:
    side = len(small)
    layer = small.copy()
    count, most = {
        "bokeh": (16, (7, 7)),
        "foliage": (44, (6, 6)),
        "blocks": (9, (12, 22)),
        "window": (4, (8, 8)),
    }[kind]
    places = rng.integers(0, side, (count, 2)).tolist()
    mixes = low + (high - low) * rng.uniform(-0.25, 1.3, (count, 1)) + rng.normal(0, 12, (count, 3))
    sizes = rng.integers((2, 4), most, (count, 2)).tolist()
    pane = np.minimum(high * 1.05, 255).tolist()
    for (x, y), color, (wide, tall) in zip(
        places, np.clip(mixes, 0, 255).tolist(), sizes, strict=True
    ):
        if kind in ("bokeh", "foliage"):
            cv2.circle(layer, (x, y), wide, color, -1)
        elif kind == "blocks":
            cv2.rectangle(layer, (x - wide, y - tall), (x + 6, y + 15), color, -1)
        else:
            cv2.rectangle(layer, (x, 3), (x + wide + 4, 36), pane, -1)
            cv2.line(layer, (x + wide // 2 + 2, 3), (x + wide // 2 + 2, 36), low.tolist(), 1)
    blur = {"bokeh": 0.8, "blocks": 1.8, "foliage": 1.4, "window": 1.4}[kind]
    share = 0.55 if kind == "bokeh" else 0.75
    return np.asarray(small + share * (soften(layer, blur) - small), np.float32)


def grid(window: Window, center: tuple[float, float], unit: float) -> tuple[Floats, Floats]:
    """Face units from a center: x of each column, shape (w,), and y of each row, (h, 1)."""
    rows, columns = window
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) - center[0]) / unit
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) - center[1]) / unit
    return x.astype(np.float32), y.astype(np.float32)[:, None]


def paint_body(canvas: Canvas, face: Face) -> None:
    """Neck and shoulders, upright below the head, with the shadow of the chin."""
    q, camera, i = face.pixels, face.camera, face.identity
    slim, inset = (1.0, 0.14) if i.jaw > 0 else (0.90, 0.20)
    base = camera.body(np.array([(-0.66 * slim, 1.66), (0.66 * slim, 1.66), (0.0, 2.1)]))
    left = q[3] * (1 - inset) + q[13] * inset
    right = q[13] * (1 - inset) + q[3] * inset
    flank = camera.body(np.array([(-1.25 * slim, 1.95), (1.25 * slim, 1.95)]))
    neck = spline(np.array([left, 0.5 * (left + base[0]), base[0], flank[0]]), steps=5)
    other = spline(np.array([flank[1], base[1], 0.5 * (right + base[1]), right]), steps=5)
    skin = np.concatenate((neck, camera.body(np.array([(0.0, 2.6)])), other))
    window = canvas.window(skin)
    x, y = grid(window, face.camera.center, face.unit)
    lamp = math.copysign(face.scene.strength, face.scene.light[0])
    tone = np.repeat((0.40 + 0.20 * lamp * x - 0.10 * x * x)[None], len(y), axis=0)
    jaw = spline(q[2:15], steps=3)
    shadow = [
        np.concatenate(
            (jaw + by(-0.10 * face.scene.light[0] * face.unit, 0.24 * face.unit), q[[14, 2]])
        )
    ]
    tone -= 0.24 * canvas.mask(shadow, window, 0.09 * face.unit, 1)
    alpha = canvas.mask([skin], window)
    canvas.blend(window, skin_ramp(i.skin, tone, face.scene.light_color), alpha)
    side = np.array([(-0.38, 1.6), (-0.22, 1.92), (-0.07, 2.16)]) * (slim, 1)
    cords = [ribbon(spline(camera.body(side * (m, 1))), 0.05 * face.unit) for m in (1, -1)]
    canvas.fill(cords, np.array(i.skin) * (0.5, 0.38, 0.36), 0.28, 0.025 * face.unit)
    _paint_clothes(canvas, face, slim)


def _paint_clothes(canvas: Canvas, face: Face, slim: float) -> None:
    i, camera, unit = face.identity, face.camera, face.unit
    wide = 2.15 if i.jaw > 0 else 1.85
    dip = {"crew": 2.06, "vee": 2.36, "shirt": 2.16, "turtle": 1.58}[i.neckline]
    edge = {"crew": 0.72, "vee": 0.70, "shirt": 0.62, "turtle": 0.60}[i.neckline] * slim
    rise = 1.73 if i.neckline != "turtle" else 1.46
    shoulder = [
        (-wide - 0.3, 4.2),
        (-wide - 0.12, 2.8),
        (-wide + 0.15, 2.26),
        (-1.32, 1.98),
        (-edge, rise),
    ]
    collar = [
        (-0.6 * edge, rise + 0.62 * (dip - rise)),
        (0.0, dip),
        (0.6 * edge, rise + 0.62 * (dip - rise)),
    ]
    outline = [*shoulder, *collar, *((-x, y) for x, y in shoulder[::-1])]
    top = spline(np.array(outline, dtype=float), steps=5)
    body = camera.body(np.concatenate((top, [(wide + 0.3, 5.0), (-wide - 0.3, 5.0)])))
    window = canvas.window(body)
    alpha = canvas.mask([body], window)
    x, y = grid(window, camera.center, unit)
    lamp = float(np.sign(face.scene.light[0]))
    across = 0.86 + 0.16 * np.tanh(x * lamp) - 0.10 * np.clip(np.abs(x) - 1.3, 0, 1)
    y = y[:, 0]
    down = -0.16 * np.clip(y - 2.2, 0, 2)
    # Folds are sin(p + q), taken apart so that the light is one product of columns and rows.
    p, q = 5 * x + (face.scene.decor % 7), 3 * y
    deep = 0.05 * np.clip(y - 2.0, 0, 1)
    columns = np.array((np.ones_like(y), down, deep * np.cos(q), deep * np.sin(q)))
    light = columns.T @ np.array((across, np.ones_like(x), np.sin(p), np.cos(p)))
    cloth = np.array(i.cloth, np.float32)[:, None, None] * light
    canvas.blend(window, cloth, alpha)
    _paint_collar(canvas, face, np.array([shoulder[-1], *collar, (-shoulder[-1][0], rise)]), dip)


def _paint_collar(canvas: Canvas, face: Face, collar: Points, dip: float) -> None:
    i, camera, unit = face.identity, face.camera, face.unit
    cloth = np.array(i.cloth)
    line = camera.body(spline(collar))
    canvas.fill(
        [ribbon(line + by(0, -0.03 * unit), 0.10 * unit, (1, 1))], cloth * 0.45, 0.35, 0.03 * unit
    )
    if i.neckline == "shirt":
        for side in (-1.0, 1.0):
            flap = np.array(
                [
                    (side * 0.62, 1.68),
                    (side * 0.02, dip),
                    (side * 0.36, dip + 0.26),
                    (side * 0.84, 1.98),
                ]
            )
            canvas.fill([camera.body(flap)], np.minimum(cloth * 1.12 + 8, 255))
            canvas.fill([ribbon(camera.body(flap[1:4]), 0.025 * unit, (1, 1))], cloth * 0.5, 0.6)
    else:
        canvas.fill(
            [ribbon(line + by(0, 0.05 * unit), 0.12 * unit, (1, 1))],
            np.minimum(cloth * 1.08 + 5, 255),
            0.8,
        )
        canvas.fill([ribbon(line + by(0, 0.115 * unit), 0.022 * unit, (1, 1))], cloth * 0.5, 0.5)


def paint_ears(canvas: Canvas, face: Face) -> None:
    """Ears at the sides; the head hides the one it turns from."""
    unit, skin = face.unit, np.array(face.identity.skin)
    turned = np.array((1 + 0.05 * face.identity.width, 1, 1)) * ((-1, 1, 1), (1, 1, 1))
    ears = face.camera.flat(_EAR * turned[:, None])
    shapes = face.camera.place(spline(ears, closed=True))
    folds = face.camera.place(spline(face.camera.flat(_EAR_FOLD * turned[:, None])))
    for side, shape in ((-1.0, shapes[0]), (1.0, shapes[1])):
        lit = 0.80 + 0.18 * face.scene.strength * float(np.sign(side * face.scene.light[0]))
        canvas.fill([shape], np.minimum(skin * lit * (1.0, 0.93, 0.91), 255))
    dark = skin * (0.50, 0.36, 0.34)
    canvas.fill(ribbons(folds, 0.06 * unit), dark, 0.6, 0.018 * unit)


_EAR = np.array(
    [
        (1.0, -0.16, -0.05),
        (1.09, -0.21, -0.12),
        (1.15, -0.10, -0.16),
        (1.13, 0.12, -0.14),
        (1.06, 0.34, -0.08),
        (0.98, 0.38, -0.02),
    ]
)
_EAR_FOLD = np.array(
    [
        (1.03, -0.10, -0.06),
        (1.095, -0.12, -0.12),
        (1.10, 0.04, -0.13),
        (1.05, 0.16, -0.1),
        (1.03, 0.22, -0.08),
    ]
)


def paint_head_scarf(canvas: Canvas, face: Face) -> None:
    """A scarf around head and neck that leaves the face free."""
    camera, unit, q = face.camera, face.unit, face.flat
    cloth = np.array(face.identity.cloth) * 0.9 + 20
    crown = skull(face, (0.13, 0.15, 0.15), 40)
    top = camera.place(np.concatenate((crown[20:], crown[:1])))
    drape = camera.body(
        np.array(
            [
                (1.30, 1.0),
                (1.40, 1.8),
                (1.75, 2.5),
                (1.6, 3.4),
                (-1.6, 3.4),
                (-1.75, 2.5),
                (-1.40, 1.8),
                (-1.30, 1.0),
            ]
        )
    )
    whole = spline(np.concatenate((top, drape)), closed=True, steps=4)
    brow = camera.flat(
        np.array(
            [
                (0.80, -0.62, 0.45),
                (0.45, -0.90, 0.72),
                (0.0, -0.98, 0.80),
                (-0.45, -0.90, 0.72),
                (-0.80, -0.62, 0.45),
            ]
        )
    )
    opening = spline(
        np.concatenate((q[1:16] * (0.97, 1.0) + by(0, -0.01), brow)), closed=True, steps=4
    )
    hole = camera.place(opening)
    window = canvas.window(whole)
    alpha = np.clip(canvas.mask([whole], window) - canvas.mask([hole], window), 0, 1)
    x, y = grid(window, camera.center, unit)
    lamp = float(np.sign(face.scene.light[0]))
    light = (
        0.84
        + 0.20 * np.tanh(0.9 * x * lamp)
        - 0.12 * y * 0.5
        - 0.16 * np.clip(np.abs(x) - 0.8, 0, 1)
    )
    light = light + 0.06 * np.sin(9 * np.hypot(x, 0.8 * (y + 0.2)) + 1.5 * x)
    edge = canvas.mask(
        [ribbon(np.concatenate((hole, hole[:1])), 0.12 * unit, (1, 1))], window, 0.03 * unit
    )
    canvas.blend(window, cloth[:, None, None] * light[None] * (1 - 0.35 * edge), alpha)
    neck = camera.body(np.array([(-0.75, 1.62), (0.0, 1.98), (0.85, 1.72)]))
    for drop in (0.0, 0.22, 0.46):
        line = spline(neck * (1, 1) + by(0, drop * unit))
        canvas.fill([ribbon(line, 0.06 * unit)], cloth * 0.5, 0.45, 0.03 * unit)
