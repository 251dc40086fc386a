"""AffectNet's test rule: on disagreement the intended expression, if a rater says it.

Mollahosseini, Hasani, Mahoor 2019 (doi:10.1109/TAFFC.2017.2740923): two raters; where they disagree, the label that equals the
expression that the query was meant to find, if either does, else one of the two at random.
"""

import numpy as np

from openaffect.consensus.ratings import Choice, Ratings, pick


def choose(ratings: Ratings) -> Choice:
    """The expression of each face; with more than two raters, that of one of them at random."""
    counts, intended = ratings.counts, ratings.intended
    rows = np.arange(len(counts))
    hit = (intended >= 0) & (counts[rows, intended] > 0)
    expression = np.where(hit, intended, pick(counts, ratings.chance))
    disagree = (counts > 0).sum(axis=1) > 1
    return Choice(expression, counts.astype(np.float64), disagree & ~hit)
