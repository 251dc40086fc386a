"""Finding the faces of a picture and cutting them out; in videos quickly, with the help of tracks.

A photo is searched as `find_faces` does. A frame of a video is searched

1. small, with its long side at 320 pixels; every 15th frame, and the first, at full size instead.
   Every second frame waits for the tracks: it is only looked at where the faces of the frame before
   were, and searched small if one is not there, if there was none, or more than four. So a
   face that comes to others may be seen a frame late;
2. then around every track that was seen a moment ago and not found by that: at most four such
   places a frame, where more are missing the whole frame at full size.

The search of whole frames needs no other frame and runs on threads; the rest follows the tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openaffect import lookup
from openaffect.analysis.pictures import Picture
from openaffect.analysis.tracking import Tracker
from openaffect.errors import ImageError
from openaffect.faces.boxes import Box, Face
from openaffect.faces.finding import LANDMARKERS, find_faces
from openaffect.images import Pixels, resize_image
from openaffect.model import Card
from openaffect.recognition import cut_faces

SMALL_SIDE = 320
"""Long side, in pixels, at which most frames of a video are searched."""

FULL_EVERY = 15
"""One frame in so many is searched at full size."""

_RECENT = 5  # frames: around a track that was missed for longer nothing is searched
_MOST_PLACES = 4  # a fifth place would cost as much as the whole frame
_AROUND = 3.0  # the searched place is so many times as wide as the face
_CLOSE = 2.4  # so many times as wide as the face is the place that is looked at for it
_SAME = 0.3  # IoU from which a find is the face that is searched for, or one that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPipeline:
    """How pictures are searched.

    Attributes:
        card: its crop rule and size frame the crops.
        detector: a resolved name.
        landmarks: the name of a landmarker, or None.
        min_score: see `find_faces`.
        every: one frame of a video in so many is searched at all.
        full_size: search every frame at full size, and around no track.
    """

    card: Card
    detector: str
    landmarks: str | None = None
    min_score: float | None = None
    every: int = 1
    full_size: bool = False

    def find(self, pixels: Pixels, *, close: bool = False) -> list[Face]:
        """The faces of a picture, the largest first, without landmarks; `close` as `find_faces`."""
        return list(find_faces(pixels, self.detector, min_score=self.min_score, close=close))

    def waits(self, frame: int) -> bool:
        """Whether a frame is left to the tracks."""
        number = frame // self.every
        return not self.full_size and number % 2 == 1 and number % FULL_EVERY != 0

    def locate(self, pixels: Pixels, face: Face) -> Face:
        """The face with its landmarks, if any are asked for."""
        if self.landmarks is None:
            return face
        landmarker = lookup.load(LANDMARKERS, self.landmarks, "landmarker")
        return replace(face, landmarks=landmarker.locate(pixels, face.box))


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in one picture.

    Attributes:
        picture: that was searched.
        faces: the largest first.
        crops: of each face its crop, or why there is none.
        tracks: of each face its track id; None outside videos.
        pixels: kept while the picture may be searched again.
        searched: whether it has been; a frame that waits for the tracks has not.
        error: why the picture cannot be read, or None.
    """

    picture: Picture
    faces: Sequence[Face] = ()
    crops: Sequence[Pixels | str] = ()
    tracks: Sequence[int] | None = None
    pixels: Pixels | None = None
    searched: bool = True
    error: str | None = None


def detect_and_crop(picture: Picture, search: DetectionPipeline) -> Detections:
    """Search one picture by itself; safe to call from several threads."""
    try:
        pixels = picture.read()
    except ImageError as error:
        return Detections(picture, error=str(error))
    if picture.frame is None:
        return _finish(Detections(picture), pixels, search.find(pixels), search)
    if search.waits(picture.frame):
        return Detections(picture, pixels=pixels, searched=False)
    faces = _find_in_frame(pixels, picture.frame, search)
    return _finish(Detections(picture, pixels=pixels), pixels, faces, search)


def _finish(
    look: Detections, pixels: Pixels, faces: Sequence[Face], search: DetectionPipeline
) -> Detections:
    """The look with its faces, their landmarks and crops."""
    located = [search.locate(pixels, face) for face in faces]
    crops = cut_faces(pixels, located, search.card)
    return replace(look, faces=located, crops=crops, searched=True)


