"""What a format reads and writes: judgments that may name nobody, and what became of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from openaffect import schemas
from openaffect.annotation_row import AnnotationRow
from openaffect.face_row import RejectRow
from openaffect.progress import OnProgress, Progress

Entry: TypeAlias = "tuple[str, AnnotationRow | RejectRow]"
"""Where a judgment stands in its file, and the judgment, or why there is none.

An annotator of "" is nobody that the file names.
"""


@dataclass(slots=True)
class ExportAnnotationsSummary:
    """What an export wrote.

    Attributes:
        annotations: how many.
        faces: tasks of Label Studio; 0 for other formats.
        left_out: what the format cannot hold, by reason.
        on_progress: called with the number of annotations so far.
    """

    annotations: int = 0
    faces: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    on_progress: OnProgress | None = None

    def advance(self, count: int) -> None:
        """So many annotations more are written."""
        self.annotations += count
        if self.on_progress is not None:
            self.on_progress(Progress("writing", self.annotations))


def to_row(values: dict[str, Any]) -> AnnotationRow:
    """The columns of `schemas.ANNOTATIONS` as a row.

    Raises:
        RejectRow: the row names no face.
    """
    known = {name: value for name, value in values.items() if name in schemas.ANNOTATIONS.names}
    if not known.get("face_id"):
        raise RejectRow("no face_id")
    known["annotator"] = known.get("annotator") or ""
    return AnnotationRow(**known)
