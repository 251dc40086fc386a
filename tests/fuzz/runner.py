"""Workers that are watched: a case that hangs, grows or ends its process is a finding as well."""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
MEGABYTES = 2000


@dataclass(frozen=True)
class Result:
    """How a case ended; `found` is None where nothing is wrong.

    `seconds` are of the processor, so that a busy machine makes no finding; a case that hangs is
    given up after three times `SECONDS` by the clock.
    """

    door: str
    number: int
    seconds: float
    peak_mb: int
    found: str | None


class Worker:
    """A process that tries cases, and is replaced where one of them has ended it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = [*command]
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=Path(__file__).parent.parent,
        )

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _restart(self) -> None:
        self.close()
        self._start()

    def try_case(self, door: str, number: int) -> Result:
        """Have one case tried."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = time.monotonic()
        self._process.stdin.write(f"{door} {number}\n".encode())
        self._process.stdin.flush()
        # The first answer of a process waits for its imports.
        ready, _, _ = select.select([self._process.stdout], [], [], 3 * SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            status = self._process.poll() if ready else None
            self._restart()
            found = f"it ended the process ({status})" if ready else "it hangs"
            return Result(door, number, time.monotonic() - start, 0, found)
        answer = json.loads(line)
        found, peak = answer["found"], answer["peak_mb"]
        if peak > MEGABYTES:
            found = found or f"it takes {peak:,} MB"
            self._restart()
        elif answer["seconds"] > SECONDS:
            found = found or f"it takes {answer['seconds']:.0f} s"
        return Result(door, number, answer["seconds"], peak, found)


def run_cases(
    cases: Sequence[tuple[str, int]],
    good: Path,
    *,
    workers: int,
    minutes: float = float("inf"),
    module: str = "fuzz.worker",
) -> list[Result]:
    """Try cases by several workers, until all are done or the time is over."""
    waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    results: list[Result] = []
    end = time.monotonic() + minutes * 60

    def work() -> None:
        worker = Worker([sys.executable, "-m", module, str(good.absolute())])
        try:
            while time.monotonic() < end:
                try:
                    case = waiting.get_nowait()
                except queue.Empty:
                    return
                results.append(worker.try_case(*case))
        finally:
            worker.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
