"""The losses, each with the normalization of its source."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def expression_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy, summed over the faces.

    −Σ_n Σ_c w_c t_nc log softmax(z_n)_c. With one-hot targets this is Caffe's infogain loss
    before its division by N, which is the caller's.

    Args:
        logits: (n, classes).
        target: (n, classes), rows sum to 1; a row of zeros has no expression and adds nothing.
        weights: (classes,).
    """
    return -(target * weights * F.log_softmax(logits.float(), dim=1)).sum()


def euclidean_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """Caffe's Euclidean loss before its division by N: ½ Σ (ŷ − y)², over faces and outputs.

    Args:
        prediction, truth: (n, 2); rows of `truth` that are NaN add nothing.
    """
    known = ~torch.isnan(truth).any(dim=1)
    return 0.5 * (prediction.float()[known] - truth[known]).square().sum()


def ccc_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 − CCC, averaged over valence and arousal, of the faces of one batch.

    Population variances, as in `metrics.ccc`. Fewer than two known faces give 0.

    Args:
        prediction, truth: (n, 2); rows of `truth` that are NaN are left out.
    """
    known = ~torch.isnan(truth).any(dim=1)
    p, t = prediction.float()[known], truth[known]
    if len(t) < 2:
        return prediction.sum() * 0.0
    p_mean, t_mean = p.mean(0), t.mean(0)
    covariance = ((p - p_mean) * (t - t_mean)).mean(0)
    spread = p.var(0, unbiased=False) + t.var(0, unbiased=False) + (p_mean - t_mean).square()
    # The floor keeps the gradient finite when prediction and truth are both constant and equal.
    return (1 - 2 * covariance / spread.clamp_min(1e-8)).mean()


def smooth_targets(target: Tensor, share: float) -> Tensor:
    """Targets with a share spread evenly over the classes (Szegedy et al. 2016).

    Args:
        target: (n, classes); rows of zeros stay zeros.
        share: in [0, 1).
    """
    classes = target.shape[1]
    return (1 - share) * target + share / classes * target.sum(dim=1, keepdim=True)
