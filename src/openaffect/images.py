"""Pictures in and out: always RGB uint8 of shape (height, width, 3) inside openaffect.

OpenCV decodes and applies the EXIF orientation; a JPEG without EXIF is left to simplejpeg, which
gives the same pixels in less time. The header is read before that, so that a
picture that is too large is refused before a byte of it is unpacked: by hand for JPEG and plain
PNG, else by Pillow, which also decodes what OpenCV has no right answer for: transparency and
animations.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from openaffect.errors import ImageError, InputError, reason
from openaffect.storage import open_file

Pixels: TypeAlias = NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
"""File endings of pictures, in lower case; files are recognised by content, folders searched by these."""

MAX_PIXELS = 200_000_000
"""The largest picture that is decoded: 600 MB as RGB."""

_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF8", "gif"),
)


_MODES_WITH_ALPHA = ("P", "PA", "LA", "La", "RGBA", "RGBa")
# What Pillow's readers raise for damaged files.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT


_QUIET = threading.Lock()


def sniff_format(head: bytes) -> str | None:
    """The format that the first 12 bytes of a file tell: jpeg, png, bmp, tiff, webp, gif, or None.

    >>> sniff_format(b"BM" + bytes(10)), sniff_format(b"<html>")
    ('bmp', None)
    """
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def check_header(path: str | Path) -> str | None:
    """Why a file can be no picture, judged by its first bytes alone; None if nothing speaks against it.

    This costs microseconds; only decoding (`read_image`) tells whether the rest is whole.
    """
    try:
        with open_file(path, "a picture") as file:
            head = file.read(12)
    except InputError as error:
        cause = error.__cause__
        if cause is not None:
            return f"unreadable picture ({reason(cause)})"
        return (
            "unreadable picture (no regular file)" if os.path.lexists(path) else "missing picture"
        )
    if not head:
        return "empty picture (0 bytes)"
    return None if sniff_format(head) else "not a picture (unknown first bytes)"


def image_size(path: str | Path) -> tuple[int, int] | None:
    """Width and height of a picture, upright, from its header; None where only decoding can tell."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                width, height = image.size
                # EXIF orientations 5 to 8 lie on their side.
                lies = image.getexif().get(0x0112, 1) >= 5
        except (*_PILLOW_ERRORS, Image.DecompressionBombError):
            return None
    return (height, width) if lies else (width, height)


def read_image(
    source: str | Path | bytes | Pixels, *, max_pixels: int = MAX_PIXELS, where: str = ""
) -> Pixels:
    """A picture as RGB uint8, shape (height, width, 3), upright by its EXIF orientation.

    JPEG, PNG, BMP, TIFF, WebP and GIF (first frame); grey, palette, CMYK and 16-bit pictures
    are converted, transparency is laid over white. An array passes through, grey is repeated.

    Args:
        source: a path, the bytes of a file, or an array (h, w), (h, w, 1), (h, w, 3) RGB or
            (h, w, 4) RGBA of uint8.
        max_pixels: refuse more than this many before decoding.
        where: what to call a picture that has no path, in messages.
    Raises:
        ImageError: missing, empty, of no known format, truncated, broken or too large.
    """
    if isinstance(source, np.ndarray):
        return _check_array(source, where or "the array")
    if isinstance(source, bytes):
        data, where = source, where or "the bytes given"
    else:
        where = where or str(source)
        try:
            # Without a buffer: a third of what Path.read_bytes takes. A number is no path, though
            # `open` would take it for a file's descriptor.
            path = source if isinstance(source, Path) else Path(source)
            with open(path, "rb", buffering=0) as file:
                data = file.readall()
        except FileNotFoundError:
            raise ImageError(f"expected a picture at {where}, but there is no such file") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"cannot read {where}: {reason}") from error
    return _decode(data, max_pixels, where)


def _decode(data: bytes, max_pixels: int, where: str) -> Pixels:
    if not data:
        raise ImageError(f"expected a picture at {where}, but it is empty (0 bytes)")
    kind = sniff_format(data[:12])
    if kind is None:
        raise ImageError(
            f"expected a JPEG, PNG, BMP, TIFF, WebP or GIF at {where}, "
            f"but its first bytes are {data[:8]!r}"
        )
    if kind == "jpeg":
        _need_size(*_read_jpeg_size(data, where), max_pixels, where)
        return _decode_jpeg(data, where)
    if kind == "png" and not _has_transparency(data):
        # The first chunk of a PNG is IHDR: its width and height are at byte 16.
        width, height = struct.unpack(">II", data[16:24])
        _need_size(width, height, max_pixels, where)
        return _decode_with_opencv(data, kind, where)
    return _decode_by_header(data, kind, max_pixels, where)


