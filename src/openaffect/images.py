"""Images in and out: always RGB uint8 of shape (height, width, 3) inside openaffect.

Which decoder gets which file is decided here, after `image_headers` has walked it:

=====================  ==========  ============================================================
file                   decoder     why
=====================  ==========  ============================================================
baseline JPEG, no EXIF simplejpeg  OpenCV's pixels in less time
other JPEG             OpenCV      turns the image upright by its EXIF orientation
PNG, WebP without      OpenCV      the fastest; animated PNGs go there without their animation
transparency
large PNG              Pillow      stops at the last row, where libpng inflates what follows
BMP, TIFF              OpenCV      16 bits and floats become 8 bits as they should
transparency, GIF      Pillow      lays what is transparent over white; takes the first frame
AVIF                   Pillow      knows its orientation, which OpenCV ignores
=====================  ==========  ============================================================
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from openaffect.errors import ImageError, InputError, reason
from openaffect.image_headers import (
    check_png_sums,
    check_tiff,
    foreign_format,
    read_jpeg_header,
    read_png_header,
    read_webp_header,
    sniff_format,
)
from openaffect.storage import open_file

Pixels: TypeAlias = NDArray[np.uint8]

_HEAD = 32  # bytes that tell the format of a file
_MODES_WITH_ALPHA = ("P", "PA", "LA", "La", "RGBA", "RGBa")

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff"),
    *(".webp", ".gif", ".avif"),
)
"""Suffixes of images, in lower case; a file is recognized by its content, whatever its suffix."""

MAX_PIXELS = 200_000_000
"""The largest image that is decoded: 600 MB as RGB."""

MAX_BYTES = 1_000_000_000
"""The largest file that is read."""

_MAX_AVIF_PIXELS = 60_000_000  # AV1 takes 70 ns per pixel, four times what JPEG takes
_MAX_RAW_BYTES = 8  # per pixel, as in 16-bit RGBA
# libpng inflates whatever follows the last row, a gigabyte per megabyte; Pillow stops there.
_MAX_OPENCV_PNG = 1_000_000
_BAND = 512  # rows that are laid over white at a time

# What Pillow's readers raise for damaged files; RuntimeError is the word of its AVIF reader.
_PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, MemoryError),
    *(struct.error, zlib.error),
)
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT


_QUIET = threading.Lock()


def _short(path: str | Path, error: InputError) -> str:
    """Why a file cannot be opened, without its path."""
    if not Path(path).exists():
        return "missing picture"
    text = str(error).removeprefix(f"cannot read {path}: ")
    return f"unreadable picture ({text.rpartition('but it is ')[2]})"


def check_header(path: str | Path) -> str | None:
    """Why a file cannot be an image, judged by its first bytes alone; None if nothing speaks against it.

    This costs microseconds; only decoding (`read_image`) tells whether the rest is whole.
    """
    try:
        with open_file(path, "an image") as file:
            head = file.read(_HEAD)
    except InputError as error:
        return _short(path, error)
    if not head:
        return "empty picture (0 bytes)"
    if sniff_format(head):
        return None
    foreign = foreign_format(head)
    return (
        f"{foreign} is not read; convert it to JPEG or PNG"
        if foreign
        else "not a picture (unknown first bytes)"
    )


def image_size(path: str | Path) -> tuple[int, int] | None:
    """Width and height of an image, upright, from its header; None where only decoding can tell."""
    try:
        with _quiet_pillow(), open_file(path) as file, Image.open(file) as image:
            width, height = image.size
            # EXIF orientations 5 to 8 lie on their side.
            lies = image.getexif().get(0x0112, 1) >= 5
    except (InputError, *_PILLOW_ERRORS, Image.DecompressionBombError):
        return None
    return (height, width) if lies else (width, height)


def header_size(head: bytes) -> tuple[int, int] | None:
    """Width and height that the first bytes of a JPEG, PNG or WebP tell, not turned; else None."""
    kind = sniff_format(head[:_HEAD])
    try:
        if kind == "jpeg":
            jpeg = read_jpeg_header(head, "")
            return jpeg.width, jpeg.height
        if kind == "webp":
            return read_webp_header(head, "")[:2]
    except ImageError:
        return None
    return struct.unpack(">II", head[16:24]) if kind == "png" and len(head) >= 24 else None


def read_image(
    source: str | Path | bytes | Pixels, *, max_pixels: int = MAX_PIXELS, where: str = ""
) -> Pixels:
    """A picture as RGB uint8, shape (height, width, 3), upright by its EXIF orientation.

    JPEG, PNG, BMP, TIFF, WebP, GIF and AVIF (first frame); gray, palette, CMYK and 16-bit pictures
    are converted, transparency is laid over white. An array passes through, gray is repeated.

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
        data = read_image_file(Path(source))  # not `source` itself: a number would be a descriptor
    return _decode(data, max_pixels, where)


