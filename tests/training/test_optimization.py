"""Moving averages and sharpness-aware steps, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from narrowing import known
from openaffect.training.optimization import average_weights, sam_perturbation


def test_the_average_follows_the_formula_and_counts_are_copied():
    linear, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)
    network = nn.Sequential(linear, norm)
    weights = [3.0, 5.0, -2.0, 4.0]
    average = average_weights(network, 0.2)
    for step, value in enumerate(weights):
        linear.weight.data.fill_(value)
        known(norm.num_batches_tracked).fill_(step)
        known(norm.running_mean).fill_(10 * value)
        average.update_parameters(network)
    expected = weights[0]
    decays = []
    for n, value in enumerate(weights[1:], start=1):
        decays.append(min(0.2, (1 + n) / (10 + n)))
        expected = decays[-1] * expected + (1 - decays[-1]) * value
    assert len({*decays}) > 1  # both the warm-up and the decay itself occur
    averaged = average.module.state_dict()
    assert averaged["0.weight"].item() == pytest.approx(expected, rel=1e-6)
    assert averaged["1.running_mean"].item() == pytest.approx(10 * expected, rel=1e-6)
    assert averaged["1.num_batches_tracked"].item() == 3
    assert linear.weight.item() == 4.0


def test_climbing_goes_the_radius_along_the_gradient_and_comes_back():
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    inputs = torch.randn(8, 4)
    network(inputs).square().sum().backward()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
    with sam_perturbation(network, 0.05):
        moved = torch.cat(
            [(p - before[n]).detach().flatten() for n, p in network.named_parameters()]
        )
        assert all(p.grad is None for p in network.parameters())
        network(inputs).square().sum().backward()
    np.testing.assert_allclose(moved, 0.05 * gradient / gradient.norm(), atol=1e-6)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    # The gradient that is left is that of the place it climbed to: of 2x'(xw + b), by hand.
    bias = 2 * (inputs @ (before["weight"] + moved[:12].view(3, 4)).T + before["bias"] + moved[12:])
    np.testing.assert_allclose(known(network.bias.grad), bias.sum(0), rtol=1e-5)


def test_running_statistics_see_a_batch_once():
    norm = nn.BatchNorm1d(2)
    network = nn.Sequential(nn.Linear(2, 2), norm)
    network(torch.randn(8, 2)).square().sum().backward()
    mean = known(norm.running_mean).clone()
    with sam_perturbation(network, 0.5):
        network(torch.randn(8, 2) + 5)
    assert torch.equal(known(norm.running_mean), mean)
    network(torch.randn(8, 2) + 5)
    assert not torch.equal(known(norm.running_mean), mean)


def test_what_was_climbed_is_taken_back_after_an_error():
    network = nn.Linear(2, 1)
    network(torch.ones(1, 2)).sum().backward()
    before = network.weight.detach().clone()
    with pytest.raises(RuntimeError, match="full"), sam_perturbation(network, 0.5):
        raise RuntimeError("full")
    assert torch.equal(network.weight, before)
