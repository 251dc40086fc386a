"""The mean of the raters' points."""

import numpy as np

from openaffect.consensus.ratings import Points
from openaffect.metrics.arrays import Floats


def combine(points: Points) -> Floats:
    """Valence and arousal of each face, each by itself; it lies inside the disc if the points do."""
    n = len(points.size)
    sums = [np.bincount(points.face, weights=x, minlength=n) for x in points.affect.T]
    return np.stack(sums, axis=1) / np.maximum(points.size, 1)[:, None]
