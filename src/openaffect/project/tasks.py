"""Batches and their tasks: which faces are labeled, in which order, by how many people each."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from openaffect.errors import ConflictError, InputError, NotFoundError
from openaffect.project import counters, imported, rows
from openaffect.project.schema import batches, current_time, faces, images, tasks

_LEVEL = 1_000  # faces of a level, in which people begin at different places
_ROWS = 5_000  # of one INSERT


@dataclass(frozen=True, slots=True)
class Filter:
    """Which faces a batch takes; None for all.

    Attributes:
        intended: expressions that the search was for.
        source: where the faces were added from.
        query: the words of the search.
        min_size: pixels of the longer side of the box.
        limit: at most so many, chosen at random.
    """

    intended: tuple[str, ...] | None = None
    source: str | None = None
    query: str | None = None
    min_size: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face that a batch may take: its number, `face_id` and the expression that was hoped for."""

    number: int
    face_id: str
    intended: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A face of a batch that is being made.

    Attributes:
        number: of the face.
        wanted: by how many people it is labeled.
        prelabel: what a model says of it: expression, valence, arousal, confidence.
    """

    number: int
    wanted: int
    prelabel: Mapping[str, Any] | None = None


def find_candidates(connection: sa.Connection, which: Filter) -> list[Candidate]:
    """The faces that a filter finds and that are in no batch yet, by number."""
    statement = (
        sa.select(faces.c.id, faces.c.face_id, images.c.intended)
        .join(images, images.c.id == faces.c.image_id)
        .outerjoin(tasks, tasks.c.face_id == faces.c.id)
        .where(tasks.c.face_id.is_(None))
        .order_by(faces.c.id)
    )
    if which.intended is not None:
        statement = statement.where(images.c.intended.in_(which.intended))
    if which.source is not None:
        statement = statement.where(faces.c.source == which.source)
    if which.query is not None:
        statement = statement.where(images.c.query == which.query)
    if which.min_size is not None:
        # A face without a box is the whole image.
        sides = [
            sa.func.coalesce(faces.c[side], images.c[whole])
            for side, whole in (("w", "width"), ("h", "height"))
        ]
        statement = statement.where(sa.or_(*(side >= which.min_size for side in sides)))
    return [Candidate(*row) for row in connection.execute(statement)]


def insert_batch(
    connection: sa.Connection,
    name: str,
    ordered: Sequence[Task],
    *,
    overlap: int,
    overlap_share: float,
    balanced_by: str,
    people: Sequence[int] | None,
    chosen: Mapping[str, Any],
    seed: int,
) -> None:
    """Make a batch of faces in the order in which they shall be labeled.

    Raises:
        ConflictError: the name is taken, or a face is in another batch by now.
    """
    if _find(connection, name) is not None:
        raise ConflictError(f"there is a batch '{name}' already; choose another name")
    wanted = sum(task.wanted for task in ordered)
    values = {
        "name": name,
        "state": "open",
        "overlap": overlap,
        "overlap_share": overlap_share,
        "balanced_by": balanced_by,
        "people": None if people is None else list(people),
        "filter": dict(chosen),
        "faces": len(ordered),
        "wanted": wanted,
        "at": current_time(),
    }
    number = connection.execute(
        sa.insert(batches).values(**values).returning(batches.c.id)
    ).scalar_one()
    chance = random.Random(seed)
    added = 0
    for part in _parts(_rows_of(ordered, number, chance)):
        statement = rows.insert(connection, tasks).on_conflict_do_nothing()
        added += len(connection.execute(statement.returning(tasks.c.face_id), part).all())
    if added != len(ordered):
        raise ConflictError("another batch has taken some of these faces meanwhile; plan it again")
    counters.add(connection, {"answers.wanted": wanted, "faces.in_batches": len(ordered)})
    for start in range(0, len(ordered), _ROWS):
        numbers = [task.number for task in ordered[start : start + _ROWS]]
        imported.note_imported(connection, {}, imported.count_imported(connection, numbers))
    details = {key: values[key] for key in ("overlap", "overlap_share", "faces", "filter")}
    rows.record_event(connection, "batch", name, details)


def list_batches(connection: sa.Connection) -> list[dict[str, Any]]:
    """Every batch, the oldest first: the columns of `schema.batches` and `done`."""
    numbers = counters.read(connection, "batch.")
    found = connection.execute(sa.select(batches).order_by(batches.c.id))
    return [{**row._asdict(), "done": numbers.get(f"batch.{row.id}.done", 0)} for row in found]


def change_batch(connection: sa.Connection, name: str, **values: Any) -> None:
    """Open or close a batch (`state`), or change who works on it (`people`).

    Raises:
        NotFoundError: no such batch.
        InputError: no such state.
    """
    if "state" in values and values["state"] not in ("open", "closed"):
        raise InputError(f"expected the state open or closed, but got '{values['state']}'")
    found = _find(connection, name)
    if found is None:
        raise NotFoundError(f"expected the name of a batch, but there is no '{name}'")
    connection.execute(sa.update(batches).where(batches.c.id == found.id).values(**values))
    rows.record_event(connection, "batch", name, values)


def find_prelabels(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What a model says of faces, by their numbers, where it is known."""
    found = connection.execute(
        sa.select(tasks.c.face_id, tasks.c.prelabel).where(
            tasks.c.face_id.in_(numbers), tasks.c.prelabel.is_not(None)
        )
    )
    return dict(found.all())


def count_faces_without_batch(connection: sa.Connection) -> int:
    """How many faces are in no batch, from counters."""
    numbers = counters.read(connection, "faces")
    return numbers.get("faces", 0) - numbers.get("faces.in_batches", 0)


def open_batches(connection: sa.Connection, person: int) -> list[tuple[int, str]]:
    """Number and name of the batches that a person works on, the oldest first."""
    found = connection.execute(_OPEN)
    return [(row.id, row.name) for row in found if row.people is None or person in row.people]


_OPEN = (
    sa.select(batches.c.id, batches.c.name, batches.c.people)
    .where(batches.c.state == "open")
    .order_by(batches.c.id)
)


def _rows_of(
    ordered: Sequence[Task], batch: int, chance: random.Random
) -> Iterator[dict[str, Any]]:
    for place, task in enumerate(ordered):
        yield {
            "face_id": task.number,
            "batch_id": batch,
            "wanted": task.wanted,
            "level": place // _LEVEL,
            "place": chance.random(),
            "prelabel": None if task.prelabel is None else dict(task.prelabel),
        }


def _parts(values: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    for value in values:
        part.append(value)
        if len(part) == _ROWS:
            yield part
            part = []
    if part:
        yield part


def _find(connection: sa.Connection, name: str) -> Any:
    return connection.execute(sa.select(batches).where(batches.c.name == name)).one_or_none()
