"""Project: a folder in which a database of faces grows.

::

    PROJECT/
    ├── project.toml     what was decided; see `settings`
    ├── project.db       SQLite, unless project.toml names a PostgreSQL database
    ├── store/           the images, each under the SHA-256 of its bytes
    └── rejected.csv     what could not be added, and why
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from openaffect.errors import FormatError, InputError, MismatchError, OpenAffectError
from openaffect.project import counters, schema, upgrading
from openaffect.project.database import Database, check_file, file_url, parse_url
from openaffect.project.rows import record_event
from openaffect.project.settings import Settings, read_settings, replace_settings, write_settings
from openaffect.project.store import Store, is_address, open_store
from openaffect.storage import is_temporary

TOML, DATABASE = "project.toml", "project.db"
_REJECTED = "rejected.csv"

STEPS = ("download", "detect")
"""The steps whose queues `status` shows."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project that is open; use it in a `with` block, or `close` it.

    Attributes:
        path: the folder.
        settings: what project.toml says.
        database: where the rows are.
        store: where the images are.
    """

    path: Path
    settings: Settings
    database: Database
    store: Store

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections of the database back."""
        self.database.close()

    def status(self) -> dict[str, Any]:
        """How far the project is, from counters alone.

        Returns:
            `name`, `database`; what was `found`: `hits` of providers, and `urls`, each address once;
            `images`, `faces` and `annotations`, each with `total`; `answers` of annotators that are
            `wanted` and `done`, and faces that wait for `review`; and under `steps` for each step
            `pending`, `done`, `failed` and `refused`, the last two by reason.
        """
        with self.database.read() as connection:
            numbers = counters.read(connection)
        steps = {}
        for step in STEPS:
            steps[step] = {
                "pending": numbers.get(f"{step}.pending", 0),
                "done": numbers.get(f"{step}.done", 0),
                "failed": _find_reasons(numbers, f"{step}.failed."),
                "refused": _find_reasons(numbers, f"{step}.refused."),
            }
        return {
            "name": self.settings.name,
            "database": "sqlite" if self.database.is_sqlite else "postgresql",
            "found": {
                "hits": numbers.get("hits", 0),
                "urls": numbers.get("urls", 0),
                "known_images": numbers.get("download.known", 0),
            },
            "images": {
                "total": numbers.get("images", 0),
                "bytes": numbers.get("images.bytes", 0),
                "copies": numbers.get("images.copies", 0),
                "without_faces": numbers.get("images.without_faces", 0),
            },
            "faces": {"total": numbers.get("faces", 0)},
            "annotations": {
                "total": numbers.get("annotations", 0),
                "imported": numbers.get("annotations.imported", 0),
                "counted": numbers.get("annotations.counted", 0),
            },
            "answers": {
                "wanted": numbers.get("answers.wanted", 0),
                "done": numbers.get("answers.done", 0),
                "review": numbers.get("review.open", 0),
            },
            "steps": steps,
        }

    def events(self) -> list[dict[str, Any]]:
        """What was done to the project, the oldest first: `at`, `kind`, `subject`, `details`."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(schema.events).order_by(schema.events.c.id))
            return [
                {key: value for key, value in row._asdict().items() if key != "id"} for row in rows
            ]

    def reject(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Name rows that could not be added in `rejected.csv`: source, name, reason."""
        path = self.path / _REJECTED
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["at", "source", "name", "reason"])
            at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            writer.writerows([at, *row] for row in rows)


def _find_reasons(numbers: Mapping[str, int], start: str) -> dict[str, int]:
    """The counters whose names begin like this, by the rest of the name."""
    return {
        name.removeprefix(start): count
        for name, count in sorted(numbers.items())
        if name.startswith(start)
    }


