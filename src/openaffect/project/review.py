"""Review: faces on which people disagree, that were flagged, or whose point surprises."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from openaffect.errors import ConflictError, InputError, NotFoundError
from openaffect.project import accounts, answers, counters, gold, rows
from openaffect.project import assignments as leases
from openaffect.project.accounts import Person
from openaffect.project.answers import Answer
from openaffect.project.schema import annotations, faces, images, tasks
from openaffect.project.settings import Settings

REASONS = ("disagreement", "flag", "outside_region")
"""Why a face is looked at again."""

LONGEST_NOTE = 1_000  # characters


@dataclass(frozen=True, slots=True)
class Item:
    """A face that a reviewer should look at.

    Attributes:
        face: its number.
        face_id: its name.
        intended: the expression that the search was for.
        reasons: of `REASONS`.
        prelabel: what a model says.
        answers: the rows that stand, each with the `pseudonym` of its annotator.
    """

    face: int
    face_id: str
    intended: str | None
    reasons: tuple[str, ...]
    prelabel: dict[str, Any] | None
    answers: list[Any]


def list_open(
    connection: sa.Connection, *, reason: str | None = None, after: int = 0, limit: int = 20
) -> list[Item]:
    """Faces that wait for a reviewer, by number.

    Raises:
        InputError: no such reason.
    """
    if reason is not None and reason not in REASONS:
        raise InputError(f"expected a reason of {', '.join(REASONS)}, but got '{reason[:50]}'")
    statement = (
        sa.select(tasks, faces.c.face_id.label("name"), images.c.intended)
        .join(faces, faces.c.id == tasks.c.face_id)
        .join(images, images.c.id == faces.c.image_id)
        .where(sa.text("review = 'open'"), tasks.c.face_id > after)  # as the index has it
        .order_by(tasks.c.face_id)
        .limit(limit)
    )
    if reason is not None:
        statement = statement.where(sa.type_coerce(tasks.c.reasons, sa.Text).contains(reason))
    return [
        Item(
            row.face_id,
            row.name,
            row.intended,
            tuple(row.reasons or ()),
            row.prelabel,
            answers.find_valid_answers(connection, row.face_id),
        )
        for row in connection.execute(statement).all()
    ]


def count_open(connection: sa.Connection) -> int:
    """How many faces wait for a reviewer, from a counter."""
    return counters.read(connection, "review.").get("review.open", 0)


def settle(
    connection: sa.Connection,
    person: Person,
    face: int,
    answer: Answer,
    *,
    make_gold: bool = False,
) -> None:
    """Give a face the reviewer's own answer, of kind `review`, and close its review.

    Args:
        connection: of a transaction that writes.
        person: the reviewer.
        face: its number.
        answer: from `answers.check_answer`; the same one again changes nothing.
        make_gold: whether the answer makes the face gold.

    Raises:
        NotFoundError: the face is in no batch.
        ConflictError: another answer has this id.
    """
    task = _find_task(connection, face)
    known = answers.find_answer(connection, answer.id)
    if known is not None:
        mine = known.annotator_id == person.id and known.face_id == face and known.kind == "review"
        if mine and answers.says(known, answer):
            return
        raise ConflictError("another answer has this id")
    connection.execute(sa.insert(annotations).values(**answers.make_review(person, face, answer)))
    counters.add(connection, {"annotations": 1, "annotations.review": 1})
    _close(connection, task, "settled")
    if make_gold:
        name = connection.execute(sa.select(faces.c.face_id).where(faces.c.id == face)).scalar_one()
        expected = gold.GoldFace(name, answer.expression, answer.valence, answer.arousal)
        gold.insert_gold(connection, [expected], "review")


def dismiss(connection: sa.Connection, face: int) -> None:
    """Leave a face as it is and close its review.

    Raises:
        NotFoundError: the face is in no batch.
    """
    _close(connection, _find_task(connection, face), "dismissed")


def send_back(
    connection: sa.Connection, face: int, annotation: str, note: str, settings: Settings
) -> None:
    """Put a face before its annotator again, with a note; the answer stands until a new one comes.

    Raises:
        InputError: a note that is empty or too long.
        NotFoundError: the row is no answer to this face.
        ConflictError: it no longer stands.
    """
    note = note.strip()
    if not 0 < len(note) <= LONGEST_NOTE or "\0" in note:
        raise InputError(f"expected a note of 1 to {LONGEST_NOTE} characters, but got {len(note)}")
    task = _find_task(connection, face)
    row = answers.find_answer(connection, annotation)
    if row is None or row.face_id != face or row.assignment_id is None:
        raise NotFoundError("expected the id of an answer to this face, but this is none")
    assignment = leases.find_assignment(connection, row.annotator_id, row.assignment_id)
    if assignment.state != "done" or assignment.annotation != annotation:
        raise ConflictError("this answer was changed meanwhile; look at the face again")
    person = accounts.get_person(connection, row.annotator_id)
    if person.state in ("revoked", "withdrawn"):
        raise ConflictError(f"the person was {person.state}; settle or dismiss the face instead")
    leases.lease_again(connection, assignment, settings, note=note, stands=annotation)
    _close(connection, task, "returned")
    rows.record_event(connection, "send_back", task.name, {"annotation": annotation})


def list_settled(connection: sa.Connection) -> list[gold.GoldFace]:
    """The last reviewer's answer to each face that was settled."""
    found = connection.execute(
        sa.select(
            faces.c.face_id,
            annotations.c.expression,
            annotations.c.valence,
            annotations.c.arousal,
        )
        .join(faces, faces.c.id == annotations.c.face_id)
        .where(annotations.c.kind == "review", ~annotations.c.void)
        .order_by(annotations.c.at.desc(), annotations.c.id.desc())
    )
    last: dict[str, gold.GoldFace] = {}
    for row in found:
        last.setdefault(row.face_id, gold.GoldFace(*row))
    return list(last.values())


def _find_task(connection: sa.Connection, face: int) -> Any:
    row = connection.execute(
        sa.select(tasks, faces.c.face_id.label("name"))
        .join(faces, faces.c.id == tasks.c.face_id)
        .where(tasks.c.face_id == face)
        .with_for_update(of=tasks)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"expected the number of a face of a batch, but got {face}")
    return row


def _close(connection: sa.Connection, task: Any, state: str) -> None:
    connection.execute(sa.update(tasks).where(tasks.c.face_id == task.face_id).values(review=state))
    counters.add(connection, {"review.open": -(task.review == "open")})
