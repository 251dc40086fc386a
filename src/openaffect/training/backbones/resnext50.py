"""ResNeXt-50, 32 groups of 4 channels (Xie et al. 2017), as torchvision has it."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnext50_32x4d

from openaffect.training.backbones._residual import build_residual, list_keras_layers

IMAGENET = ("torchvision", "ResNeXt50_32X4D_Weights.IMAGENET1K_V1")
HEAD = ("fc.",)


def build(size: int) -> tuple[nn.Module, int]:
    """ResNeXt-50 up to its pooled features: 2,048, random weights.

    Raises:
        InputError: pictures of less than 32 pixels.
    """
    return build_residual(resnext50_32x4d, "resnext50", size)


def layers(module: nn.Module) -> list[nn.Module | None]:
    """Its 175 layers, counted as those of ResNet-50."""
    return list_keras_layers(module)
