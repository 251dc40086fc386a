"""The network that is trained, and the same network as it is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from openaffect import lookup
from openaffect.errors import InputError
from openaffect.training.recipe import Recipe


class Network(nn.Module):
    """A backbone with a head for expressions and one for affect, normalisation included.

    `forward` takes RGB (n, 3, size, size) on a scale of 0 to 255 and returns logits
    (n, classes) and affect (n, 2) in (−1, 1); a head that the recipe lacks returns (n, 0).
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        module = lookup.load("openaffect.training.backbones", recipe.backbone, "backbone")
        self.backbone: nn.Module
        self.backbone, features = module.build(recipe.size)
        self.dropout = nn.Dropout(recipe.dropout)
        self.expression = nn.Linear(features, len(recipe.label_set)) if recipe.label_set else None
        self.affect = nn.Linear(features, 2) if recipe.learns_affect else None
        self.register_buffer("mean", 255 * torch.tensor(recipe.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(recipe.std).view(1, 3, 1, 1))
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and affect (n, 2)."""
        features = self.dropout(self.backbone((image - self.mean) / self.std))
        none = features[:, :0]
        logits = none if self.expression is None else self.expression(features)
        affect = none if self.affect is None else torch.tanh(self.affect(features))
        return logits, affect


class ExportedNetwork(nn.Module):
    """What the ONNX file holds: centre piece, network, temperature and softmax.

    Takes RGB (n, 3, resize, resize), 0–255; gives probabilities and/or affect.
    """

    def __init__(self, network: Network, recipe: Recipe, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.size = recipe.size
        self.edge = (recipe.resize - recipe.size) // 2
        self.temperature = temperature
        self.has_expression = bool(recipe.label_set)
        self.has_affect = recipe.learns_affect

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The outputs that the card names, in the order expression, affect."""
        edge, end = self.edge, self.edge + self.size
        logits, affect = self.network(image[:, :, edge:end, edge:end])
        outputs = []
        if self.has_expression:
            outputs.append(torch.softmax(logits / self.temperature, dim=1))
        if self.has_affect:
            outputs.append(affect)
        return tuple(outputs)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def load_weights(network: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Put weights into a network.

    Raises:
        InputError: weights of other names or shapes; the message names the first.
    """
    own = network.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    wrong += [name for name in state if name not in own]
    if wrong:
        name = wrong[0]
        raise InputError(
            f"the weights in {where} do not fit the network: {len(wrong)} differ, first '{name}' "
            f"(expected {tuple(own[name].shape) if name in own else 'none'}, "
            f"got {tuple(state[name].shape) if name in state else 'none'})"
        )
    network.load_state_dict(state)
