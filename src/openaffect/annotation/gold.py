"""Gold faces from a CSV file or from what reviewers have settled."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection
from dataclasses import dataclass

from openaffect.errors import FormatError
from openaffect.labels import Expression
from openaffect.project import Project, gold, review
from openaffect.project.gold import GoldFace

_NEEDED = ("face_id", "expression")
_MOST_REJECTED = 1_000  # rows that are named one by one
_KNOWN = (*_NEEDED, "valence", "arousal")


@dataclass(frozen=True, slots=True)
class GoldSummary:
    """What became of the faces that were chosen.

    Attributes:
        added: those that are gold now.
        known: those that were gold already; their answer is not changed.
        rejected: number of each row that was not taken, the head being row 1, and why.
    """

    added: int
    known: int
    rejected: list[tuple[int, str]]


def add_gold(project: Project, text: str) -> GoldSummary:
    """Make faces gold by a CSV text with the columns face_id, expression and, as wished, valence, arousal.

    Raises:
        FormatError: it is no CSV, or its head lacks a column or has another one.
    """
    rows, rejected = _read_rows(text, project.settings.label_set)
    with project.database.write() as connection:
        added, known, missing = gold.insert_gold(connection, list(rows.values()), "csv")
    gone = set(missing)
    rejected += [
        (number, f"no face has the face_id {one.face_id}")
        for number, one in rows.items()
        if one.face_id in gone
    ]
    rejected.sort()
    if len(rejected) > _MOST_REJECTED:
        more = f"… and {len(rejected) - _MOST_REJECTED + 1:,} rows more"
        rejected = [*rejected[: _MOST_REJECTED - 1], (rejected[_MOST_REJECTED - 1][0], more)]
    return GoldSummary(added, known, rejected)


def add_reviewed_gold(project: Project) -> GoldSummary:
    """Make the faces gold that reviewers have settled, with the last reviewer's answer."""
    with project.database.write() as connection:
        chosen = review.list_settled(connection)
        added, known, _ = gold.insert_gold(connection, chosen, "review")
    return GoldSummary(added, known, [])


def _read_rows(
    text: str, labels: Collection[str]
) -> tuple[dict[int, GoldFace], list[tuple[int, str]]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    found: dict[int, GoldFace] = {}
    seen: set[str] = set()
    rejected: list[tuple[int, str]] = []
    try:
        head = [name.strip() for name in next(reader, [])]
        strange = [name for name in head if name not in _KNOWN]
        if strange or len(set(head)) != len(head) or not set(_NEEDED) <= set(head):
            raise FormatError(
                f"expected a CSV head of {', '.join(_NEEDED)} and, as wished, valence and arousal, "
                f"but got {', '.join(head)[:100] or 'an empty file'}"
            )
        for number, values in enumerate(reader, start=2):
            if not values:
                continue
            if len(values) != len(head):
                rejected.append((number, f"expected {len(head)} values, but got {len(values)}"))
                continue
            one = _read_row(dict(zip(head, values, strict=True)), labels)
            if isinstance(one, str):
                rejected.append((number, one))
            elif one.face_id in seen:
                rejected.append((number, f"face_id {one.face_id} stands in an earlier row"))
            else:
                seen.add(one.face_id)
                found[number] = one
    except csv.Error as error:
        raise FormatError(f"expected a CSV text, but it is none: {error}") from error
    return found, rejected


def _read_row(row: dict[str, str], labels: Collection[str]) -> GoldFace | str:
    """A gold face, or why the row is none."""
    expression = row["expression"].strip()
    if expression not in labels:
        return f"expression {expression[:50]!r} is none of the project's"
    texts = [row.get(name, "").strip() for name in ("valence", "arousal")]
    if not any(texts):
        return GoldFace(row["face_id"], expression)
    try:
        valence, arousal = (float(text) for text in texts)
    except ValueError:
        return "expected valence and arousal as numbers, or neither"
    if expression in (Expression.UNCERTAIN, Expression.NO_FACE):
        return f"{expression} has no valence and arousal"
    if not math.hypot(valence, arousal) <= 1:
        return f"valence and arousal outside the unit disc: {valence:g}, {arousal:g}"
    return GoldFace(row["face_id"], expression, valence, arousal)
