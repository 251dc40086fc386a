"""The temperature that makes a model's confidence its accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def fit_temperature(logits: Tensor, shares: Tensor) -> float:
    """The temperature that minimizes the cross-entropy of softmax(logits / T) (Guo et al. 2017).

    Args:
        logits: float32 (n, classes), of faces that nothing was learned from; (pieces, n, classes)
            where the probabilities of several pieces are averaged.
        shares: float32 (n, classes), rows sum to 1, or to 0 in faces that do not count.

    Returns:
        In [0.05, 20]; found by golden-section search on log T, where the loss has one minimum;
        1 if no face counts.
    """
    if not shares.any():
        return 1.0
    logits, shares = logits.double(), shares.double()  # near the minimum the loss hardly changes
    logits = logits.reshape(-1, *shares.shape)

    def loss(log_t: float) -> float:
        each = torch.log_softmax(logits / np.exp(log_t), 2)
        averaged = torch.logsumexp(each, 0) - np.log(len(each))
        return float(-(shares * averaged).sum(1).mean())

    low, high, ratio = float(np.log(0.05)), float(np.log(20.0)), (5**0.5 - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(np.exp((low + high) / 2))
