"""ResNet-50 (He et al. 2016), as torchvision has it."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet50

from openaffect.training.backbones._residual import build_residual, list_keras_layers

IMAGENET = ("torchvision", "ResNet50_Weights.IMAGENET1K_V1")
HEAD = ("fc.",)


def build(size: int) -> tuple[nn.Module, int]:
    """ResNet-50 up to its pooled features: 2,048, random weights.

    Raises:
        InputError: pictures of less than 32 pixels.
    """
    return build_residual(resnet50, "resnet50", size)


def layers(module: nn.Module) -> list[nn.Module | None]:
    """Its 175 layers as Keras counts them, from the input to the last activation."""
    return list_keras_layers(module)
