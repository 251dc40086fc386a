"""`python -m fuzz [--count 2000] [--seed 0] [--door NAME] [--minutes 5] [--replay DOOR:NUMBER]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzz.corpus import write_corpus
from fuzz.doors import DOORS
from fuzz.runner import run_cases


def main() -> int:
    """Run a campaign, print a table of it; the exit status says whether anything was found."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--door", choices=sorted(DOORS), action="append")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", metavar="DOOR:NUMBER")
    options = parser.parse_args()
    if options.replay:
        door, _, number = options.replay.partition(":")
        cases = [(door, int(number))]
    else:
        doors = options.door or sorted(DOORS)
        first = options.seed * 1_000_000
        cases = [(doors[n % len(doors)], first + n // len(doors)) for n in range(options.count)]
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder))
        results = run_cases(cases, Path(folder), workers=options.workers, minutes=options.minutes)
    print(f"{'door':<16}{'cases':>8}{'slowest s':>11}{'MB':>7}{'found':>7}")
    for door in sorted({result.door for result in results}):
        own = [result for result in results if result.door == door]
        found = sum(result.found is not None for result in own)
        slowest, largest = max(r.seconds for r in own), max(r.peak_mb for r in own)
        print(f"{door:<16}{len(own):>8}{slowest:>11.1f}{largest:>7}{found:>7}")
    findings = [result for result in results if result.found is not None]
    kinds = Counter((r.door, str(r.found)[:90]) for r in findings)
    for (door, text), count in kinds.most_common():
        first_one = next(r for r in findings if (r.door, str(r.found)[:90]) == (door, text))
        print(
            f"\n{count} × {door}: --replay {door}:{first_one.number}\n    {str(first_one.found)[:400]!a}"
        )
    print(f"\n{len(results):,} cases, {len(findings):,} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
