"""Folds for cross-validation: every face in one, whole groups, each class spread evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import InputError


def assign_folds(dataset: Dataset, folds: int, *, seed: int = 0) -> NDArray[np.int64]:
    """The fold of every row.

    Rows of one `group` share a fold. The largest groups and the rarest classes are placed first,
    each where its class is furthest below its share; the result depends on ids, groups, labels
    and the seed, not on the order of the rows.

    Args:
        dataset: the dataset; its splits do not matter.
        folds: how many, at least 2.
        seed: of the order in which groups are placed.

    Returns:
        Numbers from 0 to `folds` − 1, int64 (n,).

    Raises:
        InputError: fewer than two folds, or fewer groups than folds.
    """
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(dataset.group_keys()):
        groups.setdefault(key, []).append(row)
    if folds < 2 or len(groups) < folds:
        raise InputError(
            f"expected at least 2 folds and no more than the {len(groups)} groups of "
            f"{dataset.path}, but got {folds}"
        )
    classes = [name or "" for name in dataset.faces["expression"].to_pylist()]
    counts = Counter(classes)
    shuffled = sorted(groups)
    np.random.default_rng(seed).shuffle(shuffled)
    # Rarest first: what is common can mend what the rare ones leave uneven.
    rarest = {
        key: min((classes[row] for row in rows), key=lambda name: (counts[name], name))
        for key, rows in groups.items()
    }
    order = sorted(shuffled, key=lambda k: (counts[rarest[k]], rarest[k], -len(groups[k])))
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    sizes = [0] * folds
    result = np.empty(len(dataset), dtype=np.int64)
    for key in order:
        name = rarest[key]
        fold = min(range(folds), key=lambda n: (held[n][name], sizes[n], n))
        held[fold].update(classes[row] for row in groups[key])
        sizes[fold] += len(groups[key])
        result[groups[key]] = fold
    return result
