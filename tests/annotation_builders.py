"""Projects with faces, people and work, for the tests of annotation."""

from __future__ import annotations

import datetime
import itertools
import json
import time
import uuid
from typing import Any

import sqlalchemy as sa

from openaffect.project import Project, accounts, answers, assignments, rows, schema, tasks
from openaffect.project.accounts import Person
from openaffect.project.answers import Answer
from openaffect.project.assignments import Lease
from openaffect.project.rows import ImageRow, StoredFace
from openaffect.project.tasks import Task

INSTRUCTIONS = "1"
_numbers = itertools.count()


def uuid7() -> str:
    """An id as browsers make it."""
    value = (int(time.time() * 1000) << 80) | next(_numbers)
    return str(uuid.UUID(int=value & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62))


def add_faces(project: Project, count: int, intended: list[str | None] | None = None) -> list[int]:
    """Faces without files; their numbers. `intended` is repeated."""
    hopes = itertools.cycle(intended or [None])
    with project.database.write() as connection:
        names = [f"face-{n:05}" for n in range(count)]
        images = [
            ImageRow(f"{n:064x}", ".png", 1, "made", name, 64, 64, intended=next(hopes))
            for n, name in enumerate(names)
        ]
        ids, _ = rows.insert_images(connection, images)
        faces = [
            StoredFace(name, ids[f"{n:064x}"], "made", x=8, y=8, w=40, h=40)
            for n, name in enumerate(names)
        ]
        found = rows.insert_faces(connection, faces)
    return [found[name] for name in names]


def add_batch(project: Project, faces: list[int], wanted: int = 1, name: str = "all") -> None:
    """A batch of faces in their order."""
    with project.database.write() as connection:
        tasks.insert_batch(
            connection,
            name,
            [Task(face, wanted) for face in faces],
            overlap=wanted,
            overlap_share=1.0,
            balanced_by="random",
            people=None,
            chosen={},
            seed=0,
        )


def add_person(project: Project, name: str, role: str = "annotator") -> Person:
    """Somebody who has chosen a password and read the instructions."""
    link = accounts.invite(project, name, role)
    accounts.use_link(project, link.token, "not a hash")
    accounts.change_preferences(project, link.person.id, instructions=INSTRUCTIONS)
    return person_of(project, link.person.id)


def person_of(project: Project, number: int) -> Person:
    """A person as they are now."""
    with project.database.read() as connection:
        return accounts.get_person(connection, number)


def draw(project: Project, person: Person, held: tuple[int, ...] = ()) -> list[Lease]:
    """The next faces of a person."""
    with project.database.write() as connection:
        now = accounts.get_person(connection, person.id)
        assignments.expire_leases(connection)
        found = assignments.lease_faces(connection, now, project.settings, held)
        accounts.save_numbers(connection, now)
        return found


def say(
    project: Project, person: Person, assignment: int, expression: str = "happy", **more: Any
) -> str:
    """Store an answer; its id."""
    answer = answers.check_answer(
        Answer(**{"id": uuid7(), "expression": expression} | more), project.settings
    )
    with project.database.write() as connection:
        now = accounts.get_person(connection, person.id)
        answers.store_answer(connection, now, assignment, answer, project.settings)
        accounts.save_numbers(connection, now)
    return answer.id


def undo(project: Project, person: Person, annotation: str) -> Lease:
    """Withdraw an answer."""
    with project.database.write() as connection:
        now = accounts.get_person(connection, person.id)
        found = answers.undo_answer(connection, now, uuid7(), annotation, project.settings)
        accounts.save_numbers(connection, now)
        return found


def task_of(project: Project, face: int) -> Any:
    """The row of a task."""
    with project.database.read() as connection:
        return connection.execute(
            sa.select(schema.tasks).where(schema.tasks.c.face_id == face)
        ).one()


def change(project: Project, table: sa.Table, which: sa.ColumnElement[bool], **values: Any) -> None:
    """Change rows behind the project's back, such as a time that is to have passed."""
    with project.database.write() as connection:
        assert connection.execute(sa.update(table).where(which).values(**values)).rowcount > 0


def ago(**how_long: float) -> datetime.datetime:
    """A time in the past."""
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**how_long)


def recount(project: Project) -> dict[str, int]:
    """What the counters of answers should be, from the rows themselves, one at a time."""
    with project.database.read() as connection:
        found = connection.execute(sa.select(schema.annotations)).all()
        withdrawn = {row.replaces for row in found if row.void}
        wanted = connection.execute(sa.select(sa.func.sum(schema.tasks.c.wanted))).scalar() or 0
        open_ = connection.execute(
            sa.select(sa.func.count()).where(schema.tasks.c.review == "open")
        ).scalar_one()
    later = {row.replaces for row in found if not row.void and row.id not in withdrawn}
    standing = [
        row for row in found if not row.void and row.id not in withdrawn and row.id not in later
    ]
    counted = {"annotations": len(found), "answers.wanted": wanted, "review.open": open_}
    for row in standing:
        names = [f"annotations.{row.kind}"]
        if row.kind == "work":
            names += ["answers.done", f"expression.{row.expression}"]
            others = [
                one
                for one in standing
                if one.kind == "work" and one.face_id == row.face_id and one.id < row.id
            ]
            counted["agreement.pairs"] = counted.get("agreement.pairs", 0) + len(others)
            agree = sum(one.expression == row.expression for one in others)
            counted["agreement.agree"] = counted.get("agreement.agree", 0) + agree
        for name in names:
            counted[name] = counted.get(name, 0) + 1
    return {name: count for name, count in counted.items() if count}


def to_json(value: Any) -> Any:
    """A value as it comes out of JSON."""
    return json.loads(json.dumps(value))
