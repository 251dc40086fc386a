"""Images, faces and annotations on their way into the tables."""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openaffect.annotation_row import AnnotationRow
from openaffect.project import counters, imported
from openaffect.project.schema import annotations, annotators, current_time, events, faces, images

_IDS = uuid.UUID("5b2e4c0a-5f0d-4d86-9d0e-0f6f3d2b7a11")


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One file of the store; the columns of `schema.images` that are known when it comes."""

    sha256: str
    suffix: str
    bytes: int
    source: str
    name: str
    width: int | None = None
    height: int | None = None
    query: str | None = None
    intended: str | None = None
    provider: str | None = None
    url: str | None = None
    page_url: str | None = None
    title: str | None = None
    author: str | None = None
    license: str | None = None
    license_url: str | None = None
    restrictions: str | None = None
    pixels: int | None = None
    dhash: int | None = None
    mirrored: int | None = None
    hash_version: int | None = None


@dataclass(frozen=True, slots=True)
class StoredFace:
    """One face of an image; the columns of `schema.faces`.

    `landmarks` is None or the bytes of 136 float32 in little-endian order.
    """

    face_id: str
    image_id: int
    source: str
    x: float | None = None
    y: float | None = None
    w: float | None = None
    h: float | None = None
    detector: str | None = None
    score: float | None = None
    landmarks: bytes | None = None
    landmarker: str | None = None
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None
    sharpness: float | None = None
    brightness: float | None = None
    votes: list[int] | None = None
    soft_label: list[float] | None = None
    split: str | None = None
    group: str | None = None
    extra: Any = None


@dataclass(frozen=True, slots=True)
class StoredAnnotation(AnnotationRow):
    """One judgment; the columns of `schema.annotations`.

    `face_id` is the text by which a face is known. `counted`: see `schema.annotations`.
    """

    kind: str = "imported"
    void: bool = False
    late: bool = False
    counted: bool = False


def insert_images(
    connection: sa.Connection, rows: Sequence[ImageRow]
) -> tuple[dict[str, int], set[str]]:
    """Add images that are not there yet.

    Returns:
        The id of every row's image by its SHA-256, and which of them are new.
    """
    if not rows:
        return {}, set()
    at = current_time()
    unique = {row.sha256: {**read_fields(row), "at": at} for row in rows}
    statement = insert(connection, images).on_conflict_do_nothing().returning(images.c.sha256)
    new = set(connection.execute(statement, list(unique.values())).scalars())
    found = connection.execute(
        sa.select(images.c.sha256, images.c.id).where(images.c.sha256.in_(list(unique)))
    )
    total = sum(unique[sha256]["bytes"] for sha256 in new)
    counters.add(connection, {"images": len(new), "images.bytes": total})
    return dict(found.all()), new


def insert_faces(connection: sa.Connection, rows: Sequence[StoredFace]) -> dict[str, int]:
    """Add faces whose face_id is not there yet; the ids of those that were added, by face_id."""
    if not rows:
        return {}
    at = current_time()
    values = [{**asdict(row), "at": at} for row in rows]
    statement = (
        insert(connection, faces).on_conflict_do_nothing().returning(faces.c.face_id, faces.c.id)
    )
    added = dict(connection.execute(statement, values).all())
    counters.add(connection, {"faces": len(added)})
    return added


def find_faces(connection: sa.Connection, face_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The source and the image's SHA-256 of the faces that are there, by face_id."""
    rows = connection.execute(
        sa.select(faces.c.face_id, faces.c.source, images.c.sha256)
        .join(images)
        .where(faces.c.face_id.in_(list(face_ids)))
    )
    return {face_id: (source, sha256) for face_id, source, sha256 in rows}


def find_face_ids(connection: sa.Connection, face_ids: Iterable[str]) -> set[str]:
    """Those of the ids that a face has."""
    statement = sa.select(faces.c.face_id).where(faces.c.face_id.in_(list(face_ids)))
    return set(connection.execute(statement).scalars())


