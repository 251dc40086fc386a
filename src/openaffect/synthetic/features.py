"""Eyes, brows, nostrils, mouth: the crisp parts of a face, each drawn on its landmarks."""

from __future__ import annotations

import math

import numpy as np

from openaffect.synthetic.anatomy import Points, by
from openaffect.synthetic.paint import Canvas, Floats, Window, ribbon, ribbons, ring, spline
from openaffect.synthetic.skin import Face

_LEFT_EYE = (36, 37, 38, 39, 40, 41)
_RIGHT_EYE = (45, 44, 43, 42, 47, 46)


def _dark(color: object, factor: float) -> Points:
    return np.asarray(color, dtype=float) * factor


def lids(face: Face, eye: tuple[int, ...]) -> tuple[Points, Points]:
    """The upper and the lower lid's edge from the outer to the inner corner, in pixels."""
    outer, up1, up2, inner, low2, low1 = eye
    edges = spline(face.pixels[[[outer, up1, up2, inner], [outer, low1, low2, inner]]], steps=7)
    return edges[0], edges[1]


def paint_eyes(canvas: Canvas, face: Face) -> None:
    """Both eyes with lids, lashes and the fold above."""
    left, right = lids(face, _LEFT_EYE), lids(face, _RIGHT_EYE)
    upper, lower = np.stack((left[0], right[0])), np.stack((left[1], right[1]))
    _paint_balls(canvas, face, upper, lower)
    _paint_lids(canvas, face, upper, lower)


def _paint_balls(canvas: Canvas, face: Face, upper: Points, lower: Points) -> None:
    """White, iris, pupil, the shadow of the lid, two lights: both eyes in one window."""
    openings = np.concatenate((upper, lower[:, ::-1]), axis=1)
    unit, gaze = face.unit, face.scene.gaze
    window = canvas.window(openings.reshape(-1, 2), 1)
    alpha = canvas.mask(openings, window, 0.0, 4)
    centers = face.pixels[36:48].reshape(2, 6, 2).mean(axis=1)
    across = upper[:, -1] - upper[:, 0]
    wide = 0.5 * np.sqrt(np.square(across).sum(axis=1))
    irises = centers + wide[:, None] * (gaze[0] * 0.16, gaze[1] * 0.08 - 0.02)
    irises = irises.astype(np.float32)
    radius = 0.115 * unit
    squeeze = np.clip(wide / (0.225 * unit), 0.7, 1.0)
    rows, columns = np.ogrid[window[0], window[1]]
    rows, columns = rows.astype(np.float32) + 0.5, columns.astype(np.float32) + 0.5
    own = (columns[0] > centers[:, 0].mean()).astype(int)  # which eye a column belongs to
    dx = (columns - irises[own, 0]) / (radius * squeeze[own]).astype(np.float32)
    dy = (rows - irises[own, 1]) / np.float32(radius)
    r = np.sqrt(dx * dx + dy * dy)
    corner = np.minimum(np.abs(columns - centers[own, 0]) / wide[own], 1) ** 2
    brims = ribbons(upper + by(0, 0.02 * unit), 0.11 * unit, (1, 1))
    shade = 1 - 0.50 * canvas.mask(brims, window, 0.022 * unit)
    edge = _step((1 - r) * radius + 0.5) * shade
    # Every color has a share of each pixel, so that all are mixed in one product.
    shares = np.zeros((5, *r.shape), np.float32)
    _share_iris(face, r, dy, edge, shares)
    np.subtract(shade, edge, out=shares[2])
    np.multiply(shares[2], 0.6 * corner, out=shares[3])
    lamp = 1.0 if face.scene.light[0] > 0 else -1.0
    for x, y, size, power in ((0.34 * lamp, -0.36, 0.25, 0.95), (-0.36 * lamp, 0.40, 0.14, 0.35)):
        distance = np.sqrt(np.square(dx - x) + np.square(dy - y))
        spot = _step((size - distance) * radius + 0.5) * power
        shares *= 1 - spot
        shares[4] += spot
    light = 0.80 + 0.15 * face.scene.strength
    white, pink = np.array((240.0, 236.0, 232.0)) * light, np.array((206.0, 170.0, 160.0)) * light
    colors = np.array(
        (face.identity.eye_color, (14, 11, 12), white, pink - white, (252, 252, 252)), np.float32
    )
    pixels = (colors.T @ shares.reshape(5, -1)).reshape(3, *r.shape)
    canvas.blend(window, pixels, alpha)


