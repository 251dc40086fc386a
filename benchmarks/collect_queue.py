"""How fast a project answers whose queue of downloads is long.

    python benchmarks/collect_queue.py [--urls 200000] [--database postgresql://…]

Addresses are generated: 3,000 hosts, of which one has a third of all addresses and others have few. Prints how
long adding took, and the median and the slowest of 30 calls in a warm process: `Project.status()`; taking 128
addresses; taking 128 while the busiest host has as many downloads as it may have; writing down 128
ends. `--database` takes an empty PostgreSQL database instead of SQLite.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from openaffect.project import Project, create_project
from openaffect.project.urls import Attempt, HitRow, add_hits, claim_urls, finish_urls

HOSTS = 3_000
BATCH = 2_000
CALLS = 30
OWNER = "benchmark.1.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=200_000)
    parser.add_argument("--database")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        create_project(Path(folder) / "large", database=options.database) as project,
    ):
        began = time.perf_counter()
        generate(project, options.urls)
        kind = project.status()["database"]
        print(f"{kind}: {options.urls:,} addresses added in {time.perf_counter() - began:.0f} s")
        measure("status", project.status)
        measure("take 128", lambda: claim(project, ()))
        measure("take 128, busiest host full", lambda: claim(project, ("host0.example",)))
        measure("write down 128 ends", lambda: finish(project), before=lambda: claim(project, ()))


def generate(project: Project, count: int) -> None:
    """Add addresses in the order in which a search would find them: all hosts mixed."""
    random = np.random.default_rng(0)
    hosts = np.minimum(random.geometric(0.004, count), HOSTS - 1)
    hosts[random.random(count) < 1 / 3] = 0
    for start in range(0, count, BATCH):
        rows = [
            HitRow("list", f"https://host{host}.example/{number}.jpg", license="CC0-1.0")
            for number, host in enumerate(hosts[start : start + BATCH].tolist(), start)
        ]
        with project.database.write() as connection:
            add_hits(connection, rows)


def claim(project: Project, busy: tuple[str, ...]) -> list[int]:
    with project.database.write() as connection:
        found = [one.id for one in claim_urls(connection, OWNER, 128, busy)]
    assert len(found) == 128
    LAST[:] = found
    return found


LAST: list[int] = []


def finish(project: Project) -> None:
    ends = [Attempt(number, "failed", "HTTP 404", http_status=404) for number in LAST]
    with project.database.write() as connection:
        assert len(finish_urls(connection, OWNER, ends)) == 128


def measure(
    name: str, call: Callable[[], object], before: Callable[[], object] = lambda: None
) -> None:
    times = []
    for number in range(CALLS + 1):
        before()
        start = time.perf_counter()
        call()
        if number:  # the first one warms up
            times.append(1_000 * (time.perf_counter() - start))
    print(f"  {name:28} median {statistics.median(times):6.1f} ms, slowest {max(times):6.1f} ms")


if __name__ == "__main__":
    main()
