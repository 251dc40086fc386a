"""What every backbone of a recipe keeps to, ours and those of timm and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from narrowing import known
from openaffect import lookup
from openaffect.errors import InputError, UnknownName
from openaffect.model import open_model
from openaffect.training import losses
from openaffect.training.card import TrainingSummary
from openaffect.training.network import ExportedNetwork, Network, find_backbone
from openaffect.training.optimization import make_optimizer
from openaffect.training.recipe import Recipe, load_recipe, recipe_names
from openaffect.training.targets import choose_targets
from openaffect.training.to_onnx import export_model
from training.faces import fast_recipe, make_faces

PACKAGE = "openaffect.training.backbones"
OWN = lookup.names(PACKAGE)
ALEXNET, RESNET = "torchvision/alexnet", "torchvision/resnet50"
RESNEXT = "torchvision/resnext50_32x4d"
B0, B2 = "timm/efficientnet_b0.ra_in1k", "timm/efficientnet_b2.ra_in1k"
NAMES = sorted({load_recipe(name).backbone for name in recipe_names()} - {""})
SMALLEST = {ALEXNET: 63, "resnet-medium": 1, "resnet-small": 1, "vgg-study": 46}
"""The smallest image in pixels; for others 32."""

LARGE = {ALEXNET, RESNET, RESNEXT}
DEEP = {B0, B2}

IMAGES = np.array([3, 7], np.uint32)


def mark(slow):
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in NAMES]


every = pytest.mark.parametrize("name", NAMES)
large_slow = pytest.mark.parametrize("name", mark(LARGE))
deep_slow = pytest.mark.parametrize("name", mark(LARGE | DEEP))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A few faces, for the card of an export."""
    return make_faces(tmp_path_factory.mktemp("faces") / "data", rows=12)


def build(name: str, size: int) -> tuple[nn.Module, int]:
    return find_backbone(name).build(size)


def smallest(name: str) -> int:
    return SMALLEST.get(name, 32)


def recipe_of(name: str, **changes: object) -> Recipe:
    size = max(8, smallest(name))
    return fast_recipe(**({"backbone": name, "resize": size, "size": size} | changes))


def random_pictures(count: int, size: int) -> torch.Tensor:
    """Smooth as pictures are: white noise would be all that normalization enlarges."""
    small = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    return 255 * nn.functional.interpolate(small, size=size, mode="bilinear")


def test_the_baselines_and_all_of_ours_are_those_of_a_recipe():
    assert {*OWN, ALEXNET, RESNET, RESNEXT, B0, B2} == {*NAMES}


@pytest.mark.parametrize("size", [64, pytest.param(97, marks=pytest.mark.slow)])
@large_slow
def test_gives_as_many_features_as_it_says_with_a_gradient_for_every_weight(name, size):
    module, features = build(name, size)
    module.eval()
    outputs = module(random_pictures(2, size) / 128 - 1)
    assert outputs.shape == (2, features)
    outputs.square().sum().backward()
    without = [n for n, p in module.named_parameters() if p.grad is None]
    assert without == []
    assert bool(torch.isfinite(outputs).all())


