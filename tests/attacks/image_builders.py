"""Images that attack a decoder, made from scratch."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A chunk of a PNG; `length` is what it claims to have."""
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def ihdr(width: int, height: int, color: int = 2, *, interlaced: bool = False) -> bytes:
    """The first chunk of a PNG of 8 bits; color 2 is RGB, 6 RGBA."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, interlaced))


def rows(width: int, height: int, channels: int = 3) -> bytes:
    """Compressed pixels of a black image."""
    return zlib.compress(bytes(height * (1 + channels * width)))


def animated_png(width: int, height: int, color: int = 2, *, first: bool = True) -> bytes:
    """A PNG of two frames; `first` says that its still picture is one of them."""
    channels = 3 if color == 2 else 4
    control = struct.pack(">IIIIHHBB", width, height, 0, 0, 1, 10, 0, 0)
    pixels = rows(width, height, channels)
    number = iter(range(10))

    def frame() -> bytes:
        return chunk(b"fcTL", struct.pack(">I", next(number)) + control)

    return b"".join(
        [
            *(PNG, ihdr(width, height, color), chunk(b"acTL", struct.pack(">II", 2, 0))),
            *([frame()] if first else []),
            chunk(b"IDAT", pixels),
            *(frame(), chunk(b"fdAT", struct.pack(">I", next(number)) + pixels), chunk(b"IEND")),
        ]
    )


def hostile_apng() -> bytes:
    """An animation with no pixels and two headers: OpenCV's reader took it and the process ended."""
    control = struct.pack(">IIIIIHHBB", 1, 48, 48, 0, 0, 0, 0, 1, 0)
    return b"".join(
        [
            *(PNG, ihdr(48, 48), chunk(b"acTL", struct.pack(">II", 3, 0)), chunk(b"IDAT")),
            *(chunk(b"fcTL", control), ihdr(48, 48)),
        ]
    )


def endless_png(megabytes: float) -> bytes:
    """A PNG of 100 × 100 whose compressed data goes on, a thousandfold, behind its last row."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(100 * 301))]
    parts += [packer.compress(bytes(1 << 26)) for _ in range(int(megabytes * 16) or 1)]
    data = b"".join([*parts, packer.flush()])
    pieces = [chunk(b"IDAT", data[at : at + 500_000]) for at in range(0, len(data), 500_000)]
    return b"".join([PNG, ihdr(100, 100), *pieces, chunk(b"IEND")])


def many_scans(width: int, height: int, scans: int, *, progressive: bool = True) -> bytes:
    """A gray JPEG whose last scan is repeated."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width), 90, np.uint8)).save(
        file, "JPEG", progressive=progressive
    )
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    end = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]").search(data, last + 4)
    assert end is not None
    return data[: end.start()] + data[last : end.start()] * scans + data[end.start() :]
