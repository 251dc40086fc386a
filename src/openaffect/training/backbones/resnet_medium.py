"""The small net with half as many channels again: 1.6 million weights, 45 million multiply-adds at 48 px."""

from __future__ import annotations

from torch import nn

from openaffect.training.backbones.resnet_small import stack_blocks

CHANNELS = (24, 48, 96, 192)


def build(size: int) -> tuple[nn.Module, int]:  # noqa: ARG001 - pooled at the end: any size does
    """The net up to its pooled features, 192, He-initialized."""
    return stack_blocks(CHANNELS)
