"""The VGG-type net of Giguere 2020, layer for layer as its code has it.

Keras' defaults are kept: no padding, Glorot's uniform weights and zero biases (Glorot and Bengio
2010), batch normalization with momentum 0.99, which torch calls 0.01, and ε = 0.001.
"""

from __future__ import annotations

from torch import nn

from openaffect.errors import InputError

CHANNELS = (64, 128, 256, 256)
SMALLEST = 46  # four times less 2 and halved, this is one pixel


def build(size: int) -> tuple[nn.Module, int]:
    """The net up to its second dense block: 64 features.

    Raises:
        InputError: pictures of less than 46 pixels, which its pools reduce to nothing.
    """
    if size < SMALLEST:
        raise InputError(
            f"backbone vgg-study needs a size of at least {SMALLEST} pixels, but got {size}"
        )
    parts: list[nn.Module] = []
    inputs, edge = 3, size
    for number, channels in enumerate(CHANNELS):
        parts.append(nn.Conv2d(inputs, channels, 3))
        if number == 1:
            parts.append(nn.Dropout(0.3))
        parts += [nn.ReLU(), _norm(nn.BatchNorm2d, channels), nn.MaxPool2d(2)]
        inputs, edge = channels, (edge - 2) // 2
    parts += [nn.Flatten(), nn.Linear(edge * edge * inputs, 128)]
    parts += [nn.ReLU(), _norm(nn.BatchNorm1d, 128), nn.Dropout(0.25)]
    parts += [nn.Linear(128, 64), nn.ReLU(), _norm(nn.BatchNorm1d, 64)]
    for part in parts:
        if isinstance(part, nn.Conv2d | nn.Linear):
            initialize(part)
    return nn.Sequential(*parts), 64


def initialize(layer: nn.Conv2d | nn.Linear) -> None:
    """Give a layer Glorot's uniform weights and zero biases."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], channels: int) -> nn.Module:
    return kind(channels, eps=1e-3, momentum=0.01)
