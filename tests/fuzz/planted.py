"""A worker with doors that are broken on purpose."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from fuzz import worker
from fuzz.doors import Opening
from openaffect.errors import InputError


def fine(*_: object) -> Opening:
    return lambda: None


def raises(*_: object) -> Opening:
    return lambda: dict[str, int]()["a"]


def lines(*_: object) -> Opening:
    def two() -> None:
        raise InputError("one\ntwo")

    return two


def dies(*_: object) -> Opening:
    return lambda: os.kill(os.getpid(), signal.SIGSEGV)


def grows(*_: object) -> Opening:
    return lambda: len(bytearray(b"a" * 1_200_000_000))


def hangs(*_: object) -> Opening:
    return lambda: time.sleep(60)


def fake_main(arguments: list[str]) -> int:
    """What a command line would do that prints a traceback, or ends oddly."""
    if arguments == ["prints"]:
        sys.stderr.write("error: no\nTraceback (most recent call last):\n")
        return 1
    return 7 if arguments == ["status"] else 1


if __name__ == "__main__":
    doors = {door.__name__: door for door in (fine, raises, lines, dies, grows, hangs)}
    for name in ("prints", "status", "silent"):
        doors[name] = lambda *_, name=name: [name]
    vars(worker).update(DOORS=doors, main=fake_main)
    worker.work(Path(sys.argv[1]))