def read_image_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: no such file, no regular one, or one of more than `MAX_BYTES`.
    """
    try:
        with open_file(path, "a picture") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise ImageError(f"{path} has {size:,} bytes; the limit is {MAX_BYTES:,} bytes")
            return file.read()
    except ImageError:
        raise
    except InputError as error:
        raise ImageError(str(error)) from error
    except OSError as error:
        raise ImageError(f"cannot read {path}: {reason(error)}") from error


def _decode(data: bytes, max_pixels: int, where: str) -> Pixels:
    if not data:
        raise ImageError(f"expected a picture at {where}, but it is empty (0 bytes)")
    kind = sniff_format(data[:_HEAD])
    if kind is None:
        foreign = foreign_format(data[:_HEAD])
        found = f"it is {foreign}; convert it" if foreign else f"its first bytes are {data[:8]!r}"
        raise ImageError(
            f"expected a JPEG, PNG, BMP, TIFF, WebP, GIF or AVIF at {where}, but {found}"
        )
    if kind == "jpeg":
        return _decode_jpeg(data, max_pixels, where)
    if kind == "png":
        png = read_png_header(data, where)
        _need_size(png.width, png.height, max_pixels, where)
        if png.has_transparency or png.compressed > _MAX_OPENCV_PNG:
            check_png_sums(data, png, where)
            return _decode_with_pillow(png.still, kind, max_pixels, where)
        return _decode_with_opencv(png.still, kind, (png.width, png.height), where)
    if kind == "webp":
        width, height, layered = read_webp_header(data, where)
        _need_size(width, height, max_pixels, where)
        if layered:
            return _decode_with_pillow(data, kind, max_pixels, where)
        return _decode_with_opencv(data, kind, (width, height), where)
    if kind == "avif":
        return _decode_with_pillow(data, kind, min(max_pixels, _MAX_AVIF_PIXELS), where)
    if kind == "tiff":
        check_tiff(data, _MAX_RAW_BYTES * max_pixels, where)
    return _decode_with_pillow(data, kind, max_pixels, where)


def _need_size(width: int, height: int, limit: int, where: str) -> None:
    if not width or not height:
        raise ImageError(f"broken header in {where}: {width} × {height} pixels")
    if width * height > limit:
        raise ImageError(f"{where} has {width} × {height} pixels; the limit is {limit:,} pixels")


def _decode_jpeg(data: bytes, max_pixels: int, where: str) -> Pixels:
    header = read_jpeg_header(data, where)
    _need_size(header.width, header.height, max_pixels, where)
    if header.baseline and b"Exif" not in data:
        try:
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), np.uint8)
        except ValueError:  # broken, or of a kind that it does not know: OpenCV has the last word
            pass
    return _decode_with_opencv(data, "jpeg", (header.width, header.height), where)


def _decode_with_opencv(data: bytes, kind: str, size: tuple[int, int], where: str) -> Pixels:
    try:
        with _quiet_opencv:
            rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"cannot decode the {kind} {where}: {error.err}") from error
    if rgb is None:
        raise ImageError(f"cannot decode the {kind} {where}: it is truncated or broken")
    if rgb.shape[:2] not in (size, size[::-1]):
        raise ImageError(f"cannot decode the {kind} {where}: its headers tell several sizes")
    return rgb  # type: ignore[return-value]


def _decode_with_pillow(data: bytes, kind: str, max_pixels: int, where: str) -> Pixels:
    """Decode by Pillow what needs it; BMP and TIFF without transparency go on to OpenCV."""
    try:
        with _quiet_pillow():
            image: Image.Image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise ImageError(f"{where} has more pixels than can be decoded") from None
    except _PILLOW_ERRORS as error:
        raise ImageError(f"broken {kind} header in {where}") from error
    _need_size(*image.size, max_pixels, where)
    transparent = image.mode in _MODES_WITH_ALPHA or "transparency" in image.info
    if kind in ("bmp", "tiff") and not transparent:
        return _decode_with_opencv(data, kind, image.size, where)
    try:
        image.load()  # what takes time, so that other threads do not wait
        with _quiet_pillow():
            image = ImageOps.exif_transpose(image)
        return _lay_over_white(image) if transparent else _to_rgb(image)
    except _PILLOW_ERRORS as error:
        raise ImageError(f"cannot decode the {kind} {where}: {reason(error)}") from error


@contextlib.contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings of large images (the limit here is ours) and of odd metadata.

    Silencing warnings changes the whole process, so threads do it one after the other.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):  # of a gray PNG; Pillow would cut off what is above 255
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _lay_over_white(image: Image.Image) -> Pixels:
    """A transparent image over white, in bands so that few copies of it are in memory."""
    rgba = image.convert("RGBA")
    width, height = rgba.size
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        band = rgba.crop((0, top, width, min(top + _BAND, height)))
        white = Image.new("RGBA", band.size, "white")
        rgb[top : top + _BAND] = np.asarray(Image.alpha_composite(white, band).convert("RGB"))
    return rgb


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
        return _lay_over_white(Image.fromarray(pixels))
    raise ImageError(f"expected {where} to have 1, 3 or 4 channels, but got {channels}")


def pixel_hash(image: Pixels) -> int:
    """32 bits by which an image is known again, however losslessly it is stored.

    The first four bytes, as a big-endian number, of the SHA-256 over height and width, as
    big-endian 32-bit numbers, and the pixels.

    Args:
        image: RGB uint8 (h, w, 3).
    """
    digest = hashlib.sha256(struct.pack(">II", *image.shape[:2]))
    digest.update(np.ascontiguousarray(image).data)
    return int.from_bytes(digest.digest()[:4], "big")


def encode_image(image: Pixels, suffix: str = ".png", quality: int = 95) -> bytes:
    """A picture as the bytes of a file.

    Args:
        image: RGB uint8 (h, w, 3), or gray (h, w).
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
