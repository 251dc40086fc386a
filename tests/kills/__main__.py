"""`python -m kills [--count N] [--seed 0] [--command NAME]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from kills.commands import BEFORE, COMMANDS, write_inputs
from kills.runner import Forker, Killed


def main() -> int:
    """Kill commands, print a table; the exit status says whether anything was found."""
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--count", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", choices=sorted(COMMANDS), action="append")
    options = parser.parse_args()
    findings, total = [], 0
    print(f"{'command':<20}{'events':>8}{'kills':>8}{'found':>8}{'seconds':>10}")
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        forker = Forker()
        for name in options.command or COMMANDS:
            start = time.monotonic()
            command = Killed(name, COMMANDS[name], Path(folder), forker, BEFORE.get(name, ()))
            results = [command.kill(k) for k in command.choose(options.count, options.seed)]
            found = [result for result in results if result.found is not None]
            seconds = time.monotonic() - start
            print(f"{name:<20}{command.events:>8}{len(results):>8}{len(found):>8}{seconds:>10.1f}")
            findings += found
            total += len(results)
        forker.close()
    for result in findings[:40]:
        print(f"\n{result.command} killed at {result.kill_at} of {result.events}: {result.found!a}")
    print(f"\n{total:,} kills, {len(findings):,} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
