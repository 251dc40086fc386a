"""The layers of a ResNet-50 and its like as Keras counts them."""

from __future__ import annotations

from torch import nn


def list_keras_layers(network: nn.Module) -> list[nn.Module | None]:
    """The layers in the order in which Keras lists its ResNet-50: 175 without the classifier.

    Paddings, activations, additions and pools count, as Keras has a layer for each.

    Args:
        network: torchvision's ResNet, ResNeXt or wide ResNet, of bottleneck blocks.
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
