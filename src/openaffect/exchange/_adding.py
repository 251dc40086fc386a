"""Judgments of a file on their way into a project, a few hundred in one transaction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from openaffect.annotation_row import AnnotationRow, check_annotation
from openaffect.exchange._entries import Entry
from openaffect.face_row import RejectRow
from openaffect.progress import OnProgress, Progress
from openaffect.project import Project, rows, tombstones
from openaffect.project.rows import StoredAnnotation
from openaffect.withdrawals import Withdrawals

if TYPE_CHECKING:
    from openaffect.project.database import Connection

_BATCH = 256  # rows of one transaction
_LONGEST_ID = 200  # characters
_NUMBERS = ("valence", "arousal", "seconds")


@dataclass(slots=True)
class AddAnnotationsSummary:
    """What an addition of annotations brought.

    Attributes:
        annotations: how many are new.
        known: how many were there already.
        rejected: number of entries that could not be added, by reason; `rejected.csv` names them.
        notes: what the file holds beside judgments and is not read, and how often.
    """

    annotations: int = 0
    known: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def add_entries(
    project: Project,
    entries: Iterator[Entry],
    source: str,
    summary: AddAnnotationsSummary,
    *,
    count_imported: bool,
    on_progress: OnProgress | None,
) -> None:
    """Add judgments; see `add_annotations`."""
    done = 0
    while batch := list(islice(entries, _BATCH)):
        adding = _Adding(source, count_imported)
        with project.database.write() as connection:
            adding.add(connection, batch)
            added = rows.insert_annotations(connection, adding.new)
        project.reject(adding.rejected)
        summary.annotations += added
        summary.known += adding.known
        summary.rejected.update(reason.split(":", 1)[0] for _, _, reason in adding.rejected)
        done += len(batch)
        if on_progress is not None:
            on_progress(Progress("adding", done))
    with project.database.write() as connection:
        counts = {
            "annotations": summary.annotations,
            "known": summary.known,
            "rejected": dict(summary.rejected),
        }
        rows.record_event(connection, "add", source, counts)


class _Adding:
    """One transaction's worth of judgments: which are new, known, or cannot be added."""

    def __init__(self, source: str, count_imported: bool) -> None:
        self._source = source
        self._count_imported = count_imported
        self.new: list[StoredAnnotation] = []
        self.known = 0
        self.rejected: list[tuple[str, str, str]] = []

    def add(self, connection: Connection, batch: Iterable[Entry]) -> None:
        """Sort the entries of a batch."""
        good: list[tuple[str, AnnotationRow, StoredAnnotation]] = []
        for place, row in batch:
            try:
                if isinstance(row, RejectRow):
                    raise row
                _check(row)
                good.append((place, row, self._store(row)))
            except RejectRow as error:
                self._reject(place, str(error))
        named = {row.face_id for _, row, _ in good}
        there = rows.find_face_ids(connection, named)
        withdrawn = tombstones.read_tombstones(connection) if named - set(there) else Withdrawals()
        ids = {made.id or "" for _, _, made in good}
        ids |= {made.replaces for _, _, made in good if made.replaces}
        stored = rows.find_annotations(connection, ids)
        for place, row, made in good:
            if row.face_id not in there:
                match = withdrawn.find(face_id=row.face_id)  # whose name is not written down again
                unknown = f"unknown face_id: {row.face_id}"
                self._reject(place, unknown if match is None else str(match))
                continue
            other = stored.get(made.id or "")
            replaced = stored.get(made.replaces or "")
            if other is not None:
                if _is_same(other, row, made):
                    self.known += 1
                else:
                    self._reject(
                        place, f"id known with another content: {made.id}, face {row.face_id}"
                    )
            elif replaced is not None and not _may_replace(made, replaced):
                self._reject(place, f"replaces a row of another person or face: {made.replaces}")
            else:
                self.new.append(made)
                stored[made.id or ""] = {**asdict(made), "pseudonym": made.annotator}

    def _store(self, row: AnnotationRow) -> StoredAnnotation:
        """The row as it is stored: of a pseudo-annotator, with an id, and imported."""
        person = row.annotator
        if not person.startswith("import:"):
            person = f"import:{self._source}/{person}" if person else f"import:{self._source}"
        when = row.at.isoformat() if row.at else ""
        kind = row.kind if row.kind not in (None, "work") else "imported"
        void = bool(row.void)
        human = row.origin in (None, "human")
        values = asdict(row) | {
            "annotator": person,
            "id": row.id or rows.name_annotation(person, row.face_id, when),
            "kind": kind,
            "void": void,
            "late": bool(row.late),
        }
        counted = self._count_imported and human and not void and kind == "imported"
        return StoredAnnotation(**values, counted=counted)

    def _reject(self, place: str, reason: str) -> None:
        self.rejected.append((self._source, place, reason))


def _check(row: AnnotationRow) -> None:
    """Judge a row by itself; see `check_annotation`."""
    check_annotation(row if row.annotator else replace(row, annotator="nobody"))
    for name, value in asdict(row).items():
        if isinstance(value, str) and ("\0" in value or _is_broken(value)):
            raise RejectRow(f"{name} with a character that cannot be stored")
    for name in ("id", "replaces"):
        if len(getattr(row, name) or "") > _LONGEST_ID:
            raise RejectRow(f"{name} of more than {_LONGEST_ID} characters")
    if row.seconds is not None and not 0 <= row.seconds < math.inf:
        raise RejectRow(f"seconds that are none: {row.seconds:g}")
    if row.round is not None and not -(2**31) <= row.round < 2**31:
        raise RejectRow(f"round that is too large: {row.round}")
    said = (row.expression, row.valence, row.void, row.flag, row.comment)
    if not any(value is not None and value is not False for value in said):
        raise RejectRow("no expression and no valence and arousal")


def _is_broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _may_replace(made: StoredAnnotation, replaced: dict[str, Any]) -> bool:
    mine: bool = (made.annotator, made.face_id) == (replaced["annotator"], replaced["face_id"])
    return mine


def _is_same(stored: dict[str, Any], row: AnnotationRow, made: StoredAnnotation) -> bool:
    """Whether a stored annotation is this row, be it as it was exported or as it was added.

    The time is no part of what was said: a dataset's label has that of its addition to a project.
    """
    if stored["annotator"] != made.annotator and stored["pseudonym"] != row.annotator:
        return False
    if stored["kind"] not in (made.kind, row.kind or "work"):
        return False
    given = asdict(made)
    return all(
        _plain(name, stored[name]) == _plain(name, given[name])
        for name in given
        if name not in ("annotator", "kind", "counted", "at")
    )


def _plain(name: str, value: Any) -> Any:
    """A value as a file has it: float32, and nothing instead of an empty text."""
    if value is None or value == "":
        return None
    if name in _NUMBERS:
        return np.float32(value)
    return value
