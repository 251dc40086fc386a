"""What lies before the face: glasses, a hand, a scarf, a mask, a lock of hair, a cup."""

from __future__ import annotations

import numpy as np

from openaffect.synthetic.anatomy import by
from openaffect.synthetic.hair import STYLES
from openaffect.synthetic.paint import Canvas, ribbon, ring, spline
from openaffect.synthetic.skin import Face
from openaffect.synthetic.surroundings import grid


def paint_glasses(canvas: Canvas, face: Face) -> None:
    """Frames before the eyes; dark lenses for `sun`."""
    kind, unit, camera = face.scene.glasses, face.unit, face.camera
    if kind == "none":
        return
    dark = np.array((34.0, 30.0, 32.0)) if face.scene.decor % 2 else np.array((96.0, 62.0, 40.0))
    rims, inner = [], []
    for eye, side in ((face.solid[36:42], -1.0), (face.solid[42:48], 1.0)):
        x, y = float(eye[:, 0].mean()), float(eye[:, 1].mean()) + 0.05
        angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        power = 1.0 if kind == "round" else 0.55
        c, s = np.cos(angles), np.sin(angles)
        rim_x = x + side * 0.02 + 0.315 * np.sign(c) * np.abs(c) ** power
        rim_y = y + (0.275 if kind == "round" else 0.225) * np.sign(s) * np.abs(s) ** power
        depth = 1.0 - 0.30 * np.square(rim_x)
        rims.append(camera.place(camera.flat(np.stack((rim_x, rim_y, depth), axis=1))))
        inner.append(rims[-1].mean(axis=0) + (rims[-1] - rims[-1].mean(axis=0)) * 0.90)
    level = float(face.solid[36:48, 1].mean())
    bridge = [(-0.14, level - 0.02, 0.99), (0.0, level - 0.06, 1.03), (0.14, level - 0.02, 0.99)]
    arms = [
        np.array([(s * 0.78, level - 0.02, 0.80), (s * 1.02, level - 0.04, 0.05)])
        for s in (-1.0, 1.0)
    ]
    strokes = [ribbon(spline(face.place(*bridge)), 0.045 * unit, (1, 1))]
    strokes += [ribbon(camera.place(camera.flat(arm)), 0.045 * unit, (1, 1)) for arm in arms]
    if kind == "sun":
        canvas.fill(rims, (30, 28, 34), 0.90)
    else:
        canvas.fill(inner, (255, 255, 255), 0.05)
    canvas.fill(strokes, dark)
    window = canvas.window(np.concatenate(rims), 2)
    frame = np.clip(canvas.mask(rims, window, 0, 4) - canvas.mask(inner, window, 0, 4), 0, 1)
    canvas.blend(window, dark, frame)
    shine = [
        p.mean(axis=0)
        + np.array([(-0.16, 0.02), (-0.04, -0.15), (0.02, -0.15), (-0.10, 0.02)]) * unit
        for p in inner
    ]
    canvas.fill(shine, (255, 255, 255), 0.16, 0.02 * unit)


def paint_occlusion(canvas: Canvas, face: Face) -> None:
    """The thing before the face, if the scene has one.

    No lock falls where no hair is to be seen: on a bald or shaved head, under a head scarf.
    """
    painters = {"hand": _hand, "scarf": _scarf, "mask": _mask, "lock": _lock, "cup": _cup}
    kind = face.scene.occlusion
    if kind == "none" or (kind == "lock" and face.identity.hair not in STYLES):
        return
    painters[kind](canvas, face)


def _side(face: Face) -> float:
    return 1.0 if face.scene.decor % 2 else -1.0


def _hand(canvas: Canvas, face: Face) -> None:
    """A hand that leans on the cheek, its fingers across the mouth."""
    unit, skin, side = face.unit, np.array(face.identity.skin), _side(face)
    anchor = face.flat[54 if side > 0 else 48]
    palm = anchor + np.array(
        [
            (0.52, 0.10),
            (0.42, 0.50),
            (0.55, 1.00),
            (0.65, 2.6),
            (1.35, 2.6),
            (1.15, 0.9),
            (1.02, 0.35),
            (0.80, 0.02),
        ]
    ) * (side, 1)
    shapes = [face.camera.place(spline(palm, closed=True))]
    for lift, reach in ((0.44, -0.10), (0.27, -0.34), (0.10, -0.40), (-0.06, -0.26)):
        line = anchor + np.array(
            [
                (0.75, lift + 0.10),
                (0.42, lift * 0.8 + 0.0),
                (reach * 0.4 + 0.1, lift * 0.72 - 0.02),
                (reach, lift * 0.7 + 0.02),
            ]
        ) * (side, 1)
        shapes.append(face.camera.place(ribbon(spline(line), 0.19, (0.9, 0.72))))
    shadow = [s + by(0.02 * unit, 0.05 * unit) for s in shapes]
    canvas.fill(shadow, skin * (0.40, 0.28, 0.26), 0.45, 0.04 * unit)
    canvas.fill(shapes[:1], skin * (0.95, 0.90, 0.88))
    for shape in shapes[:0:-1]:
        canvas.fill([shape], skin * (0.62, 0.48, 0.46), 0.9)
        middle = shape.mean(axis=0)
        canvas.fill(
            [middle + (shape - middle) * (0.97, 0.84)],
            np.minimum(skin * (1.02, 0.97, 0.95), 255),
            1.0,
            0.015 * unit,
        )


