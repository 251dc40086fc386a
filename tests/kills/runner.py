"""Kills of a command, one at each of some file events, and what the same command makes then."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kills import snapshots


@dataclass(frozen=True)
class Ended:
    """How a command ended; `status` is negative for a signal."""

    status: int
    said: str
    events: int


class Forker:
    """The process of `worker.py`."""

    def __init__(self, module: str = "kills.worker") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            text=True,
        )

    def run(self, folder: Path, arguments: Sequence[str], kill_at: int = 0) -> Ended:
        """Run a command in a folder; `kill_at` 0 lets it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"folder": str(folder), "arguments": [*arguments], "kill_at": kill_at}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Result:
    """What was found of a kill; `found` is None where nothing is wrong."""

    command: str
    kill_at: int
    events: int
    found: str | None


class Killed:
    """A command, ready to be killed: `folder/in` holds its inputs."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        folder: Path,
        forker: Forker,
        before: Sequence[Sequence[str]] = (),
    ) -> None:
        self.name, self._arguments, self._folder, self._forker = name, arguments, folder, forker
        self._before = before
        self._clear()
        ended = forker.run(folder, arguments)
        assert ended.status == 0, ended.said
        self.events = ended.events
        self._whole = snapshots.take(folder / "out")
        self._inputs = snapshots.take(folder / "in")
        assert self._whole, f"{name} wrote nothing"

    def _clear(self) -> None:
        out, kept = self._folder / "out", self._folder / "before" / self.name
        shutil.rmtree(out, ignore_errors=True)
        if kept.exists():
            shutil.copytree(kept, out, symlinks=True)
            return
        out.mkdir()
        for arguments in self._before:
            ended = self._forker.run(self._folder, arguments)
            assert ended.status == 0, ended.said
        if self._before:
            shutil.copytree(out, kept, symlinks=True)

    def choose(self, count: int, seed: int) -> list[int]:
        """Events to be killed at: the last, and others at random."""
        chosen = random.Random(f"{self.name} {seed}").sample(
            range(1, self.events), min(count, self.events) - 1
        )
        return sorted({*chosen, self.events})

    def kill(self, kill_at: int) -> Result:
        """Kill the command at an event, give it again, and look at what it wrote."""
        self._clear()
        ended = self._forker.run(self._folder, self._arguments, kill_at)
        return Result(self.name, kill_at, self.events, self._look(ended))

    def _look(self, ended: Ended) -> str | None:
        if ended.status == 0:
            return None  # it had fewer events this time
        if ended.status != -9:
            return f"it ended with {ended.status}: {ended.said[-300:]}"
        again = self._forker.run(self._folder, self._arguments)
        if again.status == 1 and "--resume" in again.said:
            again = self._forker.run(self._folder, [*self._arguments, "--resume"])
        elif again.status == 1 and _says_done(again.said):
            # The command had done its work; only its last message was missing.
            again = Ended(0, again.said, 0)
        if again.status != 0:
            return f"given again, it ends with {again.status}: {again.said[-300:]}"
        wrong = _differences(self._whole, snapshots.take(self._folder / "out"))
        if wrong:
            return f"afterwards {wrong}"
        wrong = _differences(self._inputs, snapshots.take(self._folder / "in"))
        return f"of the inputs {wrong}" if wrong else None


def _says_done(said: str) -> bool:
    """Whether a command refuses to make again what is there."""
    return "exists already" in said or "is a project already" in said


def _differences(expected: dict[str, str], found: dict[str, str]) -> str:
    parts = {
        "missing": sorted({*expected} - {*found}),
        "too many": sorted({*found} - {*expected}),
        "other": sorted(n for n in expected if n in found and expected[n] != found[n]),
    }
    return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)
