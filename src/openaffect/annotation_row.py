"""One judgment of one face on its way into a table, and what makes it unusable."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from openaffect import schemas
from openaffect.face_row import RejectRow
from openaffect.labels import EXPRESSIONS

_LONGEST_NAME = 1_000  # characters


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """One judgment; the columns of `schemas.ANNOTATIONS`.

    Attributes:
        face_id: of the face that was judged.
        annotator: a person's pseudonym, or a pseudo-annotator such as `import:ferplus`.
        expression: one of the eleven names.
        valence, arousal: in [−1, 1], both or neither.
        kind: what it was given for, one of `schemas.KINDS`.
        occluded: whether the annotator found the face occluded.
        flag, comment: what the annotator said beside the label.
        seconds: from the painted picture to the answer.
        region_shown, prelabel_shown: whether the region of the category, or a model's answer, was
            on the screen.
        instructions, tool: the versions that the annotator worked with.
        batch, round: of the work.
        replaces: id of the row that it corrects.
        void: whether it counts for nothing.
        late: whether its lease had expired.
        origin: one of `schemas.ORIGINS`.
        at: when it was given.
        id: unique.
    """

    face_id: str
    annotator: str
    expression: str | None = None
    valence: float | None = None
    arousal: float | None = None
    kind: str | None = None
    occluded: bool | None = None
    flag: str | None = None
    comment: str | None = None
    seconds: float | None = None
    region_shown: bool | None = None
    prelabel_shown: bool | None = None
    instructions: str | None = None
    tool: str | None = None
    batch: str | None = None
    round: int | None = None
    replaces: str | None = None
    void: bool | None = None
    late: bool | None = None
    origin: str | None = None
    at: datetime.datetime | None = None
    id: str | None = None


def check_annotation(row: AnnotationRow) -> None:
    """Judge the values of an annotation by itself.

    Raises:
        RejectRow: it cannot be used; the text says why.
    """
    if not row.annotator or len(row.annotator) > _LONGEST_NAME:
        raise RejectRow(f"annotator of 1 to {_LONGEST_NAME:,} characters expected")
    for what, value, known in (
        ("expression", row.expression, EXPRESSIONS),
        ("kind", row.kind, schemas.KINDS),
        ("origin", row.origin, schemas.ORIGINS),
    ):
        if value is not None and value not in known:
            raise RejectRow(f"unknown {what}: {value}")
    if (row.valence is None) != (row.arousal is None):
        raise RejectRow("only one of valence and arousal")
    valence, arousal = row.valence or 0.0, row.arousal or 0.0
    if not (abs(valence) <= 1 and abs(arousal) <= 1):  # written so that NaN is caught
        raise RejectRow(f"valence or arousal outside [-1, 1]: {valence:g}, {arousal:g}")
    if row.at is not None and row.at.tzinfo is None:
        raise RejectRow(f"time without a time zone: {row.at}")
