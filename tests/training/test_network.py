"""The network: heads, normalization, the exported form, and weights that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from narrowing import known
from openaffect.errors import InputError, UnknownName
from openaffect.model import open_model
from openaffect.training import losses
from openaffect.training.card import TrainingSummary
from openaffect.training.network import (
    ExportedNetwork,
    Network,
    count_parameters,
    find_backbone,
    load_weights,
)
from openaffect.training.recipe import load_recipe
from openaffect.training.targets import choose_targets
from openaffect.training.to_onnx import export_model
from training.faces import center_pieces, fast_recipe

HASHES = np.array([3, 7], np.uint32)
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


def test_normalization_is_inside_by_channel_on_a_scale_of_0_to_1():
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
def test_the_exported_form_takes_the_center_piece(resize, size):
    recipe = fast_recipe(target="both", resize=resize, size=size)
    network = network_of(target="both").eval()
    images = np.random.default_rng(0).integers(0, 256, (2, resize, resize, 3), dtype=np.uint8)

    def tensor(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))

    outputs = ExportedNetwork(network, recipe, 2.5)(tensor(images))
    logits, affect = network(tensor(center_pieces(recipe, images)))
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


# -- frozen layers -------------------------------------------------------------------------


def trained_names(network: Network) -> set[str]:
    return {name for name, p in network.named_parameters() if p.requires_grad}


def test_the_last_fifth_of_resnet50_is_layer4_and_the_last_norm_of_layer3():
    """Keras' last 35 of 175 layers: conv4_block6_3_bn, add, out, and all of conv5."""
    with torch.device("meta"):
        network = Network(load_recipe("resnet50-transfer"))
    names = {name for name, _ in network.named_parameters()}
    tail = {f"backbone.layer3.5.bn3.{kind}" for kind in ("weight", "bias")}
    layer4 = {name for name in names if name.startswith("backbone.layer4.")}
    assert len(layer4) == 30
    assert trained_names(network) == tail | layer4 | {"expression.weight", "expression.bias"}


@pytest.mark.parametrize("share", [0.2, 34.6 / 175, 35.4 / 175])
def test_resnet50_has_175_layers_of_which_the_share_is_rounded(share):
    with torch.device("meta"):
        recipe = load_recipe("resnet50-transfer", [f"trainable_fraction={share}"])
        network = Network(recipe)
        assert len(find_backbone(recipe.backbone).list_layers(network.backbone)) == 175
    assert "backbone.layer3.5.bn3.weight" in trained_names(network)
    assert "backbone.layer3.5.conv3.weight" not in trained_names(network)


@pytest.mark.parametrize(
    ("layers", "last", "frozen"),
    [(36, "layer3.5.conv3", "layer3.5.bn2"), (32, "layer4.0.conv1", "layer3.5.bn3")],
)
def test_the_border_moves_layer_by_layer(layers, last, frozen):
    with torch.device("meta"):
        network = Network(load_recipe("resnet50-transfer", [f"trainable_fraction={layers / 175}"]))
    assert f"backbone.{last}.weight" in trained_names(network)
    assert f"backbone.{frozen}.weight" not in trained_names(network)


def test_without_a_count_of_its_own_a_backbone_is_frozen_from_its_beginning():
    network = network_of(trainable_fraction=0.25)
    first, last = next(iter(network.backbone.parameters())), list(network.backbone.parameters())[-1]
    assert (first.requires_grad, last.requires_grad) == (False, True)
    order = [p.requires_grad for p in network.backbone.parameters()]
    assert order == sorted(order)  # all frozen ones come first
    assert trained_names(network) >= {"expression.weight", "expression.bias"}


def test_the_smallest_share_still_trains_the_heads():
    network = network_of(trainable_fraction=1e-9, target="both")
    heads = {f"{head}.{kind}" for head in ("expression", "affect") for kind in ("weight", "bias")}
    assert trained_names(network) == heads  # the last layer of the backbone flattens


