"""`detect`: the faces of a project's images, where they are and what is measured of them.

An image whose faces came with a dataset is not searched: its faces are measured, and keep their
boxes. Every image gives its signature on the way, for it is decoded here.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.collection.examination import to_signed
from openaffect.errors import ImageError
from openaffect.faces.boxes import Box, Face
from openaffect.faces.finding import LANDMARKERS, find_faces, resolve_detector
from openaffect.faces.measures import find_pose, measure_light
from openaffect.faces.signatures import HASH_VERSION, sign_face
from openaffect.images import Pixels, read_image
from openaffect.lookup import load
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.project import Project, copies, counters, rows, schema, work
from openaffect.project.rows import StoredFace
from openaffect.project.settings import DetectSettings
from openaffect.project.store import open_store
from openaffect.storage import process_name

STEP = "detect"
_open_store = functools.lru_cache(4)(open_store)  # finding the credentials of S3 takes a while
_CLAIM = 32  # images that are claimed at a time, and lie ready while results are written
_BATCH = 32  # results of one transaction


@dataclass(slots=True)
class DetectSummary:
    """What a search brought.

    Attributes:
        images: how many were searched or measured.
        faces: how many were found.
        measured: how many came with a dataset and were measured.
        without_faces: images in which no face was found.
        small: finds dropped for their size.
        failed: number of images that could not be searched, by reason.
    """

    images: int = 0
    faces: int = 0
    measured: int = 0
    without_faces: int = 0
    small: int = 0
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Task:
    """One image for a worker; plain values, so that it crosses to another process."""

    image_id: int
    store: str
    sha256: str
    suffix: str
    faces: tuple[tuple[int, tuple[float, float, float, float] | None, bytes | None], ...]
    settings: DetectSettings


@dataclass(frozen=True, slots=True)
class Found:
    """What a worker has of an image.

    Attributes:
        image_id: its id.
        image: what is now known of it; the columns of the table of images.
        thumb: its 256 gray pixels.
        faces: those that were found.
        measures: of the faces that came with it; the columns of the table of faces.
        small: finds dropped for their size.
        error: why it could not be searched, or None.
    """

    image_id: int
    image: dict[str, Any] = field(default_factory=dict)
    thumb: bytes | None = None
    faces: tuple[StoredFace, ...] = ()
    measures: tuple[dict[str, Any], ...] = ()
    small: int = 0
    error: str | None = None


def detect_faces(
    project: Project,
    *,
    workers: int | None = None,
    engine: str = "processes",
    ray_address: str | None = None,
    retry_failed: bool = False,
    on_progress: OnProgress | None = None,
) -> DetectSummary:
    """Find the faces of every image that was not searched yet, by the `[detect]` of project.toml.

    Several calls, also on several computers, share the work: each image is searched by one of
    them. A call that was interrupted or killed is simply given again.

    Args:
        project: an open project.
        workers: number of workers; None for one per CPU core of this computer, or of the cluster.
        engine: see `parallel.ENGINES`.
        ray_address: of a Ray cluster to join; see `parallel.map_in_order`.
        retry_failed: search those again that have failed.
        on_progress: called with the number of images done so far.

    Raises:
        UnknownName: no such detector, landmarker or engine.
        MissingWeights, MissingExtra: the detector, the landmarker or Ray is not on this computer.
        StoreError: a worker cannot reach the images at all.
        WorkerError: a worker was killed; its images are searched by the next call.
        DatabaseError: the database does not answer.
    """
    settings = dataclasses.replace(
        project.settings.detect, detector=resolve_detector(project.settings.detect.detector)
    )
    _try_out(settings)
    owner = f"{process_name()}.{uuid.uuid4().hex[:8]}"
    with project.database.write() as connection:
        work.release_dead(connection, STEP)
        if retry_failed:
            work.retry(connection, STEP)
    summary = DetectSummary()
    claims = _Claims(project, owner, settings)
    waiting: list[Found] = []
    try:
        found_in_order = map_in_order(
            search_image,
            claims.tasks(),
            workers=workers,
            ahead=_CLAIM,
            engine=engine,
            ray_address=ray_address,
        )
        for found in found_in_order:
            waiting.append(found)
            if len(waiting) >= _BATCH:
                _write(project, owner, waiting, summary)
                waiting.clear()
                if on_progress is not None:
                    on_progress(Progress("detecting", summary.images + summary.failed.total()))
        _write(project, owner, waiting, summary)
        if on_progress is not None:
            on_progress(Progress("detecting", summary.images + summary.failed.total()))
    finally:
        with project.database.write() as connection:
            work.release(connection, STEP, owner)
            if claims.given:
                counts = {"images": summary.images, "faces": summary.faces}
                rows.record_event(connection, STEP, settings.detector, counts)
    return summary


def search_image(task: Task) -> Found:
    """What a worker does with an image; it never raises for what is wrong with the image.

    Raises:
        StoreError: no image can be reached from this computer.
        MissingWeights, MissingExtra: the detector or the landmarker is not on this computer.
    """
    try:
        data = _open_store(task.store).read(task.sha256, task.suffix)
    except ImageError as error:
        return Found(task.image_id, error=str(error))
    try:
        image = read_image(data, where=f"{task.sha256}.{task.suffix}")
    except ImageError as error:
        return Found(task.image_id, error=f"unreadable image: {error}")
    height, width = image.shape[:2]
    signature = sign_face(image)
    facts = {
        "id": task.image_id,
        "width": width,
        "height": height,
        "pixels": to_signed(signature.pixels),
        "dhash": to_signed(signature.dhash),
        "mirrored": to_signed(signature.mirrored),
        "hash_version": HASH_VERSION,
    }
    thumb = signature.thumb.tobytes()
    if task.faces:
        measures = (_measure(image, *face, task.settings.landmarker) for face in task.faces)
        return Found(task.image_id, facts, thumb, measures=tuple(measures))
    settings = task.settings
    found = find_faces(
        image,
        settings.detector,
        landmarks=settings.landmarker or None,
        min_score=settings.min_score,
    )
    large = [face for face in found if max(face.box.w, face.box.h) >= settings.min_size]
    kept = large[: settings.max_faces]
    faces = tuple(_describe(image, face, number, task) for number, face in enumerate(kept))
    return Found(task.image_id, facts, thumb, faces, small=len(found) - len(large))


class _Claims:
    """Images taken out of the queue as the workers ask for them."""

    def __init__(self, project: Project, owner: str, settings: DetectSettings) -> None:
        self._project = project
        self._owner = owner
        self._settings = settings
        self.given = 0

    def tasks(self) -> Iterator[Task]:
        while True:
            with self._project.database.write() as connection:
                ids = work.claim(connection, STEP, self._owner, _CLAIM)
                images = rows.find_images(connection, ids)
            if not images:
                return
            for image in images:
                self.given += 1
                yield self._task(image)

    def _task(self, image: dict[str, Any]) -> Task:
        faces = tuple(
            (
                face["id"],
                None if face["x"] is None else (face["x"], face["y"], face["w"], face["h"]),
                face["landmarks"],
            )
            for face in image["faces"]
        )
        store = self._project.store.location  # whole: a worker of Ray has another folder
        return Task(image["id"], store, image["sha256"], image["suffix"], faces, self._settings)


def _write(project: Project, owner: str, results: list[Found], summary: DetectSummary) -> None:
    """Write what was found, in the transaction that ends the claims."""
    if not results:
        return
    with project.database.write() as connection:
        ends = {found.image_id: found.error for found in results}
        mine = work.finish(connection, STEP, owner, ends)
        good = [found for found in results if found.image_id in mine and found.error is None]
        rows.update_rows(connection, schema.images, [found.image for found in good])
        copies.add_thumbnails(connection, {found.image_id: found.thumb for found in good})
        rows.insert_faces(connection, [face for found in good for face in found.faces])
        measures = [measure for found in good for measure in found.measures]
        rows.update_rows(connection, schema.faces, measures)
        empty = sum(not found.faces and not found.measures for found in good)
        counters.add(connection, {"images.without_faces": empty})
    summary.images += len(good)
    summary.faces += sum(len(found.faces) for found in good)
    summary.measured += len(measures)
    summary.without_faces += empty
    summary.small += sum(found.small for found in good)
    for found in results:
        if found.image_id in mine and found.error is not None:
            summary.failed[found.error.split(":", maxsplit=1)[0]] += 1


def _describe(image: Pixels, face: Face, number: int, task: Task) -> StoredFace:
    box = face.box
    sharpness, brightness = measure_light(image, box)
    pose = (None, None, None) if face.landmarks is None else find_pose(face.landmarks)
    return StoredFace(
        face_id=f"{task.sha256[:32]}-{number}",
        image_id=task.image_id,
        source=STEP,
        x=box.x,
        y=box.y,
        w=box.w,
        h=box.h,
        detector=face.detector,
        score=face.score,
        landmarks=_packed(face.landmarks),
        landmarker=task.settings.landmarker or None,
        yaw=pose[0],
        pitch=pose[1],
        roll=pose[2],
        sharpness=sharpness,
        brightness=brightness,
    )


def _measure(
    image: Pixels,
    face_id: int,
    values: tuple[float, float, float, float] | None,
    landmarks: bytes | None,
    landmarker: str,
) -> dict[str, Any]:
    """What is measured of a face that came with its image; landmarks that it has are kept."""
    height, width = image.shape[:2]
    box = Box(*values) if values is not None else None
    inside = None if box is None else box.clip(width, height)
    found: dict[str, Any] = {"id": face_id, "sharpness": None, "brightness": None}
    if box is None or inside is not None:  # else the box lies outside the image
        found["sharpness"], found["brightness"] = measure_light(image, inside)
    points = None if landmarks is None else np.frombuffer(landmarks, "<f4").reshape(68, 2)
    if points is None and landmarker and (box is None or inside is not None):
        where = inside or Box(0, 0, width, height)
        points = load(LANDMARKERS, landmarker, "landmarker").locate(image, where)
        landmarks = _packed(points)
    pose = (None, None, None) if points is None else find_pose(points)
    return found | {
        "landmarks": landmarks,
        **dict(zip(("yaw", "pitch", "roll"), pose, strict=True)),
    }


def _packed(points: NDArray[np.float32] | None) -> bytes | None:
    return None if points is None else np.ascontiguousarray(points, "<f4").tobytes()


def _try_out(settings: DetectSettings) -> None:
    """Let what is missing on this machine be said before any image is claimed."""
    black = np.zeros((64, 64, 3), np.uint8)
    find_faces(black, settings.detector, min_score=settings.min_score)
    if settings.landmarker:
        load(LANDMARKERS, settings.landmarker, "landmarker").locate(black, Box(16, 16, 32, 32))
