"""The nets of torchvision: `torchvision/resnet50`, or `torchvision/resnet50.IMAGENET1K_V2`."""

from __future__ import annotations

from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck

from openaffect.errors import UnknownName
from openaffect.training.backbones._backbone import (
    Backbone,
    count_features,
    list_modules,
    unknown_net,
)
from openaffect.training.backbones._keras_layers import list_keras_layers

# The first two have more outputs while they learn, the others no linear layer at their end.
_LEFT_OUT = {"googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1"}


def list_names() -> list[str]:
    """The names of its classifiers that are backbones."""
    return [name for name in models.list_models(module=models) if name not in _LEFT_OUT]


def find(name: str) -> Backbone:
    """A net by torchvision's name, with a dot and the weights' where they are not the first.

    Raises:
        UnknownName: no such net or weights.
    """
    model, _, tag = name.partition(".")
    if model not in list_names():
        raise unknown_net("torchvision", model, list_names())
    weights = models.get_model_weights(model)
    tags = [one for one in weights.__members__ if one != "DEFAULT"]
    if tag and tag not in tags:
        raise UnknownName(f"weights of torchvision/{model}", tag, tags)

    def build(size: int) -> tuple[nn.Module, int]:
        network: nn.Module = models.get_model(model, weights=None)
        *_, head = (name for name, part in network.named_modules() if isinstance(part, nn.Linear))
        network.set_submodule(head, _NoHead())
        return network, count_features(network, size, f"torchvision/{name}")

    return Backbone(
        build=build,
        address=str(weights[tag or tags[0]].url),
        list_heads=_list_heads,
        list_layers=_list_layers,
    )


class _NoHead(nn.Identity):
    """In the place of a last layer."""


def _list_heads(network: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, part in network.named_modules() if isinstance(part, _NoHead))


def _list_layers(network: nn.Module) -> list[nn.Module | None]:
    if any(isinstance(part, Bottleneck) for part in network.modules()):
        return list_keras_layers(network)
    return list_modules(network)
