"""The optimizer, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

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
