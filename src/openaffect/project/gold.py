"""Gold faces: those whose answer is known, for training and to watch the work."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from openaffect.project import counters, rows
from openaffect.project.schema import faces, gold


@dataclass(frozen=True, slots=True)
class GoldFace:
    """A face and its answer; valence and arousal both or neither."""

    face_id: str
    expression: str
    valence: float | None = None
    arousal: float | None = None


def insert_gold(
    connection: sa.Connection, chosen: Sequence[GoldFace], source: str
) -> tuple[int, int, list[str]]:
    """Make faces gold.

    Args:
        connection: of a transaction that writes.
        chosen: the faces; of one that is named twice the first counts.
        source: `csv` or `review`.

    Returns:
        How many were added, how many were gold already, and the ids that no face has.
    """
    unique: dict[str, GoldFace] = {}
    for one in chosen:
        unique.setdefault(one.face_id, one)
    found: dict[str, int] = {}
    names = list(unique)
    for start in range(0, len(names), 1_000):
        part = names[start : start + 1_000]
        which = sa.select(faces.c.face_id, faces.c.id).where(faces.c.face_id.in_(part))
        found |= dict(connection.execute(which).all())
    chance = random.Random()
    at = datetime.datetime.now(datetime.UTC)
    values = [
        {
            "face_id": found[name],
            "expression": one.expression,
            "valence": one.valence,
            "arousal": one.arousal,
            "source": source,
            "place": chance.random(),
            "at": at,
        }
        for name, one in unique.items()
        if name in found
    ]
    added = 0
    if values:
        statement = rows.insert(connection, gold).on_conflict_do_nothing()
        added = len(connection.execute(statement.returning(gold.c.face_id), values).all())
    counters.add(connection, {"gold": added})
    if added:
        rows.record_event(connection, "gold", source, {"added": added})
    return added, len(values) - added, [name for name in names if name not in found]


def find_gold(connection: sa.Connection, face: int) -> GoldFace | None:
    """The answer of a gold face, by the face's number."""
    row = connection.execute(
        sa.select(faces.c.face_id, gold.c.expression, gold.c.valence, gold.c.arousal)
        .join(faces, faces.c.id == gold.c.face_id)
        .where(gold.c.face_id == face)
    ).one_or_none()
    return None if row is None else GoldFace(*row)


def count_gold(connection: sa.Connection) -> dict[str, int]:
    """Number of gold faces by expression."""
    statement = sa.select(gold.c.expression, sa.func.count()).group_by(gold.c.expression)
    return dict(connection.execute(statement).all())
