"""What torchvision's ResNet-50 and its like share: how they are cut, and how layers are counted."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from openaffect.errors import InputError

SMALLEST = 32  # halved five times this is one pixel


def build_residual(make: Callable[..., nn.Module], name: str, size: int) -> tuple[nn.Module, int]:
    """The net up to its pooled features, 2,048."""
    if size < SMALLEST:
        raise InputError(
            f"backbone {name} needs a size of at least {SMALLEST} pixels, but got {size}"
        )
    network = make(weights=None)
    network.fc = nn.Identity()
    return network, 2048


def list_keras_layers(network: nn.Module) -> list[nn.Module | None]:
    """The layers in the order in which Keras lists its ResNet-50: 175 without the classifier.

    Paddings, activations, additions and pools count, as Keras has a layer for each.
    """
    conv1, bn1 = network.get_submodule("conv1"), network.get_submodule("bn1")
    layers: list[nn.Module | None] = [None, None, conv1, bn1, None, None, None]
    for stage in range(1, 5):
        for block in network.get_submodule(f"layer{stage}").children():
            parts = dict(block.named_modules())
            layers += [parts["conv1"], parts["bn1"], None, parts["conv2"], parts["bn2"], None]
            if "downsample.0" in parts:
                layers += [parts["downsample.0"], parts["conv3"], parts["downsample.1"]]
            else:
                layers.append(parts["conv3"])
            layers += [parts["bn3"], None, None]
    return layers