def _decode_by_header(data: bytes, kind: str, max_pixels: int, where: str) -> Pixels:
    # Pillow warns of large pictures (the limit here is ours) and of odd metadata. Silencing
    # warnings changes the whole process, so threads do it one after the other.
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError:
            raise ImageError(f"{where} has more pixels than can be decoded") from None
        except _PILLOW_ERRORS as error:
            raise ImageError(f"broken {kind} header in {where}") from error
        _need_size(*header.size, max_pixels, where)
        if kind == "gif" or header.mode in _MODES_WITH_ALPHA or "transparency" in header.info:
            return _decode_with_pillow(header, kind, where)
    return _decode_with_opencv(data, kind, where)


def _read_jpeg_size(data: bytes, where: str) -> tuple[int, int]:
    """Width and height from the frame header, found by hopping from marker to marker.

    Pillow needs 30 µs for this, a sixth of decoding a picture of 224 × 224.
    """
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # SOF0 to SOF15 but DHT, JPG and DAC, which have numbers between them.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ImageError(f"broken jpeg header in {where}: it is truncated or damaged")


def _has_transparency(png: bytes) -> bool:
    """Whether a PNG has an alpha channel, a palette or a transparent colour, or a broken header."""
    if png[12:16] != b"IHDR" or len(png) < 33:
        return True
    colour_type = png[25]  # 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
    return colour_type not in (0, 2) or png.find(b"tRNS", 33, png.find(b"IDAT", 33)) >= 0


def _need_size(width: int, height: int, limit: int, where: str) -> None:
    if not width or not height:
        raise ImageError(f"broken header in {where}: {width} × {height} pixels")
    if width * height > limit:
        raise ImageError(f"{where} has {width} × {height} pixels; the limit is {limit:,} pixels")


def _decode_jpeg(data: bytes, where: str) -> Pixels:
    if b"Exif" not in data:
        try:
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), np.uint8)
        except ValueError:  # broken, or of a kind that it does not know: OpenCV has the last word
            pass
    return _decode_with_opencv(data, "jpeg", where)


def _decode_with_opencv(data: bytes, kind: str, where: str) -> Pixels:
    try:
        with _quiet_opencv:
            rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"cannot decode the {kind} {where}: {error.err}") from error
    if rgb is None:
        raise ImageError(f"cannot decode the {kind} {where}: it is truncated or broken")
    return rgb  # type: ignore[return-value]


class _QuietOpenCV:
    """Keeps OpenCV from writing its own lines about a broken file to stderr; ours has it all.

    The log level belongs to the whole process, so the last decoding thread to leave puts
    back what the first one found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._level = cv2.utils.logging.setLogLevel(_SILENT)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._level)


_quiet_opencv = _QuietOpenCV()


def _decode_with_pillow(image: Image.Image, kind: str, where: str) -> Pixels:
    try:
        rgba = ImageOps.exif_transpose(image).convert("RGBA")
    except _PILLOW_ERRORS as error:
        raise ImageError(f"cannot decode the {kind} {where}: {error}") from error
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def _check_array(array: NDArray[np.generic], where: str) -> Pixels:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0:
        raise ImageError(
            f"expected {where} to be uint8 of shape (height, width, 3) in RGB order, "
            f"but got {array.dtype} {array.shape}"
        )
    pixels: Pixels = array.astype(np.uint8, copy=False)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 3:
        return pixels
    if channels == 4:
        return _decode_with_pillow(Image.fromarray(pixels), "array", where)
    raise ImageError(f"expected {where} to have 1, 3 or 4 channels, but got {channels}")


def encode_image(image: Pixels, suffix: str = ".png", quality: int = 95) -> bytes:
    """A picture as the bytes of a file.

    Args:
        image: RGB uint8 (h, w, 3), or grey (h, w).
        suffix: `.png`, `.jpg`, `.webp`, `.bmp` or `.tif`.
        quality: 1–100, for JPEG and WebP.
    """
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }.get(suffix.lower(), [])
    try:
        done, data = cv2.imencode(suffix, bgr, options)
    except cv2.error as error:
        raise ImageError(f"cannot write a picture as '{suffix}': {error.err}") from error
    if not done:
        raise ImageError(f"cannot write a picture as '{suffix}'")
    return data.tobytes()


def resize_image(image: Pixels, width: int, height: int) -> Pixels:
    """A picture at another size: averaged when it shrinks, bilinear when it grows.

    This is the resize rule `area-linear` that the model cards name.
    """
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] > height or image.shape[1] > width
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=way)  # type: ignore[return-value]
