"""Things that the tests of the web service build: pictures of all kinds, a server on a port."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator

import numpy as np
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

COLOR = (200, 100, 60)
"""Of every picture by `solid`."""


def solid(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 40), **more) -> bytes:
    """A picture of one color as a file."""
    image = Image.new("RGB", size, COLOR).convert(mode)
    data = io.BytesIO()
    image.save(data, kind, **more)
    return data.getvalue()


def png_16_bit() -> bytes:
    """A 16-bit RGB PNG of COLOR; Pillow cannot write one."""
    row = b"\0" + b"".join(struct.pack(">H", 257 * c) for c in COLOR) * 40
    return _png(40, 40, bit_depth=16, color_type=2, rows=[row] * 40)


def png_of_30000() -> bytes:
    """A whole PNG of 30,000 × 30,000 black pixels in a few kilobytes."""
    return _png(30_000, 30_000, bit_depth=1, color_type=0, rows=[bytes(1 + 30_000 // 8)] * 30_000)


def animated_gif() -> bytes:
    """Two frames; the first is of COLOR, the second black."""
    data = io.BytesIO()
    frames = [Image.new("RGB", (40, 40), color) for color in (COLOR, (0, 0, 0))]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=50)
    return data.getvalue()


def with_alpha() -> bytes:
    """COLOR laid half over white."""
    pixels = np.full((40, 40, 4), (*COLOR, 128), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def rotated(size: tuple[int, int] = (60, 30)) -> bytes:
    """A JPEG that lies on its side by its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return solid("JPEG", size=size, exif=exif, quality=100, subsampling=0)


def _png(width: int, height: int, *, bit_depth: int, color_type: int, rows: list[bytes]) -> bytes:
    packer = zlib.compressobj(6)
    body = b"".join(packer.compress(row) for row in rows) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@contextlib.contextmanager
def running(app: ASGIApp, **options) -> Iterator[int]:
    """A real server in a thread, on a free port of this computer; `options` are uvicorn's."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        config = uvicorn.Config(app, log_level="warning", lifespan="on", **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
        assert not thread.is_alive()


def wait_until(condition, seconds: float = 15.0) -> None:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
