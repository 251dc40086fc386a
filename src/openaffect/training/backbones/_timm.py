"""The nets of timm: `timm/efficientnet_b2`, or with the tag of its weights, `….ra_in1k`."""

from __future__ import annotations

import re
from typing import Any

import timm
import torch
from torch import nn

from openaffect.errors import UnknownName
from openaffect.training.backbones._backbone import Backbone, count_features, unknown_net

# ImageNet with 1,000, 12,000, 21,000 or 22,000 classes; other weights learned other things.
_IMAGENET = re.compile(r"in(1|12|21|22)k")


def find(name: str) -> Backbone:
    """A net by timm's name, with a dot and the tag of its weights where it is not the first.

    Raises:
        UnknownName: no such net or tag.
    """
    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        raise unknown_net("timm", model, timm.list_models())
    tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        raise UnknownName(f"weights of timm/{model}", tag, tags)
    config = timm.get_pretrained_cfg(name)  # None for a net that was never trained
    classifier = config.classifier if config is not None else None
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())

    def build(size: int) -> tuple[nn.Module, int]:
        fixed: dict[str, Any] = (
            {"img_size": size} if config is not None and config.fixed_input_size else {}
        )
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **fixed)
        return network, count_features(network, size, f"timm/{name}")

    return Backbone(
        build=build,
        address=None if config is None else _address(config.url, config.tag),
        list_heads=lambda _: heads,
    )


def _address(url: object, tag: str | None) -> str | None:
    """Where ImageNet weights are; without a hash in its name nobody could tell another file."""
    if not isinstance(url, str) or not _IMAGENET.search(tag or ""):
        return None
    return url if torch.hub.HASH_REGEX.search(url) else None
