"""From a trained network to the one file that everything else uses."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from openaffect.storage import atomic_file
from openaffect.training.card import TrainingSummary, attach_card, make_card
from openaffect.training.network import ExportedNetwork, Network, count_parameters
from openaffect.training.recipe import Recipe


def export_model(
    network: nn.Module, recipe: Recipe, temperature: float, summary: TrainingSummary, path: Path
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
        card = make_card(recipe, temperature, summary, count_parameters(network))
        attach_card(card, temporary, lambda crops: _run_network(exported, crops))


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


def _run_network(exported: nn.Module, crops: NDArray[np.uint8]) -> list[NDArray[np.floating]]:
    with torch.inference_mode():
        tensors = exported(torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32)))
    return [tensor.numpy() for tensor in tensors]
