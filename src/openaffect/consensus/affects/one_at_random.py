"""The point of one rater at random, as AffectNet's test split has it.

Mollahosseini, Hasani, Mahoor 2019 (doi:10.1109/TAFFC.2017.2740923).
"""

import numpy as np

from openaffect.consensus.ratings import Points
from openaffect.metrics.arrays import Floats


def combine(points: Points) -> Floats:
    """Valence and arousal of each face, both of the same rater."""
    found = np.full((len(points.size), 2), np.nan)
    some = points.size > 0
    place = points.start + np.floor(points.chance * points.size).astype(np.int64)
    found[some] = points.affect[place[some]]
    return found
