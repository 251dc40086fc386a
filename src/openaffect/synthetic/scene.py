"""How a face is seen: pose, light, what is behind it and before it; and the projection."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.synthetic.anatomy import Color, Points, choose

BACKGROUNDS = ("gradient", "bokeh", "blocks", "foliage", "window")
GLASSES = ("none", "round", "square", "sun")
OCCLUSIONS = ("none", "hand", "scarf", "mask", "lock", "cup")

SKULL_CENTER = (0.0, -0.44, -0.22)
SKULL_RADII = (1.0, 1.10, 1.12)
FORWARD = np.array([0.74, 0.74, 0.72, 0.66, 0.58, 0.46, 0.32, 0.16, 0.0])
"""How far the face bulges forward at the level of each jaw point, from the ear to the chin."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A view: angles in degrees; light as a direction in the picture.

    yaw turns the face to the right of the picture, pitch up, roll clockwise. `light` points
    to the lamp: x right, y down, z to the viewer. `zoom` is 1 for a portrait with shoulders;
    `shift` moves the head by shares of the picture's side. `decor` seeds the background.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    light: tuple[float, float, float] = (-0.5, -0.6, 0.7)
    strength: float = 0.6
    light_color: Color = (255, 246, 232)
    background: str = "gradient"
    hues: tuple[Color, Color] = ((120, 140, 158), (208, 214, 214))
    glasses: str = "none"
    occlusion: str = "none"
    gaze: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    decor: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, frontal: bool = False) -> Scene:
        """A view at random; `frontal` keeps the pose near zero and the face uncovered.

        >>> scene = Scene.sample(np.random.default_rng(0), frontal=True)
        >>> abs(scene.yaw) <= 8, scene.occlusion
        (True, 'none')
        """
        spread = np.array((2.8, 2.2, 3.0)) if frontal else np.array((14.0, 6.0, 8.0))
        limit = np.array((8.0, 6.0, 8.0)) if frontal else np.array((36.0, 16.0, 24.0))
        yaw, pitch, roll = np.clip(rng.normal(0, spread), -limit, limit).tolist()
        side = float(rng.uniform(0.25, 0.85)) * choose(rng, (-1.0, 1.0))
        warm = float(rng.uniform(-1, 1))
        covers = (0.76, 0.06, 0.045, 0.045, 0.045, 0.045)
        return cls(
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            light=(side, float(rng.uniform(-0.8, -0.25)), 0.75),
            strength=float(rng.uniform(0.42, 0.8)),
            light_color=(250 + 5 * warm, 246.0, 240 - 14 * warm),
            background=choose(rng, BACKGROUNDS),
            hues=_HUES[int(rng.integers(len(_HUES)))],
            glasses=choose(
                rng,
                GLASSES[:3] if frontal else GLASSES,
                (0.8, 0.1, 0.1) if frontal else (0.78, 0.09, 0.09, 0.04),
            ),
            occlusion="none" if frontal else choose(rng, OCCLUSIONS, covers),
            gaze=(
                min(max(float(rng.normal(0, 0.3)), -0.8), 0.8),
                min(max(float(rng.normal(0, 0.2)), -0.5), 0.5),
            ),
            zoom=float(rng.uniform(0.92, 1.12)),
            shift=(float(rng.uniform(-0.03, 0.03)), float(rng.uniform(-0.02, 0.02))),
            decor=int(rng.integers(2**31)),
        )


_HUES: tuple[tuple[Color, Color], ...] = (
    ((66, 92, 116), (176, 198, 206)),
    ((222, 196, 168), (246, 232, 214)),
    ((52, 78, 74), (146, 172, 150)),
    ((92, 74, 104), (206, 180, 190)),
    ((44, 48, 60), (108, 116, 130)),
    ((176, 112, 84), (240, 206, 168)),
    ((150, 166, 184), (232, 236, 238)),
    ((124, 134, 96), (220, 216, 178)),
    ((36, 60, 92), (120, 158, 186)),
    ((168, 84, 88), (236, 186, 172)),
)


