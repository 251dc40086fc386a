"""Faces drawn by code: portraits with known expression, valence, arousal, box and landmarks.

They feed the demo, the tests and the benchmarks, so that none of these needs a download or
a license. A face is a three-dimensional model of the 68 landmarks, moved by muscle actions,
turned, and painted; its landmarks are therefore exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.circumplex import CLASS_MEANS, REGIONS, inside_disc
from openaffect.errors import InputError
from openaffect.labels import EMOTIONS, Expression, parse_expression
from openaffect.synthetic.anatomy import Identity, face_points
from openaffect.synthetic.beard import paint_beard
from openaffect.synthetic.covers import paint_glasses, paint_occlusion
from openaffect.synthetic.features import paint_brows, paint_eyes, paint_mouth, paint_nose
from openaffect.synthetic.hair import (
    paint_back_hair,
    paint_front_hair,
    shape_hair,
)
from openaffect.synthetic.muscles import Muscles, move, muscles_of
from openaffect.synthetic.paint import Canvas
from openaffect.synthetic.scene import Camera, Scene, march
from openaffect.synthetic.skin import Face, paint_head
from openaffect.synthetic.surroundings import (
    paint_background,
    paint_body,
    paint_ears,
    paint_head_scarf,
)

__all__ = ["Identity", "Muscles", "Scene", "SyntheticFace", "synthesize_face", "synthesize_faces"]

_SMALLEST = 32
_LEAST_CANVAS = 128  # smaller pictures are painted larger, then reduced


@dataclass(frozen=True, slots=True)
class SyntheticFace:
    """A picture of one face and all that is known about it.

    Attributes:
        image: shape (size, size, 3), RGB, uint8.
        box: x, y, width, height in pixels, as a face detector frames it.
        landmarks: shape (68, 2), float32, x and y in pixels, iBUG's order.
        expression: one of the eight.
        valence, arousal: in the unit disc.
    """

    image: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    expression: Expression
    valence: float
    arousal: float


def synthesize_face(
    expression: Expression | str | int,
    *,
    seed: int | np.random.Generator = 0,
    size: int = 256,
    valence: float | None = None,
    arousal: float | None = None,
    identity: Identity | None = None,
    scene: Scene | None = None,
    intensity: float | None = None,
) -> SyntheticFace:
    """Draw a face; the same arguments give the same bytes.

    Args:
        expression: one of the eight emotions, or a spelling or id of one.
        seed: of everything that is not given, or a generator.
        size: side of the picture in pixels, 32 or more.
        valence, arousal: in the unit disc, both or neither; sampled around the mean of the
            expression inside its region if not given.
        identity, scene: sampled if not given.
        intensity: 0 to 1; grows with the distance of (valence, arousal) from 0 if not given.

    Raises:
        InputError: an expression beyond the eight, a value out of its range.

    >>> face = synthesize_face("happy", seed=3, size=64)
    >>> face.image.shape, face.landmarks.shape, face.expression.value
    ((64, 64, 3), (68, 2), 'happy')
    """
    chosen = _emotion(expression)
    _check(size, valence, arousal, intensity)
    rng = np.random.default_rng(seed)
    sampled = _sample_affect(chosen, rng)
    v, a = (valence, arousal) if valence is not None and arousal is not None else sampled
    identity_rng, scene_rng, muscle_rng, paint_rng = rng.spawn(4)
    person = identity or Identity.sample(identity_rng)
    view = scene or Scene.sample(scene_rng)
    if intensity is None:
        noise = float(muscle_rng.normal(0, 0.12))
        intensity = float(np.clip(0.16 + 0.84 * np.hypot(v, a) + noise, 0.10, 1.0))
    muscles = muscles_of(chosen, intensity, v, a, muscle_rng)
    factor = -(-_LEAST_CANVAS // size) if size < _LEAST_CANVAS else 1
    face = _pose(person, view, muscles, size * factor)
    image = _paint(face, size * factor, paint_rng)
    if factor > 1:
        image = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    landmarks = (face.pixels / factor).astype(np.float32)
    return SyntheticFace(image, _box(face, factor), landmarks, chosen, float(v), float(a))


def synthesize_faces(
    n: int,
    *,
    seed: int,
    expressions: Sequence[Expression] | Mapping[Expression, float] = EMOTIONS,
    size: int = 256,
) -> Iterator[SyntheticFace]:
    """Draw n faces one by one; face k depends on the seed and k alone.

    Args:
        n: how many.
        seed: 0 or more.
        expressions: a sequence is taken in turn; weights are drawn from at random.
        size: side of each picture in pixels.

    Raises:
        InputError: n below 0, no expression, or weights that are not positive together.
    """
    if n < 0:
        raise InputError(f"the number of faces is 0 or more, but got {n}")
    kinds = [_emotion(expression) for expression in expressions]
    if not kinds:
        raise InputError("drawing faces needs at least one expression, but got none")
    shares: NDArray[np.float64] | None = None
    if isinstance(expressions, Mapping):
        shares = np.array(list(expressions.values()), dtype=float)
        if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
            raise InputError(
                f"weights of expressions are 0 or more, not all 0, but got {shares.tolist()}"
            )
        shares = shares / shares.sum()
    return _draw_all(n, seed, kinds, shares, size)


def _draw_all(
    n: int, seed: int, kinds: list[Expression], shares: NDArray[np.float64] | None, size: int
) -> Iterator[SyntheticFace]:
    for number in range(n):
        rng = np.random.default_rng((seed, number))
        pick = number % len(kinds) if shares is None else int(rng.choice(len(kinds), p=shares))
        yield synthesize_face(kinds[pick], seed=rng, size=size)


def _emotion(expression: Expression | str | int) -> Expression:
    chosen = parse_expression(expression)
    if chosen not in EMOTIONS:
        raise InputError(
            f"a face can be drawn with one of {', '.join(EMOTIONS)}, but got '{chosen}'"
        )
    return chosen


def _check(
    size: int, valence: float | None, arousal: float | None, intensity: float | None
) -> None:
    if size < _SMALLEST:
        raise InputError(
            f"the side of a synthetic face is {_SMALLEST} pixels or more, but got {size}"
        )
    if (valence is None) != (arousal is None):
        raise InputError(
            f"valence and arousal are given together or not at all, but got {valence}, {arousal}"
        )
    if valence is not None and arousal is not None and not inside_disc(valence, arousal):
        raise InputError(
            f"valence and arousal lie inside the unit disc, but got {valence}, {arousal}"
        )
    if intensity is not None and not 0 <= intensity <= 1:
        raise InputError(f"intensity is 0 to 1, but got {intensity}")


def _sample_affect(expression: Expression, rng: np.random.Generator) -> tuple[float, float]:
    """Valence and arousal near the mean of the class, in its region and in the disc."""
    region, (v_mean, a_mean) = REGIONS[expression], CLASS_MEANS[expression]

    def near(mean: float, low: float, high: float) -> float:
        return float(np.clip(rng.normal(mean, 0.24 * (high - low)), low, high))

    v, a = near(v_mean, *region.valence), near(a_mean, *region.arousal)
    # Each corner beyond the disc lies so that the way to 0 stays in its region down to the rim.
    shrink = max(1.0, math.hypot(v, a) / 0.995)
    return v / shrink, a / shrink


def _pose(identity: Identity, scene: Scene, muscles: Muscles, size: int) -> Face:
    camera = Camera.of(scene, size)
    solid = march(move(face_points(identity), muscles), scene.yaw)
    flat = camera.flat(solid)
    return Face(identity, scene, muscles, camera, solid, flat, camera.place(flat))


def _paint(face: Face, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """All layers from back to front."""
    canvas = Canvas(size)
    paint_background(canvas, face.scene)
    hair = shape_hair(face, rng)
    paint_back_hair(canvas, face, hair, rng)
    paint_body(canvas, face)
    paint_ears(canvas, face)
    tone = paint_head(canvas, face, hair.front)
    paint_beard(canvas, face, tone, rng)
    paint_nose(canvas, face)
    paint_eyes(canvas, face)
    paint_brows(canvas, face, rng)
    paint_mouth(canvas, face, tone)
    paint_front_hair(canvas, face, hair, rng)
    if face.identity.hair == "scarf":
        paint_head_scarf(canvas, face)
    paint_glasses(canvas, face)
    paint_occlusion(canvas, face)
    _add_grain(canvas, rng)
    return canvas.image()


def _add_grain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fine noise as of a camera; one tile laid somewhere and repeated, which no eye sees."""
    down, right = rng.integers(_TILE, size=2).tolist()
    canvas.pixels += _grain(canvas.size)[down : down + canvas.size, right : right + canvas.size]


_TILE = 128  # pixels


@lru_cache(maxsize=2)
def _grain(size: int) -> NDArray[np.float32]:
    """The tile of noise repeated to its own side and `size` more."""
    tile = np.random.default_rng(0).standard_normal((_TILE, _TILE), np.float32) * np.float32(1.6)
    times = 1 + -(-size // _TILE)
    whole = np.tile(tile, (times, times))
    whole.flags.writeable = False
    return whole


def _box(face: Face, factor: int) -> tuple[float, float, float, float]:
    """The frame of a detector: from the hairline to the chin, ear to ear."""
    hairline = face.camera.flat(np.array([(0.0, -0.98, 0.75)]))
    framed = face.camera.place(np.concatenate((face.flat, hairline))) / factor
    low, high = framed.min(axis=0), framed.max(axis=0)
    x, y, width, height = np.concatenate((low, high - low)).tolist()
    return x, y, width, height
