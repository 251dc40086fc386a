"""The expression that most raters say; of those that lead together, one at random."""

import numpy as np

from openaffect.consensus.ratings import Choice, Ratings, pick


def choose(ratings: Ratings) -> Choice:
    """The expression of each face; `by_chance` where several lead together."""
    counts = ratings.counts
    leads = counts == counts.max(axis=1, keepdims=True)
    expression = pick(leads.astype(np.int64), ratings.chance)
    return Choice(expression, counts.astype(np.float64), leads.sum(axis=1) > 1)
