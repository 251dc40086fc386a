"""Pretrained weights: where they come from, what fits, and that nothing goes wrong in silence."""

from __future__ import annotations

import dataclasses
import pickle
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from narrowing import known
from openaffect.errors import FormatError, InputError
from openaffect.training import loop, pretrained
from openaffect.training.network import Network, find_backbone
from openaffect.training.pretrained import load_pretrained
from openaffect.training.recipe import Recipe
from training.faces import fast_recipe

RESNET, B0 = "torchvision/resnet50", "timm/efficientnet_b0.ra_in1k"
LEARNED = ["torchvision/alexnet", RESNET, "torchvision/resnext50_32x4d", B0]
LEARNED += ["timm/efficientnet_b2.ra_in1k"]
SEPARATE = {"target": "affect", "stop_metric": "ccc", "separate_networks": True}


def network_of(recipe: Recipe, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(recipe)


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def small_file(tmp_path) -> Path:
    """The weights of a small net's backbone, as a file."""
    path = tmp_path / "small.pth"
    torch.save(network_of(fast_recipe(), seed=1).backbone.state_dict(), path)
    return path


# -- files ---------------------------------------------------------------------------------


def test_random_changes_nothing():
    network = network_of(fast_recipe())
    before = state_of(network)
    load_pretrained(network, fast_recipe(weights="random"))
    assert same(state_of(network), before)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_file_fills_the_backbone_and_leaves_the_heads(suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    source = network_of(fast_recipe(), seed=1).backbone.state_dict()
    (save_file if suffix == ".safetensors" else torch.save)(source, path)
    recipe = fast_recipe(weights=str(path))
    network = network_of(recipe)
    heads = {k: v for k, v in state_of(network).items() if not k.startswith("backbone.")}
    load_pretrained(network, recipe)
    assert same(state_of(network.backbone), source)
    assert same({k: state_of(network)[k] for k in heads}, heads)


def test_half_precision_and_a_lack_of_counters_do_no_harm(tmp_path):
    path = tmp_path / "weights.pth"
    source = network_of(fast_recipe(), seed=1).backbone.state_dict()
    kept = {k: v.half() for k, v in source.items() if not k.endswith("num_batches_tracked")}
    assert len(kept) < len(source)
    torch.save(kept, path)
    recipe = fast_recipe(weights=str(path))
    network = network_of(recipe)
    load_pretrained(network, recipe)
    found = state_of(network.backbone)
    assert all(torch.equal(found[k], v.float()) for k, v in kept.items())
    assert {v.dtype for v in found.values()} == {torch.float32, torch.int64}


def test_a_checkpoint_gives_the_backbone_of_its_best_epoch(faces, without_export, tmp_path):
    loop.train(faces, tmp_path / "run", fast_recipe())
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    # Whichever epoch was best, it is now another than the last.
    checkpoint["best_weights"]["backbone.0.weight"] += 1
    torch.save(checkpoint, tmp_path / "run" / "checkpoint.pt")
    recipe = fast_recipe(weights=str(tmp_path / "run" / "checkpoint.pt"), labels="happy,sad")
    network = network_of(recipe)
    load_pretrained(network, recipe)
    best = checkpoint["best_weights"]
    expected = {
        k.removeprefix("backbone."): v for k, v in best.items() if k.startswith("backbone.")
    }
    assert same(state_of(network.backbone), expected)


def test_both_of_separate_nets_get_the_weights_of_one(small_file):
    recipe = fast_recipe(**SEPARATE, weights=str(small_file))
    network = network_of(recipe)
    load_pretrained(network, recipe)
    source = torch.load(small_file, weights_only=True)
    assert [same(state_of(b), source) for b in network.backbones.values()] == [True, True]


def test_separate_nets_get_each_their_own_from_a_checkpoint_of_separate_nets(tmp_path):
    source = network_of(fast_recipe(**SEPARATE), seed=1)
    path = tmp_path / "checkpoint.pt"
    torch.save({"version": 1, "weights": source.state_dict(), "best_weights": None}, path)
    recipe = fast_recipe(**SEPARATE, weights=str(path))
    network = network_of(recipe)
    load_pretrained(network, recipe)
    pairs = zip(network.backbones.values(), source.backbones.values(), strict=True)
    assert [same(state_of(a), state_of(b)) for a, b in pairs] == [True, True]
    assert not same(state_of(network.backbone), state_of(known(source.arousal_backbone)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("0.weight"),
            r"1 differ, first '0\.weight' \(expected \(16, 3, 3, 3\), got none",
        ),
        (
            lambda s: s.update({"0.weight": torch.zeros(16, 1, 3, 3)}),
            r"first '0\.weight' \(expected \(16, 3, 3, 3\), got \(16, 1, 3, 3\)\)",
        ),
        (lambda s: s.update(extra=torch.zeros(2)), r"first 'extra' \(expected none, got \(2,\)\)"),
        (
            lambda s: s.update({"fc.bias": torch.zeros(2)}),
            r"first 'fc.bias'",
        ),  # it has no such head
        (lambda s: s.update({"0.weight": "text"}), r"got str\)"),
        (lambda s: s.clear(), r"first '0\.weight' .*got none"),
    ],
    ids=["missing", "shape", "extra", "head", "text", "empty"],
)
def test_what_does_not_fit_is_refused_by_its_first_name_and_nothing_is_changed(
    change, message, small_file
):
    state = torch.load(small_file, weights_only=True)
    change(state)
    torch.save(state, small_file)
    recipe = fast_recipe(weights=str(small_file))
    network = network_of(recipe)
    before = state_of(network)
    where = re.escape(f"the weights in {small_file} do not fit resnet-small: ")
    with pytest.raises(InputError, match=where + f".*{message}"):
        load_pretrained(network, recipe)
    assert same(state_of(network), before)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil"),))


def write_evil(path: Path) -> None:
    with open(path, "wb") as file:
        pickle.dump({"0.weight": Evil()}, file, protocol=2)


@pytest.mark.parametrize(
    ("name", "write", "error", "message"),
    [
        ("imagnet", None, InputError, "random, imagenet or the path of a file .* got 'imagnet'"),
        ("net.onnx", None, InputError, r"\.safetensors, \.pth, \.pt, but got"),
        ("net.pth", None, InputError, "there is no such file"),
        ("net.pth", lambda p: p.write_bytes(b"no weights"), FormatError, "cannot read the weights"),
        ("net.pth", lambda p: p.write_bytes(b""), FormatError, "cannot read the weights"),
        ("net.pt", write_evil, FormatError, "cannot read the weights"),
        ("net.pt", lambda p: torch.save([1, 2], p), FormatError, "by name .* got a list"),
        ("net.safetensors", lambda p: p.write_bytes(b"{}"), FormatError, "cannot read the weights"),
    ],
    ids=["word", "suffix", "missing", "text", "empty", "code", "list", "safetensors"],
)
def test_a_file_that_cannot_be_used_is_told(name, write, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if write is not None:
        write(tmp_path / name)
    recipe = fast_recipe(weights=name)
    with pytest.raises(error, match=message):
        load_pretrained(network_of(recipe), recipe)
    assert not (tmp_path / "evil").exists()


# -- ImageNet ------------------------------------------------------------------------------


def library_state(name: str) -> dict[str, torch.Tensor]:
    """What the library's own net for these weights holds, shapes alone."""
    library, _, net = name.partition("/")
    with torch.device("meta"):
        if library == "timm":
            return timm.create_model(net, pretrained=False).state_dict()
        return torchvision.models.get_model(net, weights=None).state_dict()


def heads_of(name: str) -> tuple[str, ...]:
    """Beginnings of the names of the last layer's weights."""
    backbone = find_backbone(name)
    with torch.device("meta"):
        module, _ = backbone.build(224)
    return tuple(f"{head}." for head in backbone.list_heads(module))


def test_the_backbones_of_recipes_begin_with_the_weights_that_they_always_began_with():
    assert [find_backbone(name).address.rsplit("/", 1)[1] for name in LEARNED] == [
        "alexnet-owt-7be5be79.pth",
        "resnet50-0676ba61.pth",
        "resnext50_32x4d-7cdf4587.pth",
        "efficientnet_b0_ra-3dd342df.pth",
        "efficientnet_b2_ra-bcdf34b7.pth",
    ]


@pytest.mark.parametrize("name", LEARNED)
def test_the_librarys_weights_are_those_of_the_backbone_and_its_head(name):
    with torch.device("meta"):
        own = {k: v.shape for k, v in find_backbone(name).build(224)[0].state_dict().items()}
    theirs = {k: v.shape for k, v in library_state(name).items()}
    heads = heads_of(name)  # it builds the net
    head = {k for k in theirs if k.startswith(heads)}
    assert {k.split(".")[-1] for k in head} == {"weight", "bias"}
    assert [theirs[k][0] for k in sorted(head)] == [1000, 1000]
    assert own == {k: v for k, v in theirs.items() if k not in head}


@pytest.mark.parametrize("name", LEARNED)
def test_the_address_ends_in_a_hash_that_torch_checks(name):
    address = find_backbone(name).address
    assert address.startswith("https://")
    assert torch.hub.HASH_REGEX.search(address.rsplit("/", 1)[1])


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """An empty folder where torch keeps what it has fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", [B0, pytest.param(RESNET, marks=pytest.mark.slow)])
def test_weights_that_were_fetched_before_are_taken_without_their_classifier(name, kept):
    generator = torch.Generator().manual_seed(0)
    state = {
        k: torch.rand(v.shape, generator=generator) if v.is_floating_point() else torch.tensor(7)
        for k, v in library_state(name).items()
    }
    torch.save(state, kept / find_backbone(name).address.rsplit("/", 1)[1])
    recipe = fast_recipe(backbone=name, weights="imagenet", size=32, resize=32)
    network = network_of(recipe)
    load_pretrained(network, recipe)
    heads = heads_of(name)
    own = {k: v for k, v in state.items() if not k.startswith(heads)}
    assert len(own) == len(state) - 2
    assert same(state_of(network.backbone), own)


@pytest.mark.parametrize("name", ["resnet-small", "vgg-study"])
def test_a_backbone_without_imagenet_weights_is_told(name):
    recipe = fast_recipe(backbone=name, weights="imagenet", size=48, resize=48)
    with pytest.raises(
        InputError, match=f"{name} has no .* ImageNet.*weights=FILE.*weights=random"
    ):
        load_pretrained(network_of(recipe), recipe)


@pytest.fixture
def no_way(monkeypatch) -> Iterator[None]:
    """A machine whose every way out ends at a closed port."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        handler = urllib.request.ProxyHandler({"http": proxy, "https": proxy})
        monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(handler))
        yield


@pytest.mark.parametrize(
    ("trainable_fraction", "way"),
    [(1.0, "weights=random$"), (0.2, "weights=random --set trainable_fraction=1$")],
)
def test_what_cannot_be_fetched_is_told_with_its_address_and_the_ways_out(
    trainable_fraction, way, kept, no_way
):
    name = B0
    recipe = fast_recipe(
        backbone=name, weights="imagenet", size=32, resize=32, trainable_fraction=trainable_fraction
    )
    network = network_of(recipe)
    before = state_of(network)
    address = re.escape(str(find_backbone(name).address))
    with pytest.raises(
        InputError, match=f"cannot fetch .* from {address} to .*refused.*weights=FILE.*{way}"
    ):
        load_pretrained(network, recipe)
    assert same(state_of(network), before)
    assert list(kept.iterdir()) == []


def test_a_training_that_cannot_fetch_does_not_start(faces, kept, no_way, tmp_path):
    recipe = fast_recipe(backbone=B0, weights="imagenet", size=32, resize=32)
    with pytest.raises(InputError, match="cannot fetch the ImageNet weights"):
        loop.train(faces, tmp_path / "run", recipe)
    assert not (tmp_path / "run" / "model.onnx").exists()
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.fixture
def server():
    """A server of one answer, set by the test: status and body."""
    answer: dict[str, Any] = {"status": 200, "body": b""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer["status"])
            self.send_header("Content-Length", str(answer.get("length", len(answer["body"]))))
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        answer["address"] = f"http://127.0.0.1:{running.server_port}"
        yield answer
        running.shutdown()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": 404}, "HTTP Error 404"),
        ({"body": b"another file"}, "invalid hash"),
        ({"body": b"cut short", "length": 1000}, "invalid hash"),
    ],
    ids=["missing", "another", "short"],
)
def test_a_download_that_is_not_the_file_is_refused(answer, message, server, kept, monkeypatch):
    monkeypatch.setattr(
        urllib.request, "_opener", urllib.request.build_opener(urllib.request.ProxyHandler({}))
    )
    server.update(answer)
    elsewhere = dataclasses.replace(
        find_backbone("resnet-small"), address=f"{server['address']}/net-0a1b2c3d.pth"
    )
    monkeypatch.setattr(pretrained, "find_backbone", lambda _: elsewhere)
    recipe = fast_recipe(weights="imagenet")
    with pytest.raises(InputError, match=f"net-0a1b2c3d.pth .*{message}"):
        load_pretrained(network_of(recipe), recipe)
    assert list(kept.iterdir()) == []


def test_a_kept_file_that_is_broken_is_told_with_its_folder(kept):
    name = B0
    (kept / find_backbone(name).address.rsplit("/", 1)[1]).write_bytes(b"broken")
    recipe = fast_recipe(backbone=name, weights="imagenet", size=32, resize=32)
    with pytest.raises(InputError, match=re.escape(str(kept))):
        load_pretrained(network_of(recipe), recipe)
