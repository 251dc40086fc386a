"""The card of a trained model, and how it comes into the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import TrainingError
from openaffect.golden import make_golden, synthesize_golden
from openaffect.model import CARD_KEY, Card, open_model
from openaffect.training.recipe import Recipe
from openaffect.training.targets import Targets, count_classes

TOLERANCE = 1e-4
"""The largest difference that an export may show between what was trained and onnxruntime."""


@dataclass(frozen=True, slots=True)
class TrainingSummary:
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


def make_card(
    recipe: Recipe, temperature: float, summary: TrainingSummary, parameters: int
) -> Card:
    """The card of a run, all but its golden sample."""
    info = summary.dataset.info
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
        data_fingerprint=summary.fingerprint,
        trained_on={
            "dataset": info.name,
            "faces": len(summary.targets),
            "classes": count_classes(summary.targets, recipe.label_set),
            "held_for_stopping": summary.held,
            "broken": summary.broken,
            "affect_origin": _origins(summary.dataset, "affect_origin"),
            "expression_origin": _origins(summary.dataset, "expression_origin"),
            "parameters": parameters,
            **({"backbone": recipe.backbone} if recipe.backbone else {}),
            "best_epoch": summary.best_epoch,
        },
        scores={
            "held_for_stopping": {k.removeprefix("stop_"): v for k, v in summary.scores.items()}
        },
        licenses={
            "code": "Apache-2.0",
            "data": data_license,
            "weights": f"as the data: {data_license}{_beginning(recipe)}",
        },
        learned=Card.encode_learned(summary.images),
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


def attach_card(
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


def _write_card(card: Card, path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    model.producer_name = "openaffect"
    onnx.save(model, path)


def _compare(
    expected: Sequence[NDArray[np.floating]], found: Sequence[NDArray[np.floating]]
) -> None:
    for ours, theirs in zip(expected, found, strict=True):
        worst = float(np.abs(ours - theirs).max())
        if not worst <= TOLERANCE:
            raise TrainingError(
                f"the exported graph differs from the network by {worst:.2g} (allowed: {TOLERANCE:g})"
            )
