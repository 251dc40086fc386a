"""Inference: a model over a dataset gives predictions; and the parts that analysis shares with it.

Pictures are decoded and cropped by threads (OpenCV releases the interpreter's lock) a little
ahead of the model, so memory is bounded by the batch and not by the dataset. A picture that
cannot be read, or on which the model's outputs are not finite, is a failed row with its reason.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import FormatError, ImageError, InputError, MismatchError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import crop, crop_window
from openaffect.faces.finding import sees_face
from openaffect.images import MAX_PIXELS, Pixels, pixel_hash, read_image
from openaffect.labels import Expression
from openaffect.model import Card, Model, Outputs, open_model
from openaffect.parallel import is_worker, map_in_order
from openaffect.predictions import Predictions
from openaffect.progress import OnProgress, Progress

NOT_FINITE = "the model gave values that are not finite"
"""The `error` of a face whose outputs hold NaN or infinity."""

OUTSIDE = "the model gave valence or arousal outside [-1, 1]"
"""The `error` of a face whose valence or arousal is no such thing."""

_TAKEN = 16  # rows that a thread decodes at a time: handing over one by one takes longer
_SUM_SLACK = 1e-3
_AFFECT_SLACK = 1e-3  # of float32 and of other runtimes


@dataclass(frozen=True, slots=True)
class FaceOutputs:
    """What a model says of n crops, checked and in the order that tables have.

    Attributes:
        labels: the classes in the order of their ids, whatever the order in the model's card.
        probabilities: float64 (n, len(labels)), rows sum to 1; NaN in a failed row; None if the
            model has no classes.
        affect: valence and arousal, float64 (n, 2); NaN in a failed row; None if there is none.
        errors: why a row failed, or None.
    """

    labels: tuple[Expression, ...]
    probabilities: NDArray[np.float64] | None
    affect: NDArray[np.float64] | None
    errors: list[str | None]


def predict_dataset(
    model: Model,
    dataset: Dataset,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """Predict every face of a dataset, framed by the crop rule of the model's card.

    Args:
        model: from `open_model`.
        dataset: its pictures are read one by one; a null box says that the picture is the crop.
        batch_size: faces that the model sees at once.
        workers: threads that decode and crop; None for one per CPU core.
        on_progress: called now and then with the number of rows done so far.
    Returns:
        One row per face, in the order of the dataset. A picture that cannot be read, and a face
        with outputs that are not finite, is a row without values whose `error` says why.

    Raises:
        InputError: `batch_size` or `workers` below 1.
        FormatError: the model's `expression` gives no probabilities.
    """
    made = predict_faces(
        model, dataset, batch_size=batch_size, workers=workers, on_progress=on_progress
    )
    made_with = describe_model(model) | {
        "dataset": dataset.info.name,
        "dataset_fingerprint": dataset.fingerprint(),
    }
    return dataclasses.replace(made, made_with=made_with)


def predict_faces(
    model: Model,
    dataset: Dataset,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    detector: str | None = None,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """Predictions whose `made_with` is empty: part of the work of `predict_dataset`, which see.

    Args:
        model, dataset, batch_size, workers, on_progress: as there.
        detector: also look whether this one `finding.sees_face` in each crop.
    """
    _check_positive(batch_size=batch_size, workers=workers)
    probabilities, affect = _empty(model.card, len(dataset))
    errors: list[str | None] = [None] * len(dataset)
    rows: list[int] = []
    crops: list[Pixels] = []

    def flush() -> None:
        face_outputs = predict_crops(model, crops, batch_size=batch_size)
        for target, values in (
            (probabilities, face_outputs.probabilities),
            (affect, face_outputs.affect),
        ):
            if target is not None and values is not None:
                target[rows] = values
        for row, error in zip(rows, face_outputs.errors, strict=True):
            errors[row] = error
        rows.clear()
        crops.clear()

    known = model.card.learned_hashes()
    learned = np.zeros(len(dataset), bool) if len(known) else None
    found = np.ones(len(dataset), bool) if detector is not None else None

    # Once for all rows: asking the table for each takes half as long as decoding a small picture.
    folder, images = str(dataset.images_folder), dataset.column("image").to_pylist()
    boxes = dataset.column("box").to_pylist()

    def take(row: int) -> Pixels | str:
        try:
            box = None if boxes[row] is None else Box(*boxes[row])
        except ValueError as error:  # a table of other tools may hold any numbers
            return str(error)
        try:
            image = read_image(os.path.join(folder, images[row]))
            if learned is not None:
                learned[row] = _is_known(image, known)
            crop = crop_for_model(image, box, model.card)
            if found is not None and detector is not None:
                found[row] = sees_face(image, box, model.card.crop, detector)
        except ImageError as error:
            return str(error)
        return crop

    def take_some(some: range) -> list[Pixels | str]:
        return [take(row) for row in some]

    starts = range(0, len(dataset), _TAKEN)
    some = (range(start, min(start + _TAKEN, len(dataset))) for start in starts)
    pieces: Iterable[list[Pixels | str]] = map(take_some, some)
    if not is_worker():  # which has one thread
        pieces = map_in_order(take_some, some, workers=workers, ahead=-(-batch_size // _TAKEN))
    taken = itertools.chain.from_iterable(pieces)
    for row, piece in enumerate(taken):
        if isinstance(piece, str):
            errors[row] = piece
        else:
            rows.append(row)
            crops.append(piece)
        if len(crops) == batch_size:
            flush()
            if on_progress is not None:
                on_progress(Progress("predicting", row + 1, len(dataset)))
    if crops:
        flush()
    if on_progress is not None:
        on_progress(Progress("predicting", len(dataset), len(dataset)))
    if affect is not None and np.isnan(affect).all():
        affect = None
    labels = sorted_labels(model.card)
    return Predictions(
        dataset.ids,
        labels,
        probabilities,
        None,
        affect,
        errors,
        {},
        learned,
        face_found=found,
    )


def predict_crops(model: Model, crops: Sequence[Pixels], *, batch_size: int = 64) -> FaceOutputs:
    """Predict crops that already have the size of the model's card, a batch at a time.

    Args:
        model: from `open_model`.
        crops: each RGB uint8 (h, w, 3) with (w, h) = `model.card.size`.
        batch_size: crops that the model sees at once.

    Raises:
        InputError: a crop of another shape or type.
        FormatError: the model's `expression` gives no probabilities.
    """
    probabilities, affect = _empty(model.card, len(crops))
    order = _column_order(model.card)
    failed = np.zeros(len(crops), dtype=bool)
    outside = np.zeros(len(crops), dtype=bool)
    for start in range(0, len(crops), batch_size):
        part = slice(start, start + batch_size)
        outputs = model.predict(crops[part])
        failed[part] = _not_finite(outputs)
        if probabilities is not None and outputs.probabilities is not None:
            probabilities[part] = outputs.probabilities[:, order]
        if affect is not None and outputs.affect is not None:
            affect[part] = outputs.affect.clip(-1, 1)
            outside[part] = (np.abs(outputs.affect) > 1 + _AFFECT_SLACK).any(axis=1)
    for values in (probabilities, affect):
        if values is not None:
            values[failed | outside] = np.nan
    if probabilities is not None:
        _normalize(probabilities, ~(failed | outside), model)
    errors = [
        NOT_FINITE if wrong else OUTSIDE if far else None
        for wrong, far in zip(failed, outside, strict=True)
    ]
    return FaceOutputs(sorted_labels(model.card), probabilities, affect, errors)


def crop_for_model(image: Pixels, box: Box | None, card: Card) -> Pixels:
    """The crop that a model wants to see of a face, RGB uint8 of `card.size`.

    Args:
        image: RGB uint8 (h, w, 3).
        box: in pixels of `image`; None says that the picture already is the crop.
        card: its crop rule and size are used.

    Raises:
        ImageError: a box so large or so far outside that its crop cannot be held in memory.
    """
    if box is not None:
        window = crop_window(box, card.crop)
        height, width = image.shape[:2]
        # What must be padded: the picture and the window together.
        w = max(window.x + window.w, width) - min(window.x, 0)
        h = max(window.y + window.h, height) - min(window.y, 0)
        if w * h > max(MAX_PIXELS, 4 * width * height):
            raise ImageError(
                f"the box {box.x:g}, {box.y:g}, {box.w:g}, {box.h:g} does not fit "
                f"a picture of {width} × {height}"
            )
    return crop(image, box, card.crop, card.size)


def sorted_labels(card: Card) -> tuple[Expression, ...]:
    """The classes of a model in the order of their ids: the order of columns in every table."""
    return tuple(card.labels[number] for number in _column_order(card))


def describe_model(model: Model) -> dict[str, Any]:
    """What a table remembers of the model that made it; JSON-ready."""
    card = model.card
    with open(model.path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    warning = {"protocol_warning": card.protocol_warning} if card.protocol_warning else {}
    return {
        **warning,
        "model": card.name,
        "model_sha256": sha256,
        **({"learned_images": len(card.learned_hashes())} if card.learned else {}),
        "recipe": card.recipe,
        "labels": [label.value for label in sorted_labels(card)],
        "crop": card.crop.to_dict(),
        "size": list(card.size),
        "temperature": card.temperature,
    }


@functools.lru_cache(2)
def open_worker_model(path: str, sha256: str, device: str) -> Model:
    """The model of a worker that shares the cores with others: it has one thread.

    Args:
        path: the file, absolute.
        sha256: of its bytes, where the work was given out.
        device: see `open_model`.

    Raises:
        MismatchError: this computer has another file there.
        FormatError: it has none.
    """
    model = open_model(Path(path), threads=1, device=device)
    found = describe_model(model)["model_sha256"]
    if found != sha256:
        raise MismatchError(
            f"expected the model of SHA-256 {sha256[:12]}… at {path}, but that of a worker has "
            f"{found[:12]}…; every computer needs the same file there"
        )
    return model


def _is_known(image: Pixels, known: NDArray[np.uint32]) -> bool:
    """Whether the hash of an image is among those that a model learned from."""
    wanted = np.uint32(pixel_hash(image))
    place = np.searchsorted(known, wanted)
    return bool(place < len(known) and known[place] == wanted)


def _empty(card: Card, count: int) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    return (
        np.full((count, len(card.labels)), np.nan) if card.labels else None,
        np.full((count, 2), np.nan) if card.affect else None,
    )


def _column_order(card: Card) -> list[int]:
    return sorted(range(len(card.labels)), key=lambda number: card.labels[number].id)


def _not_finite(outputs: Outputs) -> NDArray[np.bool_]:
    parts = [part for part in (outputs.probabilities, outputs.affect) if part is not None]
    values = np.concatenate(parts, axis=1)
    return np.asarray(~np.isfinite(values).all(axis=1), dtype=bool)


def _normalize(probabilities: NDArray[np.float64], whole: NDArray[np.bool_], model: Model) -> None:
    """Undo float32 rounding; refuse a graph that gives scores instead of probabilities."""
    sums = probabilities.sum(axis=1, keepdims=True)
    values = probabilities[whole]
    if (values < 0).any() or (np.abs(sums[whole] - 1) > _SUM_SLACK).any():
        raise FormatError(
            f"expected the output 'expression' of {model.path} to be probabilities, but a row "
            f"sums to {sums[whole].max():g} (smallest {values.min():g}); the graph must end in a "
            "softmax"
        )
    probabilities /= sums


def _check_positive(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InputError(f"expected {name} of 1 or more, but got {number}")
