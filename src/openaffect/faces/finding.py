"""From a picture to its faces, by any detector, always in the same framing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openaffect import lookup
from openaffect.errors import InputError, UnknownName
from openaffect.faces.boxes import Box, Face
from openaffect.faces.crops import CropRule, crop
from openaffect.images import Pixels, read_image
from openaffect.weights import find_weights

DETECTORS = "openaffect.faces.detectors"
LANDMARKERS = "openaffect.faces.landmarkers"


def resolve_detector(name: str = "auto") -> str:
    """The detector that a name stands for: `auto` is YuNet if its weights are here, else Haar.

    The network is never touched.

    Raises:
        UnknownName: no such detector; the message has the nearest name and the list.
    """
    if name == "auto":
        return "yunet" if find_weights("yunet") else "haar"
    known = lookup.names(DETECTORS)
    if name not in known:
        raise UnknownName("detector", name, ("auto", *known))
    return name


def find_faces(
    image: str | Path | bytes | Pixels,
    detector: str = "auto",
    *,
    landmarks: str | None = None,
    min_score: float | None = None,
    close: bool = False,
) -> tuple[Face, ...]:
    """The faces in a picture, the largest first.

    Boxes are in YuNet's framing whatever found them, so that a crop rule gives the same crop;
    they are clipped to the picture. The picture is searched at a fixed working size: its own
    size changes little in what is found.

    Args:
        image: a path, the bytes of a file, or an array RGB uint8 (h, w, 3).
        detector: a name, or `auto` (see `resolve_detector`).
        landmarks: the name of a landmarker, such as `dlib`, or None for no landmarks.
        min_score: leave out finds below this, in [0, 1]; None is the detector's own choice.
        close: the picture was cut out around a face of a third to two thirds of its longer
            side: one quick look instead of a search for faces of any size.

    Raises:
        ImageError: the picture cannot be read.
        UnknownName: no such detector or landmarker.
        MissingWeights, MissingExtra: the detector or landmarker is not on this machine.
    """
    if min_score is not None and not 0 <= min_score <= 1:
        raise InputError(f"expected a min_score in [0, 1], but got {min_score}")
    name = resolve_detector(detector)
    finder = lookup.load(DETECTORS, name, "detector")
    landmarker = lookup.load(LANDMARKERS, landmarks, "landmarker") if landmarks else None
    pixels = read_image(image)
    faces = []
    least = finder.MIN_SCORE if min_score is None else min_score
    for box, score in finder.detect(pixels, least, close):
        inside = _inside(finder.FRAMING.apply(box), pixels)
        if inside is not None:
            faces.append(_face(pixels, inside, score, name, landmarker))
    return tuple(sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y)))


def sees_face(image: Pixels, box: Box | None, rule: CropRule, detector: str) -> bool:
    """Whether a detector finds any face in the crop of a face, at half of its usual least score.

    This tells what is no face at all from what is a hard one, which a full score would miss.

    Args:
        image: RGB uint8 (h, w, 3).
        box: in its pixels; None says that the picture already is the crop.
        rule: of the crop.
        detector: a resolved name.

    Raises:
        MissingWeights: the detector is not on this machine.
    """
    least = lookup.load(DETECTORS, detector, "detector").MIN_SCORE / 2
    return bool(find_faces(crop(image, box, rule), detector, min_score=least, close=True))


def _inside(box: Box, pixels: Pixels) -> Box | None:
    """The part of a box inside the picture; None if its center is not, which is no face."""
    height, width = pixels.shape[:2]
    cx, cy = box.center
    return box.clip(width, height) if 0 <= cx < width and 0 <= cy < height else None


def _face(pixels: Pixels, box: Box, score: float, detector: str, landmarker: Any) -> Face:
    points = None if landmarker is None else landmarker.locate(pixels, box)
    return Face(box=box, score=score, detector=detector, landmarks=points)
