"""AlexNet (Krizhevsky 2012, in the one-column form of 2014), as torchvision has it."""

from __future__ import annotations

from torch import nn
from torchvision.models import alexnet

from openaffect.errors import InputError

IMAGENET = ("torchvision", "AlexNet_Weights.IMAGENET1K_V1")
HEAD = ("classifier.6.",)


def build(size: int) -> tuple[nn.Module, int]:
    """AlexNet up to its last hidden layer: 4,096 features, random weights.

    Raises:
        InputError: pictures of less than 63 pixels, which its pools reduce to nothing.
    """
    if size < 63:
        raise InputError(f"backbone alexnet needs a size of at least 63 pixels, but got {size}")
    network = alexnet(weights=None)
    network.classifier[-1] = nn.Identity()
    return network, 4096
