"""A command run to its end, with its exit status, seconds and peak memory; what attacks report."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import NoReturn

OPENAFFECT = (sys.executable, "-m", "openaffect")


@dataclass(frozen=True)
class Measured:
    """What a command did; `status` is negative for a signal, None if it had to be killed."""

    status: int | None
    seconds: float
    peak_mb: float
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"exit {self.status}, {self.seconds:.1f} s, {self.peak_mb:.0f} MB"

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.stderr


def run(*command: str, timeout: float = 60, cwd: str | None = None) -> Measured:
    """Run a command; kill it after `timeout` seconds."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd
        )
        killed = False
        while True:
            pid, code, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not killed and time.monotonic() - start > timeout:
                process.kill()
                killed = True
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(code)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(1_000_000).decode("utf-8", "replace"))
    return Measured(
        None if killed else process.returncode,
        time.monotonic() - start,
        usage.ru_maxrss / 1024,
        *texts,
    )


def finish(held: bool, figures: object) -> NoReturn:
    """Print the verdict with its figures and end with the status that `test_attacks.py` reads."""
    print(f"{'held' if held else 'SUCCEEDED'}: {figures}")
    sys.exit(0 if held else 1)
