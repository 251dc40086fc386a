"""Model files of a few kilobytes that never finish opening, or need other files.

Each is given to `openaffect card`, which must refuse it with status 1, in one line and in seconds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

import openaffect
from attacks import measure
from model_builders import REFUSED

SECONDS = 15.0
DEFAULT = Path(openaffect.__file__).parent / "models" / "default.onnx"


def main() -> None:
    held, figures = True, []
    for change in (change for changes in REFUSED.values() for change in changes):
        with tempfile.TemporaryDirectory() as folder:
            model = onnx.load(DEFAULT)
            change(model)
            path = Path(folder) / "m.onnx"
            path.write_bytes(model.SerializeToString())
            done = measure.run(*measure.OPENAFFECT, "card", str(path), timeout=SECONDS)
        held &= done.status == 1 and not done.has_traceback and "error: " in done.stderr
        figures.append(f"{change.__name__} {done}")
    measure.finish(held, "; ".join(figures))


if __name__ == "__main__":
    main()
