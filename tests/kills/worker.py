"""A process that runs commands in forks of itself, each killed at one of its file events.

It reads lines of JSON, `{"folder": …, "arguments": […], "kill_at": k}`, and answers each with how
the command ended, what it said, and how many file events it had. A fork starts at once, where a
new process would import for seconds; what a command has imported is imported here afterwards.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from openaffect import storage
from openaffect.cli import main

EVENTS = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"),
    *("os.truncate", "shutil.copyfile"),
}


def watch(kill_at: int) -> list[int]:
    """Count the events of this process that touch `out`; end it before number `kill_at`."""
    count, owner = [0], os.getpid()
    out = os.path.abspath("out")

    def count_event() -> None:
        if os.getpid() != owner:
            return
        count[0] += 1
        if count[0] == kill_at:
            os.kill(owner, signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS:
            return
        for path in arguments[:2]:
            if isinstance(path, (str, bytes, os.PathLike)):
                if os.path.abspath(os.fsdecode(path)).startswith(out):
                    count_event()
                return

    exchange = storage._exchange

    def counted_exchange(one: Path, other: Path) -> bool:
        count_event()
        return exchange(one, other)

    storage._exchange = counted_exchange  # it calls the system by ctypes, which has no event
    sys.addaudithook(hook)
    return count


def run(folder: str, arguments: list[str], kill_at: int, said: int, counted: int) -> NoReturn:
    """In a fork: run a command; its exit status is that of the process."""
    os.chdir(folder)
    os.dup2(said, 1)
    os.dup2(said, 2)
    count = watch(kill_at)
    status = 70
    try:
        status = main(arguments)
    finally:
        notes = {"events": count[0], "modules": sorted(sys.modules)}
        os.write(counted, json.dumps(notes).encode())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    """Run what is asked for until nothing more is."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as counted:
            child = os.fork()
            if child == 0:
                run(
                    asked["folder"],
                    asked["arguments"],
                    asked["kill_at"],
                    said.fileno(),
                    counted.fileno(),
                )
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said.seek(0)
            counted.seek(0)
            notes = json.loads(counted.read() or "{}")
            answer = {
                "status": status,
                "said": said.read().decode("utf-8", "replace"),
                "events": notes.get("events", 0),
            }
        answers.write(json.dumps(answer) + "\n")
        learn(notes.get("modules", []))


def learn(modules: list[str]) -> None:
    """Import what a fork had to import."""
    for name in modules:
        if name not in sys.modules and name != "__mp_main__":
            with contextlib.suppress(ImportError):  # modules that make their names themselves
                importlib.import_module(name)


if __name__ == "__main__":
    serve()
