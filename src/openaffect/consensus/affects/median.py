"""The median of the raters' points, which one rater far away does not move."""

import numpy as np

from openaffect.consensus.ratings import Points
from openaffect.metrics.arrays import Floats


def combine(points: Points) -> Floats:
    """Valence and arousal of each face, each by itself; the middle of the two middle ones if even."""
    found = np.full((len(points.size), 2), np.nan)
    some = points.size > 0
    low = (points.start + (points.size - 1) // 2)[some]
    high = (points.start + points.size // 2)[some]
    for axis, values in enumerate(points.affect.T):
        rising = values[np.lexsort((values, points.face))]
        found[some, axis] = (rising[low] + rising[high]) / 2
    return found
