"""What moves weights: optimizer, learning rate, moving average, sharpness-aware perturbation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from openaffect.training.recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, over all trainable weights."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=recipe.momentum, weight_decay=decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay, eps=recipe.epsilon)
    return torch.optim.AdamW(parameters, rate, weight_decay=decay, eps=recipe.epsilon)


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """The rate of a step, counted from 0 over the whole training of `total` steps."""
    rate = recipe.learning_rate
    if step < recipe.warmup:
        return rate * (step + 1) / recipe.warmup
    if recipe.schedule == "step":
        return float(rate * recipe.step_factor ** (step // recipe.step_every))
    if recipe.schedule == "cosine":
        share = (step - recipe.warmup) / max(1, total - recipe.warmup)
        return 0.5 * rate * (1 + math.cos(math.pi * min(1.0, share)))
    return rate


def average_weights(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of a network that follows its weights: a ← d·a + (1 − d)·w after each step.

    Running statistics follow likewise. d grows to `decay` as (1 + n) / (10 + n) over the steps n,
    so that a short training is not validated with the weights that it began with.

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
def sam_perturbation(network: nn.Module, rho: float) -> Iterator[None]:
    """Within it, the weights are moved by `rho` along the gradient, where the loss is highest.

    The first half of a step of sharpness-aware minimization (Foret et al. 2021): w + ρ·g/‖g‖. The
    gradient is then cleared, for the one that the step takes; running statistics do not move,
    since they have seen this batch.

    Args:
        network: with gradients.
        rho: ρ, the radius.
    """
    moved = [p for p in network.parameters() if p.grad is not None]
    gradients = [p.grad for p in moved if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        for weight, gradient in zip(moved, gradients, strict=True):
            weight.add_(gradient, alpha=rho / (float(norm) + 1e-12))
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
