"""What a command has written, without what differs between two runs of the same command."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import sqlite3
import tempfile
import zipfile
from pathlib import Path

# They hold times; what matters of them is in the other files: weights, trials.
_WITH_TIMES = ("checkpoint.pt", "study.db")
# Who links to the images of a dataset, and which releases were made of it, written into it.
_NOTES = (".linked-by", ".releases")


def take(folder: Path) -> dict[str, str]:
    """The files of a folder and what they hold."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _NOTES and not path.name.endswith(_LOGS)
    }


# Of SQLite: gone where nobody has the file open, and read with it where somebody has.
_LOGS = ("-wal", "-shm")
# Of a project: when something was done, and by which call; its id is made anew each time.
_TABLES_OF_CALLS = ("events", "settings", "alembic_version", "sqlite_sequence")
_COLUMNS_OF_CALLS = ("at", "expires", "owner")


def _content(path: Path) -> bytes:
    if path.name == "project.db":
        return repr(_rows(path)).encode()
    if path.name == "project.toml":
        lines = path.read_text(encoding="utf-8").splitlines()
        return "\n".join(line for line in lines if not line.startswith("id = ")).encode()
    if path.name == "rejected.csv":  # a call that is given again names the same rows again
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            return repr(sorted({tuple(row.values())[1:] for row in reader})).encode()
    if path.suffix == ".zip":
        return repr(_parts(path)).encode()
    if path.name in _WITH_TIMES:
        return b""
    if path.name in ("log.csv", "trials.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                {name: value for name, value in row.items() if not name.endswith("seconds")}
                for row in csv.DictReader(file)
            ]
        return repr(rows).encode()
    data = path.read_bytes()
    if path.stem == "affectnet2017":  # it says which rows an earlier call made
        data = data.replace(b"run by an earlier call", b"run").replace(b'"kept"', b'"done"')
    return data


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows of a project, without what differs between two calls."""
    found = {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            if table not in _TABLES_OF_CALLS:
                columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
                kept = ", ".join(f'"{one}"' for one in columns if one not in _COLUMNS_OF_CALLS)
                found[table] = sorted(
                    map(tuple, connection.execute(f'SELECT {kept} FROM "{table}"'))
                )
    return found


def _parts(path: Path) -> dict[str, str]:
    """What the files of an archive hold."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        archive.extractall(folder)
        return take(Path(folder))
