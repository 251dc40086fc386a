"""A writer replaces a dataset again and again; readers must never lose it, nor throw it away."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path

from attacks import measure
from openaffect.dataset import open_dataset, save_dataset
from openaffect.errors import OpenAffectError

SECONDS = 12
Count = tuple[str, int, int]  # what was tried, how often, and how often it failed


def write(source: str, folder: str, lost: multiprocessing.Queue[Count]) -> None:
    dataset = open_dataset(source)
    end = time.monotonic() + SECONDS
    count = failed = 0
    while time.monotonic() < end:
        count += 1
        try:
            save_dataset(dataset, Path(folder), overwrite=True)
        except (OSError, OpenAffectError):
            failed += 1
    lost.put(("writes", count, failed))


def read(folder: str, lost: multiprocessing.Queue[Count]) -> None:
    end = time.monotonic() + SECONDS
    count = failed = 0
    while time.monotonic() < end:
        count += 1
        try:
            open_dataset(folder)
        except (OSError, OpenAffectError):
            failed += 1
    lost.put(("reads", count, failed))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        source, folder = f"{place}/source", f"{place}/d"
        measure.run(*measure.OPENAFFECT, "synthesize", "8", source, "--size", "64")
        save_dataset(open_dataset(source), Path(folder))
        results: multiprocessing.Queue[Count] = multiprocessing.Queue()
        jobs = [multiprocessing.Process(target=write, args=(source, folder, results))]
        jobs += [multiprocessing.Process(target=read, args=(folder, results)) for _ in range(2)]
        for job in jobs:
            job.start()
        found = [results.get(timeout=60) for _ in jobs]
        for job in jobs:
            job.join()
        left = sorted(entry.name for entry in Path(place).iterdir())
    failed = sum(failures for _, _, failures in found)
    measure.finish(failed == 0 and left == ["d", "source"], f"{sorted(found)}, left {left}")