def _scarf(canvas: Canvas, face: Face) -> None:
    """A knitted scarf up to the lower lip."""
    q, unit = face.flat, face.unit
    cloth = np.array(face.scene.hues[0]) * 0.6 + np.array((90.0, 40.0, 40.0))
    edge = [
        q[3] + by(-0.16, 0.16),
        q[4] + by(-0.02, 0.02),
        0.5 * (q[5] + q[57]) + by(0, 0.02),
        q[57] + by(0, 0.02),
        0.5 * (q[11] + q[57]) + by(0, 0.02),
        q[12] + by(0.02, 0.02),
        q[13] + by(0.16, 0.16),
    ]
    lower = [(1.2, 1.55), (1.3, 2.1), (0.7, 2.5), (-0.7, 2.5), (-1.3, 2.1), (-1.2, 1.55)]
    shape = face.camera.place(spline(np.array([*edge, *lower]), closed=True))
    canvas.fill([shape + by(0, -0.05 * unit)], (30, 20, 20), 0.35, 0.05 * unit)
    canvas.fill([shape], cloth)
    folds = []
    for k in range(4):
        drop = 0.20 * k
        fold = [(-0.98, 1.22 + drop), (-0.4, 1.52 + drop), (0.4, 1.48 + drop), (1.0, 1.16 + drop)]
        folds.append(ribbon(face.camera.place(spline(np.array(fold))), 0.09 * unit))
    canvas.fill(folds, cloth * 0.5, 0.55, 0.035 * unit)


def _mask(canvas: Canvas, face: Face) -> None:
    """A surgical mask with pleats and ear loops."""
    q, unit = face.flat, face.unit
    blue = (
        np.array((150.0, 192.0, 208.0)) if face.scene.decor % 3 else np.array((226.0, 230.0, 230.0))
    )
    edge = [
        q[29] + by(0, -0.06),
        q[15] * 0.55 + q[35] * 0.45 + by(0, -0.02),
        q[14] * 0.97 + q[30] * 0.03,
        q[12],
        q[10],
        q[8] + by(0, 0.04),
        q[6],
        q[4],
        q[2] * 0.97 + q[30] * 0.03,
        q[1] * 0.55 + q[31] * 0.45 + by(0, -0.02),
    ]
    for near, ear in ((edge[2], q[16]), (edge[8], q[0])):
        canvas.fill(
            [ribbon(face.camera.place(np.array([near, ear + by(0, -0.1)])), 0.03 * unit, (1, 1))],
            blue * 0.95,
        )
    shape = face.camera.place(spline(np.array(edge), closed=True))
    window = canvas.window(shape)
    x, _ = grid(window, (float(shape[:, 0].mean()), 0.0), unit)
    light = 0.94 - 0.16 * x * x + 0.10 * x * float(np.sign(face.scene.light[0]))
    alpha = canvas.mask([shape], window)
    canvas.blend(window, blue[:, None, None] * np.broadcast_to(light, alpha.shape), alpha)
    for share in (0.30, 0.52, 0.74):
        a, b = q[2] + share * (q[5] - q[2]), q[14] + share * (q[11] - q[14])
        middle = q[30] + share * (q[8] - q[30]) + by(0, 0.06)
        pleat = np.array([a * 0.9 + b * 0.1, middle, b * 0.9 + a * 0.1])
        canvas.fill(
            [ribbon(face.camera.place(spline(pleat)), 0.035 * unit)], blue * 0.66, 0.6, 0.014 * unit
        )


def _lock(canvas: Canvas, face: Face) -> None:
    """A strand of hair that has fallen over one eye."""
    unit, side = face.unit, _side(face)
    hair = np.array(face.identity.hair_color)
    for k in range(7):
        root = (side * (0.25 + 0.03 * k), -1.15, 0.72)
        line = face.place(
            root,
            (side * (0.52 + 0.045 * k), -0.62, 0.85),
            (side * (0.50 + 0.045 * k), -0.05, 0.90),
            (side * (0.66 + 0.02 * k), 0.50, 0.78),
        )
        shade = 0.62 + 0.16 * (k % 3)
        canvas.fill([ribbon(spline(line), 0.085 * unit, (0.9, 0.05))], hair * shade, 0.95)


def _cup(canvas: Canvas, face: Face) -> None:
    """A mug held before the chin and the lower lip."""
    q, unit, side = face.flat, face.unit, _side(face)
    rim = q[57] + by(0.10 * side, 0.02)
    clay = np.array(face.scene.hues[1]) * 0.5 + np.array((110.0, 60.0, 50.0))
    left, right = rim + by(-0.42, 0.0), rim + by(0.42, 0.0)
    body = np.array(
        [
            left,
            left + by(0.04, 0.75),
            left + by(0.14, 0.92),
            right + by(-0.14, 0.92),
            right + by(-0.04, 0.75),
            right,
        ]
    )
    handle = rim + np.array(
        [(side * 0.40, 0.18), (side * 0.66, 0.22), (side * 0.66, 0.55), (side * 0.38, 0.62)]
    )
    canvas.fill([ribbon(face.camera.place(spline(handle)), 0.11 * unit, (1, 1))], clay * 0.8)
    shape = face.camera.place(spline(body, steps=4))
    window = canvas.window(shape)
    x, _ = grid(window, (float(shape[:, 0].mean()), 0.0), unit)
    light = 1.0 - 0.9 * np.square(x + 0.12 * side) + 0.06
    alpha = canvas.mask([shape], window)
    glaze = np.minimum(clay[:, None, None] * np.broadcast_to(light, alpha.shape), 255)
    canvas.blend(window, glaze, alpha)
    lip = face.camera.place(rim[None])[0]
    canvas.fill([ring(lip, (0.42 * unit, 0.08 * unit))], np.minimum(clay * 1.15, 255))
    canvas.fill([ring(lip, (0.37 * unit, 0.055 * unit))], clay * 0.30)
