"""A server that speaks the protocol of S3, on loopback, from a virtual environment of its own.

moto and its boto3 ask for an older python-dateutil than the rest: they cannot share an environment.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from environments import make_environment

PLACE = "OPENAFFECT_MOTO"
"""A virtual environment with `moto[server]`; without this variable each run of tests makes one."""

REQUIRED = "OPENAFFECT_REQUIRE_MOTO"
"""Set where a skipped test would hide that moto is missing, as in continuous integration."""

_REQUIREMENT = "moto[server]==5.2.5"
_started: list[
    subprocess.Popen[bytes]
] = []  # an object that is dropped warns that its process runs


def server(shared: Path) -> str:
    """The address of the server, such as `http://127.0.0.1:5000`; the first worker of a run starts it.

    Args:
        shared: a folder that all workers of the run have.
    """
    note = shared / "moto.json"
    with (shared / "moto.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            facts = start(shared, shared / "moto.log")
            note.write_text(json.dumps(facts))
    facts = json.loads(note.read_text())
    if "error" in facts:
        if os.environ.get(REQUIRED):
            pytest.fail(facts["error"])
        pytest.skip(facts["error"])
    return str(facts["address"])


def stop(shared: Path) -> None:
    """Stop the server of a run, if one was started."""
    note = shared / "moto.json"
    if note.exists():
        facts = json.loads(note.read_text())
        if "pid" in facts:
            os.kill(facts["pid"], signal.SIGTERM)
        note.unlink()
        shutil.rmtree(shared / "moto", ignore_errors=True)


def _environment(shared: Path) -> Path | str:
    """The virtual environment, or why there is none."""
    given = os.environ.get(PLACE)
    if given:
        return Path(given)
    folder = shared / "moto"
    return make_environment(folder, [_REQUIREMENT]) or folder


def start(shared: Path, log: Path, **variables: str) -> dict[str, Any]:
    """Start a server: its `address` and `pid`, or the `error`.

    Args:
        shared: where the environment is, or is made.
        log: what the server prints.
        variables: of its process.
    """
    environment = _environment(shared)
    if isinstance(environment, str):
        return {"error": environment}
    # Port 0: the system chooses, and the log says which.
    command = [str(environment / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", "0"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=os.environ | variables,
        )
    _started.append(process)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        words = log.read_text().split()
        found = [word for word in words if word.startswith("http://127.0.0.1:")]
        if found:
            urllib.request.urlopen(f"{found[0]}/moto-api/data.json", timeout=30).close()
            return {"address": found[0], "pid": process.pid}
        time.sleep(0.1)
    return {"error": f"moto's server did not start: {log.read_text()[-300:]}"}
