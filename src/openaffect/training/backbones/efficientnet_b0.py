"""EfficientNet-B0 (Tan and Le 2019), as timm has it."""

from __future__ import annotations

from torch import nn

from openaffect.training.backbones._efficient import build_efficient

IMAGENET = ("timm", "efficientnet_b0.ra_in1k")
HEAD = ("classifier.",)


def build(size: int) -> tuple[nn.Module, int]:
    """EfficientNet-B0 up to its pooled features: 1,280, random weights.

    Raises:
        InputError: pictures of less than 32 pixels.
    """
    return build_efficient("efficientnet_b0", size)
