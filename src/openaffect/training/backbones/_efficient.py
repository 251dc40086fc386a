"""What timm's EfficientNets share."""

from __future__ import annotations

import timm
from torch import nn

from openaffect.errors import InputError

SMALLEST = 32  # halved five times this is one pixel


def build_efficient(name: str, size: int) -> tuple[nn.Module, int]:
    """The net that timm has under a name, up to its pooled features."""
    if size < SMALLEST:
        shown = name.replace("_", "-")
        raise InputError(
            f"backbone {shown} needs a size of at least {SMALLEST} pixels, but got {size}"
        )
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    return network, int(network.num_features)  # type: ignore[arg-type]
