"""Imported annotations that count (`add --count-imported`): each is an answer that need not be given again."""

from collections import Counter
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from openaffect.project import counters
from openaffect.project.schema import annotations, tasks


def count_imported(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, int]:
    """How many people's imported annotations count, for faces that have any."""
    if not numbers:
        return {}
    found = connection.execute(
        sa.select(annotations.c.face_id, sa.func.count(annotations.c.annotator_id.distinct()))
        .where(
            annotations.c.face_id.in_(numbers),
            annotations.c.kind == "imported",
            annotations.c.counted,
            ~annotations.c.void,
        )
        .group_by(annotations.c.face_id)
    )
    return dict(found.all())


def note_imported(
    connection: sa.Connection, before: Mapping[int, int], after: Mapping[int, int]
) -> None:
    """Take imported annotations that count for answers that the tasks of their faces want.

    Args:
        connection: of the transaction that adds them, or makes the batch.
        before, after: what `count_imported` found.
    """
    more = {face: people - before.get(face, 0) for face, people in after.items()}
    if not more:
        return
    found = connection.execute(
        sa.select(tasks.c.face_id, tasks.c.batch_id, tasks.c.wanted, tasks.c.done)
        .where(tasks.c.face_id.in_([face for face, people in more.items() if people > 0]))
        .order_by(tasks.c.face_id)
        .with_for_update()
    )
    changes: Counter[str] = Counter()
    values = []
    for face, batch, wanted, done in found.all():
        new = min(more[face], wanted - done)  # more than are wanted change nothing
        if new > 0:
            values.append({"face": face, "more": new})
            changes["answers.done"] += new
            changes[f"batch.{batch}.done"] += new
    if values:
        statement = sa.update(tasks).where(tasks.c.face_id == sa.bindparam("face"))
        added: sa.BindParameter[int] = sa.bindparam("more")
        connection.execute(
            statement.values(given=tasks.c.given + added, done=tasks.c.done + added), values
        )
        counters.add(connection, changes)
