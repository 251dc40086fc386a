"""What the network needs to know of a backbone, wherever it comes from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from openaffect.errors import InputError, UnknownName, reason

_SMALLEST = 32  # halved five times, as most nets do, this is one pixel
_SHOWN = 8


def list_modules(network: nn.Module) -> list[nn.Module | None]:
    """The modules that have weights or no parts of their own, in order."""
    return [
        part
        for part in network.modules()
        if not any(True for _ in part.children()) or any(True for _ in part.parameters(False))
    ]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A net up to its last layer.

    Attributes:
        build: From the width of an image in pixels to a module with random weights and its number
            of features; raises an InputError where it cannot take such images.
        address: Where its ImageNet weights are, with a hash in the file's name; None if nowhere.
        list_heads: The names of the last layers, which a module of `build` lacks and a file of
            whole weights has.
        list_layers: Its layers in order; None for one without weights.
        initialize: Gives a last layer its random weights; None leaves torch's.
    """

    build: Callable[[int], tuple[nn.Module, int]]
    address: str | None = None
    list_heads: Callable[[nn.Module], tuple[str, ...]] = lambda _: ()
    list_layers: Callable[[nn.Module], Sequence[nn.Module | None]] = list_modules
    initialize: Callable[[nn.Linear], None] | None = None


def count_features(network: nn.Module, size: int, name: str) -> int:
    """The number of features that a net gives for an image of `size` pixels.

    Raises:
        InputError: a size that the net does not take, or no vector for each image.
    """
    if size < _SMALLEST:
        raise InputError(
            f"backbone {name} needs a size of at least {_SMALLEST} pixels, but got {size}"
        )
    image = torch.zeros(1, 3, size, size, device=next(network.parameters()).device)
    network.eval()
    try:
        with torch.no_grad():
            features = network(image)
    except (RuntimeError, ValueError, AssertionError) as error:  # each library's own
        raise InputError(
            f"backbone {name} does not take images of {size} pixels: {reason(error)}"
        ) from error
    network.train()
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise InputError(f"backbone {name} gives no vector of features for an image")
    return int(features.shape[1])


def unknown_net(library: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error of a net that a library does not have; the message has the nearest ones."""
    every = sorted(known)
    near = difflib.get_close_matches(name.lower(), every, n=_SHOWN, cutoff=0.5)
    shown = near or every[:_SHOWN]
    return UnknownName(f"net of {library}", name, [*shown, f"… ({len(every):,} in all)"])