def test_frozen_norms_keep_their_statistics_and_the_others_learn_theirs():
    network = network_of(trainable_fraction=0.25).train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running_mean" in k}
    network(IMAGES)
    after = network.state_dict()
    moved = {k.removesuffix(".running_mean") for k, v in before.items() if (after[k] != v).any()}
    norms = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert moved == {name for name, m in norms if m.weight.requires_grad}
    assert 0 < len(moved) < len(norms)
    assert [m.training for _, m in norms] == [m.weight.requires_grad for _, m in norms]
    assert not any(m.training for _, m in network.eval().named_modules())


def test_all_is_trained_if_nothing_is_said():
    network = network_of(target="both").train()
    assert trained_names(network) == {name for name, _ in network.named_parameters()}
    assert all(m.training for m in network.modules())


# -- separate nets -------------------------------------------------------------------------

SEPARATE = {"target": "affect", "stop_metric": "ccc", "separate_networks": True}


def gradients(network: Network, loss: torch.Tensor) -> dict[str, torch.Tensor | None]:
    network.zero_grad()
    loss.backward(retain_graph=True)
    return {
        name: None if p.grad is None else p.grad.clone() for name, p in network.named_parameters()
    }


def test_separate_nets_learn_from_the_sum_what_each_learns_alone():
    network = network_of(**SEPARATE, dropout=0.5).train()
    truth = torch.tensor([[0.5, -0.5], [-0.2, 0.3], [0.1, 0.9]])
    affect = network(IMAGES)[1]
    assert affect.shape == (3, 2)
    both = gradients(network, losses.euclidean_loss(affect, truth))
    alone = [gradients(network, 0.5 * (affect - truth)[:, n].square().sum()) for n in (0, 1)]
    of_arousal = {name for name in both if name.startswith("arousal")}
    assert len(of_arousal) == len(both) / 2
    for name, total in both.items():
        own, other = (alone[1], alone[0]) if name in of_arousal else alone
        foreign = other[name]
        assert foreign is None or not foreign.any()  # nothing comes from the other
        assert torch.equal(known(total), known(own[name]))


def test_separate_nets_are_two_with_weights_of_their_own():
    network, one = network_of(**SEPARATE), network_of(target="affect", stop_metric="ccc")
    assert list(network.backbones) == ["backbone", "arousal_backbone"]
    assert count_parameters(network) == 2 * count_parameters(one.backbone) + 2 * 129
    weights = [torch.cat([p.flatten() for p in b.parameters()]) for b in network.backbones.values()]
    assert not torch.equal(*weights)


def test_separate_nets_are_frozen_both():
    network = network_of(**SEPARATE, trainable_fraction=0.25)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    valence = {name for name in frozen if name.startswith("backbone.")}
    assert valence
    assert frozen == valence | {f"arousal_{name}" for name in valence}


# -- views ---------------------------------------------------------------------------------


def views_by_hand(views: str, images: torch.Tensor, size: int) -> list[torch.Tensor]:
    """The pieces that are averaged, cut one by one."""
    end = images.shape[2] - size
    middle = end // 2
    corners = [(middle, middle), (0, 0), (0, end), (end, 0), (end, end)]
    places = corners if views == "ten" else corners[:1]
    plain = [images[:, :, y : y + size, x : x + size] for y, x in places]
    return (
        plain
        if views == "center"
        else plain + [p[..., torch.arange(size - 1, -1, -1)] for p in plain]
    )


