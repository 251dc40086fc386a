"""From the bytes of a picture to the crops that the model sees; done by threads."""

from __future__ import annotations

from dataclasses import dataclass

from openaffect.errors import ImageError
from openaffect.faces import Face, find_faces
from openaffect.images import Pixels, header_size, read_image
from openaffect.model import Card
from openaffect.recognition import cut_faces
from openaffect.web.analysis.uploads import Upload

_HUGE = 16_000_000  # pixels
_HEADER = 1 << 18  # bytes in which a header is looked for: EXIF and a thumbnail come before it


@dataclass(frozen=True, slots=True)
class AnalyzeParams:
    """What a request asks for.

    Attributes:
        crops: the pictures already are face crops; no face is looked for.
        max_faces: of a picture; the largest are kept.
        min_score: leave out faces that the detector is less sure of; None is its own choice.
        min_confidence: below it `expression` is null.
    """

    crops: bool = False
    max_faces: int = 256
    min_score: float | None = None
    min_confidence: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in a picture before the model sees it.

    Attributes:
        name: of the picture.
        error: why it could not be read; the rest is empty then.
        size: width and height, upright.
        found: how many faces there are; `faces` may be fewer.
        faces: the largest first; None where the picture is the crop.
        crops: one a face, of the card's size; or why there is none.
    """

    name: str
    error: str | None = None
    size: tuple[int, int] | None = None
    found: int = 0
    faces: tuple[Face | None, ...] = ()
    crops: tuple[Pixels | str, ...] = ()


def is_huge(upload: Upload) -> bool:
    """Whether a picture, by its header, is larger than what a good camera takes.

    Where the header cannot tell, it is taken for huge: it has its turn, only later.
    """
    size = header_size(upload.file.read(_HEADER))
    upload.file.seek(0)
    return size is None or size[0] * size[1] > _HUGE


def detect_and_crop(
    upload: Upload, card: Card, detector: str, params: AnalyzeParams, max_pixels: int
) -> Detections:
    """Read a picture, find its faces and cut them out.

    Args:
        upload: what was sent.
        card: its crop rule and size are used.
        detector: a name, not `auto`.
        params: of the request.
        max_pixels: a larger picture is not decoded.
    """
    try:
        pixels = read_image(upload.file.read(), max_pixels=max_pixels, where=upload.name)
    except ImageError as error:
        return Detections(upload.name, error=str(error))
    size = (pixels.shape[1], pixels.shape[0])
    if params.crops:
        return Detections(
            upload.name, None, size, 1, (None,), tuple(cut_faces(pixels, (None,), card))
        )
    faces = find_faces(pixels, detector, min_score=params.min_score)
    kept = faces[: params.max_faces]
    crops = tuple(cut_faces(pixels, kept, card))
    return Detections(upload.name, None, size, len(faces), kept, crops)
