"""Images that are forgotten: their rows go, and so does all that was said of their faces."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from openaffect.project import accounts, answers, copies, counters, work
from openaffect.project.schema import (
    annotations,
    annotators,
    assignments,
    attempts,
    batches,
    events,
    faces,
    gold,
    hits,
    hosts,
    images,
    tasks,
    thumbnails,
    urls,
)
from openaffect.project.settings import Settings
from openaffect.withdrawals import normalize_url

_FORGOTTEN = "forgotten"


def delete_image(connection: sa.Connection, number: int, settings: Settings) -> None:
    """Delete an image, its faces, and every row that is about them; counters follow.

    Answers are withdrawn first, as if their people had undone them, so that nobody's numbers hold
    what can no longer be looked at.

    Args:
        connection: of a transaction that writes.
        number: of the image; one that is not there changes nothing.
        settings: of the project.
    """
    image = connection.execute(sa.select(images).where(images.c.id == number)).one_or_none()
    if image is None:
        return
    found = connection.execute(
        sa.select(faces.c.id, faces.c.face_id)
        .where(faces.c.image_id == number)
        .order_by(faces.c.id)
    ).all()
    changes: Counter[str] = Counter()
    for face, face_id in found:
        _withdraw_answers(connection, face, settings)
        _delete_work(connection, face, changes)
        _delete_rows(connection, face, changes)
        connection.execute(
            sa.update(events).where(events.c.subject == face_id).values(subject=_FORGOTTEN)
        )
    connection.execute(sa.delete(faces).where(faces.c.image_id == number))
    changes["faces"] -= len(found)
    _delete_search(connection, number, has_faces=bool(found), changes=changes)
    _delete_urls(connection, number, image.url)
    changes["images.copies"] -= image.copy_of is not None
    copies.free_copies(connection, copies.find_copies_of(connection, number))
    connection.execute(sa.delete(thumbnails).where(thumbnails.c.image_id == number))
    connection.execute(sa.delete(images).where(images.c.id == number))
    changes["images"] -= 1
    changes["images.bytes"] -= image.bytes
    counters.add(connection, changes)


def find_images(connection: sa.Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """What images are known by: `id`, `sha256`, `suffix`, `source`, `name`, `url`; and `face_ids`."""
    columns = (images.c[name] for name in ("id", "sha256", "suffix", "source", "name", "url"))
    statement = sa.select(*columns).where(images.c.id.in_(numbers)).order_by(images.c.id)
    rows = [dict(row._mapping) for row in connection.execute(statement)]
    named = connection.execute(
        sa.select(faces.c.image_id, faces.c.face_id, faces.c.id)
        .where(faces.c.image_id.in_(numbers))
        .order_by(faces.c.id)
    ).all()
    for row in rows:
        row["face_ids"] = [face_id for image, face_id, _ in named if image == row["id"]]
        row["faces"] = [face for image, _, face in named if image == row["id"]]
    return rows


def find_by_text(connection: sa.Connection, text: str) -> set[int]:
    """The numbers of the images that have this SHA-256, face_id or address as it stands."""
    of_images = sa.select(images.c.id).where(sa.or_(images.c.sha256 == text, images.c.url == text))
    of_faces = sa.select(faces.c.image_id).where(faces.c.face_id == text)
    return {
        number
        for statement in (of_images, of_faces)
        for number in connection.execute(statement).scalars()
    }


def read_images(connection: sa.Connection) -> list[Any]:
    """What every image is recognized by: `id`, `sha256`, `url`, `pixels`, `dhash`, `mirrored`, `hash_version`."""
    names = ("id", "sha256", "suffix", "url", "pixels", "dhash", "mirrored", "hash_version")
    statement = sa.select(*(images.c[name] for name in names)).order_by(images.c.id)
    return list(connection.execute(statement))


def read_urls(connection: sa.Connection) -> list[Any]:
    """Every address, with the `id` and the `image_id` of its row."""
    return list(connection.execute(sa.select(urls.c.id, urls.c.url, urls.c.image_id)))


def read_face_ids(connection: sa.Connection) -> list[tuple[int, str]]:
    """The image's number and the name of every face."""
    statement = sa.select(faces.c.image_id, faces.c.face_id).order_by(faces.c.id)
    return [(row[0], row[1]) for row in connection.execute(statement)]


