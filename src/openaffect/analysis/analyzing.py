"""Analysing photos: find the faces, crop them by the model's rule, predict them in batches.

Threads read and search the pictures a few ahead; the model sees the crops of several pictures
at once. A picture is let go as soon as its faces are cut out, so memory does not grow with the
number of pictures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openaffect.analysis.photos import Photo, Source, list_photos
from openaffect.analysis.table import ERROR, NO_FACE_FOUND, OK, Analysis, collect_rows
from openaffect.errors import ImageError, InputError
from openaffect.faces.boxes import Face
from openaffect.faces.finding import find_faces, resolve_detector
from openaffect.images import Pixels
from openaffect.inference import (
    Verdicts,
    describe_model,
    map_in_order,
    predict_crops,
    sorted_labels,
    take_crop,
)
from openaffect.model import Model

Row = dict[str, Any]


def analyze(
    source: Source | Iterable[Source],
    model: Model,
    *,
    detector: str = "auto",
    landmarks: str | None = None,
    min_confidence: float = 0.0,
    min_score: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Find and judge every face in photos.

    Args:
        source: a picture, a folder, a pattern, a `.txt` list, an array (RGB uint8), or several
            of these; see `photos.list_photos`.
        model: from `open_model`; its card's crop rule frames the faces.
        detector: a name, or `auto` for the best one on this machine.
        landmarks: the name of a landmarker, such as `dlib`; None for no landmarks.
        min_confidence: below it, in [0, 1], `expression` is null; the probabilities stay.
        min_score: leave out faces that the detector is less sure of, in [0, 1]; None is the
            detector's own choice.
        batch_size: faces that the model sees at once.
        workers: threads that read pictures and find faces; None for one a processor.
        progress: called now and then with the number of pictures done so far.
    Returns:
        One row a face, in the order of the pictures. A picture without a face and one that
        cannot be read are one row each, told apart by `status`: neither ends the run.

    Raises:
        InputError: the only source holds no picture, or a number is out of range.
        UnknownName: no such detector or landmarker.
        MissingWeights, MissingExtra: the detector or landmarker is not on this machine.
    """
    rows = iterate_rows(
        source,
        model,
        detector=detector,
        landmarks=landmarks,
        min_confidence=min_confidence,
        min_score=min_score,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    made_with = describe_model(model) | {
        "detector": resolve_detector(detector),
        "landmarks": landmarks,
        "min_score": min_score,
        "min_confidence": min_confidence,
    }
    return collect_rows(rows, sorted_labels(model.card), made_with)


def iterate_rows(
    source: Source | Iterable[Source],
    model: Model,
    *,
    detector: str = "auto",
    landmarks: str | None = None,
    min_confidence: float = 0.0,
    min_score: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Row]:
    """The rows of `analyze` one by one, for more pictures than a table should hold.

    Arguments and errors are those of `analyze`; a row has the columns of `analysis_schema`
    as keys. Pictures are taken from `source` a few ahead of the rows.
    """
    for name, share in (("min_confidence", min_confidence), ("min_score", min_score)):
        if share is not None and not 0 <= share <= 1:
            raise InputError(f"expected {name} in [0, 1], but got {share}")
    for name, number in (("batch_size", batch_size), ("workers", workers)):
        if number is not None and number < 1:
            raise InputError(f"expected {name} of 1 or more, but got {number}")
    chosen = resolve_detector(detector)
    photos = list_photos(source)

    def look(photo: Photo) -> _Look:
        return _look(photo, model, chosen, landmarks, min_score)

    count = workers or os.cpu_count() or 1
    looks = map_in_order(look, photos, workers=count, ahead=2 * count)
    return _judge(looks, model, batch_size, min_confidence, progress)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found in one picture: its rows so far, and a crop for each row that is `ok`."""

    rows: list[Row]
    crops: list[Pixels] = field(default_factory=list)


def _look(
    photo: Photo, model: Model, detector: str, landmarks: str | None, min_score: float | None
) -> _Look:
    try:
        image = photo.read()
    except ImageError as error:
        return _Look([_row(photo, model, status=ERROR, error=str(error))])
    faces = find_faces(image, detector, landmarks=landmarks, min_score=min_score)
    if not faces:
        return _Look([_row(photo, model, status=NO_FACE_FOUND, detector=detector)])
    look = _Look([])
    for number, face in enumerate(faces):
        row = _face_row(photo, model, number, face)
        try:
            look.crops.append(take_crop(image, face.box, model.card))
        except ImageError as error:
            row |= {"status": ERROR, "error": str(error)}
        look.rows.append(row)
    return look


def _row(photo: Photo, model: Model, **values: object) -> Row:
    """A row with every column; what is not given is null."""
    names = (
        *("source", "frame", "time_s", "face_index", "track_id", "status", "error"),
        *("box", "score", "detector", "landmarks"),
        *(f"p_{label}" for label in sorted_labels(model.card)),
        *("expression", "confidence", "valence", "arousal"),
    )
    # A file name need not be text; a table needs text.
    source = photo.source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return dict.fromkeys(names) | {"source": source} | values


def _face_row(photo: Photo, model: Model, number: int, face: Face) -> Row:
    box = face.box
    points = None if face.landmarks is None else face.landmarks.ravel().tolist()
    return _row(
        photo,
        model,
        face_index=number,
        status=OK,
        box=[float(box.x), float(box.y), float(box.w), float(box.h)],
        score=float(face.score),
        detector=face.detector,
        landmarks=points,
    )


def _judge(
    looks: Iterator[_Look],
    model: Model,
    batch_size: int,
    min_confidence: float,
    progress: Callable[[int], None] | None,
) -> Iterator[Row]:
    """The finished rows, as soon as a batch of crops, or of pictures without one, is full."""
    rows: list[Row] = []
    crops: list[Pixels] = []
    done = 0
    for look in looks:
        rows.extend(look.rows)
        crops.extend(look.crops)
        done += 1
        if len(crops) >= batch_size or len(rows) >= 2 * batch_size:
            yield from _finish(rows, crops, model, batch_size, min_confidence)
            rows, crops = [], []
            if progress is not None:
                progress(done)
    yield from _finish(rows, crops, model, batch_size, min_confidence)
    if progress is not None:
        progress(done)


def _finish(
    rows: list[Row], crops: list[Pixels], model: Model, batch_size: int, min_confidence: float
) -> list[Row]:
    verdicts = predict_crops(model, crops, batch_size=batch_size)
    faces = (row for row in rows if row["status"] == OK)
    for number, row in enumerate(faces):
        _fill(row, verdicts, number, min_confidence)
    return rows


def _fill(row: Row, verdicts: Verdicts, number: int, min_confidence: float) -> None:
    error = verdicts.errors[number]
    if error is not None:
        row |= {"status": ERROR, "error": error}
        return
    if verdicts.probabilities is not None:
        values = verdicts.probabilities[number]
        best = int(np.argmax(values))  # the first of equals, and the columns go by id
        confidence = float(values[best])
        row |= {f"p_{k}": float(v) for k, v in zip(verdicts.labels, values, strict=True)}
        row["confidence"] = confidence
        if confidence >= min_confidence:
            row["expression"] = verdicts.labels[best].value
    if verdicts.affect is not None:
        row["valence"], row["arousal"] = map(float, verdicts.affect[number])