def create_project(
    path: str | Path,
    *,
    database: str | None = None,
    store: str | Path | None = None,
    contact: str = "",
    settings: Settings | None = None,
) -> Project:
    """Make an empty project.

    Args:
        path: the folder; it must not exist, or be empty.
        database: `postgresql://user@host/name` of an empty database, without a password (which
            comes from OPENAFFECT_DATABASE_PASSWORD, PGPASSWORD or ~/.pgpass); by default a
            SQLite file in the folder.
        store: where the images go: another folder, or `s3://bucket/prefix` without a key; by
            default `store` in the project.
        contact: an address of the operator, told to the servers that `collect` asks.
        settings: other keys of project.toml.

    Raises:
        InputError: the folder holds something; an address that is none of PostgreSQL's or of S3,
            or holds a password or a key; or a database that holds tables already.
        DatabaseError: the database does not answer.
        StoreError: the bucket is not there, or cannot be reached.
        MissingExtra: SQLAlchemy, or psycopg for PostgreSQL, is not installed.
    """
    return make_project(
        path,
        settings or Settings(),
        database=database,
        store=store,
        contact=contact,
        fill=lambda project, connection: record_event(connection, "new", project.settings.name),
    )


def make_project(
    path: str | Path,
    settings: Settings,
    *,
    database: str | None,
    store: str | Path | None,
    contact: str = "",
    fill: Callable[[Project, sa.Connection], None],
) -> Project:
    """Make a project with its first rows, all of it or nothing; see `create_project`.

    Args:
        path, database, store, contact: as there.
        settings: its id is made anew.
        fill: writes the first rows, in the transaction that makes the tables.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        _remove_unfinished(path)
    made = dataclasses.replace(
        settings,
        name=settings.name or path.absolute().name,
        id=str(uuid.uuid4()),
        database=str(parse_url(database).set(drivername="postgresql")) if database else "",
        store=_locate(store) if store is not None else settings.store,
        contact=contact or settings.contact,
    )
    images = open_store(made.store, path)
    place = Database(parse_url(database)) if database else None
    known = path.exists()
    try:
        if place is None:
            path.mkdir(parents=True, exist_ok=True)
            place = Database(file_url(path / DATABASE))
        else:
            _check_empty(place)  # before anything is written
            path.mkdir(parents=True, exist_ok=True)
        project = Project(path, made, place, images)
        images.prepare()
        with place.write() as connection:
            upgrading.upgrade_tables(connection)
            fill(project, connection)
            connection.execute(sa.delete(schema.settings))
            rows = [{"key": key, "value": value} for key, value in made.flat().items()]
            connection.execute(sa.insert(schema.settings), rows)
            # Before the tables are there for others: a kill leaves a folder that says whose they are.
            write_settings(made, path / TOML)
    except BaseException:
        if place is not None:
            place.close()
        (path / TOML).unlink(missing_ok=True)
        if not known and path.exists() and not any(path.iterdir()):
            path.rmdir()
        raise
    return project


def _locate(store: str | Path) -> str:
    return str(store) if is_address(store) else str(Path(store).absolute())


def _check_empty(place: Database) -> None:
    with place.read() as connection:
        tables = sorted(sa.inspect(connection).get_table_names())
    if tables:
        raise InputError(
            f"expected an empty database at {place.name}, but it has {len(tables)} tables "
            f"({', '.join(tables[:3])}, …)"
        )


def _remove_unfinished(path: Path) -> None:
    """Remove what a killed `new` has left in a folder.

    Raises:
        InputError: the folder holds a project, or anything else.
    """
    if not path.is_dir():
        raise InputError(f"expected a new or empty folder for a project, but {path} is a file")
    ours = {TOML, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal"}
    store = path / Settings().store
    foreign = [
        entry
        for entry in path.iterdir()
        if entry.name not in ours and not is_temporary(entry) and entry != store
    ]
    if store.exists() and not _is_store(store):
        foreign.append(store)
    if (path / TOML).exists() and (foreign or _has_tables(path)):
        raise InputError(f"{path} is a project already; `openaffect status {path}` shows it")
    if foreign:
        raise InputError(f"expected a new or empty folder for a project, but {path} holds files")
    for entry in path.iterdir():
        if entry != store:
            entry.unlink()


def _is_store(folder: Path) -> bool:
    """Whether a folder holds nothing but the folders of a store; what a restore left is used again."""
    return folder.is_dir() and all(
        re.fullmatch("[0-9a-f]{2}", entry.name) and entry.is_dir() for entry in folder.iterdir()
    )


def _has_tables(path: Path) -> bool:
    """Whether the database that a project.toml names holds a project; True where nobody can tell."""
    try:
        with connect_project(path) as project, project.database.read() as connection:
            return upgrading.find_version(connection) is not None
    except FormatError:
        return (path / DATABASE).exists() and (path / DATABASE).stat().st_size > 0
    except OpenAffectError:
        return True


def open_project(path: str | Path) -> Project:
    """Open a project; a key of project.toml that has changed becomes an event.

    Raises:
        FormatError: no project, or a project.toml or database that is damaged.
        UnknownName: a key of project.toml that does not exist.
        NewerSchema: a newer openaffect has written it.
        InputError: its tables are of an older version, or its store is at an address that cannot be
            one.
        MismatchError: the database belongs to another project.
        DatabaseError: the database does not answer.
        MissingExtra: SQLAlchemy, or psycopg for PostgreSQL, is not installed.
    """
    path = Path(path)
    project = connect_project(path)
    try:
        with project.database.read() as connection:
            upgrading.check_version(connection, str(path))
        _note_changes(project)
    except BaseException:
        project.close()
        raise
    return project


def change_settings(project: Project, values: Mapping[str, Any]) -> Project:
    """Write other values of keys into project.toml; each change becomes an event.

    What others have changed there since stays: one change is made after the other, in any process.

    Args:
        project: it belongs to, which goes on with the old values.
        values: by key, such as `annotation.overlap`; a key of no group stands alone.

    Returns:
        The project with the new values, on the same connections.

    Raises:
        UnknownName: a key that does not exist.
        FormatError: a value of the wrong type or out of range.
    """
    path = project.path / TOML
    with project.database.write() as connection:
        _lock_settings(connection)
        settings = replace_settings(read_settings(path), values, Path(TOML))
        write_settings(settings, path)
        changed = dataclasses.replace(project, settings=settings)
        _record_changes(connection, changed)
    return changed


def reread_settings(project: Project) -> Project:
    """A project with what its project.toml says now, on the same connections.

    Where the file cannot be read, or is another project's, the settings stay as they are: somebody
    may be writing it.
    """
    try:
        settings = read_settings(project.path / TOML)
    except InputError:
        return project
    same = settings.id == project.settings.id
    return dataclasses.replace(project, settings=settings) if same else project


def connect_project(path: Path) -> Project:
    """A project whose database is not looked at yet: for `open_project` and `upgrade`."""
    if not (path / TOML).is_file():
        raise FormatError(
            f"expected a project folder at {path}, but "
            + (f"{path} has no {TOML}" if path.is_dir() else "there is no such folder")
            + "; make one with `openaffect new`"
        )
    settings = read_settings(path / TOML)
    images = open_store(settings.store, path)
    if settings.database:
        database = Database(parse_url(settings.database))
    else:
        check_file(path / DATABASE)
        database = Database(file_url(path / DATABASE))
    return Project(path, settings, database, images)


def _note_changes(project: Project) -> None:
    """Write an event for every key that is not what it was."""
    with project.database.read() as connection:
        if not _find_changes(connection, project):
            return
    with project.database.write() as connection:
        _lock_settings(connection)
        _record_changes(connection, project)


def _lock_settings(connection: sa.Connection) -> None:
    """Let nobody else change settings until the transaction ends; SQLite has one writer as it is."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE")


def _record_changes(connection: sa.Connection, project: Project) -> None:
    for key, (old, new) in _find_changes(connection, project).items():
        connection.execute(sa.delete(schema.settings).where(schema.settings.c.key == key))
        connection.execute(sa.insert(schema.settings).values(key=key, value=new))
        record_event(connection, "setting", key, {"old": old, "new": new})


def _find_changes(connection: sa.Connection, project: Project) -> dict[str, tuple[Any, Any]]:
    """The keys that are not what they were when they were last seen, with both values."""
    stored = {row.key: row.value for row in connection.execute(sa.select(schema.settings))}
    if stored.get("id") != project.settings.id:
        raise MismatchError(
            f"{project.path / TOML} is of project {project.settings.id or '(none)'}, but the database "
            f"{project.database.name} holds project {stored.get('id')}: one of the two was moved"
        )
    now = project.settings.flat()
    return {key: (stored.get(key), value) for key, value in now.items() if stored.get(key) != value}