def _withdraw_answers(connection: sa.Connection, face: int, settings: Settings) -> None:
    """Withdraw the standing answers of people, repetitions before first answers."""
    standing = [
        row
        for row in answers.find_valid_answers(connection, face)
        if row.role in (*accounts.ROLES, accounts.LOCAL)
    ]
    standing.sort(key=lambda row: (row.annotator_id, row.kind != "repeat", row.id))
    for number, row in enumerate(standing):
        person = accounts.get_person(connection, row.annotator_id)
        # The mark is deleted with the rest in this transaction; it need be no UUID.
        answers.void_answer(connection, person, row, f"{_FORGOTTEN}-{face}-{number}", settings)
        accounts.save_numbers(connection, person)


def _delete_work(connection: sa.Connection, face: int, changes: Counter[str]) -> None:
    """Delete the task of a face and what makes it gold."""
    task = connection.execute(sa.select(tasks).where(tasks.c.face_id == face)).one_or_none()
    if task is not None:
        changes["answers.wanted"] -= task.wanted
        changes["answers.done"] -= task.done
        changes[f"batch.{task.batch_id}.done"] -= task.done
        changes["faces.in_batches"] -= 1
        changes["review.open"] -= task.review == "open"
        connection.execute(
            sa.update(batches)
            .where(batches.c.id == task.batch_id)
            .values(faces=batches.c.faces - 1, wanted=batches.c.wanted - task.wanted)
        )
        connection.execute(sa.delete(tasks).where(tasks.c.face_id == face))
    known = connection.execute(sa.delete(gold).where(gold.c.face_id == face))
    changes["gold"] -= known.rowcount


def _delete_rows(connection: sa.Connection, face: int, changes: Counter[str]) -> None:
    """Delete the annotations and the assignments of a face."""
    of_face = annotations.c.face_id == face
    is_person = annotators.c.role.in_((*accounts.ROLES, accounts.LOCAL))
    rows = connection.execute(
        sa.select(
            annotations.c.kind,
            annotations.c.void,
            annotations.c.counted,
            is_person.label("is_person"),
        )
        .join(annotators, annotators.c.id == annotations.c.annotator_id)
        .where(of_face)
    )
    for row in rows:
        changes["annotations"] -= 1
        if row.is_person:  # what stood was withdrawn above
            changes["annotations.void"] -= row.void
        else:
            changes[f"annotations.{row.kind}"] -= 1
            changes["annotations.counted"] -= row.counted
    connection.execute(sa.delete(annotations).where(of_face))
    connection.execute(sa.delete(assignments).where(assignments.c.face_id == face))


def _delete_search(
    connection: sa.Connection, image: int, *, has_faces: bool, changes: Counter[str]
) -> None:
    """Delete an image from the queue of `detect`."""
    states = work.remove(connection, "detect", [image])
    if states.get(image) == "done":
        changes["images.without_faces"] -= not has_faces


def _delete_urls(connection: sa.Connection, image: int, url: str | None) -> None:
    """Delete the addresses from which an image came, and all that is known of them."""
    came = urls.c.image_id == image
    if url is not None:
        came = sa.or_(came, urls.c.url == normalize_url(url))
    numbers = list(connection.execute(sa.select(urls.c.id).where(came)).scalars())
    delete_urls(connection, numbers)


def delete_urls(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """Delete addresses by their ids, with their hits, their attempts and their place in the queue."""
    if not numbers:
        return
    work.remove(connection, "download", numbers)
    found = connection.execute(sa.delete(hits).where(hits.c.url_id.in_(numbers))).rowcount
    connection.execute(sa.delete(attempts).where(attempts.c.url_id.in_(numbers)))
    gone = connection.execute(
        sa.delete(urls).where(urls.c.id.in_(numbers)).returning(urls.c.host)
    ).scalars()
    per_host = Counter(gone)
    for host, count in sorted(per_host.items()):
        connection.execute(
            sa.update(hosts).where(hosts.c.name == host).values(urls=hosts.c.urls - count)
        )
    connection.execute(sa.delete(hosts).where(hosts.c.urls <= 0))
    counters.add(connection, {"hits": -found, "urls": -per_host.total()})


def find_urls(connection: sa.Connection, url: str) -> list[Any]:
    """The rows of an address, whatever its form: `id` and `image_id`."""
    statement = sa.select(urls.c.id, urls.c.image_id).where(urls.c.url == normalize_url(url))
    return list(connection.execute(statement))
