"""Training rounds: gold faces with feedback, before a person works."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from openaffect.errors import ConflictError
from openaffect.project import rows
from openaffect.project.accounts import Person
from openaffect.project.assignments import training_faces
from openaffect.project.schema import assignments
from openaffect.project.settings import Settings


@dataclass(frozen=True, slots=True)
class Training:
    """How far a person is in their training.

    Attributes:
        round: which one it is, from 1 on.
        rounds: how many there are.
        faces: of a round.
        done: answers in this round.
        correct: those that were as expected.
        pass_mark: share of correct answers that passes a round.
        passed: whether all rounds are passed.
        failed: whether this round ended below the mark, and waits to be repeated.
    """

    round: int
    rounds: int
    faces: int
    done: int
    correct: int
    pass_mark: float
    passed: bool
    failed: bool


def advance_training(
    connection: sa.Connection, person: Person, settings: Settings
) -> Training | None:
    """Begin the first round, or the next one after a round that was passed.

    Args:
        connection: of a transaction that writes.
        person: their row locked; their numbers change.
        settings: of the project.

    Returns:
        Their training; None where there is none.
    """
    faces = training_faces(connection, person, settings)
    if not faces:
        return _passed(settings) if _has_rounds(person, settings) else None
    done, right = (person.numbers[name] for name in ("training_done", "training_right"))
    if person.numbers["training"] == 0:
        _begin(connection, person, passed=0)
    elif done >= faces and right >= settings.quality.training_pass * done:
        _begin(connection, person, passed=1)
        rows.record_event(
            connection,
            "training",
            person.pseudonym,
            {"passed": person.numbers["rounds_passed"], "right": right, "of": done},
        )
        return advance_training(connection, person, settings)
    return read_training(person, settings, faces)


def repeat_training(connection: sa.Connection, person: Person, settings: Settings) -> None:
    """Begin a round anew that was failed.

    Raises:
        ConflictError: no round was failed.
    """
    faces = training_faces(connection, person, settings)
    if not faces or not read_training(person, settings, faces).failed:
        raise ConflictError("no training round was failed; there is nothing to repeat")
    _begin(connection, person, passed=0)


def read_training(person: Person, settings: Settings, faces: int) -> Training:
    """How far a person is, from their numbers; `faces` is from `training_faces`."""
    numbers, quality = person.numbers, settings.quality
    done, right = numbers["training_done"], numbers["training_right"]
    return Training(
        round=numbers["rounds_passed"] + 1,
        rounds=quality.training_rounds,
        faces=faces,
        done=done,
        correct=right,
        pass_mark=quality.training_pass,
        passed=False,
        failed=done >= faces and right < quality.training_pass * done,
    )


def _has_rounds(person: Person, settings: Settings) -> bool:
    return bool(0 < settings.quality.training_rounds <= person.numbers["rounds_passed"])


def _passed(settings: Settings) -> Training:
    quality = settings.quality
    rounds = quality.training_rounds
    return Training(rounds, rounds, 0, 0, 0, quality.training_pass, passed=True, failed=False)


def _begin(connection: sa.Connection, person: Person, *, passed: int) -> None:
    # Leases of the round that has ended, such as those of another tab, end with it.
    connection.execute(
        sa.update(assignments)
        .where(
            assignments.c.annotator_id == person.id,
            assignments.c.kind == "training",
            assignments.c.state == "leased",
        )
        .values(state="expired")
    )
    numbers = person.numbers
    numbers["training"] += 1
    numbers["rounds_passed"] += passed
    numbers |= {"training_done": 0, "training_right": 0}
