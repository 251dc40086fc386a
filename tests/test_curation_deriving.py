"""Derived valence and arousal: class means weighted by shares, ratings untouched, origin told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openaffect import schemas
from openaffect.circumplex import CLASS_MEANS
from openaffect.curation import derive_affect
from openaffect.dataset import Dataset, DatasetInfo
from openaffect.labels import Expression


def test_affect_is_the_weighted_mean_of_the_classes_and_ratings_stay():
    half = [0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    rows = {
        "rated": ("happy", None, 0.9, 0.1, "human"),
        "shared": ("happy", half, None, None, None),
        "named": ("fear", None, None, None, None),
        "unsure": ("uncertain", half, None, None, None),
        "unknown": ("none", None, None, None, None),
        "nothing": (None, None, None, None, None),
    }
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in schemas.FACES.names}
    columns |= {"face_id": [*rows], "image": [f"{name}.png" for name in rows]}
    for place, name in enumerate(
        ("expression", "soft_label", "valence", "arousal", "affect_origin")
    ):
        columns[name] = [row[place] for row in rows.values()]
    table = pa.table(columns, schema=schemas.FACES)
    dataset = derive_affect(Dataset(Path("memory"), DatasetInfo("memory", "images"), table, None))
    between = np.mean([CLASS_MEANS[Expression.HAPPY], CLASS_MEANS[Expression.SURPRISE]], axis=0)
    expected = [
        (0.9, 0.1),
        between,
        CLASS_MEANS[Expression.FEAR],
        between,
        (np.nan,) * 2,
        (np.nan,) * 2,
    ]
    np.testing.assert_allclose(dataset.affect, expected, atol=1e-7)
    origins = dataset.faces["affect_origin"].to_pylist()
    assert origins == ["human", "derived", "derived", "derived", None, None]
    assert dataset.ids == [*rows]
