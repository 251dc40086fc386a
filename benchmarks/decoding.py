"""How long the slowest images that are accepted take to decode, by format.

    python benchmarks/decoding.py [--megapixels 40]

Each format is given pixels that compress badly, in its slowest variant, at the size that the
service accepts. Prints seconds and the peak memory of a process that decodes one file.
"""

from __future__ import annotations

import argparse
import io
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

DECODE = """
import re, sys, time
from openaffect.images import read_image
data = open(sys.argv[1], "rb").read()
start = time.perf_counter()
try:
    read_image(data)
    said = "read"
except Exception as error:
    said = str(error)[:60]
seconds = time.perf_counter() - start
peak = re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().replace("\\t", " "))
print(f"{seconds:.2f} {int(peak[1]) // 1024} {said}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=40)
    options = parser.parse_args()
    side = int((options.megapixels * 1e6) ** 0.5)
    print(f"{side} × {side} pixels")
    print(f"{'variant':<24}{'MB':>8}{'seconds':>9}{'peak MB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in make_images(side):
            path = Path(folder) / "image"
            path.write_bytes(data)
            done = subprocess.run(
                [sys.executable, "-c", DECODE, str(path)],
                check=True,
                capture_output=True,
                text=True,
            )
            seconds, peak, said = done.stdout.strip().split(" ", 2)
            note = "" if said == "read" else f"  {said}"
            print(f"{name:<24}{len(data) / 1e6:>8.1f}{seconds:>9}{peak:>9}{note}")


def make_images(side: int) -> Iterator[tuple[str, bytes]]:
    """Names and files."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (512, 512, 3), np.uint8)
    times = -(-side // 512)
    noise = Image.fromarray(np.tile(tile, (times, times, 1))[:side, :side])

    def save(kind: str, image: Image.Image = noise, **more: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **more)
        return file.getvalue()

    yield "JPEG", save("JPEG", quality=95)
    progressive = save("JPEG", quality=95, progressive=True)
    yield "JPEG, progressive", progressive
    yield "JPEG, most scans", repeat_last_scan(save("JPEG", noise.convert("L"), progressive=True))
    yield "PNG", save("PNG", compress_level=1)
    yield "PNG, interlaced, 16 bit", interlaced_png(side)
    yield "WebP", save("WEBP", quality=30, method=0)
    yield "WebP, lossless", save("WEBP", lossless=True, quality=0, method=0)
    yield "TIFF, LZW", save("TIFF", compression="tiff_lzw")
    yield "TIFF, deflate", save("TIFF", compression="tiff_adobe_deflate")
    yield "GIF", save("GIF", noise.convert("P"))
    yield "BMP", save("BMP")
    yield "AVIF", save("AVIF", quality=70, speed=10)


def repeat_last_scan(data: bytes) -> bytes:
    """A progressive JPEG with as many scans as are read."""
    from openaffect.image_headers import MAX_SCAN_PIXELS

    last = data.rindex(b"\xff\xda")
    end = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]").search(data, last + 4)
    assert end is not None
    height, width = Image.open(io.BytesIO(data)).size
    more = MAX_SCAN_PIXELS // (height * width) - data.count(b"\xff\xda")
    return data[: end.start()] + data[last : end.start()] * more + data[end.start() :]


def interlaced_png(side: int) -> bytes:
    """An interlaced RGB PNG of 16 bits, black: libpng fills its rows seven times."""

    def chunk(kind: bytes, data: bytes = b"") -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    parts = []
    for x, y, step_x, step_y in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        columns, rows = -(-(side - x) // step_x), -(-(side - y) // step_y)
        parts.append(bytes(rows * (1 + 6 * columns)))
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 1)
    pixels = zlib.compress(b"".join(parts), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")


if __name__ == "__main__":
    main()
