"""The valence–arousal circumplex: where each expression is expected, and its mean.

Valence (x) says how positive, arousal (y) how excited; both are in [−1, 1], and a point
lies inside the unit disc. Happy's region is the published one; the other regions are the
2nd to 98th percentiles of the public validation points, a proposal of this project.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openaffect.labels import EMOTIONS, Expression


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle on the circumplex, borders included."""

    valence: tuple[float, float]
    arousal: tuple[float, float]

    def contains(self, valence: ArrayLike, arousal: ArrayLike) -> NDArray[np.bool_]:
        """Whether points lie inside; shape of the inputs."""
        v, a = np.asarray(valence), np.asarray(arousal)
        result: NDArray[np.bool_] = (
            (v >= self.valence[0])
            & (v <= self.valence[1])
            & (a >= self.arousal[0])
            & (a <= self.arousal[1])
        )
        return result


REGIONS: dict[Expression, Region] = {
    Expression.NEUTRAL: Region((-0.41, 0.35), (-0.38, 0.21)),
    Expression.HAPPY: Region((0.0, 1.0), (-0.2, 0.5)),
    Expression.SAD: Region((-0.95, -0.11), (-0.56, -0.02)),
    Expression.SURPRISE: Region((-0.21, 0.50), (0.38, 0.94)),
    Expression.FEAR: Region((-0.25, -0.03), (0.39, 0.96)),
    Expression.DISGUST: Region((-0.90, -0.18), (0.20, 0.70)),
    Expression.ANGER: Region((-0.78, -0.12), (0.13, 0.87)),
    Expression.CONTEMPT: Region((-0.70, 0.14), (0.27, 0.71)),
}
"""The expected region of each of the eight expressions."""

CLASS_MEANS: dict[Expression, tuple[float, float]] = {
    Expression.NEUTRAL: (-0.063, -0.020),
    Expression.HAPPY: (0.664, 0.070),
    Expression.SAD: (-0.637, -0.257),
    Expression.SURPRISE: (0.180, 0.689),
    Expression.FEAR: (-0.126, 0.766),
    Expression.DISGUST: (-0.694, 0.457),
    Expression.ANGER: (-0.453, 0.567),
    Expression.CONTEMPT: (-0.515, 0.583),
}
"""Mean valence and arousal of each expression on AffectNet's public training labels."""


def inside_disc(valence: ArrayLike, arousal: ArrayLike, slack: float = 1e-3) -> NDArray[np.bool_]:
    """Whether points lie inside the unit disc, give or take the rounding of printed labels."""
    radius = np.hypot(np.asarray(valence, dtype=float), np.asarray(arousal, dtype=float))
    result: NDArray[np.bool_] = radius <= 1.0 + slack
    return result


def affect_from_soft_labels(shares: ArrayLike) -> NDArray[np.float64]:
    """Valence and arousal of soft labels: `CLASS_MEANS`, weighted by the shares.

    Args:
        shares: of ids 0–7, (…, 8).

    Returns:
        float64 (…, 2).

    >>> affect_from_soft_labels([0, 0.5, 0.5, 0, 0, 0, 0, 0]).round(4).tolist()
    [0.0135, -0.0935]
    """
    means = np.array([CLASS_MEANS[label] for label in EMOTIONS])
    result: NDArray[np.float64] = np.asarray(shares, dtype=np.float64) @ means
    return result
