"""Metrics of valence and arousal: RMSE, MAE, CORR, SAGR, CCC, and the floor of a constant.

Each is written twice: for one data set by its definition, and in `Moments` for many
weighted data sets by sums, which is what the bootstrap needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from openaffect.metrics.arrays import Floats, Integers, numbers, ratio, same_length

_ROUNDING = 1e-13  # of a difference of means, relative to the largest value in them


def _pair(truth: ArrayLike, prediction: ArrayLike) -> tuple[Floats, Floats]:
    t, p = numbers(truth, "truth"), numbers(prediction, "prediction")
    same_length(len(t), len(p), "prediction")
    return t, p


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared difference; 0 is perfect. Show `constant_guess_rmse` beside it.

    >>> rmse([0.0, 0.0], [0.3, 0.4]).__round__(4)
    0.3536
    """
    t, p = _pair(truth, prediction)
    return float(np.sqrt(np.square(p - t).mean()))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute difference; 0 is perfect.

    >>> mae([0.0, 0.0], [0.5, -0.25])
    0.375
    """
    t, p = _pair(truth, prediction)
    return float(np.abs(p - t).mean())


def corr(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation ρ; in [−1, 1]. NaN when either is constant.

    >>> round(corr([1, 2, 3], [2, 4, 7]), 4)
    0.9934
    """
    t, p = _pair(truth, prediction)
    if np.ptp(t) == 0 or np.ptp(p) == 0:
        return float("nan")
    t, p = t - t.mean(), p - p.mean()
    value = float((t / np.linalg.norm(t)) @ (p / np.linalg.norm(p)))
    return max(-1.0, min(1.0, value))


def sagr(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Sign agreement: share of rows with sign(p) = sign(t); in [0, 1]. 0 matches only 0.

    Reference: Nicolaou, Gunes, Pantic (2011), IEEE Transactions on Affective Computing 2(2).

    >>> sagr([0.5, -0.2, 0.0, 0.0], [0.1, 0.3, 0.0, 0.1])
    0.5
    """
    t, p = _pair(truth, prediction)
    return float((np.sign(t) == np.sign(p)).mean())


def ccc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Concordance correlation coefficient: agreement, not only correlation; in [−1, 1].

    2·cov(t, p) / (var(t) + var(p) + (mean(t) − mean(p))²), population variances (divide by n).
    NaN when both are constant and equal; 0 when only one is constant.
    Reference: Lin (1989), Biometrics 45(1).

    >>> round(ccc([3, -0.5, 2, 7], [2.5, 0, 2, 8]), 4)
    0.9768
    """
    t, p = _pair(truth, prediction)
    if np.ptp(t) == 0 or np.ptp(p) == 0:
        return float("nan") if np.ptp(np.append(t, p)) == 0 else 0.0
    shift = t.mean() - p.mean()
    covariance = ((t - t.mean()) * (p - p.mean())).mean()
    return float(2 * covariance / (t.var() + p.var() + shift * shift))


def constant_guess_rmse(truth: ArrayLike, guess: float | None = None) -> float:
    """RMSE of guessing one number for every row: the floor that a model must beat.

    Args:
        truth: shape (n,).
        guess: the number, such as the mean of the training rows; without it the mean of
            `truth`, the best of all constants, which gives the standard deviation.

    >>> constant_guess_rmse([0.0, 1.0]), constant_guess_rmse([0.0, 1.0], guess=1.0).__round__(4)
    (0.5, 0.7071)
    """
    t = numbers(truth, "truth")
    center = t.mean() if guess is None else guess
    return float(np.sqrt(np.square(t - center).mean()))


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What the five metrics need of each row, so that a weighted data set is one product.

    Attributes:
        columns: shape (8, n): x, y, x², y², xy, squared error, absolute error, equal signs; x
            and y are truth and prediction less their means, so that sums lose no digits.
        shift: mean of truth − mean of prediction.
        scale: shape (3,), the largest |x|, |y|, and |truth| or |prediction|.
    """

    columns: Floats
    shift: float
    scale: Floats

    @classmethod
    def of(cls, truth: ArrayLike, prediction: ArrayLike) -> Moments:
        """Prepare rows of shape (n,)."""
        t, p = _pair(truth, prediction)
        center_t, center_p = _center(t), _center(p)
        x, y, error = t - center_t, p - center_p, p - t
        same_sign = (np.sign(t) == np.sign(p)).astype(np.float64)
        columns = np.stack([x, y, x * x, y * y, x * y, error * error, np.abs(error), same_sign])
        scale = np.array([np.abs(x).max(), np.abs(y).max(), np.abs([t, p]).max()])
        return cls(columns, center_t - center_p, scale)

    def score(self, weights: Integers) -> dict[str, Floats]:
        """The five metrics of weighted rows; weights (b, n) → (b,) each."""
        w = weights.astype(np.float64)
        means = (self.columns @ w.T) / w.sum(axis=1)
        mx, my, mxx, myy, mxy, squared, absolute, signs = means
        # what is below the rounding of its sum is 0: the sample is constant, or its means equal
        vx = _unless_rounding(mxx - mx * mx, self.scale[0] ** 2)
        vy = _unless_rounding(myy - my * my, self.scale[1] ** 2)
        shift = _unless_rounding(mx - my + self.shift, self.scale[2])
        covariance = np.where((vx == 0) | (vy == 0), 0.0, mxy - mx * my)
        return {
            "rmse": np.sqrt(squared),
            "mae": absolute,
            "corr": np.clip(ratio(covariance, np.sqrt(vx) * np.sqrt(vy)), -1.0, 1.0),
            "sagr": signs,
            "ccc": ratio(2 * covariance, vx + vy + shift * shift),
        }


def _center(values: Floats) -> float:
    """The mean; of equal values exactly their value, so that what is left is exactly 0."""
    return float(values[0] if np.ptp(values) == 0 else values.mean())


def _unless_rounding(difference: Floats, scale: float) -> Floats:
    result: Floats = np.where(np.abs(difference) <= _ROUNDING * scale, 0.0, difference)
    return result
