"""Recognition: the faces of one picture, cut out, judged and described, in the same way everywhere.

A picture goes through four steps: `find_faces` finds its faces, `cut_faces` makes a crop of each,
`begin_rows` describes what is known so far, and `fill_row` adds what the model says of a crop.
Between the last two the caller gathers the crops of several pictures into a batch for
`inference.predict_crops`. A face that cannot be cut out or judged is a row with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import ImageError
from openaffect.faces.boxes import Face
from openaffect.images import Pixels
from openaffect.inference import FaceOutputs, crop_for_model
from openaffect.labels import Expression
from openaffect.model import Card

OK, NO_FACE_FOUND, ERROR = "ok", "no_face_found", "error"
"""The states of a row: a judged face, a picture without a face, a reason in `error`."""

Row: TypeAlias = dict[str, Any]
"""A face, or a picture without one, by the names of the columns of an analysis table."""


def cut_faces(image: Pixels, faces: Sequence[Face | None], card: Card) -> list[Pixels | str]:
    """The crop of each face that a model wants to see, or the reason why there is none.

    Args:
        image: RGB uint8 (h, w, 3).
        faces: of the picture; None says that the picture already is the crop.
        card: its crop rule and size are used.
    """
    crops: list[Pixels | str] = []
    for face in faces:
        try:
            crops.append(crop_for_model(image, None if face is None else face.box, card))
        except ImageError as error:
            crops.append(str(error))
    return crops


def begin_rows(
    source: str,
    faces: Sequence[Face | None] = (),
    crops: Sequence[Pixels | str] = (),
    *,
    detector: str,
    error: str | None = None,
) -> list[Row]:
    """The rows of a picture before the model has seen its crops; at least one.

    Args:
        source: what to call the picture.
        faces, crops: see `cut_faces`.
        detector: the name of the one that searched.
        error: why the picture could not be read, or None.

    Returns:
        One row per face, in their order, or one for the picture. The rows whose `status` is `OK`
        are those that have a crop.
    """
    if error is not None:
        return [{"source": source, "status": ERROR, "error": error}]
    if not faces:
        return [{"source": source, "status": NO_FACE_FOUND, "detector": detector}]
    rows = []
    for number, (face, crop) in enumerate(zip(faces, crops, strict=True)):
        row: Row = {"source": source, "face_index": number, "status": OK}
        if face is not None:
            box = face.box
            row["box"] = [float(box.x), float(box.y), float(box.w), float(box.h)]
            row["score"], row["detector"] = float(face.score), face.detector
        if isinstance(crop, str):
            row |= {"status": ERROR, "error": crop}
        rows.append(row)
    return rows


def fill_row(
    row: Row, face_outputs: FaceOutputs, number: int, *, min_confidence: float = 0.0
) -> None:
    """Add what the model says of a face to its row.

    Args:
        row: from `begin_rows`, with a crop.
        face_outputs: of a batch.
        number: of the crop in the batch.
        min_confidence: below it, `expression` stays null.
    """
    error = face_outputs.errors[number]
    if error is not None:
        row |= {"status": ERROR, "error": error}
        return
    if face_outputs.probabilities is not None:
        shares = face_outputs.probabilities[number]
        row |= describe_shares(face_outputs.labels, shares, min_confidence=min_confidence)
    if face_outputs.affect is not None:
        row["valence"], row["arousal"] = map(float, face_outputs.affect[number])


def describe_shares(
    labels: Sequence[Expression], shares: NDArray[np.floating], *, min_confidence: float = 0.0
) -> Row:
    """The columns `p_<name>`, `confidence` and, unless it is below `min_confidence`, `expression`.

    Args:
        labels: in the order of their ids.
        shares: probability of each, (classes,).
        min_confidence: in [0, 1].
    """
    best = int(np.argmax(shares))  # the first of equals: the lowest id
    row: Row = {f"p_{name}": float(share) for name, share in zip(labels, shares, strict=True)}
    row["confidence"] = float(shares[best])
    if row["confidence"] >= min_confidence:
        row["expression"] = labels[best].value
    return row