def find_annotations(connection: sa.Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Annotations by their ids, each with `face_id` and `annotator` as texts, and `pseudonym`."""
    left_out = ("face_id", "annotator_id", "assignment_id")
    statement = (
        sa.select(
            *(column for column in annotations.c if column.name not in left_out),
            faces.c.face_id,
            annotators.c.name.label("annotator"),
            annotators.c.pseudonym,
        )
        .join(faces, faces.c.id == annotations.c.face_id)
        .join(annotators, annotators.c.id == annotations.c.annotator_id)
        .where(annotations.c.id.in_(list(ids)))
    )
    return {row.id: dict(row._mapping) for row in connection.execute(statement)}


def find_images(connection: sa.Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Images by their ids, each with `id`, `sha256`, `suffix` and its `faces`, as dictionaries."""
    wanted = sa.select(images.c.id, images.c.sha256, images.c.suffix).where(images.c.id.in_(ids))
    found = {row.id: {**row._asdict(), "faces": []} for row in connection.execute(wanted)}
    columns = [faces.c[name] for name in ("id", "image_id", "x", "y", "w", "h", "landmarks")]
    of_them = sa.select(*columns).where(faces.c.image_id.in_(ids)).order_by(faces.c.id)
    for row in connection.execute(of_them):
        if row.image_id in found:  # in a damaged file an index may lead elsewhere
            found[row.image_id]["faces"].append(row._asdict())
    return [found[number] for number in ids if number in found]


def update_rows(
    connection: sa.Connection, table: sa.Table, values: Sequence[Mapping[str, Any]]
) -> None:
    """Change rows of a table, each named by its `id`; all of them must give the same columns."""
    if values:
        names = [name for name in values[0] if name != "id"]
        statement = (
            sa.update(table)
            .where(table.c.id == sa.bindparam("b_id"))
            .values({name: sa.bindparam(f"b_{name}") for name in names})
        )
        given = [{f"b_{name}": value for name, value in row.items()} for row in values]
        connection.execute(statement, given)


def insert_annotations(connection: sa.Connection, rows: Sequence[StoredAnnotation]) -> int:
    """Add judgments whose id is not there yet; how many were added.

    A row without an id gets one from its annotator and face, so that the same row that comes again
    is the same annotation.
    """
    if not rows:
        return 0
    known = dict(
        connection.execute(
            sa.select(faces.c.face_id, faces.c.id).where(
                faces.c.face_id.in_({row.face_id for row in rows})
            )
        ).all()
    )
    people = _annotator_ids(connection, {row.annotator for row in rows})
    at = current_time()
    values = []
    for row in rows:
        if row.face_id in known:
            named = row if row.id else replace(row, id=_annotation_id(row))
            data = asdict(named) | {"face_id": known[row.face_id], "at": row.at or at}
            data["annotator_id"] = people[data.pop("annotator")]
            values.append(data)
    if not values:
        return 0
    counting = sorted({data["face_id"] for data in values if data["counted"]})
    before = imported.count_imported(connection, counting)
    statement = (
        insert(connection, annotations)
        .on_conflict_do_nothing()
        .returning(annotations.c.kind, annotations.c.counted)
    )
    added = Counter(connection.execute(statement, values))
    changes: Counter[str] = Counter()
    for (kind, counted), count in added.items():
        changes["annotations"] += count
        changes[f"annotations.{kind}"] += count
        changes["annotations.counted"] += count if counted else 0
    counters.add(connection, changes)
    imported.note_imported(connection, before, imported.count_imported(connection, counting))
    return sum(added.values())


def record_event(
    connection: sa.Connection, kind: str, subject: str | None = None, details: Any = None
) -> None:
    """Write down what was done to the project."""
    connection.execute(
        sa.insert(events).values(at=current_time(), kind=kind, subject=subject, details=details)
    )


def list_events(
    connection: sa.Connection, limit: int, before: int | None = None
) -> list[dict[str, Any]]:
    """What was done to a project, the newest first: the columns of `schema.events`."""
    statement = sa.select(events).order_by(events.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(events.c.id < before)
    return [dict(row._mapping) for row in connection.execute(statement)]


def _annotator_ids(connection: sa.Connection, names: set[str]) -> dict[str, int]:
    at = current_time()
    rows = [
        {"name": name, "pseudonym": name, "role": "import", "state": "active", "at": at}
        for name in sorted(names)
    ]
    connection.execute(insert(connection, annotators).on_conflict_do_nothing(), rows)
    found = connection.execute(
        sa.select(annotators.c.name, annotators.c.id).where(annotators.c.name.in_(names))
    )
    return dict(found.all())


def name_annotation(*parts: str) -> str:
    """The id of an annotation that is always made of the same texts."""
    return str(uuid.uuid5(_IDS, "\0".join(parts)))


def _annotation_id(row: StoredAnnotation) -> str:
    when = row.at.isoformat() if row.at else ""
    return name_annotation(row.annotator, row.face_id, when)


def read_fields(row: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; `asdict` copies every value, which takes most of the time."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT with the `on_conflict_do_nothing` and `on_conflict_do_update` of the database."""
    return (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)
