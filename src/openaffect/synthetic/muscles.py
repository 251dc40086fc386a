"""What a face does: muscle actions after the facial action units, and how they move its points."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from openaffect.labels import Expression
from openaffect.synthetic.anatomy import Points


@dataclass(frozen=True, slots=True)
class Muscles:
    """Strength of each action, 0 (rest) to about 1; the number is the action unit's.

    `smirk` is signed: it pulls one corner of the mouth, −1 the left of the picture, 1 the right.
    """

    inner_brow_raise: float = 0.0  # 1
    outer_brow_raise: float = 0.0  # 2
    brow_lower: float = 0.0  # 4
    lid_raise: float = 0.0  # 5
    cheek_raise: float = 0.0  # 6
    lid_tighten: float = 0.0  # 7
    nose_wrinkle: float = 0.0  # 9
    upper_lip_raise: float = 0.0  # 10
    corner_pull: float = 0.0  # 12
    corner_depress: float = 0.0  # 15
    chin_raise: float = 0.0  # 17
    lip_stretch: float = 0.0  # 20
    lip_funnel: float = 0.0  # 22
    lip_press: float = 0.0  # 24
    lips_part: float = 0.0  # 25
    jaw_drop: float = 0.0  # 26
    lid_droop: float = 0.0  # 43
    smirk: float = 0.0  # 14 on one side


_NAMES = tuple(field.name for field in fields(Muscles))

_PROTOTYPES: dict[Expression, tuple[dict[str, float], ...]] = {
    Expression.NEUTRAL: ({},),
    Expression.HAPPY: (
        {"cheek_raise": 0.8, "corner_pull": 1.0, "lips_part": 0.75, "jaw_drop": 0.14},
        {"cheek_raise": 0.9, "corner_pull": 1.1, "lips_part": 0.9, "jaw_drop": 0.42},
        {"cheek_raise": 0.7, "corner_pull": 0.95},
    ),
    Expression.SAD: (
        {
            "inner_brow_raise": 1.0,
            "brow_lower": 0.30,
            "corner_depress": 1.0,
            "chin_raise": 0.7,
            "lid_droop": 0.5,
        },
    ),
    Expression.SURPRISE: (
        {
            "inner_brow_raise": 0.95,
            "outer_brow_raise": 1.0,
            "lid_raise": 1.0,
            "jaw_drop": 0.9,
            "lip_funnel": 0.65,
        },
    ),
    Expression.FEAR: (
        {
            "inner_brow_raise": 1.1,
            "outer_brow_raise": 0.30,
            "brow_lower": 0.30,
            "lid_raise": 1.0,
            "lip_stretch": 1.0,
            "lips_part": 0.9,
            "jaw_drop": 0.22,
            "corner_depress": 0.25,
        },
    ),
    Expression.DISGUST: (
        {
            "brow_lower": 0.7,
            "cheek_raise": 0.5,
            "lid_tighten": 0.75,
            "nose_wrinkle": 1.0,
            "upper_lip_raise": 1.0,
            "corner_depress": 0.45,
            "lips_part": 0.35,
        },
        {
            "brow_lower": 0.7,
            "cheek_raise": 0.4,
            "lid_tighten": 0.75,
            "nose_wrinkle": 1.0,
            "upper_lip_raise": 0.75,
            "corner_depress": 0.7,
            "chin_raise": 0.5,
        },
    ),
    Expression.ANGER: (
        {
            "brow_lower": 1.15,
            "lid_raise": 0.35,
            "lid_tighten": 0.7,
            "lip_press": 1.0,
            "corner_depress": 0.35,
            "chin_raise": 0.3,
        },
        {
            "brow_lower": 1.15,
            "lid_raise": 0.45,
            "lid_tighten": 0.6,
            "nose_wrinkle": 0.35,
            "upper_lip_raise": 0.5,
            "lip_stretch": 0.35,
            "lips_part": 1.0,
            "jaw_drop": 0.35,
            "corner_depress": 0.3,
        },
    ),
    Expression.CONTEMPT: ({"smirk": 1.0, "lid_tighten": 0.3, "lid_droop": 0.3, "brow_lower": 0.1},),
}


def muscles_of(
    expression: Expression,
    intensity: float,
    valence: float,
    arousal: float,
    rng: np.random.Generator,
) -> Muscles:
    """The actions of an expression at an intensity, moved on by valence and arousal.

    Valence moves the corners of the mouth and the cheeks; arousal opens eyes and mouth,
    its lack lowers the lids. Both act in every expression, so both can be read from pixels.
    """
    variants = _PROTOTYPES[expression]
    base = variants[int(rng.integers(len(variants)))]
    noise = dict(zip(_NAMES, rng.normal(0, 1, len(_NAMES)).tolist(), strict=True))
    act = {
        name: base.get(name, 0.0) * intensity * (1 + 0.14 * noise[name])
        + (0.025 * abs(noise[name]) if name != "smirk" else 0.0)
        for name in _NAMES
    }
    if rng.random() < 0.5:
        act["smirk"] = -act["smirk"]
    up, down = max(valence, 0.0), max(-valence, 0.0)
    awake, calm = max(arousal, 0.0), max(-arousal, 0.0)
    act["corner_pull"] += 0.35 * up
    act["cheek_raise"] += 0.20 * up
    act["corner_depress"] += 0.30 * down
    act["brow_lower"] += 0.18 * down
    act["lid_raise"] += 0.40 * awake
    act["outer_brow_raise"] += 0.20 * awake
    act["jaw_drop"] += 0.16 * awake * (1 - min(act["lip_press"], 1.0))
    act["lid_droop"] += 0.55 * calm
    return Muscles(**act)


def move(rest: Points, muscles: Muscles) -> Points:
    """Landmarks after the actions.

    Args:
        rest: shape (68, 3), face units.
        muscles: the actions.
    Returns:
        A new array, shape (68, 3).
    """
    points = rest.copy()
    _move_brows(points, muscles)
    _move_eyes(points, muscles)
    _move_nose(points, muscles)
    _move_mouth(points, muscles)
    return points


def _move_brows(points: Points, m: Muscles) -> None:
    inner = np.array([0.0, 0.05, 0.30, 0.70, 1.0])
    outer = np.array([0.85, 1.0, 0.85, 0.50, 0.25])
    lower = np.array([0.10, 0.45, 0.80, 1.0, 1.15])
    rise = 0.155 * m.inner_brow_raise * inner + 0.150 * m.outer_brow_raise * outer
    rise -= 0.135 * m.brow_lower * lower + 0.05 * m.nose_wrinkle * lower
    pinch = 0.055 * m.brow_lower * inner + 0.02 * m.inner_brow_raise * inner
    pinch += 0.01 * m.nose_wrinkle * inner
    for brow, inward in ((slice(17, 22), 1.0), (slice(26, 21, -1), -1.0)):
        points[brow, 1] -= rise
        points[brow, 0] += inward * pinch


def _move_eyes(points: Points, m: Muscles) -> None:
    tight = 0.030 * m.lid_tighten + 0.040 * m.cheek_raise + 0.02 * m.nose_wrinkle
    widen = 0.062 * m.lid_raise - 0.070 * m.lid_droop
    widen -= 0.45 * tight + 0.018 * m.brow_lower + 0.012 * m.cheek_raise
    for eye, side in (((36, 37, 38, 39, 40, 41), -1.0), ((45, 44, 43, 42, 47, 46), 1.0)):
        # A smirk narrows the eye on its own side a little.
        own = max(0.0, side * m.smirk) * 0.022
        outer, up1, up2, _, low2, low1 = eye
        open_now = points[[low1, low2], 1].mean() - points[[up1, up2], 1].mean()
        # An opening far below a tenth of a face unit would hide the iris that landmarks point at.
        shut = max(0.0, tight * 1.1 + own - widen - (open_now - 0.095))
        up = widen + 0.5 * shut
        low = tight * 1.1 + own - 0.5 * shut
        points[[up1, up2], 1] -= up
        points[[low1, low2], 1] -= low
        points[outer, 1] += 0.018 * m.inner_brow_raise - 0.012 * m.cheek_raise


def _move_nose(points: Points, m: Muscles) -> None:
    points[31:36, 1] -= 0.055 * m.nose_wrinkle + 0.02 * m.upper_lip_raise
    points[30, 1] -= 0.030 * m.nose_wrinkle
    spread = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    flare = 0.028 * m.nose_wrinkle + 0.022 * m.corner_pull + 0.012 * m.upper_lip_raise
    points[31:36, 0] += spread * flare
    points[31:36, 1] += np.abs(spread) * -0.012 * m.nose_wrinkle


_UPPER_LIP = np.isin(np.arange(48, 68), [49, 50, 51, 52, 53, 61, 62, 63])
_LOWER_LIP = np.isin(np.arange(48, 68), [55, 56, 57, 58, 59, 65, 66, 67])


def _move_mouth(points: Points, m: Muscles) -> None:
    mouth = slice(48, 68)
    wide = abs(float(points[48, 0]))
    level = float(points[48, 1])
    part = points[mouth, 0] / wide  # −1 left corner, 1 right corner
    middle = 1 - np.clip(np.abs(part), 0, 1) ** 2
    corner = np.clip(np.abs(part), 0, 1) ** 1.6
    upper, lower = _UPPER_LIP, _LOWER_LIP
    x, y = points[mouth, 0], points[mouth, 1]
    _thin_lips(y, level, m)
    x *= 1 + 0.27 * m.corner_pull + 0.26 * m.lip_stretch - 0.26 * m.lip_funnel - 0.07 * m.jaw_drop
    y += corner * (
        -0.150 * m.corner_pull
        + 0.120 * m.corner_depress
        + 0.035 * m.lip_stretch
        + 0.05 * m.jaw_drop
    )
    y += middle * (0.035 * m.corner_pull - 0.035 * m.corner_depress - 0.045 * m.chin_raise)
    own = np.clip(part * np.sign(m.smirk), 0, 1) ** 1.5 * abs(m.smirk)
    x += 0.075 * np.sign(m.smirk) * own
    y -= 0.150 * own + 0.05 * own * upper
    square = np.sqrt(np.clip(1 - part**2, 0, 1))
    lift = 0.10 * m.upper_lip_raise + 0.035 * m.nose_wrinkle
    gap_up = 0.03 * m.lips_part + 0.02 * m.jaw_drop + 0.05 * m.lip_funnel
    gap_low = 0.075 * m.lips_part + 0.35 * m.jaw_drop
    stretch = 1 - 0.3 * min(m.lip_press, 1.0)
    y -= upper * square * (lift + gap_up * stretch) + lower * square * 0.45 * lift * (
        1 - min(m.lips_part, 1.0)
    )
    y += lower * square * gap_low * stretch
    _move_jaw(points, m)


def _thin_lips(y: Points, level: float, m: Muscles) -> None:
    """Press, stretch and pull make the lips thinner towards their line."""
    thin = 1 - 0.55 * min(m.lip_press, 1.2) - 0.22 * m.lip_stretch - 0.20 * m.corner_pull
    y[:] = level + (y - level) * max(thin, 0.3)


def _move_jaw(points: Points, m: Muscles) -> None:
    share = np.clip(1 - np.abs(np.arange(17) - 8) / 7.0, 0, 1) ** 0.8
    points[0:17, 1] += share * (0.27 * m.jaw_drop - 0.03 * m.chin_raise + 0.03 * m.lips_part)
    points[0:17, 0] *= 1 - 0.05 * m.jaw_drop * share
