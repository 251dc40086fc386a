"""Whether the bytes of an image can be kept, and what the project knows of it then."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from openaffect.errors import ImageError
from openaffect.faces.signatures import HASH_VERSION, sign_face
from openaffect.image_headers import suffix_of_format
from openaffect.images import read_image
from openaffect.project.rows import ImageRow
from openaffect.project.settings import CollectSettings
from openaffect.withdrawals import Withdrawals


@dataclass(frozen=True, slots=True)
class Examined:
    """An image that can be kept, or why it cannot.

    Attributes:
        image: its row.
        thumb: its 256 gray pixels.
        refused: that it was withdrawn.
        failed: what is wrong with it.
    """

    image: ImageRow | None = None
    thumb: bytes | None = None
    refused: str | None = None
    failed: str | None = None


def examine_image(
    data: bytes, row: ImageRow, settings: CollectSettings, withdrawn: Withdrawals
) -> Examined:
    """Decode an image, measure and sign it; safe to call from several threads.

    Args:
        data: its bytes.
        row: what is known of it; `sha256`, `suffix` and `bytes` are filled in here.
        settings: the limits on its size.
        withdrawn: what was forgotten and must not come back.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    if not data:
        return Examined(failed="empty: 0 bytes")
    match = withdrawn.find(sha256=sha256)
    if match is not None:
        return Examined(refused=str(match))
    try:
        suffix = suffix_of_format(data[:32])
        pixels = read_image(data, max_pixels=settings.max_pixels, where="the image")
    except ImageError as error:
        return Examined(failed=f"unreadable image: {error}")
    height, width = pixels.shape[:2]
    if min(height, width) < settings.min_side:
        return Examined(failed=f"too small: {width} × {height} pixels")
    signature = sign_face(pixels)
    match = withdrawn.find(sha256=sha256, signature=signature)
    if match is not None:
        return Examined(refused=str(match))
    found = replace(
        row,
        sha256=sha256,
        suffix=suffix,
        bytes=len(data),
        width=width,
        height=height,
        pixels=to_signed(signature.pixels),
        dhash=to_signed(signature.dhash),
        mirrored=to_signed(signature.mirrored),
        hash_version=HASH_VERSION,
    )
    return Examined(found, signature.thumb.tobytes())


def to_signed(number: int) -> int:
    """64 bits as the signed number that databases have."""
    return number - 2**64 if number >= 2**63 else number
