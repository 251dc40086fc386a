"""What a picture is recognized by.

Every face gives three small things: a digest of its pixels (the same pixels, whatever file they
lie in), a 64-bit difference hash (as it is and mirrored) and a 16 × 16 gray thumbnail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.errors import ImageError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.images import Pixels, read_image, resize_image

Hashes: TypeAlias = NDArray[np.uint64]

HASH_VERSION = 1
"""Of the digest, the difference hash and the thumbnail; what is stored of them names it.

A version that was released is computed for ever, so that stored signatures stay comparable."""

FACE = CropRule(margin=0.15, square=False)
"""How a face with a box is framed before it is hashed."""

THUMB = 16
"""Side of the thumbnail in pixels."""

BLANK = 2.0
"""A thumbnail with a smaller standard deviation, in gray levels, shows nothing."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What one face is recognized by.

    Attributes:
        pixels: 64 bits of the SHA-256 of the face's pixels and their shape.
        picture: the same of the whole picture; equal to `pixels` where there is no box.
        dhash: the difference hash of the face.
        mirrored: the difference hash of the face seen in a mirror.
        thumb: uint8 (256,), the face as 16 × 16 gray pixels.
        leaves: whether the box leaves the picture in part.
    """

    pixels: int
    picture: int
    dhash: int
    mirrored: int
    thumb: NDArray[np.uint8]
    leaves: bool = False

    @property
    def blank(self) -> bool:
        """Whether the face shows nothing."""
        return bool(self.thumb.std() < BLANK)


@dataclass(frozen=True, slots=True)
class Signatures:
    """What the faces of a dataset are recognized by, in row order; about 300 bytes a face.

    Attributes:
        pixels, picture, dhash, mirrored: uint64 (n,); see `Signature`.
        thumbs: uint8 (n, 256).
        leaves: bool (n,), whether the box leaves the picture in part.
        broken: why a row has no signature, by row; the values of such rows are 0.
    """

    pixels: Hashes
    picture: Hashes
    dhash: Hashes
    mirrored: Hashes
    thumbs: NDArray[np.uint8]
    leaves: NDArray[np.bool_]
    broken: dict[int, str]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Whether a row has a signature, bool (n,)."""
        mask = np.ones(len(self.pixels), dtype=bool)
        mask[list(self.broken)] = False
        return mask

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Whether a row has a picture that shows nothing, bool (n,)."""
        result = np.zeros(len(self.thumbs), dtype=bool)
        for start in range(0, len(result), 65_536):  # the deviations need floats
            result[start : start + 65_536] = self.thumbs[start : start + 65_536].std(axis=1) < BLANK
        return result & self.readable


def dhash(image: Pixels) -> int:
    """The 64-bit difference hash: whether each of 9 × 8 gray cells is brighter than the next.

    Args:
        image: RGB uint8 (h, w, 3).

    Reference: N. Krawetz, "Kind of Like That" (2013).

    >>> dhash(np.full((20, 20, 3), 7, np.uint8))
    0
    """
    return _look(image)[0]


def sign_face(image: Pixels, box: Box | None = None) -> Signature:
    """What a face is recognized by.

    Args:
        image: the whole picture, RGB uint8 (h, w, 3).
        box: of the face; None where the picture already is the crop.

    Raises:
        ImageError: the box lies outside the picture.
    """
    picture = _digest(image)
    if box is None:
        return Signature(picture, picture, *_look(image))
    height, width = image.shape[:2]
    # Clipped first: a box of absurd size would make a crop of absurd size.
    inside = box.clip(width, height)
    if inside is None:
        raise ImageError(f"the box lies outside the picture of {width} × {height} pixels")
    face = np.ascontiguousarray(crop(image, inside, FACE))
    return Signature(_digest(face), picture, *_look(face), leaves=inside != box)


def sign_picture(path: Path, boxes: NDArray[np.float32]) -> Sequence[Signature | str]:
    """The signatures of the faces in one picture, or the reason why a face has none.

    Args:
        path: of the picture.
        boxes: float32 (n, 4); NaN where the picture already is the crop.
    """
    try:
        image = read_image(path, where=path.name)
    except ImageError as error:
        return [str(error)] * len(boxes)
    found: list[Signature | str] = []
    for values in boxes:
        try:
            box = None if np.isnan(values).all() else Box(*values.tolist())
            found.append(sign_face(image, box))
        except (ImageError, ValueError) as error:  # ValueError: a box without a size
            found.append(str(error))
    return found


def _digest(image: Pixels) -> int:
    hashed = hashlib.sha256(repr(image.shape).encode())
    hashed.update(np.ascontiguousarray(image).data)
    return int.from_bytes(hashed.digest()[:8], "big")


def _look(image: Pixels) -> tuple[int, int, NDArray[np.uint8]]:
    """The difference hash as it is and mirrored, and the thumbnail."""
    gray: Pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    cells = resize_image(gray, 9, 8)
    thumb = resize_image(gray, THUMB, THUMB).reshape(-1)
    return _difference(cells), _difference(cells[:, ::-1]), thumb


def _difference(cells: Pixels) -> int:
    return int.from_bytes(np.packbits(cells[:, :-1] > cells[:, 1:]).tobytes(), "big")


def mirror(thumbs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Thumbnails (m, 256) with left and right exchanged."""
    return thumbs.reshape(-1, THUMB, THUMB)[:, :, ::-1].reshape(-1, THUMB * THUMB)


def correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pearson's correlation of each row of `a` with the same row of `b`; (m, k), (m, k) → (m,).

    NaN where a row is constant.
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float32] = (x * y).sum(axis=1) / scale
    return result
