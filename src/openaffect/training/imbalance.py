"""The strategies against class imbalance, as plain lists of rows and plain class weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_epoch(
    strategy: str, classes: NDArray[np.integer], max_per_class: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The rows of one epoch, shuffled.

    Args:
        strategy: `down-sampling` draws at most `max_per_class` rows of each class; `up-sampling` repeats
            each class to the size of the largest, every row ⌊k⌋ or ⌈k⌉ times; any other takes
            each row once.
        classes: the class of each row, int (n,).
        max_per_class: only for down-sampling.
        rng: decides the draw and the order.

    Returns:
        Positions in `classes`, int64.
    """
    if strategy == "down-sampling":
        rows = np.concatenate(
            [rng.permutation(members)[:max_per_class] for members in _members(classes)]
        )
    elif strategy == "up-sampling":
        groups = _members(classes)
        largest = max(map(len, groups))
        rows = np.concatenate([_repeat(members, largest, rng) for members in groups])
    else:
        rows = np.arange(len(classes))
    return rng.permutation(rows).astype(np.int64)


def class_weights(
    strategy: str, counts: NDArray[np.integer | np.floating], beta: float = 0.9999
) -> NDArray[np.float64]:
    """What the loss of each class is multiplied with.

    For `weighted-loss` H_ii = f_min / f_i over the classes that have faces, so the rarest has 1;
    a class without a face has 0. For `class-balanced` (1 − β) / (1 − β^n_i), divided by the mean
    over the classes that have faces (Cui et al. 2019). For the others 1. The weighted loss is divided by the number of
    faces (Caffe's infogain loss), not by the sum of weights (PyTorch's), so learning rates of the
    publication keep their meaning.

    >>> class_weights("weighted-loss", np.array([100, 20, 0])).tolist()
    [0.2, 1.0, 0.0]
    """
    counts = np.asarray(counts, dtype=np.float64)
    present = counts > 0
    weights = np.zeros(len(counts))
    if strategy == "weighted-loss":
        weights[present] = counts[present].min() / counts[present]
    elif strategy == "class-balanced":
        effective = (1 - beta) / (1 - beta ** counts[present])
        weights[present] = effective / effective.mean()
    else:
        weights[:] = 1
    return weights


def _members(classes: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(classes == value) for value in np.unique(classes)]


def _repeat(members: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    whole, rest = divmod(size, len(members))
    return np.concatenate([np.tile(members, whole), rng.permutation(members)[:rest]])