def follow(look: Detections, tracker: Tracker, search: DetectionPipeline) -> Detections:
    """Search a frame, or search it again, around its tracks, and give every face its track."""
    pixels = look.pixels
    if pixels is None:
        tracker.update([])
        return look
    if not look.searched:
        look = _finish(look, pixels, _find_followed(pixels, tracker, search), search)
    pairs = list(zip(look.faces, look.crops, strict=True))
    if not search.full_size:
        found = _find_missing(pixels, look.faces, tracker, search)
        located = [search.locate(pixels, face) for face in found]
        pairs += zip(located, cut_faces(pixels, located, search.card), strict=True)
        pairs.sort(key=lambda pair: -pair[0].box.area)
    tracks = tracker.update([face.box for face, _ in pairs])
    faces, crops = [face for face, _ in pairs], [crop for _, crop in pairs]
    return Detections(look.picture, faces, crops, tracks)


def _find_in_frame(pixels: Pixels, frame: int, search: DetectionPipeline) -> list[Face]:
    full = search.full_size or frame // search.every % FULL_EVERY == 0
    return search.find(pixels) if full else _find_small(pixels, search)


def _find_small(pixels: Pixels, search: DetectionPipeline) -> list[Face]:
    """The faces of a frame whose long side is brought to 320 pixels."""
    height, width = pixels.shape[:2]
    if max(height, width) <= SMALL_SIDE:
        return search.find(pixels)
    factor = SMALL_SIDE / max(height, width)
    w, h = max(1, round(width * factor)), max(1, round(height * factor))
    small = search.find(resize_image(pixels, w, h))
    faces = [_scaled(face, width / w, height / h) for face in small]
    return [face for face in faces if face is not None]


def _scaled(face: Face, x: float, y: float) -> Face:
    box = face.box
    return replace(face, box=Box(box.x * x, box.y * y, box.w * x, box.h * y))


def _find_followed(pixels: Pixels, tracker: Tracker, search: DetectionPipeline) -> list[Face]:
    """The faces where those of the frame before were; a small search if one is not, or none was."""
    # Where they were, not where their speed points: so a resumed run sees what a whole one sees.
    boxes = [track.box for track in tracker.tracks if not track.missed]
    if not 0 < len(boxes) <= _MOST_PLACES:
        return _find_small(pixels, search)
    found: list[Face] = []
    for box in boxes:
        near = _find_around(pixels, box, search, wide=_CLOSE, close=True)
        best = max(near, key=lambda face: face.box.iou(box), default=None)
        if best is None or best.box.iou(box) < _SAME:
            return _find_small(pixels, search)
        if any(_is_same(best.box, other.box) for other in found):
            return _find_small(pixels, search)
        found.append(best)
    return found


def _find_missing(
    pixels: Pixels, faces: Sequence[Face], tracker: Tracker, search: DetectionPipeline
) -> list[Face]:
    """Faces of tracks that `faces` do not continue."""
    boxes = [face.box for face in faces]
    found = set(tracker.match(boxes).values())
    height, width = pixels.shape[:2]
    missing = [
        expected
        for number, track in enumerate(tracker.tracks)
        if number not in found and track.missed < _RECENT
        for expected in (track.expect(),)
        if expected.clip(width, height) is not None
    ]
    if not missing:
        return []
    if len(missing) > _MOST_PLACES:
        candidates = search.find(pixels)
    else:
        candidates = [face for box in missing for face in _find_around(pixels, box, search)]
    kept: list[Face] = []
    for face in sorted(candidates, key=lambda face: -face.score):
        expected_here = any(face.box.iou(box) >= _SAME for box in missing)
        known = [*boxes, *(other.box for other in kept)]
        if expected_here and not any(_is_same(face.box, box) for box in known):
            kept.append(face)
    return kept


def _is_same(a: Box, b: Box) -> bool:
    """Whether two finds are one face: they overlap, or one is mostly inside the other."""
    return a.iou(b) >= _SAME or a.intersection(b) > 0.7 * min(a.area, b.area)


def _find_around(
    pixels: Pixels,
    box: Box,
    search: DetectionPipeline,
    *,
    wide: float = _AROUND,
    close: bool = False,
) -> list[Face]:
    """The faces near a box: in a square that is `wide` times as wide."""
    height, width = pixels.shape[:2]
    side = wide * max(box.w, box.h)
    cx, cy = box.center
    x0, y0 = max(0, int(cx - side / 2)), max(0, int(cy - side / 2))
    x1, y1 = min(width, int(cx + side / 2) + 1), min(height, int(cy + side / 2) + 1)
    if x1 <= x0 or y1 <= y0:
        return []
    piece = pixels[y0:y1, x0:x1]
    factor = min(1.0, SMALL_SIDE / max(piece.shape[:2]))
    h, w = (max(1, round(length * factor)) for length in piece.shape[:2])
    sx, sy = piece.shape[1] / w, piece.shape[0] / h
    faces = [_scaled(face, sx, sy) for face in search.find(resize_image(piece, w, h), close=close)]
    return [
        replace(face, box=Box(face.box.x + x0, face.box.y + y0, face.box.w, face.box.h))
        for face in faces
    ]
