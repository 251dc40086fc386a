"""Who is drawn: an identity, and the 68 points of its face at rest in three dimensions.

Face units: half the width of an average face is 1. x points to the right of the picture,
y down, z to the viewer; y = 0 is the line of the eyes, z = 0 the plane of the ears.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Color = tuple[float, float, float]
Thing = TypeVar("Thing")


def by(x: float, y: float) -> Points:
    """A shift in a plane, to add to points."""
    return np.array((x, y), dtype=float)


SKINS: tuple[Color, ...] = (
    (246, 218, 200),
    (238, 202, 178),
    (228, 186, 156),
    (212, 168, 132),
    (192, 144, 106),
    (160, 114, 82),
    (126, 86, 62),
    (98, 66, 49),
    (76, 51, 40),
)
"""Skin in middle light, from light to dark; identities lie anywhere between neighbors."""

HAIRS: dict[str, Color] = {
    "black": (34, 29, 30),
    "dark brown": (58, 40, 32),
    "brown": (92, 63, 44),
    "chestnut": (116, 68, 44),
    "auburn": (142, 68, 40),
    "ginger": (188, 104, 52),
    "dark blond": (152, 118, 78),
    "blond": (208, 172, 116),
    "platinum": (226, 208, 174),
}

EYES: tuple[Color, ...] = (
    (70, 44, 28),
    (92, 60, 36),
    (110, 82, 48),
    (104, 112, 70),
    (84, 118, 108),
    (88, 126, 160),
    (110, 132, 150),
)

CLOTHES: tuple[Color, ...] = (
    (38, 52, 78),
    (120, 44, 52),
    (44, 84, 76),
    (206, 196, 180),
    (58, 58, 64),
    (196, 134, 62),
    (96, 110, 140),
    (150, 160, 140),
    (228, 228, 226),
    (110, 74, 110),
    (64, 104, 140),
    (190, 104, 96),
)

FEMININE_HAIR = ("long", "wavy", "bob", "fringe", "bun", "tied", "pixie", "scarf", "afro", "curly")
MASCULINE_HAIR = ("short", "quiff", "crop", "buzz", "bald", "receding", "curly", "afro", "shaggy")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
NECKLINES = ("crew", "vee", "shirt", "turtle")


@dataclass(frozen=True, slots=True)
class Identity:
    """A person: what stays the same whatever the face expresses.

    Numbers without a unit are 0 at the average and ±1 at the end of the usual; `age`,
    `makeup`, `freckles`, `lid_fold` and `gray` run from 0 to 1, colors are RGB, 0 to 255.
    """

    skin: Color = SKINS[2]
    hair: str = "short"
    hair_color: Color = HAIRS["brown"]
    parting: float = 0.0
    eye_color: Color = EYES[1]
    lip_color: Color = (190, 104, 98)
    width: float = 0.0
    jaw: float = 0.0
    chin: float = 0.0
    cheeks: float = 0.0
    eye_size: float = 0.0
    eye_gap: float = 0.0
    eye_tilt: float = 0.0
    lid_fold: float = 0.7
    brow_weight: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    nose_width: float = 0.0
    nose_length: float = 0.0
    lips: float = 0.0
    mouth_width: float = 0.0
    age: float = 0.2
    beard: str = "none"
    makeup: float = 0.0
    freckles: float = 0.0
    neckline: str = "crew"
    cloth: Color = CLOTHES[0]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Identity:
        """A person at random: any skin, age, hair; looks that go together more often together.

        >>> Identity.sample(np.random.default_rng(0)) == Identity.sample(np.random.default_rng(0))
        True
        """
        masculine = bool(rng.random() < 0.5)
        depth = float(rng.random())
        age = float(rng.beta(1.2, 2.5))
        skin = _between(SKINS, depth) + rng.normal(0, 1, 3) * (3.0, 2.0, 3.0)
        hair = choose(rng, MASCULINE_HAIR if masculine else FEMININE_HAIR)
        makeup = 0.0 if masculine else min(max(float(rng.normal(0.45, 0.35)), 0.0), 1.0)
        lips = skin * (0.84, 0.58, 0.60) + (10, 4, 6)
        painted = np.array(choose(rng, ((170, 34, 48), (186, 66, 80), (150, 48, 70))))
        lips += (painted - lips) * 0.65 * makeup
        beard = "none"
        if masculine:
            beard = choose(rng, BEARDS, (0.40, 0.22, 0.10, 0.12, 0.16))
        shape = np.clip(rng.normal(0, 0.5, 15), -1, 1).tolist()
        lean = 0.25 if masculine else -0.25
        return cls(
            skin=_color(skin),
            hair=hair,
            hair_color=_hair_color(rng, depth, age),
            parting=float(rng.uniform(-0.5, 0.5)),
            eye_color=_eye_color(rng, depth),
            lip_color=_color(lips),
            width=shape[0] + 0.5 * lean,
            jaw=shape[1] + 1.4 * lean,
            chin=shape[2] + 0.6 * lean,
            cheeks=shape[3] - lean,
            eye_size=shape[4] - 1.2 * lean,
            eye_gap=shape[5],
            eye_tilt=shape[6],
            lid_fold=min(max(float(rng.normal(0.7, 0.3)), 0.1), 1.0),
            brow_weight=shape[7] + 2.0 * lean,
            brow_height=shape[8] - 1.2 * lean,
            brow_arch=shape[9] - lean,
            nose_width=shape[10] + lean + 0.5 * (depth - 0.5),
            nose_length=shape[11] + 0.4 * lean,
            lips=shape[12] - lean + 0.6 * (depth - 0.4),
            mouth_width=shape[13],
            age=age,
            beard=beard,
            makeup=makeup,
            freckles=float(rng.random()) if depth < 0.35 and rng.random() < 0.25 else 0.0,
            neckline=choose(rng, NECKLINES),
            cloth=choose(rng, CLOTHES),
        )


def _between(colors: tuple[Color, ...], position: float) -> NDArray[np.float64]:
    table = np.array(colors, dtype=float)
    place = position * (len(table) - 1)
    lower = min(int(place), len(table) - 2)
    blended: NDArray[np.float64] = table[lower] + (table[lower + 1] - table[lower]) * (
        place - lower
    )
    return blended


def _color(values: NDArray[np.float64]) -> Color:
    red, green, blue = np.clip(values, 0, 255).tolist()
    return red, green, blue


def choose(
    rng: np.random.Generator, things: Sequence[Thing], shares: Sequence[float] | None = None
) -> Thing:
    """One of several things, each as likely, or by shares that sum to 1."""
    if shares is None:
        return things[int(rng.integers(len(things)))]
    place = bisect_right(list(accumulate(shares)), float(rng.random()))
    return things[min(place, len(things) - 1)]


def _hair_color(rng: np.random.Generator, depth: float, age: float) -> Color:
    names = list(HAIRS)
    # Darker skin goes with darker hair; the range of colors narrows as the skin deepens.
    count = len(names) if depth < 0.4 else (4 if depth < 0.65 else 2)
    natural = np.array(HAIRS[names[int(rng.integers(count))]]) * (1 + rng.normal(0, 0.06))
    gray = np.clip((age - 0.45) * 2.2 + rng.normal(0, 0.12), 0, 0.95) if age > 0.4 else 0.0
    silver = np.array((186.0, 184.0, 184.0)) + rng.normal(0, 14)
    return _color(natural + (silver - natural) * gray)


def _eye_color(rng: np.random.Generator, depth: float) -> Color:
    count = len(EYES) if depth < 0.45 else 3
    return choose(rng, EYES[:count])


def face_points(identity: Identity) -> Points:
    """The 68 landmarks of the face at rest, in iBUG's order.

    Returns:
        Shape (68, 3), face units; mirror-symmetric about x = 0.
    """
    i = identity
    half = [*_jaw(i), *_brow(i)]
    points = np.zeros((68, 3))
    points[0:9] = half[0:9]
    points[9:17] = _mirrored(points[0:8][::-1])
    points[17:22] = half[9:14]
    points[22:27] = _mirrored(points[17:22][::-1])
    _place_nose(points, i)
    _place_eyes(points, i)
    _place_mouth(points, i)
    points[:, 0] *= 1 + 0.05 * i.width
    return points


def _mirrored(points: Points) -> Points:
    return points * (-1.0, 1.0, 1.0)


def _jaw(i: Identity) -> Points:
    rest = np.array(
        [
            (-1.000, 0.02, 0.00),
            (-0.985, 0.28, 0.02),
            (-0.945, 0.54, 0.05),
            (-0.875, 0.79, 0.12),
            (-0.765, 1.02, 0.22),
            (-0.620, 1.20, 0.36),
            (-0.440, 1.345, 0.52),
            (-0.235, 1.435, 0.66),
            (0.000, 1.460, 0.72),
        ]
    )
    square = np.array([0, 0.005, 0.02, 0.05, 0.07, 0.075, 0.06, 0.03, 0])
    full = np.array([0, 0.01, 0.02, 0.03, 0.03, 0.02, 0.01, 0, 0])
    rest[:, 0] -= square * i.jaw + full * i.cheeks
    rest[:, 1] += _DOWN * (0.07 * i.chin)
    return rest


_DOWN = np.linspace(0, 1, 9) ** 2


def _brow(i: Identity) -> Points:
    brow = np.array(
        [
            (-0.800, -0.235, 0.40),
            (-0.690, -0.345, 0.58),
            (-0.535, -0.385, 0.76),
            (-0.370, -0.365, 0.82),
            (-0.205, -0.315, 0.85),
        ]
    )
    brow[:, 0] -= 0.03 * i.eye_gap
    brow[:, 1] -= 0.04 * i.brow_height + np.array([-0.02, 0.02, 0.025, 0.01, -0.01]) * i.brow_arch
    return brow


def _place_nose(points: Points, i: Identity) -> None:
    length = 1 + 0.09 * i.nose_length
    wide = 1 + 0.22 * i.nose_width
    bridge = [(-0.03, 0.86), (0.16, 0.97), (0.36, 1.09), (0.55, 1.18)]
    points[27:31] = [(0, y * length, z) for y, z in bridge]
    half = [(-0.205, 0.655, 0.86), (-0.105, 0.695, 0.95), (0, 0.725, 1.00)]
    points[31:34] = [(x * wide, y * length, z) for x, y, z in half]
    points[34:36] = _mirrored(points[31:33][::-1])


def _place_eyes(points: Points, i: Identity) -> None:
    middle, wide = -0.455 - 0.03 * i.eye_gap, 0.225 * (1 + 0.09 * i.eye_size)
    up, low = 0.113 * (1 + 0.16 * i.eye_size), 0.070 * (1 + 0.1 * i.eye_size)
    tilt = 0.022 + 0.022 * i.eye_tilt
    points[36:42] = [
        (middle - wide, -tilt, 0.60),
        (middle - 0.42 * wide, -up * 0.93 - 0.4 * tilt, 0.72),
        (middle + 0.36 * wide, -up, 0.78),
        (middle + wide, 0.028, 0.74),
        (middle + 0.40 * wide, low * 0.92, 0.76),
        (middle - 0.38 * wide, low, 0.70),
    ]
    points[[45, 44, 43, 42, 47, 46]] = _mirrored(points[36:42])


def _place_mouth(points: Points, i: Identity) -> None:
    wide = 0.375 * (1 + 0.09 * i.mouth_width)
    level = 1.02 + 0.03 * i.chin
    upper, lower = 0.088 * (1 + 0.42 * i.lips), 0.115 * (1 + 0.36 * i.lips)
    outer = [
        (-wide, -0.010, 0.78),
        (-0.62 * wide, -0.66 * upper, 0.90),
        (-0.24 * wide, -1.06 * upper, 0.97),
        (0.0, -0.84 * upper, 0.98),
    ]
    under = [
        (0.0, lower, 0.96),
        (-0.34 * wide, 0.93 * lower, 0.94),
        (-0.70 * wide, 0.56 * lower, 0.88),
    ]
    inner = [(-0.93 * wide, -0.008, 0.79), (-0.34 * wide, -0.006, 0.95), (0.0, 0.010, 0.97)]
    points[48:52] = outer
    points[52:55] = _mirrored(points[48:51][::-1])
    points[57:60] = under
    points[55:57] = _mirrored(points[58:60][::-1])
    points[60:63] = inner
    points[63:65] = _mirrored(points[60:62][::-1])
    # At rest the lips touch: the lower inner points lie on the upper ones.
    points[65:68] = points[[63, 62, 61]]
    points[48:68, 1] += level
