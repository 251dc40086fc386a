"""Pictures of faces for people who look at them: the crop, and the photograph around it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from openaffect.faces.boxes import Box
from openaffect.faces.crops import Window, crop, crop_window
from openaffect.images import Pixels, encode_image, read_image, resize_image
from openaffect.project.project import Project
from openaffect.project.schema import assignments, faces, images

FACE_SIDE = 512
"""Pixels of the longer side of a face's picture, at most."""

_PHOTO_SIDE = 1_280
_QUALITY = 90
_SEEN_FOR = datetime.timedelta(hours=24)  # after the own answer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face is.

    Attributes:
        face: its number.
        sha256, suffix: of the image.
        box: in its pixels; None where the image is the crop.
        landmarks: 68 points in its pixels, float32 (68, 2), or None.
        size: width and height of the image, where they are known.
    """

    face: int
    sha256: str
    suffix: str
    box: Box | None
    landmarks: NDArray[np.float32] | None
    size: tuple[int, int] | None


def find_places(connection: sa.Connection, numbers: list[int]) -> dict[int, Place]:
    """Where faces are, by their numbers."""
    if not numbers:
        return {}
    return {row.id: _place(row) for row in connection.execute(_PLACES, {"numbers": numbers})}


_PLACES = (
    sa.select(
        *(faces.c.id, faces.c.x, faces.c.y, faces.c.w, faces.c.h, faces.c.landmarks),
        *(images.c.sha256, images.c.suffix, images.c.width, images.c.height),
    )
    .join(images, images.c.id == faces.c.image_id)
    .where(faces.c.id.in_(sa.bindparam("numbers", expanding=True)))
)


def may_see(connection: sa.Connection, person: int, assignment: int) -> int | None:
    """The face of an assignment, if its person has it or answered it in the last 24 hours."""
    recent = datetime.datetime.now(datetime.UTC) - _SEEN_FOR
    return connection.execute(
        sa.select(assignments.c.face_id).where(
            assignments.c.id == assignment,
            assignments.c.annotator_id == person,
            sa.or_(
                assignments.c.state.in_(("leased", "returned")),
                sa.and_(assignments.c.state == "done", assignments.c.answered > recent),
            ),
        )
    ).scalar_one_or_none()


def render_face(project: Project, place: Place) -> bytes:
    """The crop of a face as JPEG, by the rule of `[crop]`; its longer side has 512 pixels or fewer.

    Raises:
        ImageError: the image is missing or damaged.
        StoreError: the store cannot be reached.
    """
    piece = crop(_read(project, place), place.box, project.settings.crop_rule)
    return encode_image(_shrink(piece, FACE_SIDE), ".jpg", _QUALITY)


def render_photo(project: Project, place: Place) -> bytes:
    """The photograph of a face as JPEG, the face framed; see `render_face`."""
    image = _read(project, place)
    if place.box is not None:
        image = image.copy()
        width = max(2, max(image.shape[:2]) // 300)
        corner = (round(place.box.x), round(place.box.y))
        other = (round(place.box.x + place.box.w), round(place.box.y + place.box.h))
        for color, wide in (((255, 255, 255), width * 2), ((0, 0, 0), width)):
            cv2.rectangle(image, corner, other, color, wide)
    return encode_image(_shrink(image, _PHOTO_SIDE), ".jpg", _QUALITY)


def locate_landmarks(project: Project, place: Place) -> list[list[float]] | None:
    """The landmarks as shares of the face's picture, x to the right and y down; 68 of them."""
    if place.landmarks is None:
        return None
    if place.box is None:
        if place.size is None:
            return None
        width, height = place.size
        shares = Window(0, 0, width, height).to_crop(place.landmarks, 1, 1)
    else:
        window = crop_window(place.box, project.settings.crop_rule)
        shares = window.to_crop(place.landmarks, 1, 1)
    return [[round(float(x), 4), round(float(y), 4)] for x, y in shares]


def _read(project: Project, place: Place) -> Pixels:
    data = project.store.read(place.sha256, place.suffix)
    return read_image(data, where=project.store.place(place.sha256, place.suffix))


def _shrink(image: Pixels, side: int) -> Pixels:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    return resize_image(image, max(1, round(width * scale)), max(1, round(height * scale)))


def _place(row: Any) -> Place:
    box = None if row.x is None else Box(row.x, row.y, row.w, row.h)
    points = row.landmarks
    landmarks = None if points is None else np.frombuffer(points, "<f4").reshape(-1, 2)
    size = None if row.width is None or row.height is None else (row.width, row.height)
    return Place(row.id, row.sha256, row.suffix, box, landmarks, size)
