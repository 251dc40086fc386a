"""Animated PNGs that crash a decoder: each must be a row, and none the end of the process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from attacks import measure
from attacks.image_builders import PNG, animated_png, chunk, hostile_apng, ihdr, rows

FILES = {
    "two_sizes": hostile_apng(),
    "late_actl": PNG
    + ihdr(4, 4)
    + chunk(b"IDAT", rows(4, 4))
    + chunk(b"acTL", bytes(8))
    + chunk(b"IEND"),
    "short_actl": PNG + ihdr(4, 4) + chunk(b"acTL") + chunk(b"IDAT", rows(4, 4)) + chunk(b"IEND"),
    "short_fctl": PNG
    + ihdr(4, 4)
    + chunk(b"acTL", bytes(8))
    + chunk(b"fcTL", bytes(3))
    + chunk(b"IDAT", rows(4, 4))
    + chunk(b"IEND"),
    "no_frames": PNG + ihdr(4, 4) + chunk(b"acTL", bytes(8)) + chunk(b"IEND"),
    "good": animated_png(40, 40),
    "good_with_alpha": animated_png(40, 40, 6, first=False),
}

with tempfile.TemporaryDirectory() as folder:
    for name, data in FILES.items():
        Path(folder, f"{name}.png").write_bytes(data)
    done = measure.run(*measure.OPENAFFECT, "analyze", folder, "--json")
    rows_printed = done.stdout.count('"source"')
measure.finish(
    done.status in (0, 1) and rows_printed == len(FILES) and not done.has_traceback,
    f"{rows_printed} rows of {len(FILES)} files, {done}",
)
