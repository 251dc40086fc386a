"""What reviewers do: look at disagreements and flags, settle, dismiss, send back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from openaffect.project import answers, pictures, review
from openaffect.web.annotation.faces import Number, send_picture
from openaffect.web.annotation.messages import Nothing, SendBack, Settle
from openaffect.web.annotation.service import Asking, Served, Service
from openaffect.web.problems import NotFound
from openaffect.web.shell import reasons

router = APIRouter(tags=["review"], responses=reasons(401, 403, 404, 409, 413, 415, 422, 503))


@router.get("/v1/review")
def list_reviews(
    service: Served,
    caller: Asking,
    reason: Annotated[str | None, Query(max_length=50)] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Faces that wait for a reviewer."""
    with service.reading(caller, "reviewer") as (connection, _):
        items = review.list_open(connection, reason=reason, after=after, limit=limit)
        places = pictures.find_places(connection, [one.face for one in items])
        left = review.count_open(connection)
    return {
        "items": [_describe(service, one, places[one.face]) for one in items],
        "left": left,
        "after": items[-1].face if len(items) == limit else None,
    }


@router.post("/v1/review/{face}/settle")
def settle_review(face: Number, body: Settle, service: Served, caller: Asking) -> dict[str, Any]:
    """Give the face an answer of one's own, and close its review."""
    answer = answers.check_answer(body.to_answer(), service.project.settings)
    with service.writing(caller, "reviewer") as (connection, person):
        review.settle(connection, person, face, answer, make_gold=body.gold)
        return {"left": review.count_open(connection)}


@router.post("/v1/review/{face}/dismiss")
def dismiss_review(face: Number, _: Nothing, service: Served, caller: Asking) -> dict[str, Any]:
    """Leave the face as it is, and close its review."""
    with service.writing(caller, "reviewer") as (connection, _person):
        review.dismiss(connection, face)
        return {"left": review.count_open(connection)}


@router.post("/v1/review/{face}/return")
def return_answer(face: Number, body: SendBack, service: Served, caller: Asking) -> dict[str, Any]:
    """Put the face before its annotator again, with a note."""
    with service.writing(caller, "reviewer") as (connection, _):
        review.send_back(connection, face, body.annotation, body.note, service.project.settings)
        return {"left": review.count_open(connection)}


@router.get("/v1/review/{face}/face.jpg", response_class=Response)
def get_reviewed_picture(face: Number, service: Served, caller: Asking) -> Response:
    """The picture of a face of a batch."""
    return _send(service, caller, face, photo=False)


@router.get("/v1/review/{face}/photo.jpg", response_class=Response)
def get_reviewed_photo(face: Number, service: Served, caller: Asking) -> Response:
    """The photograph of a face of a batch."""
    return _send(service, caller, face, photo=True)


def _send(service: Service, caller: Asking, face: int, *, photo: bool) -> Response:
    with service.reading(caller, "reviewer") as (connection, _):
        places = pictures.find_places(connection, [face])
    if face not in places:
        raise NotFound(f"expected the number of a face, but got {face}")
    return send_picture(service, places[face], photo=photo)


def _describe(service: Service, item: review.Item, place: pictures.Place) -> dict[str, Any]:
    base = f"v1/review/{item.face}"
    return {
        "face": item.face,
        "face_id": item.face_id,
        "reasons": item.reasons,
        "face_url": f"{base}/face.jpg",
        "photo_url": None if place.box is None else f"{base}/photo.jpg",
        "landmarks": pictures.locate_landmarks(service.project, place),
        "intended": item.intended,
        "prelabel": item.prelabel,
        "annotations": [_describe_answer(service, row) for row in item.answers],
    }


def _describe_answer(service: Service, row: Any) -> dict[str, Any]:
    names = ("id", "expression", "valence", "arousal", "seconds", "at", "kind")
    settings = service.project.settings
    return {name: getattr(row, name) for name in names} | {
        "person": row.pseudonym,
        "occluded": bool(row.occluded),
        "flag": row.flag is not None,
        "comment": row.comment or "",
        "outside_region": answers.is_outside(settings, row.expression, row.valence, row.arousal),
    }