@large_slow
def test_the_seed_of_torch_decides_the_weights(name):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([p.detach().flatten() for p in build(name, 64)[0].parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("name", [n for n in NAMES if smallest(n) > 1])
def test_refuses_pictures_that_are_too_small_and_takes_the_smallest(name):
    size = smallest(name)
    with pytest.raises(InputError, match=f"backbone {name} .*{size - 1}"):
        build(name, size - 1)
    module, features = build(name, size)
    assert module.eval()(torch.zeros(1, 3, size, size)).shape == (1, features)


@every
def test_counts_each_of_its_weights_in_one_of_its_layers(name):
    with torch.device("meta"):
        module, _ = build(name, 64)
    layers = find_backbone(name).list_layers(module)
    own = [p for layer in layers if layer is not None for p in layer.parameters(recurse=False)]
    assert sorted(map(id, own)) == sorted(map(id, module.parameters()))


def learn_twice(recipe: Recipe, count: int) -> list[str]:
    """Two steps on random pictures; the names of the weights that have not moved."""
    torch.manual_seed(0)
    network = Network(recipe).train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, recipe)
    images = random_pictures(count, recipe.size)
    for _ in range(2):
        optimizer.zero_grad()
        logits, affect = network(images)
        loss = torch.zeros(())
        if recipe.label_set:
            classes = len(recipe.label_set)
            target = torch.eye(classes)[torch.arange(count) % classes]
            loss = loss + losses.expression_loss(logits, target, torch.ones(classes))
        if recipe.learns_affect:
            loss = loss + losses.euclidean_loss(affect, torch.full((count, 2), 0.5))
        assert torch.isfinite(loss)
        loss.backward()
        optimizer.step()
    return [name for name, p in network.named_parameters() if torch.equal(p, before[name])]


@deep_slow
def test_two_steps_move_every_weight(name):
    recipe = recipe_of(name, target="both", optimizer="adam", learning_rate=1e-3)
    assert learn_twice(recipe, 4) == []


@pytest.mark.slow
def test_two_steps_move_what_is_unfrozen_and_nothing_else():
    recipe = load_recipe("resnet50-transfer", ["size=64", "resize=64"])
    with torch.device("meta"):
        frozen = [n for n, p in Network(recipe).named_parameters() if not p.requires_grad]
    assert len(frozen) > 100
    assert learn_twice(recipe, 4) == frozen


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "alexnet-valence-arousal",
        "vgg-study",
        "resnet50-transfer",
        "resnext-annotator",
        "efficientnet-b0",
        "efficientnet-b2",
        "resnet-small-imbalanced",
    ],
)
def test_takes_pictures_of_the_size_of_its_recipe(name):
    recipe = load_recipe(name)
    with torch.no_grad():
        logits, affect = Network(recipe).eval()(random_pictures(1, recipe.size))
    assert logits.shape == (1, len(recipe.label_set))
    assert affect.shape == (1, 2 * recipe.learns_affect)
    assert bool(torch.isfinite(torch.cat([logits, affect], 1)).all())


# EfficientNet-B2 is B0 with more of the same blocks, and its export takes the longest.
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n != B2])
def test_its_exported_graph_computes_what_torch_computes(name, faces, tmp_path):
    size = max(64, smallest(name))
    recipe = recipe_of(name, target="both", resize=size, size=size, mean=(0.4, 0.5, 0.6))
    torch.manual_seed(0)
    network = Network(recipe)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 1.0  # the statistics of one batch: no signal dies out
    with torch.no_grad():
        network(random_pictures(16, recipe.size))
        normal = (random_pictures(16, recipe.size) - network.mean) / network.std
        features = network.eval().backbone(normal)
        # else all pictures give nearly the same
        for head in (known(network.expression), known(network.affect)):
            head.weight.div_(4 * (features @ head.weight.T).std(dim=0, keepdim=True).T)
    facts = TrainingSummary(
        faces, faces.fingerprint(), choose_targets(faces, recipe), 1, 0, 1, {}, IMAGES
    )
    export_model(network, recipe, 1.5, facts, tmp_path / "model.onnx")
    pictures = random_pictures(3, recipe.size).round()
    found = open_model(tmp_path / "model.onnx").predict(
        pictures.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    )
    with torch.no_grad():
        expected = ExportedNetwork(network, recipe, 1.5)(pictures)
    assert np.abs(found.probabilities - expected[0].numpy()).max() <= 1e-4
    assert np.abs(found.affect - expected[1].numpy()).max() <= 1e-4
    assert float(np.ptp(expected[0].numpy(), axis=0).max()) > 0.02


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
    with torch.device("meta"):
        module, features = build(ALEXNET, 224)
    # 61,100,840 with the 1,000-class layer of 4,097,000.
    assert sum(p.numel() for p in module.parameters()) == 61_100_840 - 4_097_000
    assert features == 4096


def test_vgg_study_has_the_weights_of_the_study_to_the_last_one():
    recipe = load_recipe("vgg-study")
    torch.manual_seed(0)
    network = Network(recipe)
    assert sum(p.numel() for p in network.parameters()) == 7_393_990
    running = [v.numel() for k, v in network.named_buffers() if ".running_" in k]
    assert 7_393_990 + sum(running) == 7_395_782


