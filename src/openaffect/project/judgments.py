"""Annotations and votes on their way out of the tables, a batch at a time."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from openaffect.errors import FormatError, reason
from openaffect.labels import EXPRESSIONS
from openaffect.project.schema import annotations, annotators, faces, images
from openaffect.schemas import ANNOTATIONS

IMPORTED = sa.and_(annotations.c.kind == "imported", ~annotations.c.counted)
"""Labels that came with a dataset; for `where` of `read_annotations`."""

GIVEN = sa.or_(annotations.c.kind != "imported", annotations.c.counted)
"""What annotators have said, and imported judgments that count as theirs."""

_BATCH = 50_000  # rows that are Python objects at once
_SOURCE = ("query", "intended", "provider", "url", "page_url", "author", "title", "license")


def read_annotations(
    connection: sa.Connection,
    columns: Sequence[str] | None = None,
    *,
    where: sa.ColumnElement[bool] | None = None,
    in_order: bool = False,
) -> Iterator[pa.RecordBatch]:
    """The annotations of a project, every row that was ever written.

    Args:
        connection: of `Database.read`, which must stay open until the last batch is taken.
        columns: of `annotations.parquet`; all by default. `face_id` is the text by which a face is
            known, and `annotator` the pseudonym of a person.
        where: a condition on the rows, of `annotations` and `faces`; by default all are read.
        in_order: of time, then of the ids; else there is no order to rely on.

    Raises:
        FormatError: a value of the wrong type in a damaged database.
    """
    names = list(columns or ANNOTATIONS.names)
    schema = pa.schema([ANNOTATIONS.field(name) for name in names])
    source: dict[str, Any] = {name: annotations.c[name] for name in names if name in annotations.c}
    source |= {"face_id": faces.c.face_id, "annotator": annotators.c.pseudonym}
    # As the database has it: making a time of each of a million texts takes longer than the rest.
    source["at"] = sa.type_coerce(annotations.c.at, sa.types.NullType())
    statement = (
        sa.select(*(source[name].label(name) for name in names))
        .select_from(annotations)
        .join(faces, faces.c.id == annotations.c.face_id)
        .join(annotators, annotators.c.id == annotations.c.annotator_id)
    )
    if where is not None:
        statement = statement.where(where)
    if in_order:
        statement = statement.order_by(annotations.c.at, annotations.c.id)
    streaming = connection.execution_options(stream_results=True, max_row_buffer=_BATCH)
    with streaming.execute(statement) as result:  # closed also where the reader stops early
        for rows in result.partitions(_BATCH):
            columns_of = zip(*rows, strict=True)
            try:
                arrays = [
                    _array(list(values), field)
                    for values, field in zip(columns_of, schema, strict=True)
                ]
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise FormatError(
                    f"damaged annotations in the database: {reason(error)}"
                ) from error
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def read_annotations_of(
    connection: sa.Connection, numbers: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """The annotations of faces by their numbers, in order; see `read_annotations`."""
    return read_annotations(connection, where=faces.c.id.in_(numbers), in_order=True)


def read_pages(
    connection: sa.Connection, size: int, *, with_annotations: bool = True
) -> Iterator[tuple[Sequence[Any], pa.Table]]:
    """All faces by number, a page at a time, each page with the annotations of its faces.

    Args:
        connection: of `Database.read`, which must stay open until the last page is taken.
        size: faces of a page.
        with_annotations: whether to read them; else the tables are empty.

    Yields:
        Rows with `face_id`, the box, `detector`, and of the image its `sha256`, `suffix`, size and
        where it came from; and the table of `read_annotations`, in order.
    """
    wanted = [faces.c[name] for name in ("id", "face_id", "x", "y", "w", "h", "detector")]
    wanted += [images.c[name] for name in ("sha256", "suffix", "width", "height", *_SOURCE)]
    statement = sa.select(*wanted).join(images).order_by(faces.c.id).limit(size)
    last = 0
    while page := connection.execute(statement.where(faces.c.id > last)).all():
        here = sa.and_(faces.c.id > last, faces.c.id <= page[-1].id)
        batches = (
            read_annotations(connection, where=here, in_order=True) if with_annotations else ()
        )
        yield page, pa.Table.from_batches(batches, ANNOTATIONS)
        last = page[-1].id


def read_votes(connection: sa.Connection) -> Iterator[list[int]]:
    """The votes of the faces that have them: how many raters chose each of the eleven expressions.

    Raises:
        FormatError: a damaged value in the database.
    """
    # As text: damaged JSON must be told with the face's name.
    text = sa.type_coerce(faces.c.votes, sa.Text)
    statement = sa.select(faces.c.face_id, text).where(faces.c.votes.is_not(None))
    streaming = connection.execution_options(stream_results=True, max_row_buffer=_BATCH)
    with streaming.execute(statement) as result:
        for face_id, value in result:
            try:
                votes = json.loads(value)
            except (ValueError, TypeError, RecursionError):
                votes = value
            if votes is not None:
                yield _check_votes(votes, face_id)


def _check_votes(votes: Any, face_id: str) -> list[int]:
    if not (
        isinstance(votes, list)
        and len(votes) == len(EXPRESSIONS)
        and all(type(count) is int and 0 <= count < 2**16 for count in votes)
    ):
        raise FormatError(f"damaged votes of face {face_id} in the database: {votes}")
    return votes


def _array(values: list[Any], field: pa.Field) -> pa.Array:
    is_time = pa.types.is_timestamp(field.type)
    if is_time and any(isinstance(value, str) for value in values):  # SQLite has no times
        return pc.assume_timezone(pa.array(values, pa.string()).cast(pa.timestamp("us")), "UTC")
    return pa.array(values, field.type)
