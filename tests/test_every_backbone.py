"""What every backbone keeps to; a new file in `training/backbones` is tested here at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from openaffect import lookup
from openaffect.errors import InputError
from openaffect.training.recipe import load_recipe, recipe_names

PACKAGE = "openaffect.training.backbones"
NAMES = lookup.names(PACKAGE)
every = pytest.mark.parametrize("name", NAMES)


def build(name: str, size: int) -> tuple[nn.Module, int]:
    return lookup.load(PACKAGE, name, "backbone").build(size)


def test_the_two_backbones_are_there():
    assert {"alexnet", "resnet-small"} <= {*NAMES}


@every
@pytest.mark.parametrize("size", [64, 97])
def test_gives_as_many_features_as_it_says_with_a_gradient_for_every_weight(name, size):
    module, features = build(name, size)
    module.eval()
    outputs = module(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)))
    assert outputs.shape == (2, features)
    outputs.square().sum().backward()
    without = [n for n, p in module.named_parameters() if p.grad is None]
    assert without == []
    assert bool(torch.isfinite(outputs).all())


@every
def test_the_seed_of_torch_decides_the_weights(name):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([p.detach().flatten() for p in build(name, 64)[0].parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@every
def test_a_recipe_uses_it(name):
    assert name in {load_recipe(recipe).backbone for recipe in recipe_names()}


def count_multiply_adds(module: nn.Module, size: int) -> int:
    """Of convolutions and linear layers, for one picture."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += layer.weight[0].numel() * output[0].numel()

    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    module.eval()(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    return total


def test_resnet_small_is_as_small_as_it_says():
    module, features = build("resnet-small", 48)
    assert features == 128
    parameters = sum(p.numel() for p in module.parameters())
    assert round(parameters / 1e6, 2) == 0.70
    assert 19.5e6 < count_multiply_adds(module, 48) <= 20.5e6


@pytest.mark.parametrize("size", [8, 9, 16, 33])
def test_resnet_small_takes_any_size(size):
    module, features = build("resnet-small", size)
    assert module.eval()(torch.zeros(2, 3, size, size)).shape == (2, features)


def test_alexnet_has_the_published_number_of_weights():
    module, features = build("alexnet", 224)
    # 61,100,840 with the 1,000-class layer of 4,097,000.
    assert sum(p.numel() for p in module.parameters()) == 61_100_840 - 4_097_000
    assert features == 4096


def test_alexnet_refuses_pictures_that_its_pools_reduce_to_nothing():
    with pytest.raises(InputError, match="at least 63 pixels, but got 62"):
        build("alexnet", 62)
    module, _ = build("alexnet", 63)
    assert module.eval()(torch.zeros(1, 3, 63, 63)).shape == (1, 4096)
