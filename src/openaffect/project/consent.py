"""Withdrawn consent: a person's name goes, and, where it is wished, all that they said."""

import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from openaffect.errors import InputError
from openaffect.project import accounts, answers, frozen, rows
from openaffect.project import assignments as leases
from openaffect.project.project import Project
from openaffect.project.schema import annotations

CHOICES = ("keep", "void")
_BATCH = 200  # rows of one transaction, so that others need not wait


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What became of a consent that was withdrawn.

    Attributes:
        voided: how many answers were withdrawn.
        purged: whether the name is out of the database's files; else another process reads them,
            and the name is gone when all who have the database open have ended, or when the call
            is given again.
        datasets: names of the frozen datasets that hold rows of the person; they stay as they are.
    """

    voided: int
    purged: bool
    datasets: tuple[str, ...]


def withdraw(project: Project, person: int, choice: str, *, by: str = "") -> Withdrawn:
    """Take a person's name and account away, and let their answers stand or count for nothing.

    It may be called again, with the other choice too: what was withdrawn stays so.

    Args:
        project: they worked on.
        person: their number.
        choice: `keep` leaves the answers under the pseudonym; `void` adds a void row for each, so
            that it counts neither for agreement nor for a dataset, and its face is given again.
        by: pseudonym of who does it, for the event.

    Raises:
        InputError: no such choice.
        NotFoundError: no such person.
        ConflictError: the last owner.
    """
    if choice not in CHOICES:
        raise InputError(f"expected keep or void, but got '{choice[:50]}'")
    with project.database.write() as connection:
        found = accounts.get_person(connection, person)
        accounts.forget_name(connection, found)
        leases.end_leases(connection, person)
        details = {"rows": choice, "by": by}
        rows.record_event(connection, "withdraw", found.pseudonym, details)
        holding = tuple(frozen.find_datasets_of(connection, found.pseudonym))
    voided = 0
    while choice == "void":
        with project.database.write() as connection:
            found = accounts.get_person(connection, person)
            standing = _standing(connection, person)
            given = []
            for row in standing:
                mark = str(uuid.uuid4())
                restored = answers.void_answer(connection, found, row, mark, project.settings)
                if row.kind == "work" and row.assignment_id is not None and restored is None:
                    given.append(row.face_id)
            leases.change_given(connection, given, -1)
            accounts.save_numbers(connection, found)
        voided += len(standing)
        if not standing:
            break
    return Withdrawn(voided, project.database.purge(), holding)


def _standing(connection: sa.Connection, person: int) -> list[Any]:
    """Rows of a person that stand, a part of them, repetitions before the first answers."""
    other = annotations.alias()
    void = annotations.alias()
    withdrawn = sa.select(void.c.id).where(void.c.replaces == other.c.id, void.c.void)
    replaced = sa.select(other.c.id).where(
        other.c.replaces == annotations.c.id, sa.or_(other.c.void, ~withdrawn.exists())
    )
    return list(
        connection.execute(
            sa.select(annotations)
            .where(annotations.c.annotator_id == person, ~annotations.c.void, ~replaced.exists())
            .order_by(annotations.c.kind != "repeat", annotations.c.face_id, annotations.c.id)
            .limit(_BATCH)
        )
    )
