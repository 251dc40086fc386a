"""A small dataset that a small net can learn in seconds: stripes whose slope tells the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.labels import EMOTIONS, Expression
from openaffect.progress import Progress
from openaffect.training.progress import TrainingProgress
from openaffect.training.recipe import Recipe

THREE = (Expression.NEUTRAL, Expression.HAPPY, Expression.SAD)


def stripes(kind: int, seed: int, size: int = 20) -> NDArray[np.uint8]:
    """A noisy picture, RGB uint8 (size, size, 3), with one of eight patterns and a hue for it."""
    rng = np.random.default_rng((seed, kind))
    angle = np.pi * kind / 8
    y, x = np.mgrid[:size, :size]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 1.2 + rng.uniform(0, 6))
    hue = 60 * np.array([np.cos(kind), np.sin(kind), np.cos(2 * kind)])
    pixels = 128 + 40 * wave[:, :, None] + hue + rng.normal(0, 12, (size, size, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def affect_of(kind: int) -> tuple[float, float]:
    """Valence and arousal of a class."""
    return round(0.7 * float(np.cos(kind)), 3), round(0.7 * float(np.sin(kind)), 3)


def make_faces(
    path: Path,
    rows: int = 64,
    *,
    labels: Sequence[Expression] = THREE,
    change: Callable[[int, FaceRow], None] | None = None,
    size: int = 20,
    **settings: Any,
) -> Dataset:
    """A dataset of `rows` stripes, the labels in turn; `change(number, row)` edits a row."""
    with write_dataset(path, check_images=False, **settings) as writer:
        for number in range(rows):
            label = labels[number % len(labels)]
            row = FaceRow(f"face-{number:03d}", f"face-{number:03d}.png", expression=label)
            row.valence, row.arousal = affect_of(label.id)
            row.expression_origin = row.affect_origin = "synthetic"
            if change is not None:
                change(number, row)
            pixels = stripes(EMOTIONS.index(label), number, size)
            (writer.images_folder / row.image).write_bytes(encode_image(pixels))
            assert writer.add(row), "the builder's own rows are whole"
    return open_dataset(path)


def fast_recipe(**changes: Any) -> Recipe:
    """Seconds of training: the small net on 16 pixels, three classes."""
    values: dict[str, Any] = {
        "name": "fast",
        "source": "a test",
        "backbone": "resnet-small",
        "labels": "neutral,happy,sad",
        "resize": 16,
        "size": 16,
        "batch_size": 16,
        "epochs": 2,
        "learning_rate": 0.02,
        "early_stopping_fraction": 0.2,
    }
    return Recipe(**(values | changes))


def losses_of(events: Sequence[Progress]) -> list[float]:
    """The loss of every step of a network's training."""
    return [event.loss for event in events if isinstance(event, TrainingProgress) and not event.row]


def rows_of(events: Sequence[Progress]) -> list[Mapping[str, Any]]:
    """The rows of log.csv that a training told of."""
    return [event.row for event in events if isinstance(event, TrainingProgress) and event.row]


def save_weights(
    network: torch.nn.Module, recipe: object, temperature: float, training: object, path: Path
) -> None:
    """Instead of an export, which takes seconds: the weights that would be exported."""
    torch.save(network.state_dict(), path)


def center_pieces(recipe: Recipe, images: np.ndarray) -> np.ndarray:
    """The middle of crops (n, resize, resize, 3), (n, size, size, 3)."""
    edge = (recipe.resize - recipe.size) // 2
    return images[:, edge : edge + recipe.size, edge : edge + recipe.size]
