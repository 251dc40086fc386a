"""Valence and arousal derived from expressions, where nobody rated them."""

from __future__ import annotations

import numpy as np

from openaffect.circumplex import affect_from_soft_labels
from openaffect.dataset import Dataset
from openaffect.labels import EMOTIONS


def derive_affect(dataset: Dataset) -> Dataset:
    """The dataset with valence and arousal in the rows that have none but have an expression.

    The class means of AffectNet's training labels, weighted by the raters' shares
    (`soft_label`) where they are known, else that of the expression. It is no rating, only a
    place to begin with: `affect_origin` says `derived`, and so does every report and card.

    Args:
        dataset: rows with valence and arousal, and rows without one of the eight expressions
            or shares, are left as they are.

    Returns:
        The same rows; the dataset's files are not touched.
    """
    shares = dataset.lists("soft_label").astype(np.float64)
    ids = dataset.expression_ids
    named = np.isnan(shares[:, 0]) & (ids >= 0) & (ids < len(EMOTIONS))
    shares[named] = np.eye(len(EMOTIONS))[ids[named]]
    known = dataset.affect.astype(np.float64)
    lacking = np.isnan(known[:, 0]) & ~np.isnan(shares[:, 0])
    known[lacking] = affect_from_soft_labels(shares[lacking])
    origins = dataset.faces["affect_origin"].to_pylist()
    columns = {
        "valence": [None if np.isnan(v) else v for v in known[:, 0]],
        "arousal": [None if np.isnan(v) else v for v in known[:, 1]],
        "affect_origin": ["derived" if new else o for new, o in zip(lacking, origins, strict=True)],
    }
    for name, values in columns.items():
        dataset = dataset.with_column(name, values)
    return dataset
