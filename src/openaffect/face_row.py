"""One face on its way into a dataset, and what makes it unusable whatever format it came from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect import schemas
from openaffect.face_table import IMAGE_LEAVES
from openaffect.faces.boxes import Box
from openaffect.labels import Expression

_LONGEST_ID = 1_000  # characters
_FARTHEST = 1e9  # pixels: more than any picture has, and float32 still holds it
_leaves_folder = re.compile(IMAGE_LEAVES).search
_DEEPEST = 32  # levels of lists and objects in `extra`


class RejectRow(Exception):  # noqa: N818 - named after what it does
    """Raised by a reader for a row that cannot be used; the text is the reason.

    What stands before the first `:` is counted by the summary of an import; details follow it.
    """


@dataclass(slots=True)
class FaceRow:
    """One face on its way into a dataset; the columns of `schemas.FACES`.

    `box` is (x, y, w, h) and may still be invalid: the writer judges it. `landmarks` has 136
    numbers, x0 y0 … x67 y67. `extra` is any JSON-ready object. `columns` holds the values of columns
    beyond these, by the names that the writer was given.
    """

    face_id: str
    image: str
    box: Sequence[float] | None = None
    landmarks: NDArray[np.floating] | None = None
    expression: Expression | None = None
    votes: Sequence[int] | None = None
    soft_label: Sequence[float] | None = None
    valence: float | None = None
    arousal: float | None = None
    expression_origin: str | None = None
    affect_origin: str | None = None
    split: str | None = None
    group: str | None = None
    query: str | None = None
    url: str | None = None
    license: str | None = None
    extra: dict[str, Any] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


def check_row(row: FaceRow) -> None:
    """Judge the values of a row; its picture is not looked at.

    Raises:
        RejectRow: it cannot be used; the text says why.
    """
    _check_names(row)
    if row.box is not None and not _is_box(row.box):
        raise RejectRow(f"box without a size: {' '.join(f'{value:g}' for value in row.box)}")
    if row.landmarks is not None:
        _check_landmarks(row.landmarks)
    if (row.valence is None) != (row.arousal is None):
        raise RejectRow("only one of valence and arousal")
    affect = (row.valence or 0.0, row.arousal or 0.0)
    if not (abs(affect[0]) <= 1 and abs(affect[1]) <= 1):  # written so that NaN is caught
        raise RejectRow(f"valence or arousal outside [-1, 1]: {affect[0]:g}, {affect[1]:g}")
    if row.votes is not None:
        _check_votes(row.votes)
    if row.soft_label is not None:
        _check_shares(row.soft_label)
    if row.split is not None and row.split not in schemas.SPLITS:
        raise RejectRow(f"unknown split: {row.split}")
    for origin in (row.expression_origin, row.affect_origin):
        if origin is not None and origin not in schemas.ORIGINS:
            raise RejectRow(f"unknown origin: {origin}")
    if row.extra is not None and not is_plain(row.extra, _DEEPEST):
        raise RejectRow(f"extra that is no JSON object of at most {_DEEPEST} levels")


def normalize_soft_label(row: FaceRow) -> bool:
    """Make the shares of a soft label sum to 1; whether they did not.

    The numbers as they were stay in `extra`, so that an export can give them back.
    """
    if row.soft_label is None:
        return False
    total = math.fsum(row.soft_label)
    if abs(total - 1) <= 1e-3:  # what rounding to three digits does
        return False
    row.extra = {**(row.extra or {}), "soft-label": [float(share) for share in row.soft_label]}
    row.soft_label = [share / total for share in row.soft_label]
    return True


def _check_names(row: FaceRow) -> None:
    if not row.face_id:
        raise RejectRow("no face_id")
    if len(row.face_id) > _LONGEST_ID:
        raise RejectRow(f"face_id of more than {_LONGEST_ID:,} characters")
    if "\0" in row.image or "\0" in row.face_id:
        raise RejectRow("name with a zero character")
    if _leaves_folder(row.image):
        raise RejectRow(f"picture path leaves the images folder: {row.image}")
    texts = (row.face_id, row.image, row.group, row.query, row.url, row.license)
    if not all(text is None or _is_text(text) for text in texts):
        raise RejectRow("text that is not valid Unicode")


def _check_landmarks(landmarks: NDArray[np.floating]) -> None:
    if landmarks.size != 136:
        raise RejectRow(f"landmarks that are not 136 numbers: {landmarks.size}")
    if not np.isfinite(landmarks).all():
        raise RejectRow("landmarks that are not finite")
    if np.abs(landmarks).max() > _FARTHEST:
        raise RejectRow("landmarks farther away than any pixel")


def _check_votes(votes: Sequence[int]) -> None:
    if len(votes) != 11:
        raise RejectRow(f"votes that are not 11 numbers: {len(votes)}")
    if not all(0 <= vote <= 65_535 for vote in votes):  # uint16
        raise RejectRow(f"votes outside 0 to 65535: {max(votes)}")


def _check_shares(shares: Sequence[float]) -> None:
    if len(shares) != 8:
        raise RejectRow(f"soft labels that are not 8 numbers: {len(shares)}")
    # A total beyond float64 would make every share zero; NaN fails every comparison.
    if not all(0 <= share <= _FARTHEST for share in shares) or not sum(shares) > 0:
        raise RejectRow("soft labels that are no shares")


def _is_box(box: Sequence[float]) -> bool:
    try:
        Box(*box)
    except (ValueError, TypeError):
        return False
    # float32 makes nothing of a width below 1e-45, and infinity of 1e39.
    return max(map(abs, box)) <= _FARTHEST and min(box[2:]) > 1 / _FARTHEST


def _is_text(text: str) -> bool:
    """Whether a text is valid Unicode: a name on a disk or in JSON may hold half a character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_plain(value: Any, levels: int = _DEEPEST) -> bool:
    """Whether a value can be written as JSON that every reader takes.

    Args:
        value: any value.
        levels: of lists and objects that it may have.
    """
    if isinstance(value, dict):
        return levels > 0 and all(
            isinstance(key, str) and _is_text(key) and is_plain(inner, levels - 1)
            for key, inner in value.items()
        )
    if isinstance(value, list | tuple):
        return levels > 0 and all(is_plain(inner, levels - 1) for inner in value)
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and -(2**63) <= value < 2**64)