@dataclass(frozen=True, slots=True)
class Camera:
    """Weak perspective: rotation by yaw and pitch, then roll, scale and shift in the picture.

    Points between the two steps are called flat: face units, upright, seen by the viewer.
    """

    turn: NDArray[np.float64]
    cos_roll: float
    sin_roll: float
    scale: float
    center: tuple[float, float]

    @classmethod
    def of(cls, scene: Scene, size: int) -> Camera:
        """The camera of a scene for pictures of size × size pixels."""
        yaw, pitch, roll = np.radians((scene.yaw, scene.pitch, scene.roll)).tolist()
        c, s = math.cos(yaw), math.sin(yaw)
        about_y = np.array([(c, 0, s), (0, 1, 0), (-s, 0, c)])
        c, s = math.cos(pitch), math.sin(pitch)
        about_x = np.array([(1, 0, 0), (0, c, -s), (0, s, c)])
        center = (size * (0.5 + scene.shift[0]), size * (0.485 + scene.shift[1]))
        scale = 0.232 * size * scene.zoom
        return cls(about_x @ about_y, math.cos(roll), math.sin(roll), scale, center)

    def flat(self, points: Points) -> Points:
        """Points in face units, shape (…, 3), turned: shape (…, 2), upright."""
        flat: Points = (np.asarray(points, dtype=float) - _PIVOT) @ self.turn[:2].T
        return flat

    def place(self, flat: Points) -> Points:
        """Flat points, shape (…, 2), in pixels."""
        # A point as one complex number: roll and scale are one product.
        z = np.ascontiguousarray(flat, dtype=float).view(complex)
        placed = z * complex(self.scale * self.cos_roll, self.scale * self.sin_roll)
        placed += complex(*self.center)
        return placed.view(float)

    def body(self, points: Points) -> Points:
        """Points of the body, shape (n, 2), which stays upright: in pixels."""
        return np.asarray(points, dtype=float) * self.scale + self.center

    def affine(self, origin: tuple[float, float], step: float) -> NDArray[np.float64]:
        """The 2 × 3 matrix from pixels of a flat grid (first pixel at origin) to the picture."""
        c, s = self.cos_roll * self.scale, self.sin_roll * self.scale
        linear = np.array([(c, -s), (s, c)])
        # Grid pixel i covers flat [origin + i·step, +step); its center is half a step further.
        offset = linear @ (np.asarray(origin) + 0.5 * step) + self.center - 0.5
        return np.column_stack((linear * step, offset))

    def ellipse(self, center: Points, radii: Points, circle: Points) -> Points:
        """The outline of an ellipsoid as the camera sees it, at points of the unit circle.

        The shadow of an ellipsoid with matrix D along z is the ellipse of R·D²·Rᵀ's upper
        left 2 × 2 block. Flat, shape (n, 2).
        """
        half = self.turn[:2] * radii
        (xx, xy), (_, yy) = (half @ half.T).tolist()
        # The Cholesky factor of a 2 × 2 matrix, written out.
        first = math.sqrt(xx)
        lower = xy / first
        root = np.array(((first, lower), (0.0, math.sqrt(yy - lower * lower))))
        outline: Points = circle @ root + self.flat(center)
        return outline


_PIVOT = np.array((0.0, 0.12, 0.0))


def march(points: Points, yaw: float) -> Points:
    """Jaw points moved to the outline that the viewer sees on the side the face turns to.

    At each level the head's section is a half ellipse; its outermost point from a yaw ψ is at
    tan φ = a·cos ψ / (b·sin ψ). The other side keeps the line of the jaw.

    Args:
        points: shape (68, 3), face units.
        yaw: degrees.
    """
    moved = points.copy()
    if yaw == 0:
        return moved
    side = [16 - k for k in range(9)] if yaw > 0 else list(range(9))
    psi = np.radians(abs(yaw))
    jaw = points[side]
    half = np.abs(jaw[:, 0])
    phi = np.arctan2(half * np.cos(psi), np.maximum(FORWARD * np.sin(psi), 1e-9))
    moved[side, 0] = np.sign(yaw) * half * np.sin(phi)
    moved[side, 2] = jaw[:, 2] + FORWARD * np.cos(phi)
    moved[8] = points[8]
    return moved
