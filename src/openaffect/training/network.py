"""The network that is trained, and the same network as it is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from openaffect import lookup
from openaffect.errors import InputError
from openaffect.training.backbones._backbone import Backbone, list_modules
from openaffect.training.recipe import Recipe


class Network(nn.Module):
    """A backbone with a head for expressions and one for affect, normalization included.

    `forward` takes RGB (n, 3, size, size) on a scale of 0 to 255 and returns logits
    (n, classes) and affect (n, 2) in (−1, 1); a head that the recipe lacks returns (n, 0).
    All weights are random; `load_pretrained` puts others in. With `separate` nets `backbone` and
    `affect` give valence, and arousal has its own of both. Weights of layers that the recipe does
    not unfreeze have `requires_grad` false, and their batch normalization never learns.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        found = find_backbone(recipe.backbone)
        self.backbone: nn.Module
        self.backbone, features = found.build(recipe.size)
        self.dropout = nn.Dropout(recipe.dropout)
        outputs = 1 if recipe.separate_networks else 2
        self.expression = nn.Linear(features, len(recipe.label_set)) if recipe.label_set else None
        self.affect = nn.Linear(features, outputs) if recipe.learns_affect else None
        self.arousal_backbone: nn.Module | None = None
        self.arousal: nn.Linear | None = None
        if recipe.separate_networks:
            self.arousal_backbone = found.build(recipe.size)[0]
            self.arousal = nn.Linear(features, 1)
        if found.initialize is not None:
            for head in (self.expression, self.affect, self.arousal):
                if head is not None:
                    found.initialize(head)
        for backbone in self.backbones.values():
            _freeze(backbone, found.list_layers(backbone), recipe.trainable_fraction)
        self.register_buffer("mean", 255 * torch.tensor(recipe.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(recipe.std).view(1, 3, 1, 1))
        self.mean: Tensor
        self.std: Tensor
        self.gray, self.own_center = recipe.input_color == "gray", recipe.per_image_norm
        # ITU-R BT.601, as OpenCV and Pillow have it; not a weight of older runs.
        luminance = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        self.register_buffer("luminance", luminance, persistent=False)
        self.luminance: Tensor

    @property
    def backbones(self) -> dict[str, nn.Module]:
        """The one backbone, or the two of separate nets, by the name of the attribute."""
        found = {"backbone": self.backbone}
        if self.arousal_backbone is not None:
            found["arousal_backbone"] = self.arousal_backbone
        return found

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but for batch normalization with frozen weights."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and not part.weight.requires_grad:
                part.eval()
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and affect (n, 2)."""
        normal = self._normalize(image)
        features = self.dropout(self.backbone(normal))
        none = features[:, :0]
        logits = none if self.expression is None else self.expression(features)
        affect = none if self.affect is None else torch.tanh(self.affect(features))
        if self.arousal_backbone is not None and self.arousal is not None:
            arousal = torch.tanh(self.arousal(self.dropout(self.arousal_backbone(normal))))
            affect = torch.cat([affect, arousal], dim=1)
        return logits, affect

    def _normalize(self, image: Tensor) -> Tensor:
        if self.gray:
            image = (image * self.luminance).sum(1, keepdim=True).expand(-1, 3, -1, -1)
        if not self.own_center:
            return (image - self.mean) / self.std
        centered = image - image.mean((1, 2, 3), keepdim=True)
        spread = centered.square().mean((1, 2, 3), keepdim=True).sqrt()
        # A picture of one color stays 0; so does what an encoder's rounding leaves in it.
        return centered / (spread + 1.0)


class ExportedNetwork(nn.Module):
    """What the ONNX file holds: the recipe's views, network, temperature, softmax and average.

    Takes RGB (n, 3, resize, resize), 0–255; gives probabilities and/or affect.
    """

    def __init__(self, network: Network, recipe: Recipe, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.temperature = temperature
        self.has_expression = bool(recipe.label_set)
        self.has_affect = recipe.learns_affect

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The outputs that the card names, in the order expression, affect."""
        pieces = cut_views(image, self.recipe)
        logits, affect = self.network(pieces[0] if len(pieces) == 1 else torch.cat(pieces))
        outputs = []
        if self.has_expression:
            outputs.append(torch.softmax(logits / self.temperature, dim=1))
        if self.has_affect:
            outputs.append(affect)
        if len(pieces) == 1:
            return tuple(outputs)
        return tuple(o.reshape(len(pieces), -1, o.shape[1]).mean(dim=0) for o in outputs)


def cut_views(image: Tensor, recipe: Recipe) -> list[Tensor]:
    """The pieces of crops that a recipe's prediction averages, its center first.

    Args:
        image: (n, 3, resize, resize).

    Returns:
        Of (n, 3, size, size) each.
    """
    size = recipe.size
    pieces = [image[:, :, y : y + size, x : x + size] for x, y in _view_places(recipe)]
    return pieces if recipe.views == "center" else pieces + [piece.flip(3) for piece in pieces]


def _view_places(recipe: Recipe) -> tuple[tuple[int, int], ...]:
    """Left upper corners (x, y) of the pieces of a crop that prediction looks at."""
    end = recipe.resize - recipe.size
    center = (end // 2, end // 2)
    if recipe.views != "ten" or not end:  # the five pieces of an uncut picture are the same
        return (center,)
    return (center, (0, 0), (end, 0), (0, end), (end, end))


def find_backbone(name: str) -> Backbone:
    """The backbone that a recipe names; see `training/backbones`.

    Raises:
        UnknownName: no such backbone; the message has the nearest name.
    """
    library, _, rest = name.partition("/")
    if library == "timm":
        from openaffect.training.backbones import _timm

        return _timm.find(rest)
    if library == "torchvision":
        from openaffect.training.backbones import _torchvision

        return _torchvision.find(rest)
    module = lookup.load("openaffect.training.backbones", name, "backbone")
    return Backbone(
        build=module.build,
        list_layers=getattr(module, "layers", list_modules),
        initialize=getattr(module, "initialize", None),
    )


def _freeze(
    backbone: nn.Module, layers: Sequence[nn.Module | None], trainable_fraction: float
) -> None:
    """Freeze all but the last layers, `trainable_fraction` of their number, at least one."""
    if trainable_fraction == 1:
        return
    backbone.requires_grad_(False)
    number = max(1, round(trainable_fraction * len(layers)))
    for layer in layers[-number:]:
        if layer is not None:
            layer.requires_grad_(True)


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
