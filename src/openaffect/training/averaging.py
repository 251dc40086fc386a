"""What changes weights beside the optimizer: their moving average, and sharpness-aware steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average_weights(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of a network that follows its weights: a ← d·a + (1 − d)·w after each step.

    Running statistics follow likewise. d grows to `decay` as (1 + n) / (10 + n) over the steps n,
    so that a short training is not judged by the weights that it began with.

    Args:
        network: plain, on its device.
        decay: in (0, 1).
    """

    def follow(average: Tensor, weight: Tensor, steps: Tensor | int) -> Tensor:
        if not weight.is_floating_point():
            return weight
        count = float(steps)
        return average.lerp(weight, 1 - min(decay, (1 + count) / (10 + count)))

    return AveragedModel(network, avg_fn=follow, use_buffers=True)


@contextlib.contextmanager
def climb(network: nn.Module, radius: float) -> Iterator[None]:
    """Within it, the weights are moved by `radius` along the gradient, where the loss is highest.

    The first half of a step of sharpness-aware minimization (Foret et al. 2021): w + ρ·g/‖g‖. The
    gradient is then cleared, for the one that the step takes; running statistics do not move,
    since they have seen this batch.

    Args:
        network: with gradients.
        radius: ρ.
    """
    moved = [p for p in network.parameters() if p.grad is not None]
    gradients = [p.grad for p in moved if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        for weight, gradient in zip(moved, gradients, strict=True):
            weight.add_(gradient, alpha=radius / (float(norm) + 1e-12))
    for weight in moved:
        weight.grad = None
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    momenta = [norm.momentum for norm in norms]
    for layer in norms:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        with torch.no_grad():
            for weight, value in zip(moved, before, strict=True):
                weight.copy_(value)
