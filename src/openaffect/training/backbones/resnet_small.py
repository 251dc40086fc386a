"""A residual net that a CPU can train: 0.7 million parameters, 20 million multiply-adds at 48 px.

Four stages of two residual blocks (He et al. 2016, the pre-activation order of their second
paper) with 16, 32, 64 and 128 channels; the first convolution and each stage but the first halve
the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CHANNELS = (16, 32, 64, 128)


class Block(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), with a 1×1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        same = inputs == outputs and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) → (n, outputs, h / stride, w / stride)."""
        active = torch.relu(self.norm1(x))
        y = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        total: Tensor = self.short(x) + y
        return total


def build(size: int) -> tuple[nn.Module, int]:  # noqa: ARG001 - pooled at the end: any size does
    """The net up to its pooled features, 128, He-initialized."""
    return stack_blocks(CHANNELS)


def stack_blocks(channels: Sequence[int]) -> tuple[nn.Module, int]:
    """A net of these channels, one number per stage, up to its pooled features, as many as the last."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, 2, padding=1, bias=False)]
    inputs = channels[0]
    for stage, outputs in enumerate(channels):
        layers.append(Block(inputs, outputs, stride=1 if stage == 0 else 2))
        layers.append(Block(outputs, outputs, stride=1))
        inputs = outputs
    layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network, inputs