def _step(values: Floats) -> Floats:
    """Values cut off at 0 and 1."""
    return np.minimum(np.maximum(values, 0), 1)


def _share_iris(face: Face, r: Floats, dy: Floats, edge: Floats, shares: Floats) -> None:
    """The shares of the iris with its dark rim and of the pupil, by the distance r, 1 at the rim."""
    pupil = 0.36 + 0.10 * min(max(face.muscles.lid_raise, 0), 1)
    glow = 0.85 + 0.45 * np.minimum(np.maximum(dy, -0.6), 1)
    hole = _step((pupil - r) * 9 + 0.5) * edge
    shares[0] = (edge - hole) * (glow * (1 - 0.62 * _step((r - 0.72) * 3.2)))
    shares[1] = hole


def _paint_lids(canvas: Canvas, face: Face, upper: Points, lower: Points) -> None:
    i, unit, m = face.identity, face.unit, face.muscles
    skin = np.array(i.skin)
    lash = skin * 0.16 + (8, 4, 4)
    outward = upper[:, 0] - upper[:, -1]
    outward = outward / np.maximum(np.hypot(outward[:, 0], outward[:, 1]), 1e-6)[:, None]
    # Up is square to the eye: turned a quarter, the other way round for the other eye.
    up = np.stack((outward[:, 1], -outward[:, 0]), axis=1) * ((-1.0,), (1.0,))
    # The fold: a line above the lid, nearer to it as the eye opens.
    gap = max(0.012, 0.056 - 0.018 * m.lid_raise + 0.02 * m.lid_droop) * unit
    fold = upper[:, 2:-1] + up[:, None] * gap * _ARCH
    if i.makeup > 0.25:
        shades = np.concatenate((upper, fold[:, ::-1]), axis=1)
        canvas.fill(shades, skin * 0.5, 0.5 * i.makeup, 0.02 * unit)
    folds, lows = ribbons(fold, 0.026 * unit), ribbons(lower, 0.018 * unit, (0.8, 0.2))
    canvas.fill([folds, lows], skin * 0.35, 1.0, 0.0, 4, levels=[0.75 * i.lid_fold, 0.55])
    line = upper
    if i.makeup > 0.3:
        wing = upper[:, :1] + (upper[:, :1] - upper[:, 2:3]) * 0.45 + up[:, None] * 0.02 * unit
        line = np.concatenate((wing, upper), axis=1)
    rims = [ribbons(line, (0.036 + 0.020 * i.makeup) * unit, (0.25, 0.45))]
    if i.makeup > 0.15:
        length = (0.045 + 0.04 * i.makeup) * unit
        rims.append(_lashes(upper, up, outward, length, 0.012 * unit))
    canvas.fill(rims, lash, 0.90, 0.0, 4)
    corners = [
        ring(c, (0.020 * unit, 0.016 * unit), 10) for c in upper[:, -1] + outward * 0.012 * unit
    ]
    canvas.fill(corners, skin * (0.86, 0.56, 0.54), 0.8)


_ARCH = np.sin(np.linspace(0.5, 2.7, 19))[:, None]


def _lashes(upper: Points, up: Points, outward: Points, length: float, width: float) -> Points:
    roots = upper[:, 1:16:2]
    tips = roots + (up[:, None] + outward[:, None] * _LEAN) * length
    middle = 0.5 * (roots + tips) + outward[:, None] * (0.15 * length)
    strokes = np.stack((roots, middle, tips), axis=2).reshape(-1, 3, 2)
    return ribbons(strokes, width, (1, 0))


_LEAN = np.linspace(0.9, -0.15, 8)[:, None]


