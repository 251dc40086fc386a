"""What annotators do: get faces, see them, answer, skip, undo."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from openaffect.errors import ImageError
from openaffect.project import answers, assignments, pictures, tasks, training
from openaffect.project.accounts import Person
from openaffect.project.assignments import Lease
from openaffect.project.pictures import Place
from openaffect.web.annotation.me import describe_counts
from openaffect.web.annotation.messages import NO_NUL, Held, NewAnswer, Skip, Undo
from openaffect.web.annotation.service import Asking, Served, Service
from openaffect.web.annotation.texts import instructions_version
from openaffect.web.problems import Forbidden, NotFound
from openaffect.web.shell import content, reasons

if TYPE_CHECKING:
    from openaffect.project.database import Connection

Number = Annotated[int, Path(ge=0, le=2**53)]
_REFUSED = reasons(401, 403, 404, 409, 413, 415, 422, 503)

router = APIRouter(tags=["annotation"], responses=_REFUSED)


@router.post("/v1/faces/next")
def get_faces(body: Held, service: Served, caller: Asking) -> dict[str, Any]:
    """The next faces, up to five with those that the page holds."""
    service.expire_leases()
    with service.writing(caller, "annotator") as (connection, person):
        return _give(connection, service, person, body.held)


@router.post("/v1/faces/skip")
def skip_face(body: Skip, service: Served, caller: Asking) -> dict[str, Any]:
    """Leave a face to somebody else, and get the next ones."""
    service.expire_leases()
    with service.writing(caller, "annotator") as (connection, person):
        found = assignments.find_assignment(connection, person.id, body.assignment)
        if found is None:
            raise NotFound("expected a face that you were given, but this one is not")
        assignments.skip_face(connection, person, found)
        return _give(connection, service, person, body.held)


@router.post("/v1/faces/unskip")
def unskip_faces(body: Held, service: Served, caller: Asking) -> dict[str, Any]:
    """Get the faces again that were skipped."""
    service.expire_leases()
    with service.writing(caller, "annotator") as (connection, person):
        assignments.unskip_faces(connection, person)
        return _give(connection, service, person, body.held)


@router.post("/v1/annotations")
def add_annotation(body: NewAnswer, service: Served, caller: Asking) -> dict[str, Any]:
    """Store an answer, and get the next faces; sent again, it changes nothing."""
    settings = service.project.settings
    answer = answers.check_answer(body.to_answer(), settings)
    service.expire_leases()
    with service.writing(caller, "annotator") as (connection, person):
        stored = answers.store_answer(connection, person, body.assignment, answer, settings)
        return {
            "id": answer.id,
            "stored": True,
            "late": stored.late,
            "outside_region": stored.outside_region,
            "feedback": _describe_feedback(stored),
            **_give(connection, service, person, body.held),
        }


@router.get("/v1/annotations")
def list_annotations(
    service: Served,
    caller: Asking,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=100, pattern=NO_NUL)] = None,
) -> dict[str, Any]:
    """The own answers, the newest first."""
    with service.reading(caller, "annotator") as (connection, person):
        found = answers.list_answers(connection, person.id, limit, before)
    names = ("id", "expression", "valence", "arousal", "at", "undone")
    return {
        "annotations": [
            {name: one[name] for name in names} | {"kind": _shown_kind(one["kind"])}
            for one in found
        ]
    }


@router.post("/v1/undo")
def undo_annotation(body: Undo, service: Served, caller: Asking) -> dict[str, Any]:
    """Withdraw an own answer, and get its face again."""
    with service.writing(caller, "annotator") as (connection, person):
        if person.state == "paused":
            raise Forbidden(f"you are paused: {person.paused_because}")
        lease = answers.undo_answer(
            connection, person, body.id, body.annotation, service.project.settings
        )
        face = _describe(connection, service, [lease])[0]
        return {"id": body.id, "face": face, "counts": describe_counts(person)}


@router.get("/v1/faces/{assignment}/face.jpg", responses=content("image/jpeg"))
def get_face_picture(assignment: Number, service: Served, caller: Asking) -> Response:
    """The picture of a face that one has, or has answered in the last 24 hours."""
    place = _find_seen(service, caller, assignment)
    return send_picture(service, place, photo=False)


@router.get("/v1/faces/{assignment}/photo.jpg", responses=content("image/jpeg"))
def get_photo(assignment: Number, service: Served, caller: Asking) -> Response:
    """The photograph of such a face."""
    place = _find_seen(service, caller, assignment)
    return send_picture(service, place, photo=True)


def send_picture(service: Service, place: Place, *, photo: bool) -> Response:
    """A face, or its photograph, that nobody may keep.

    Raises:
        NotFound: the image is missing or damaged.
    """
    render = pictures.render_photo if photo else pictures.render_face
    try:
        data = render(service.project, place)
    except ImageError as error:
        raise NotFound("the picture cannot be shown: it is missing or damaged") from error
    return Response(data, media_type="image/jpeg")


def _find_seen(service: Service, caller: Asking, assignment: int) -> Place:
    with service.reading(caller, "annotator") as (connection, person):
        face = pictures.may_see(connection, person.id, assignment)
        places = {} if face is None else pictures.find_places(connection, [face])
    if face is None or face not in places:
        raise NotFound("expected a face that you have, or answered in the last 24 hours")
    return places[face]


def _give(
    connection: Connection, service: Service, person: Person, held: Collection[int]
) -> dict[str, Any]:
    """The next faces of a person, or why there are none, and what their page shows beside them."""
    settings = service.project.settings
    reason, given = None, []
    state = training.advance_training(connection, person, settings)
    if person.state == "paused":
        reason = "paused"
    elif person.instructions != instructions_version():
        reason = "instructions"
    elif state is not None and state.failed:
        reason = "training_failed"
    else:
        given = assignments.lease_faces(connection, person, settings, held)
        reason = None if given or held else "done"
    counts = describe_counts(person)
    return {
        "state": person.state,
        "paused_because": person.paused_because,
        "training": None if state is None else asdict(state),
        "counts": counts,
        "faces": _describe(connection, service, given),
        "reason": reason,
        "left": service.count_left(connection, person),
        "skipped": counts["skipped"],
    }


def _describe(connection: Connection, service: Service, given: list[Lease]) -> list[dict[str, Any]]:
    """Leases as the page gets them; gold and repetitions look like work."""
    numbers = [one.face for one in given]
    places = pictures.find_places(connection, numbers)
    shown = service.project.settings.annotation.prelabel_shown
    prelabels = tasks.find_prelabels(connection, numbers) if shown else {}
    found = []
    for one in given:
        place = places[one.face]
        base = f"v1/faces/{one.id}"
        prelabel = prelabels.get(one.face)
        if prelabel is not None:
            names = ("expression", "valence", "arousal")
            prelabel = {name: prelabel.get(name) for name in names}
        found.append(
            {
                "assignment": one.id,
                "kind": _shown_kind(one.kind),
                "face_url": f"{base}/face.jpg",
                "photo_url": None if place.box is None else f"{base}/photo.jpg",
                "landmarks": pictures.locate_landmarks(service.project, place),
                "expires": one.expires,
                "note": one.note,
                "previous": _describe_previous(connection, one),
                "prelabel": prelabel,
            }
        )
    return found


def _describe_previous(connection: Connection, lease: Lease) -> dict[str, Any] | None:
    row = None if lease.annotation is None else answers.find_answer(connection, lease.annotation)
    if row is None:
        return None
    names = ("expression", "valence", "arousal")
    return {name: getattr(row, name) for name in names} | {
        "occluded": bool(row.occluded),
        "flag": row.flag is not None,
        "comment": row.comment or "",
    }


def _describe_feedback(stored: answers.Stored) -> dict[str, Any] | None:
    if stored.expected is None:
        return None
    expected = stored.expected
    return {
        "correct": stored.right,
        "expression": expected.expression,
        "valence": expected.valence,
        "arousal": expected.arousal,
    }


def _shown_kind(kind: str) -> str:
    return "training" if kind == "training" else "work"
