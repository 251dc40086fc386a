"""Faces of one color each, of which the tiny model knows exactly how often it is right."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders import tiny_outputs
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.labels import EMOTIONS, Expression

COUNT = 900


def colors(count: int = COUNT, seed: int = 0) -> NDArray[np.uint8]:
    """A color per face, (count, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3), np.uint8)


def shares(color: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the tiny model says of a face of this color, (8,)."""
    return tiny_outputs(np.broadcast_to(color, (2, 2, 3)))[0]


def affect(color: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Its valence and arousal."""
    return tiny_outputs(np.broadcast_to(color, (2, 2, 3)))[1]


def write_faces(
    path: Path,
    human: Callable[[int], bool] = lambda number: number % 3 > 0,
    *,
    count: int = COUNT,
    seed: int = 0,
    groups: bool = False,
    values: bool = True,
    truth: Callable[[int], Expression | None] = lambda _: None,
    broken: tuple[int, ...] = (),
) -> Dataset:
    """A dataset whose human labels are drawn from the model's own probabilities.

    Args:
        path: the folder to make.
        human: which faces have a label of people.
        count: number of faces.
        seed: of colors and labels.
        groups: put five faces each into a group.
        values: give faces with a label valence and arousal, the model's with noise.
        truth: another label for a face.
        broken: faces whose picture cannot be read.
    """
    chance = np.random.default_rng(seed + 1)
    with write_dataset(path, check_images=False) as writer:
        for number, color in enumerate(colors(count, seed)):
            pixels = np.broadcast_to(color, (6, 6, 3)).copy()
            data = b"no picture" if number in broken else encode_image(pixels)
            (writer.images_folder / f"{number}.png").write_bytes(data)
            drawn = EMOTIONS[int(chance.choice(8, p=shares(color)))]
            noise = chance.normal(0, 0.1, 2)
            row = FaceRow(
                f"f{number}", f"{number}.png", group=f"g{number // 5}" if groups else None
            )
            if human(number):
                row.expression, row.expression_origin = truth(number) or drawn, "human"
                row.split = "validation"
                if values:
                    row.valence, row.arousal = np.clip(affect(color) + noise, -1, 1).tolist()
                    row.affect_origin = "human"
            writer.add(row)
    return open_dataset(path)


def divided(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities with their scores divided by a temperature, written out."""
    powers = [value ** (1 / temperature) for value in p]
    return np.array(powers) / math.fsum(powers)
