"""What a freeze reads of a project, and which datasets were frozen."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from openaffect.project.schema import (
    annotators,
    current_time,
    datasets,
    faces,
    gold,
    images,
    tasks,
    work,
)

_ROWS = 50_000  # that are Python objects at once
_IDS = 10_000  # of one condition

OUTLINE = (
    *("number", "face_id", "image_id", "source", "split", "group", "sha256", "suffix"),
    *("url", "intended", "pixels", "dhash", "mirrored", "hash_version"),
)
"""The columns of `read_outline`."""


@dataclass(frozen=True, slots=True)
class FrozenDataset:
    """A dataset that was frozen.

    Attributes:
        name: of the dataset.
        path: where it was written, absolute.
        content: of its `dataset.json`.
        options: of the freeze.
        rows: number of faces.
        faces: their numbers, int64 (n,), rising.
        people: pseudonyms of the annotators whose rows it holds.
        at: when.
    """

    name: str
    path: str
    content: str
    options: dict[str, Any]
    rows: int
    faces: NDArray[np.int64]
    people: tuple[str, ...]
    at: Any


def read_outline(connection: sa.Connection) -> dict[str, list[Any]]:
    """Of every face what decides where it goes: the columns of `OUTLINE`, in order of `face_id`.

    The order is that of Unicode's code points, on every database.
    """
    columns = [_column(name).label(name) for name in OUTLINE]
    statement = sa.select(*columns).join(images, images.c.id == faces.c.image_id)
    streaming = connection.execution_options(stream_results=True, max_row_buffer=_ROWS)
    with streaming.execute(statement) as result:
        rows = sorted(result, key=lambda row: row.face_id)
    return {name: [row[place] for row in rows] for place, name in enumerate(OUTLINE)}


def read_faces(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Every column of faces and of their images, by the faces' numbers."""
    of_images = [
        column
        for column in images.c
        if column.name not in ("id", "source", "name", "at", "pixels", "dhash", "mirrored")
    ]
    statement = (sa.select(faces, *of_images).join(images, images.c.id == faces.c.image_id)).where(
        faces.c.id.in_(numbers)
    )
    return {row.id: dict(row._mapping) for row in connection.execute(statement)}


def find_unsearched(connection: sa.Connection) -> tuple[int, dict[int, str]]:
    """How many images `detect` has still to look at, and why the others of no result failed, by id."""
    step = work.c.step == "detect"
    pending = connection.execute(
        sa.select(sa.func.count()).where(step, work.c.state.in_(("pending", "claimed")))
    ).scalar_one()
    failed = connection.execute(
        sa.select(work.c.item, work.c.reason).where(step, work.c.state == "failed")
    )
    return int(pending), {item: reason or "failed" for item, reason in failed}


def find_open_reviews(connection: sa.Connection) -> set[int]:
    """The numbers of the faces that wait for a reviewer."""
    return set(
        connection.execute(sa.select(tasks.c.face_id).where(tasks.c.review == "open")).scalars()
    )


def read_gold(connection: sa.Connection) -> dict[int, tuple[str, float | None, float | None]]:
    """Expression, valence and arousal of the gold faces, by number."""
    statement = sa.select(gold.c.face_id, gold.c.expression, gold.c.valence, gold.c.arousal)
    return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(statement)}


def find_withdrawn_people(connection: sa.Connection) -> set[str]:
    """The pseudonyms of the people who have withdrawn."""
    statement = sa.select(annotators.c.pseudonym).where(annotators.c.state == "withdrawn")
    return set(connection.execute(statement).scalars())


def find_licenses(connection: sa.Connection, numbers: Sequence[int]) -> set[str | None]:
    """The licenses of the images of faces; at most two of them."""
    found: set[str | None] = set()
    for start in range(0, len(numbers), _IDS):
        statement = (
            sa.select(images.c.license)
            .join(faces, faces.c.image_id == images.c.id)
            .where(faces.c.id.in_(numbers[start : start + _IDS]))
            .distinct()
        )
        found |= set(connection.execute(statement).scalars())
        if len(found) > 1:
            break
    return found


def find_numbers(connection: sa.Connection, face_ids: Sequence[str]) -> list[int]:
    """The numbers of faces by their names; those that are there no longer are left out."""
    found: list[int] = []
    for start in range(0, len(face_ids), _IDS):
        part = face_ids[start : start + _IDS]
        found += connection.execute(
            sa.select(faces.c.id).where(faces.c.face_id.in_(part))
        ).scalars()
    return found


def record_dataset(
    connection: sa.Connection,
    *,
    name: str,
    path: str,
    content: str,
    options: dict[str, Any],
    numbers: Iterable[int],
    people: Iterable[str],
) -> None:
    """Note that a dataset was frozen, with its faces; of one place only the last counts."""
    rising = np.sort(np.fromiter(numbers, np.int64))
    connection.execute(sa.delete(datasets).where(datasets.c.path == path))
    connection.execute(
        sa.insert(datasets).values(
            name=name,
            path=path,
            content=content,
            options=options,
            rows=len(rising),
            faces=zlib.compress(rising.astype("<i8").tobytes()),
            people=sorted(people),
            at=current_time(),
        )
    )


def list_datasets(connection: sa.Connection) -> list[FrozenDataset]:
    """The datasets that were frozen, the oldest first."""
    return [
        FrozenDataset(
            row.name,
            row.path,
            row.content,
            row.options,
            row.rows,
            np.frombuffer(zlib.decompress(row.faces), "<i8").astype(np.int64),
            tuple(row.people or ()),
            row.at,
        )
        for row in connection.execute(sa.select(datasets).order_by(datasets.c.id))
    ]


def find_datasets_of(connection: sa.Connection, pseudonym: str) -> list[str]:
    """The names of the frozen datasets that hold rows of a person, the oldest first."""
    found = connection.execute(
        sa.select(datasets.c.name, datasets.c.people).order_by(datasets.c.id)
    )
    return [name for name, people in found if pseudonym in (people or ())]


def _column(name: str) -> sa.Column[Any]:
    if name == "number":
        return faces.c.id
    return faces.c[name] if name in faces.c else images.c[name]
