"""One PostgreSQL server for all tests of a run, on a Unix socket, with a database per test."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

REQUIRED = "OPENAFFECT_REQUIRE_POSTGRES"
"""Set where a skipped test would hide that PostgreSQL is missing, as in continuous integration."""


def find_programs() -> Path | None:
    """The folder with PostgreSQL's own programs, or None."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def server(shared: Path) -> str:
    """The folder of the server's socket; the first worker of a run starts it.

    Args:
        shared: a folder that all workers of the run have.
    """
    programs = find_programs()
    if programs is None:
        message = "PostgreSQL is not installed: `apt-get install postgresql` brings it"
        if os.environ.get(REQUIRED):
            pytest.fail(message)
        pytest.skip(message)
    note = shared / "postgres.json"
    with (shared / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            # A socket's path has at most 107 bytes.
            folder = Path(tempfile.mkdtemp(prefix="oa-pg-", dir="/tmp"))
            _start(programs, folder)
            note.write_text(json.dumps({"folder": str(folder), "programs": str(programs)}))
    return str(json.loads(note.read_text())["folder"])


def stop(shared: Path) -> None:
    """Stop the server of a run, if one was started."""
    note = shared / "postgres.json"
    if note.exists():
        facts = json.loads(note.read_text())
        data = f"{facts['folder']}/data"
        _run([f"{facts['programs']}/pg_ctl", "stop", "-m", "immediate", "-D", data])
        shutil.rmtree(facts["folder"], ignore_errors=True)
        note.unlink()


def make_database(folder: str) -> str:
    """A new, empty database; its address."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(_conninfo(folder, "postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://{user()}@/{name}?host={folder}"


def drop_database(folder: str, url: str) -> None:
    """Remove a database, whoever is still connected."""
    import psycopg

    name = url.split("@/")[1].split("?", maxsplit=1)[0]
    with psycopg.connect(_conninfo(folder, "postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def user() -> str:
    """Who runs the server: it refuses root."""
    return "postgres" if os.geteuid() == 0 else getpass.getuser()


def _conninfo(folder: str, name: str) -> str:
    return f"host={folder} user={user()} dbname={name}"


def _start(programs: Path, folder: Path) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    data = f"{folder}/data"
    init = [
        f"{programs}/initdb",
        "-D",
        data,
        "-U",
        user(),
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    _run([*init, "--locale=C.UTF-8"])
    options = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=200"
    _run([f"{programs}/pg_ctl", "start", "-w", "-D", data, "-o", options, "-l", f"{folder}/log"])


def _run(command: list[str]) -> None:
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_postgres, *command], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
