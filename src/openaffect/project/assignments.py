"""Leases: which faces a person has before them, given so that nobody else gets the same work.

A face is given by one statement that finds and takes it. On SQLite the transaction that runs it is
the only writer; on PostgreSQL the row is locked and locked rows are skipped. What was not answered
in time is free again, and a late answer is taken all the same.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from openaffect.errors import ConflictError
from openaffect.project import counters
from openaffect.project import tasks as batches
from openaffect.project.accounts import Person
from openaffect.project.schema import assignments, current_time, gold, tasks
from openaffect.project.settings import Settings

AHEAD = 5
"""How many faces a person has at a time, the one on the screen included."""

_REPEAT_AFTER = 20  # other answers, before a face is shown to the same person again
_EXPIRED_AT_ONCE = 200  # leases that one draw gives back at most


@dataclass(frozen=True, slots=True)
class Lease:
    """A face that a person has before them; the columns of `schema.assignments`.

    Attributes:
        id: of the assignment.
        face: number of the face.
        kind: `work`, `gold`, `repeat` or `training`.
        batch: its name.
        round: of the training.
        note: of a reviewer who sent the face back.
        annotation: the row that was undone or sent back.
        expires: when the face is free again.
    """

    id: int
    face: int
    kind: str
    batch: str | None
    round: int | None
    note: str | None
    annotation: str | None
    expires: datetime.datetime


def lease_faces(
    connection: sa.Connection, person: Person, settings: Settings, held: Collection[int]
) -> list[Lease]:
    """Give a person faces until they have `AHEAD` of them.

    Args:
        connection: of a transaction that writes.
        person: who gets them; the caller has checked that they may.
        settings: of the project.
        held: assignments that the person's page has in memory; their leases are made longer.

    Returns:
        Those that the page does not have: leases from before first, then new ones. None is left
        where the list is shorter than it could be.
    """
    training = training_faces(connection, person, settings)
    mine = [
        one
        for one in _leases(connection, person.id)
        if not training or one.kind == "training"  # work that was given before waits, and expires
    ]
    expires = current_time() + datetime.timedelta(minutes=settings.annotation.lease_minutes)
    _renew(connection, [one for one in mine if one.id in held], settings, expires)
    given = [one for one in mine if one.id not in held]
    drawn = 0
    names = [] if training else batches.open_batches(connection, person.id)
    while len(mine) + drawn < AHEAD:
        chance = random.Random(f"{person.pseudonym}:{person.numbers['drawn'] + drawn}")
        found = (
            _draw_training(connection, person, training, chance)
            if training
            else _draw(connection, person, settings, chance, names)
        )
        if found is None:
            break
        again = found.pop("again", None)
        if again is not None:
            given.append(_revive(connection, again, expires))
        else:
            given.append(_insert(connection, person.id, expires=expires, **found))
        drawn += 1
    if drawn:
        person.numbers["drawn"] += drawn
    return given


def training_faces(connection: sa.Connection, person: Person, settings: Settings) -> int:
    """How many faces a training round has; 0 where the person has passed all, or none is gold."""
    if person.numbers["rounds_passed"] >= settings.quality.training_rounds:
        return 0
    return min(settings.quality.training_faces, counters.read(connection, "gold").get("gold", 0))


def find_assignment(connection: sa.Connection, person: int, number: int) -> Any:
    """An assignment of a person, its row locked until the transaction ends; None if it is none."""
    return connection.execute(_BY_ID, {"number": number, "person": person}).one_or_none()


def skip_face(connection: sa.Connection, person: Person, assignment: Any) -> None:
    """Give a face back that a person does not want to answer; they do not get it again by itself.

    Raises:
        ConflictError: the face is of a training, whose faces cannot be chosen.
    """
    if assignment.kind == "training":
        raise ConflictError("a face of a training cannot be skipped")
    if assignment.state == "leased":
        _end(connection, [assignment], "skipped")
        person.numbers["skipped"] += 1
    elif assignment.state == "returned":  # the first answer stands
        values = {"state": "done", "note": None}
        connection.execute(
            sa.update(assignments).where(assignments.c.id == assignment.id).values(**values)
        )


def unskip_faces(connection: sa.Connection, person: Person) -> int:
    """Let a person get the faces again that they skipped; how many."""
    statement = (
        sa.update(assignments)
        .where(assignments.c.annotator_id == person.id, assignments.c.state == "skipped")
        .values(state="expired")
    )
    person.numbers["skipped"] = 0
    return connection.execute(statement).rowcount


def lease_again(
    connection: sa.Connection,
    assignment: Any,
    settings: Settings,
    *,
    note: str | None = None,
    stands: str | None = None,
) -> Lease:
    """Put an answered face before its person once more: undone, or sent back with a note.

    Args:
        connection: of a transaction that writes.
        assignment: from `find_assignment`.
        settings: of the project.
        note: of a reviewer.
        stands: the answer that stands until another one comes, if one does; the assignment is
            `returned` then, and does not expire.
    """
    minutes = datetime.timedelta(minutes=settings.annotation.lease_minutes)
    values = {
        "state": "leased",
        "expires": current_time() + minutes,
        "answered": None,
        "note": note,
    }
    if stands is not None:
        values |= {"state": "returned", "annotation": stands}
    connection.execute(
        sa.update(assignments).where(assignments.c.id == assignment.id).values(**values)
    )
    found = connection.execute(sa.select(*_COLUMNS).where(assignments.c.id == assignment.id))
    return _lease(found.one())


def find_lease(assignment: Any) -> Lease:
    """An assignment of `find_assignment` as a lease."""
    return _lease(assignment)


def end_leases(connection: sa.Connection, person: int) -> None:
    """Give back everything that a person has: they were paused, revoked, or have withdrawn.

    Of a face that was sent back the first answer stands.
    """
    mine = assignments.c.annotator_id == person
    connection.execute(
        sa.update(assignments)
        .where(mine, assignments.c.state == "returned")
        .values(state="done", note=None)
    )
    leased = sa.select(*_COLUMNS).where(mine, assignments.c.state == "leased")
    _end(connection, connection.execute(leased.order_by(assignments.c.id)).all(), "expired")


# ---- inside ---------------------------------------------------------------------------------


def expire_leases(connection: sa.Connection) -> None:
    """Give back what was leased for too long, by anybody; each few seconds is often enough."""
    _end(connection, connection.execute(_LATE, {"now": current_time()}).all(), "expired")


def _end(connection: sa.Connection, ended: Sequence[Any], state: str) -> None:
    if not ended:
        return
    numbers = [row.id for row in ended]
    connection.execute(
        sa.update(assignments).where(assignments.c.id.in_(numbers)).values(state=state)
    )
    change_given(connection, [row.face_id for row in ended if row.kind == "work"], -1)


def change_given(connection: sa.Connection, faces: Iterable[int], change: int) -> None:
    """Note that one person more (1) or fewer (−1) has each of these faces."""
    for face in sorted(faces):
        connection.execute(
            sa.update(tasks).where(tasks.c.face_id == face).values(given=tasks.c.given + change)
        )


def _leases(connection: sa.Connection, person: int) -> list[Lease]:
    return [_lease(row) for row in connection.execute(_MINE, {"person": person})]


def _renew(
    connection: sa.Connection, held: list[Lease], settings: Settings, expires: datetime.datetime
) -> None:
    half = datetime.timedelta(minutes=settings.annotation.lease_minutes) / 2
    old = [one.id for one in held if one.expires < expires - half]
    if old:
        connection.execute(
            sa.update(assignments).where(assignments.c.id.in_(old)).values(expires=expires)
        )


def _draw(
    connection: sa.Connection,
    person: Person,
    settings: Settings,
    chance: random.Random,
    names: list[tuple[int, str]],
) -> Any:
    """Find the next face of a person: now and then gold or a repetition, else work."""
    lot = chance.random()
    quality = settings.quality
    if lot < quality.gold_share:
        found = _draw_gold(connection, person.id, settings, chance)
    elif lot < quality.gold_share + quality.repeat_share:
        found = _draw_repeat(connection, person.id, chance)
    else:
        found = None
    if found is not None:
        return found
    for number, name in names:
        face = draw_work(connection, person.id, number, chance.random())
        if face is not None:
            return {"face_id": face, "kind": "work", "batch": name}
    return _take_back(connection, person.id, [name for _, name in names])


def _take_back(connection: sa.Connection, person: int, names: list[str]) -> Any:
    """A face that the person had before and did not answer in time, if nobody else has it now."""
    had = connection.execute(
        sa.select(assignments.c.id, assignments.c.face_id)
        .join(tasks, tasks.c.face_id == assignments.c.face_id)
        .where(
            assignments.c.annotator_id == person,
            assignments.c.state == "expired",
            assignments.c.kind == "work",
            assignments.c.batch.in_(names),
            tasks.c.given < tasks.c.wanted,
        )
        .order_by(assignments.c.id)
        .limit(AHEAD)
    ).all()
    for row in had:
        take = sa.update(tasks).where(
            tasks.c.face_id == row.face_id, tasks.c.given < tasks.c.wanted
        )
        if connection.execute(take.values(given=tasks.c.given + 1)).rowcount:
            return {"again": row.id}
    return None


def draw_work(connection: sa.Connection, person: int, batch: int, start: float) -> int | None:
    """Take a face of a batch for a person; None where none is left for them.

    Args:
        connection: of a transaction that writes.
        person: who gets it; not one that they had before.
        batch: its number.
        start: where in the level the search begins, in [0, 1).
    """
    level = connection.execute(_LEVEL, {"batch": batch}).scalar_one_or_none()
    if level is None:
        return None
    values = {"batch": batch, "person": person, "lowest": level, "start": start}
    for search in _SEARCHES:
        face: int | None = connection.execute(search, values).scalar_one_or_none()
        if face is not None:
            return face
    return None


# As text, so that the databases see that their partial index fits.
_OPEN: tuple[Any, ...] = (tasks.c.batch_id == sa.bindparam("batch"), sa.text("given < wanted"))


def _taking(*which: sa.ColumnElement[bool]) -> Any:
    """The statement that finds and takes the first of these faces that a person has not had."""
    had = sa.select(assignments.c.id).where(
        assignments.c.face_id == tasks.c.face_id,
        assignments.c.annotator_id == sa.bindparam("person"),
    )
    free = (
        sa.select(tasks.c.face_id)
        .where(*_OPEN, *which, ~had.exists())
        .order_by(tasks.c.level, tasks.c.place)
        .limit(1)
        .with_for_update(skip_locked=True)  # nothing on SQLite, where one writer has the whole lock
        .cte("free")  # PostgreSQL may run a subquery more than once, and take more rows
    )
    return (
        sa.update(tasks)
        .where(tasks.c.face_id.in_(sa.select(free.c.face_id)))
        .values(given=tasks.c.given + 1)
        .returning(tasks.c.face_id)
    )


# What every answer needs is built once: that takes longer than to run it.
_LEVEL = sa.select(sa.func.min(tasks.c.level)).where(*_OPEN)
_IN_LEVEL = tasks.c.level == sa.bindparam("lowest")
_SEARCHES = (
    _taking(_IN_LEVEL, tasks.c.place >= sa.bindparam("start")),
    _taking(_IN_LEVEL),
    _taking(),
)
# A result takes time for each of its columns.
_COLUMNS = [assignments.c[name] for name in ("id", "face_id", "kind", "batch", "round", "note")]
_COLUMNS += [assignments.c[name] for name in ("annotation", "expires", "state")]
_BY_ID = (
    sa.select(*_COLUMNS)
    .where(
        assignments.c.id == sa.bindparam("number"),
        assignments.c.annotator_id == sa.bindparam("person"),
    )
    .with_for_update()
)
_MINE = (
    sa.select(*_COLUMNS)
    .where(
        assignments.c.annotator_id == sa.bindparam("person"),
        assignments.c.state.in_(("leased", "returned")),
    )
    # What was undone or sent back comes first.
    .order_by(assignments.c.annotation.is_(None), assignments.c.id)
)
_LATE = (
    sa.select(*_COLUMNS)
    .where(sa.text("state = 'leased'"), assignments.c.expires < sa.bindparam("now"))
    .order_by(assignments.c.id)
    .limit(_EXPIRED_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_GIVE = sa.insert(assignments).returning(assignments.c.id)


def _draw_gold(
    connection: sa.Connection, person: int, settings: Settings, chance: random.Random
) -> Any:
    had = sa.select(assignments.c.id).where(
        assignments.c.face_id == gold.c.face_id, assignments.c.annotator_id == person
    )
    free = sa.select(gold.c.face_id).where(~had.exists())
    if settings.annotation.prelabel_shown:  # a face without one would be known for gold
        free = free.join(tasks, tasks.c.face_id == gold.c.face_id)
        free = free.where(tasks.c.prelabel.is_not(None))
    face = _first_from(connection, free, chance.random())
    return None if face is None else {"face_id": face, "kind": "gold"}


def _draw_repeat(connection: sa.Connection, person: int, chance: random.Random) -> Any:
    """A face that the person answered a while ago, and that was not repeated yet."""
    done = (
        assignments.c.annotator_id == person,
        assignments.c.state == "done",
        assignments.c.kind == "work",
    )
    newest = connection.execute(
        sa.select(assignments.c.id)
        .where(*done)
        .order_by(assignments.c.id.desc())
        .offset(_REPEAT_AFTER)
        .limit(1)
    ).scalar_one_or_none()
    if newest is None:
        return None
    oldest = connection.execute(sa.select(sa.func.min(assignments.c.id)).where(*done)).scalar_one()
    other = assignments.alias()
    again = sa.select(other.c.id).where(
        other.c.face_id == assignments.c.face_id,
        other.c.annotator_id == person,
        other.c.kind == "repeat",
    )
    found = connection.execute(
        sa.select(assignments.c.face_id, assignments.c.batch)
        .where(
            *done,
            assignments.c.id >= chance.randint(oldest, newest),
            assignments.c.id <= newest,
            ~again.exists(),
        )
        .order_by(assignments.c.id)
        .limit(1)
    ).one_or_none()
    return None if found is None else {**found._asdict(), "kind": "repeat"}


def _draw_training(
    connection: sa.Connection, person: Person, faces: int, chance: random.Random
) -> Any:
    """A gold face that the person has not had in this round."""
    this = person.numbers["training"]
    given = connection.execute(
        sa.select(sa.func.count()).where(*_of_round(person.id, this))
    ).scalar_one()
    if given >= faces:
        return None
    had = sa.select(assignments.c.id).where(
        assignments.c.face_id == gold.c.face_id, *_of_round(person.id, this)
    )
    free = sa.select(gold.c.face_id).where(~had.exists())
    face = _first_from(connection, free, chance.random())
    return None if face is None else {"face_id": face, "kind": "training", "round": this}


def _of_round(person: int, this: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        assignments.c.annotator_id == person,
        assignments.c.kind == "training",
        assignments.c.round == this,
        assignments.c.state.in_(("leased", "done")),
    )


def _first_from(connection: sa.Connection, free: Any, start: float) -> int | None:
    """The first gold face from a place on, or else from the beginning."""
    for which in (gold.c.place >= start, gold.c.place < start):
        statement = free.where(which).order_by(gold.c.place).limit(1)
        face: int | None = connection.execute(statement).scalar_one_or_none()
        if face is not None:
            return face
    return None


def _insert(
    connection: sa.Connection, person: int, *, expires: datetime.datetime, **values: Any
) -> Lease:
    given: dict[str, Any] = {"face_id": 0, "kind": "work", "batch": None, "round": None}
    given |= values
    rest = {"annotator_id": person, "state": "leased", "expires": expires, "at": current_time()}
    number = connection.execute(_GIVE, given | rest).scalar_one()
    face, kind, batch, this = given.values()
    return Lease(number, face, kind, batch, this, None, None, expires)


def _revive(connection: sa.Connection, number: int, expires: datetime.datetime) -> Lease:
    connection.execute(
        sa.update(assignments)
        .where(assignments.c.id == number)
        .values(state="leased", expires=expires)
    )
    found = connection.execute(sa.select(*_COLUMNS).where(assignments.c.id == number))
    return _lease(found.one())


def _lease(row: Any) -> Lease:
    return Lease(
        row.id,
        row.face_id,
        row.kind,
        row.batch,
        row.round,
        row.note,
        row.annotation,
        row.expires,
    )
