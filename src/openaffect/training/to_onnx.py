"""From a trained network to the one file that everything else uses: calibrated, with its card."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openaffect.dataset import Dataset
from openaffect.errors import TrainingError
from openaffect.golden import make_golden, synthesize_golden
from openaffect.model import CARD_KEY, Card, open_model
from openaffect.storage import atomic_file
from openaffect.training.network import ExportedNetwork, Network, count_parameters
from openaffect.training.recipe import Recipe
from openaffect.training.samples import Targets, count_classes

TOLERANCE = 1e-4
"""The largest difference that an export may show between what was trained and onnxruntime."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the card tells of a training.

    Attributes:
        dataset: what was learned from.
        fingerprint: of the dataset.
        targets: the faces that were learned.
        held: number of faces that stopping looked at.
        broken: number of pictures that could not be read.
        best_epoch: from 1.
        scores: of that epoch on the held faces.
        images: `pixel_hash` of the images that were learned from, uint32 (n,).
    """

    dataset: Dataset
    fingerprint: str
    targets: Targets
    held: int
    broken: int
    best_epoch: int
    scores: dict[str, float]
    images: NDArray[np.uint32]


def fit_temperature(logits: Tensor, shares: Tensor) -> float:
    """The temperature that minimizes the cross-entropy of softmax(logits / T) (Guo et al. 2017).

    Args:
        logits: float32 (n, classes), of faces that nothing was learned from; (pieces, n, classes)
            where the probabilities of several pieces are averaged.
        shares: float32 (n, classes), rows sum to 1, or to 0 in faces that do not count.

    Returns:
        In [0.05, 20]; found by golden-section search on log T, where the loss has one minimum;
        1 if no face counts.
    """
    if not shares.any():
        return 1.0
    logits, shares = logits.double(), shares.double()  # near the minimum the loss hardly changes
    logits = logits.reshape(-1, *shares.shape)

    def loss(log_t: float) -> float:
        each = torch.log_softmax(logits / np.exp(log_t), 2)
        averaged = torch.logsumexp(each, 0) - np.log(len(each))
        return float(-(shares * averaged).sum(1).mean())

    low, high, ratio = float(np.log(0.05)), float(np.log(20.0)), (5**0.5 - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(np.exp((low + high) / 2))


def export_model(
    network: nn.Module, recipe: Recipe, temperature: float, training: Training, path: Path
) -> None:
    """Write the network as one ONNX file with its card, after checking it against torch.

    Raises:
        TrainingError: onnxruntime's outputs differ from torch's by more than 1e-4.
    """
    assert isinstance(network, Network)
    exported = ExportedNetwork(network, recipe, temperature).cpu().eval()
    names = [
        n for n, on in (("expression", recipe.label_set), ("affect", recipe.learns_affect)) if on
    ]
    with atomic_file(path) as temporary:
        _write_graph(exported, recipe.resize, names, temporary)
        card = make_card(recipe, temperature, training, count_parameters(network))
        finish_file(card, temporary, lambda crops: _run_network(exported, crops))


def finish_file(
    card: Card, path: Path, expected: Callable[[NDArray[np.uint8]], Sequence[NDArray[np.floating]]]
) -> None:
    """Put a card with its golden sample into a graph, after checking the graph.

    Args:
        card: all but the golden sample.
        path: an ONNX file; written again.
        expected: from crops, uint8 (n, h, w, 3), to what the graph's outputs should be.

    Raises:
        TrainingError: onnxruntime's outputs differ from the expected by more than 1e-4.
    """
    _write_card(card, path)
    crops = synthesize_golden(card)
    model = open_model(path)
    outputs = model.predict(crops)
    there = [array for array in (outputs.probabilities, outputs.affect) if array is not None]
    _compare(expected(crops), there)
    _write_card(dataclasses.replace(card, golden=make_golden(model)), path)


def make_card(recipe: Recipe, temperature: float, training: Training, parameters: int) -> Card:
    """The card of a run, all but its golden sample."""
    info = training.dataset.info
    data_license = info.license or "not stated"
    return Card(
        name=recipe.name,
        labels=recipe.label_set,
        affect=recipe.learns_affect,
        size=(recipe.resize, recipe.resize),
        crop=recipe.crop_rule,
        temperature=temperature,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256(),
        data_fingerprint=training.fingerprint,
        trained_on={
            "dataset": info.name,
            "faces": len(training.targets),
            "classes": count_classes(training.targets, recipe.label_set),
            "held_for_stopping": training.held,
            "broken": training.broken,
            "affect_origin": _origins(training.dataset, "affect_origin"),
            "expression_origin": _origins(training.dataset, "expression_origin"),
            "parameters": parameters,
            **({"backbone": recipe.backbone} if recipe.backbone else {}),
            "best_epoch": training.best_epoch,
        },
        scores={
            "held_for_stopping": {k.removeprefix("stop_"): v for k, v in training.scores.items()}
        },
        licenses={
            "code": "Apache-2.0",
            "data": data_license,
            "weights": f"as the data: {data_license}{_beginning(recipe)}",
        },
        learned=Card.encode_learned(training.images),
        protocol_warning=recipe.warning,
    )


def _beginning(recipe: Recipe) -> str:
    """Whose terms apply too, if the training did not begin with random weights."""
    if recipe.weights == "imagenet":
        return "; and as ImageNet, whose weights the training began with"
    if recipe.weights != "random":
        return f"; and as {Path(recipe.weights).name}, whose weights the training began with"
    return ""


def _origins(dataset: Dataset, column: str) -> list[str]:
    return sorted({value for value in dataset.faces[column].unique().to_pylist() if value})


def _write_graph(exported: nn.Module, size: int, names: list[str], path: Path) -> None:
    # The exporter reports its own steps as warnings and log lines.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                exported,
                (torch.zeros(2, 3, size, size),),
                input_names=["image"],
                output_names=names,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
                optimize=True,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    onnx.save(_strip(program.model_proto), path)


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes, which hold paths of the machine that trained it."""
    graph = model.graph
    for part in (
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        del part.metadata_props[:]
    for part in (*graph.node, graph):
        part.doc_string = ""
    return model


def _write_card(card: Card, path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    model.producer_name = "openaffect"
    onnx.save(model, path)


def _run_network(exported: nn.Module, crops: NDArray[np.uint8]) -> list[NDArray[np.floating]]:
    with torch.inference_mode():
        tensors = exported(torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32)))
    return [tensor.numpy() for tensor in tensors]


def _compare(
    expected: Sequence[NDArray[np.floating]], found: Sequence[NDArray[np.floating]]
) -> None:
    for ours, theirs in zip(expected, found, strict=True):
        worst = float(np.abs(ours - theirs).max())
        if not worst <= TOLERANCE:
            raise TrainingError(
                f"the exported graph differs from the network by {worst:.2g} (allowed: {TOLERANCE:g})"
            )
