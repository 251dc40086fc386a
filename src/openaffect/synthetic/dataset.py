"""Synthetic faces as a dataset: nothing to download, exact labels, free to share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import InputError, UnknownName
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.labels import EMOTIONS, Expression
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.schemas import SPLITS
from openaffect.synthetic import SyntheticFace, synthesize_face

LICENSE = "CC0-1.0"
_FEW = 16  # faces

_Split = TypeVar("_Split", bound=str | None)  # so that a mapping of names alone is taken too

_Job = tuple[str, int, int, int]  # expression, seed, number, size


def synthesize_dataset(
    path: str | Path,
    counts: Mapping[_Split, Mapping[Expression, int]],
    *,
    seed: int = 0,
    size: int = 256,
    name: str | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Draw faces into a new dataset, each with box, 68 landmarks, expression, valence and arousal.

    Args:
        path: the dataset folder to make.
        counts: for each split (or None), how many faces of each expression.
        seed: face k depends on the seed and k alone.
        size: side of the pictures in pixels.
        name: of the dataset; the folder's name by default.
        overwrite: replace an existing dataset.
        workers: processes that draw; one per CPU core by default.
        on_progress: called with the number of faces drawn so far.

    Raises:
        InputError: nothing to draw, an unknown split, an expression that is none of the eight, a
            negative number, or a size that is too small.
        DestinationExists: `path` exists and `overwrite` is false.
    """
    _check(counts, seed, workers)
    plan = _plan(counts, seed)
    synthesize_face(plan[0][1], seed=seed, size=size)  # a wrong size is told before processes start
    with write_dataset(
        path,
        name=name,
        license=LICENSE,
        shareable=True,
        source=f"faces synthesized by openaffect, seed {seed}",
        overwrite=overwrite,
    ) as writer:
        jobs = [(label.value, seed, n, size) for n, (_, label) in enumerate(plan)]
        crew = 1 if len(jobs) <= _FEW else workers  # processes take time to start
        drawn = map_in_order(_draw, jobs, workers=crew, ahead=_FEW, engine="processes")
        for number, (face, data) in enumerate(drawn):
            image = f"{number // 1000:03d}/{number:06d}.png"
            target = writer.images_folder / image
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
            writer.add(_row(face, image, plan[number][0]), f"face {number}")
            if on_progress is not None:
                on_progress(Progress("synthesizing", number + 1, len(plan)))
    return open_dataset(path)


def even_counts(total: int) -> dict[Expression, int]:
    """The eight expressions with as equal counts as possible, summing to `total`.

    >>> sum(even_counts(10).values()), even_counts(10)[Expression.NEUTRAL]
    (10, 2)
    """
    whole, rest = divmod(total, len(EMOTIONS))
    return {label: whole + (number < rest) for number, label in enumerate(EMOTIONS)}


def _check(
    counts: Mapping[_Split, Mapping[Expression, int]], seed: int, workers: int | None
) -> None:
    for split, classes in counts.items():
        if split is not None and split not in SPLITS:
            raise InputError(f"expected a split of {', '.join(SPLITS)}, but got {split}")
        for label, count in classes.items():
            if label not in EMOTIONS:
                raise UnknownName("expression to draw", label, EMOTIONS)
            if count < 0:
                raise InputError(f"expected 0 or more faces of {label}, but got {count}")
    if not any(count for classes in counts.values() for count in classes.values()):
        raise InputError("expected one or more faces to draw, but got 0")
    if seed < 0:
        raise InputError(f"expected a seed of 0 or more, but got {seed}")
    if workers is not None and workers < 1:
        raise InputError(f"expected workers of 1 or more, but got {workers}")


def _plan(
    counts: Mapping[_Split, Mapping[Expression, int]], seed: int
) -> list[tuple[str | None, Expression]]:
    """Split and expression of every face, mixed, so that any first part is like the whole."""
    rows = [
        (split, label)
        for split, classes in counts.items()
        for label, count in classes.items()
        for _ in range(count)
    ]
    order = np.random.default_rng((seed, 1)).permutation(len(rows))
    return [rows[number] for number in order]


def _draw(job: _Job) -> tuple[SyntheticFace, bytes]:
    label, seed, number, size = job
    face = synthesize_face(label, seed=np.random.default_rng((seed, number)), size=size)
    return face, encode_image(face.image, ".png")


def _row(face: SyntheticFace, image: str, split: str | None) -> FaceRow:
    return FaceRow(
        face_id=image.removesuffix(".png"),
        image=image,
        box=face.box,
        landmarks=face.landmarks,
        expression=face.expression,
        valence=face.valence,
        arousal=face.arousal,
        expression_origin="synthetic",
        affect_origin="synthetic",
        split=split,
        license=LICENSE,
    )