def paint_brows(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Brows as a soft body with single hairs that rise from it and lie outward."""
    i, unit = face.identity, face.unit
    color = np.array(i.hair_color) * 0.62 + np.array(i.skin) * 0.06
    if sum(i.hair_color) > 420 and i.age < 0.55:
        color = np.array(i.hair_color) * 0.62
    thick = 0.098 * (1 + 0.30 * i.brow_weight)
    lines = spline(face.pixels[[[17, 18, 19, 20, 21], [26, 25, 24, 23, 22]]], steps=6)
    width = unit * thick * _BROW_WIDTH
    canvas.fill(ribbons(lines, width, (0.1, 0.55)), color, 0.70, 0.016 * unit)
    # Thinner than a pixel, so that nobody sees where two of a group cross.
    canvas.fill(_brow_hairs(lines, width, rng), color * 0.72, 0.60, 0.0, 4)


_ALONG = np.linspace(0, 1, 25)
_BROW_WIDTH = (0.25 + 0.75 * np.clip(_ALONG * 1.9, 0, 1)) * (1 - 0.18 * _ALONG**4)


def _brow_hairs(lines: Points, width: Points, rng: np.random.Generator) -> Points:
    """Triangles, shape (k, 3, 2), along both brows."""
    shape = (len(lines), 20)
    index = (rng.uniform(0.06, 0.97, shape) * (lines.shape[1] - 1)).astype(int)
    brow = np.arange(len(lines))[:, None]
    start = lines[brow, index]
    along = lines[brow, index + 1] - start
    along /= np.sqrt(np.square(along).sum(axis=-1, keepdims=True)) + 1e-6
    up = along[..., ::-1] * (1.0, -1.0)
    up *= np.where(up[..., 1:] > 0, -1.0, 1.0)
    reach = width[index][..., None]
    root = start - up * reach * rng.uniform(-0.15, 0.45, (*shape, 1))
    tip = root + (up * 0.45 - along * rng.uniform(0.5, 0.9, (*shape, 1))) * reach * 0.95
    side = up * (0.11 * reach)
    return np.stack((root - side, root + side, tip), axis=2).reshape(-1, 3, 2)


def paint_nose(canvas: Canvas, face: Face) -> None:
    """Nostrils; the rest of the nose is relief and creases of the skin."""
    p, unit = face.pixels, face.unit
    dark = np.array(face.identity.skin) * (0.30, 0.20, 0.19)
    look = 1 + 0.04 * face.scene.pitch
    high = max(0.012, 0.026 * look) * unit
    holes = []
    for wing, inner in ((31, 32), (35, 34)):
        a = 0.45 * p[wing] + 0.55 * p[inner]
        line = np.array(
            [a + 0.55 * (p[wing] - a), a - (0, 0.022 * unit), p[inner] + 0.25 * (p[33] - p[inner])]
        )
        holes.append(ribbon(spline(line), 2.0 * high, (0.5, 0.35)))
    tip = ribbon(spline(np.array([p[32], p[33] + by(0, 0.012 * unit), p[34]])), 0.022 * unit)
    canvas.fill([tip, *holes], dark, 1.0, 0.012 * unit, 4, levels=[0.35, 0.80, 0.80])


def paint_mouth(canvas: Canvas, face: Face, tone: Floats) -> None:
    """Inside of the mouth, teeth and tongue where it is open; then both lips."""
    p, unit = face.pixels, face.unit
    top, bottom = spline(p[48:55], steps=5), spline(p[[48, 59, 58, 57, 56, 55, 54]], steps=5)
    inner_top, inner_bottom = spline(p[60:65], steps=6), spline(p[[60, 67, 66, 65, 64]], steps=6)
    hole = np.concatenate((inner_top, inner_bottom[::-1]))
    gap = math.dist(p[66], p[62])
    if gap > 0.02 * unit:
        _paint_inside(canvas, face, hole, inner_top, inner_bottom, gap)
    lip = np.array(face.identity.lip_color)
    for body, shade in (
        (np.concatenate((top, inner_top[::-1])), 0.86),
        (np.concatenate((bottom, inner_bottom[::-1])), 1.03),
    ):
        window = canvas.window(body, 3)
        alpha = canvas.mask([body], window, 0.009 * unit, 4)
        light = 0.62 + 0.72 * np.minimum(np.maximum(tone[window], 0.1), 0.95)
        paint = (lip * shade)[:, None, None].astype(np.float32) * light
        canvas.blend(window, paint, alpha * 0.90)
    dark = _dark(lip, 0.34)
    lines = [ribbon(inner_top, 0.030 * unit, (0.5, 0.5))]
    if gap > 0.02 * unit:
        lines.insert(0, ribbon(inner_bottom, 0.016 * unit))
    canvas.fill(lines, dark, 1.0, 0.0, 4, levels=[0.5, 0.85][-len(lines) :])
    _paint_gloss(canvas, face)


def _paint_gloss(canvas: Canvas, face: Face) -> None:
    """A soft light along the lower lip and on the bow of the upper one."""
    p, unit = face.pixels, face.unit
    power = 0.22 + 0.25 * face.identity.makeup
    low = 0.42 * p[[67, 66, 65]] + 0.58 * p[[58, 57, 56]] - (0, 0.01 * unit)
    thick = math.dist(p[57], p[66])
    low = low + np.array(((0.1, 0), (0, 0), (-0.1, 0))) * unit
    bow = p[[50, 51, 52]] - (0, 0.012 * unit)
    shines = [ribbon(spline(low), 0.30 * thick), ribbon(spline(bow), 0.022 * unit)]
    canvas.fill(shines, (255, 236, 228), power, 0.014 * unit, levels=[1.0, 0.5])


_BITE = np.sin(np.linspace(0, np.pi, 25))[:, None] ** 0.35
"""How far teeth reach along the 25 points of a lip's inner edge, as shares."""


def _paint_inside(
    canvas: Canvas, face: Face, hole: Points, top: Points, bottom: Points, gap: float
) -> None:
    unit, m = face.unit, face.muscles
    window = canvas.window(hole, 1)
    alpha = canvas.mask([hole], window, 0.0, 4)
    clip = (window, alpha)
    canvas.blend(window, (74, 22, 26), alpha)
    down = (face.pixels[57] - face.pixels[51]) / max(
        1e-6, math.dist(face.pixels[57], face.pixels[51])
    )
    if gap > 0.16 * unit:
        tongue = bottom.mean(axis=0) - down * 0.02 * unit
        canvas.fill(
            [ring(tongue, (0.20 * unit, 0.42 * gap))], (172, 76, 78), 0.9, 0.02 * unit, within=clip
        )
    bared = min(1.0, 0.15 + 0.8 * m.corner_pull + 0.5 * m.lip_stretch + 0.5 * m.upper_lip_raise)
    enamel = np.array((238.0, 232.0, 220.0)) * (1 - 0.08 * face.identity.age)
    teeth = min((0.05 + 0.12 * bared) * unit, gap * (0.25 + 0.55 * bared))
    drop = _BITE * down * teeth
    canvas.fill([np.concatenate((top, (top + drop)[::-1]))], enamel, 0.95, 0.0, 4, clip)
    if m.lip_stretch + m.upper_lip_raise > 0.7 and gap > 0.1 * unit:
        rise = _BITE * down * 0.55 * teeth
        canvas.fill(
            [np.concatenate((bottom, (bottom - rise)[::-1]))], enamel * 0.9, 0.9, 0.0, 4, clip
        )
    _paint_gaps(canvas, face, top, down * teeth, clip)
    canvas.fill([ribbon(top, 0.09 * unit, (1, 1))], (40, 14, 16), 0.42, 0.02 * unit, within=clip)


def _paint_gaps(
    canvas: Canvas, face: Face, top: Points, down: Points, clip: tuple[Window, Floats]
) -> None:
    """Faint lines between the upper teeth."""
    middle = len(top) // 2
    roots = top[middle - 8 : middle + 9 : 4]
    marks = np.stack((roots, roots + 0.5 * down, roots + 0.92 * down), axis=1)
    strokes = ribbons(marks, 0.010 * face.unit, (1, 1))
    canvas.fill(strokes, (150, 130, 122), 0.45, 0.0, 4, clip)