@pytest.mark.parametrize("resize", [16, 17, 21])
@pytest.mark.parametrize("views", ["center", "flip", "ten"])
def test_views_are_averaged_after_softmax(views, resize):
    recipe = fast_recipe(target="both", resize=resize, views=views)
    network = network_of(target="both").eval()
    images = torch.rand(2, 3, resize, resize, generator=torch.Generator().manual_seed(1)) * 255
    pieces = views_by_hand(views, images, 16)
    assert len(pieces) == {"center": 1, "flip": 2, "ten": 10}[views]
    with torch.no_grad():
        for head in (known(network.expression), known(network.affect)):
            head.weight.mul_(20)  # far from linear: averaging elsewhere would show
        found = ExportedNetwork(network, recipe, 2.5)(images)
        seen = [network(piece) for piece in pieces]
    probabilities = torch.stack([torch.softmax(logits / 2.5, 1) for logits, _ in seen]).mean(0)
    affect = torch.stack([affect for _, affect in seen]).mean(0)
    assert torch.allclose(found[0], probabilities, atol=1e-5)
    assert torch.allclose(found[1], affect, atol=1e-5)
    if views != "center":
        assert not torch.allclose(found[0], torch.softmax(seen[0][0] / 2.5, 1), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"target": "both", "views": "flip"},
        {"target": "both", "views": "ten"},
        SEPARATE | {"views": "ten"},
    ],
    ids=["flip", "ten", "separate_networks"],
)
def test_views_and_separate_nets_are_one_graph_that_onnxruntime_computes_alike(
    changes, faces, tmp_path
):
    recipe = fast_recipe(**changes, resize=21)
    network = network_of(**changes)
    network(IMAGES)
    with torch.no_grad():
        for head in (network.expression, network.affect, network.arousal):
            if head is not None:
                head.weight.mul_(10)
    facts = TrainingSummary(
        faces, faces.fingerprint(), choose_targets(faces, recipe), 1, 0, 1, {}, HASHES
    )
    export_model(network.eval(), recipe, 1.5, facts, tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 21, 21, 3), dtype=np.uint8)
    found = open_model(tmp_path / "model.onnx").predict(images)
    outputs = [values for values in (found.probabilities, found.affect) if values is not None]
    assert found.affect is not None
    pieces = views_by_hand(changes["views"], torch.from_numpy(images).permute(0, 3, 1, 2), 16)
    with torch.no_grad():
        seen = [network(piece.float()) for piece in pieces]
    expected = [torch.stack([affect for _, affect in seen]).mean(0).numpy()]
    if recipe.label_set:
        expected.insert(0, torch.stack([(g / 1.5).softmax(1) for g, _ in seen]).mean(0).numpy())
    assert [o.shape for o in outputs] == [e.shape for e in expected]
    worst = max(float(np.abs(o - e).max()) for o, e in zip(outputs, expected, strict=True))
    assert worst <= 1e-4
    assert min(float(np.ptp(e, axis=0).max()) for e in expected) > 0.01


def test_a_gray_net_sees_luminance_alone():
    network = network_of(input_color="gray").eval()
    gray = (IMAGES * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        colored, plain = network(IMAGES)[0], network(gray.expand(-1, 3, -1, -1))[0]
        other = network_of().eval()(IMAGES)[0]
    np.testing.assert_allclose(colored, plain, atol=1e-5)
    assert float((colored - other).abs().max()) > 1e-3


def test_a_picture_centered_by_itself_looks_the_same_in_any_light():
    network = network_of(per_image_norm=True).eval()
    with torch.no_grad():
        one = network(IMAGES)[0]
        dim = network(IMAGES * 0.5 + 40)[0]
        flat = network(torch.full((1, 3, 16, 16), 77.0))[0]
    # The 1 that is added to the spread of about 74, and 37, moves the scale by 1.4 %.
    np.testing.assert_allclose(one, dim, atol=0.03 * float(one.abs().max()))
    assert torch.isfinite(flat).all()


@pytest.mark.slow
def test_gray_and_own_center_are_in_the_exported_graph(faces, tmp_path):
    recipe = fast_recipe(input_color="gray", per_image_norm=True)
    network = Network(recipe).eval()
    targets = choose_targets(faces, recipe)
    training = TrainingSummary(faces, "0" * 64, targets, 0, 0, 1, {}, HASHES)
    export_model(network, recipe, 1.0, training, tmp_path / "m.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    found = known(open_model(tmp_path / "m.onnx").predict(crops).probabilities)
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        expected = torch.softmax(network(pixels)[0], dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
