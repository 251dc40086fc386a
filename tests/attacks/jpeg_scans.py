"""JPEGs of hundreds of scans, small in bytes, that keep a decoder at work for minutes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from attacks import measure
from attacks.image_builders import many_scans
from openaffect.errors import ImageError
from openaffect.images import read_image

SHAPES = (
    (8000, 5000, 400, True),
    (8000, 5000, 26, True),
    (2000, 2000, 350, True),
    (200, 200, 480, True),
    (200, 200, 100_000, True),
    (8000, 5000, 400, False),
)

seconds = []
for width, height, scans, progressive in SHAPES:
    data = many_scans(width, height, scans, progressive=progressive)
    start = time.monotonic()
    try:
        read_image(data)
        verdict = "read"
    except ImageError:
        verdict = "refused"
    seconds.append(time.monotonic() - start)
    print(f"{width} × {height}, {scans} scans, {len(data):,} bytes: {verdict}, {seconds[-1]:.2f} s")
    if seconds[-1] > 20:
        break
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "scans.jpg").write_bytes(many_scans(6000, 5000, 300))
    done = measure.run(*measure.OPENAFFECT, "analyze", folder)
measure.finish(
    max(seconds) <= 5 and done.seconds < 15 and done.status in (0, 1),
    f"at most {max(seconds):.2f} s a file; the command: {done}",
)