def test_vgg_study_begins_as_keras_begins():
    """Glorot's uniform weights, zero biases, and Keras' batch normalization."""
    torch.manual_seed(0)
    network = Network(load_recipe("vgg-study", ["size=46", "resize=46"]))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 7  # the last of them the layer of six outputs
    for layer in layers:
        weight, bias = layer.weight.detach(), known(layer.bias).detach()
        patch = weight[0, 0].numel()
        limit = (6 / (patch * (weight.shape[0] + weight.shape[1]))) ** 0.5
        assert 0.95 * limit < float(weight.abs().max()) <= limit
        assert float(bias.abs().max()) == 0
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [(m.momentum, m.eps) for m in norms] == [(0.01, 1e-3)] * 6


def test_vgg_study_has_the_layers_of_the_study_in_their_order():
    module, _ = build("vgg-study", 256)
    assert isinstance(module, nn.Sequential)
    names = [type(part).__name__ for part in module]
    assert names == (
        ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"]
        + ["Conv2d", "Dropout", "ReLU", "BatchNorm2d", "MaxPool2d"]
        + ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"] * 2
        + ["Flatten", "Linear", "ReLU", "BatchNorm1d", "Dropout"]
        + ["Linear", "ReLU", "BatchNorm1d"]
    )
    assert [part.p for part in module if isinstance(part, nn.Dropout)] == [0.3, 0.25]
    dense = [part for part in module if isinstance(part, nn.Linear)]
    assert [part.in_features for part in dense] == [14 * 14 * 256, 128]


@pytest.mark.parametrize(
    ("name", "published", "classifier"),
    [
        (RESNET, 25_557_032, 2_049_000),
        (RESNEXT, 25_028_904, 2_049_000),
        (B0, 5_288_548, 1_281_000),
        (B2, 9_109_994, 1_409_000),
    ],
)
def test_has_the_published_number_of_weights_but_for_the_classifier(name, published, classifier):
    with torch.device("meta"):
        module, features = build(name, 224)
    assert classifier == 1000 * (features + 1)
    assert sum(p.numel() for p in module.parameters()) == published - classifier


# -- any net of the libraries --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "features", "heads"),
    [
        ("torchvision/mobilenet_v3_small", 1024, ("classifier.3",)),
        ("torchvision/densenet121", 1024, ("classifier",)),
        ("torchvision/regnet_y_400mf", 440, ("fc",)),
        ("timm/mobilenetv3_small_050", 1024, ("classifier",)),
        ("timm/deit_tiny_distilled_patch16_224", 192, ("head", "head_dist")),
    ],
)
def test_a_net_of_a_library_is_a_backbone_by_its_name(name, features, heads):
    backbone = find_backbone(name)
    module, count = backbone.build(32)
    assert count == features
    assert module.training
    assert backbone.list_heads(module) == heads
    assert module.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, features)


def test_torchvisions_newer_weights_have_a_name_of_their_own():
    addresses = [
        find_backbone(RESNET + tag).address for tag in ("", ".IMAGENET1K_V1", ".IMAGENET1K_V2")
    ]
    assert addresses[0] == addresses[1] != addresses[2]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("timm/mobilenetv4_conv_small.e2400_r224_in1k", "timm gives no address"),
        ("timm/convnext_tiny.fb_in22k", "the file's name has no hash"),
        ("timm/vit_base_patch32_clip_224.openai", "learned from captions"),
    ],
)
def test_weights_that_no_hash_checks_or_that_are_not_imagenets_have_no_address(name, why):
    assert find_backbone(name).address is None, why


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet-smal", "resnet-small"),
        ("timm/efficientnet_b9", "efficientnet_b8"),
        ("timm/efficientnet_b2.ra_in1", "ra_in1k"),
        ("torchvision/alexnett", "alexnet"),
        ("torchvision/googlenet", None),
    ],
)
def test_an_unknown_net_or_tag_is_told_with_the_nearest_in_a_short_message(name, nearest):
    with pytest.raises(UnknownName) as caught:
        find_backbone(name)
    assert len(str(caught.value)) < 400
    if nearest is not None:
        assert caught.value.nearest == nearest


@pytest.mark.parametrize("name", ["alexnet", "timm", "torchvision/", "keras/vgg16", ""])
def test_a_recipe_names_a_backbone_of_ours_or_one_of_a_library(name):
    with pytest.raises(UnknownName, match=r"Known: .*resnet-small.*timm/NAME, torchvision/NAME"):
        fast_recipe(backbone=name)


def test_a_size_that_a_transformer_does_not_take_is_refused():
    with pytest.raises(InputError, match="torchvision/vit_b_32 does not take images of 64 pixels"):
        build("torchvision/vit_b_32", 64)
