"""PNGs whose lengths lie: gigabytes of memory, or minutes of inflating what nobody sees."""

from __future__ import annotations

import tempfile
from pathlib import Path

from attacks import measure
from attacks.image_builders import PNG, chunk, endless_png, ihdr, rows

HEAD = PNG + ihdr(100, 100)
BODY = chunk(b"IDAT", rows(100, 100)) + chunk(b"IEND")
FILES = {f"{kind.decode()}_{length}": HEAD + chunk(kind, b"a" * 20, length) + BODY
    for kind in (b"IDAT", b"tEXt", b"iCCP", b"eXIf", b"tRNS")
    for length in (2**31 - 1, 2**31, 2**32 - 1)
}  # fmt: skip
FILES["endless"] = endless_png(5)

worst = []
with tempfile.TemporaryDirectory() as folder:
    for name, data in FILES.items():
        path = Path(folder, f"{name}.png")
        path.write_bytes(data)
        if name.endswith(str(2**31)) or name == "endless":  # one process each: its own peak
            worst.append(measure.run(*measure.OPENAFFECT, "analyze", str(path)))
    worst.append(measure.run(*measure.OPENAFFECT, "analyze", folder))
measure.finish(
    all(
        one.status in (0, 1) and one.peak_mb < 1000 and one.seconds < 15 and not one.has_traceback
        for one in worst
    ),
    f"{len(FILES)} files, at most {max(one.peak_mb for one in worst):.0f} MB and "
    f"{max(one.seconds for one in worst):.1f} s, exit {sorted({str(one.status) for one in worst})}",
)
