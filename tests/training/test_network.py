"""The network: heads, normalisation, the exported form, and weights that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openaffect.errors import InputError, UnknownName
from openaffect.training.network import ExportedNetwork, Network, count_parameters, load_weights
from openaffect.training.samples import centre_pieces
from training.faces import fast_recipe

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
TARGETS = {
    "expression": ({}, 3, 0),
    "affect": ({"target": "affect", "stop_metric": "ccc"}, 0, 2),
    "both": ({"target": "both"}, 3, 2),
}


def network_of(**recipe: object) -> Network:
    torch.manual_seed(0)
    return Network(fast_recipe(**recipe))


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_has_its_heads_and_no_others(target):
    recipe, classes, outputs = TARGETS[target]
    network = network_of(**recipe)
    logits, affect = network(IMAGES)
    assert (logits.shape, affect.shape) == ((3, classes), (3, outputs))
    heads = {name.split(".")[0] for name, _ in network.named_parameters()} - {"backbone"}
    assert heads == ({"expression", "affect"} if target == "both" else {target})
    backbone = count_parameters(network.backbone)
    assert count_parameters(network) == backbone + 129 * (classes + outputs)


def test_affect_stays_inside_its_range():
    network = network_of(target="both").eval()
    assert network.affect is not None
    with torch.no_grad():
        network.affect.weight.mul_(1e4)
        assert float(network(IMAGES)[1].abs().max()) <= 1


def test_normalisation_is_inside_by_channel_on_a_scale_of_0_to_1():
    mean, std = (0.2, 0.4, 0.6), (0.1, 0.2, 0.5)
    plain = network_of(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)).eval()
    ours = network_of(mean=mean, std=std).eval()
    by_hand = torch.stack([(IMAGES[:, c] / 255 - mean[c]) / std[c] for c in range(3)], 1)
    assert torch.allclose(ours(IMAGES)[0], plain(by_hand * 255)[0], atol=1e-5)
    assert not torch.allclose(ours(IMAGES)[0], plain(IMAGES)[0], atol=1e-2)


def test_dropout_acts_in_training_alone():
    network = network_of(dropout=0.5)
    assert not torch.equal(network(IMAGES)[0], network(IMAGES)[0])
    network.eval()
    assert torch.equal(network(IMAGES)[0], network(IMAGES)[0])


def test_an_unknown_backbone_is_told():
    recipe = fast_recipe()
    object.__setattr__(recipe, "backbone", "resnet-smal")
    with pytest.raises(UnknownName, match="did you mean 'resnet-small'"):
        Network(recipe)


@pytest.mark.parametrize(("resize", "size"), [(20, 16), (21, 16), (16, 16)])
def test_the_exported_form_takes_the_centre_piece(resize, size):
    recipe = fast_recipe(target="both", resize=resize, size=size)
    network = network_of(target="both").eval()
    images = np.random.default_rng(0).integers(0, 256, (2, resize, resize, 3), dtype=np.uint8)

    def tensor(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))

    outputs = ExportedNetwork(network, recipe, 2.5)(tensor(images))
    logits, affect = network(tensor(centre_pieces(recipe, images)))
    assert torch.equal(outputs[0], torch.softmax(logits / 2.5, dim=1))
    assert torch.equal(outputs[1], affect)


@pytest.mark.parametrize("target", ["expression", "affect"])
def test_the_exported_form_has_only_the_outputs_that_were_learned(target):
    recipe = TARGETS[target][0]
    outputs = ExportedNetwork(network_of(**recipe).eval(), fast_recipe(**recipe), 1.0)(IMAGES)
    assert [o.shape[1] for o in outputs] == [3 if target == "expression" else 2]


def test_weights_go_from_one_network_to_another():
    one, other = network_of(), Network(fast_recipe())
    load_weights(other, one.state_dict(), "here")
    one.eval(), other.eval()
    assert torch.equal(one(IMAGES)[0], other(IMAGES)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("expression.bias"), r"1 differ, first 'expression.bias' .*got none"),
        (lambda s: s.update(extra=torch.zeros(1)), r"first 'extra' \(expected none, got \(1,\)\)"),
        (
            lambda s: s.update({"expression.bias": torch.zeros(8)}),
            r"first 'expression.bias' \(expected \(3,\), got \(8,\)\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, message):
    state = dict(network_of().state_dict())
    change(state)
    with pytest.raises(InputError, match=f"weights in here do not fit.*{message}"):
        load_weights(network_of(), state, "here")
