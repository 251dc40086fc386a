"""What images look like, and which are copies of others."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from openaffect.faces.signatures import HASH_VERSION, THUMB
from openaffect.project import counters, work
from openaffect.project.database import Database
from openaffect.project.rows import insert
from openaffect.project.schema import faces, images, thumbnails
from openaffect.project.schema import work as work_table

STEP = "detect"
"""The queue that copies leave."""

_COMPARED = "images.compared"
_ROWS = 10_000  # that are read or written at a time


@dataclass(frozen=True, slots=True)
class Looks:
    """What the images of a project look like, in the order of their ids.

    Attributes:
        ids: int64 (n,).
        pixels: uint64 (n,), the digest of the pixels; see `signatures.Signature`.
        thumbs: uint8 (n, 256), the thumbnails, mapped to memory.
        areas: int64 (n,), pixels of each image.
        searched: bool (n,), whether its faces have been found, or came with it.
        copy_of: int64 (n,), the id of the image that it is known as a copy of, or 0.
    """

    ids: NDArray[np.int64]
    pixels: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]
    areas: NDArray[np.int64]
    searched: NDArray[np.bool_]
    copy_of: NDArray[np.int64]


@contextlib.contextmanager
def open_looks(database: Database) -> Iterator[Looks]:
    """What every signed image looks like; the thumbnails lie in a file as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="openaffect-") as folder:
        path = Path(folder) / "thumbs"
        columns: list[list[Any]] = [[], [], [], [], []]
        with database.read() as connection, path.open("wb") as file:
            for row in connection.execution_options(yield_per=_ROWS).execute(_select()):
                for values, value in zip(columns, row[:-1], strict=True):
                    values.append(value)
                file.write(row.thumb)
        ids, pixels, areas, searched, copy_of = columns
        shape = (len(ids), THUMB * THUMB)
        thumbs: NDArray[np.uint8] = (
            np.memmap(path, np.uint8, "r", shape=shape) if ids else np.empty(shape, np.uint8)
        )
        yield Looks(
            np.array(ids, np.int64),
            np.array(pixels, np.int64).view(np.uint64),
            thumbs,
            np.array(areas, np.int64),
            np.array(searched, bool),
            np.array(copy_of, np.int64),
        )


def needs_comparison(connection: sa.Connection) -> bool:
    """Whether there are other images than when all were compared the last time."""
    statement = sa.select(sa.func.count()).select_from(_signed())
    known = counters.read(connection, _COMPARED).get(_COMPARED, 0)
    return connection.execute(statement).scalar_one() != known


def note_comparison(connection: sa.Connection, count: int) -> None:
    """Note that all images, so many, have been compared."""
    known = counters.read(connection, _COMPARED).get(_COMPARED, 0)
    counters.add(connection, {_COMPARED: count - known})


def add_thumbnails(connection: sa.Connection, thumbs: Mapping[int, bytes | None]) -> None:
    """Add the thumbnails of images, by id, that have none yet."""
    rows = [
        {"image_id": number, "thumb": thumb}
        for number, thumb in thumbs.items()
        if thumb is not None
    ]
    if rows:
        connection.execute(insert(connection, thumbnails).on_conflict_do_nothing(), rows)


def mark_copies(connection: sa.Connection, copies: Mapping[int, int]) -> None:
    """Note which images are copies of others; nobody need search them for faces any more.

    Args:
        connection: of a transaction that writes.
        copies: the id of the other image by the id of the copy; at most some thousand.
    """
    if not copies:
        return
    before = images.c.id.in_(list(copies)), images.c.copy_of.is_not(None)
    statement = sa.select(sa.func.count()).select_from(images).where(*before)
    known = connection.execute(statement).scalar_one()
    rows = [{"b_id": number, "b_of": other} for number, other in sorted(copies.items())]
    connection.execute(
        sa.update(images)
        .where(images.c.id == sa.bindparam("b_id"))
        .values(copy_of=sa.bindparam("b_of")),
        rows,
    )
    counters.add(connection, {"images.copies": len(copies) - known})
    work.refuse(connection, STEP, sorted(copies), "copy")


def free_copies(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """Let images be no copies any more: of images that go, or that they are found not to resemble."""
    for start in range(0, len(numbers), _ROWS):
        part = numbers[start : start + _ROWS]
        freed = connection.execute(
            sa.update(images)
            .where(images.c.id.in_(part), images.c.copy_of.is_not(None))
            .values(copy_of=None)
            .returning(images.c.id)
        )
        ids = sorted(freed.scalars())
        counters.add(connection, {"images.copies": -len(ids)})
        work.reopen(connection, STEP, ids)


def find_copies_of(connection: sa.Connection, number: int) -> list[int]:
    """The images that are known as copies of one."""
    statement = sa.select(images.c.id).where(images.c.copy_of == number).order_by(images.c.id)
    return list(connection.execute(statement).scalars())


def _select() -> sa.Select[Any]:
    has_faces = sa.exists().where(faces.c.image_id == images.c.id)
    is_done = sa.exists().where(
        work_table.c.step == STEP,
        work_table.c.item == images.c.id,
        work_table.c.state.in_(("claimed", "done")),
    )
    return (
        sa.select(
            images.c.id,
            images.c.pixels,
            images.c.width * images.c.height,
            sa.or_(has_faces, is_done),
            sa.func.coalesce(images.c.copy_of, 0),
            thumbnails.c.thumb,
        )
        .join(thumbnails, thumbnails.c.image_id == images.c.id)
        .where(*_is_signed())
        .order_by(images.c.id)
    )


def _signed() -> Any:
    """The images whose look is known, in the version of now."""
    joined = sa.select(images.c.id).join(thumbnails, thumbnails.c.image_id == images.c.id)
    return joined.where(*_is_signed()).subquery()


def _is_signed() -> tuple[sa.ColumnElement[bool], ...]:
    return images.c.hash_version == HASH_VERSION, images.c.pixels.is_not(None)
