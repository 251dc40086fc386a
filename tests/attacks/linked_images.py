"""A second import replaces a dataset whose images another dataset shows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from attacks import measure
from openaffect.dataset import open_dataset

with tempfile.TemporaryDirectory() as place:
    first, second = f"{place}/d", f"{place}/s"
    measure.run(*measure.OPENAFFECT, "synthesize", "12", first, "--size", "64")
    measure.run(*measure.OPENAFFECT, "split", first, second, "--test", "50%")
    done = measure.run(
        *measure.OPENAFFECT, "synthesize", "3", first, "--size", "64", "--seed", "9", "--overwrite"
    )
    there = [path.is_file() for path in open_dataset(second).image_paths]
    said = Path(second).name in done.stderr
measure.finish(all(there) and said, f"{sum(there)} of {len(there)} images left, {done}")
