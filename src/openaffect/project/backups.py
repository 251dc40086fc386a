"""Backups: one file that is restored on either database.

A backup is a zip archive of `project.toml`, the rows as a SQLite file, and, where asked for, the
images of the store. It holds one state of the database, however much is written meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from openaffect.errors import DatabaseError, FormatError, InputError, reason
from openaffect.image_headers import content_path
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.project import schema, upgrading
from openaffect.project.database import Database, check_file, file_url
from openaffect.project.project import (
    DATABASE,
    TOML,
    Project,
    connect_project,
    make_project,
)
from openaffect.project.rows import record_event
from openaffect.project.settings import Settings, read_settings, write_settings
from openaffect.project.store import is_address
from openaffect.storage import atomic_file, open_file

_BATCH = 2_000  # rows
_OF_THE_MOMENT = (schema.sessions, schema.links, schema.sign_ins)
"""Tables that are not restored: a session or link that was ended since must not come to life."""


def backup_project(
    project: Project,
    file: str | Path,
    *,
    with_store: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> int:
    """Write a project into one file; the number of images in it.

    Args:
        project: may be in use.
        file: the zip archive to make.
        with_store: put the images into it; else the restored project uses the store where it lies.
        overwrite: replace an existing file.
        on_progress: called with the number of images written so far.

    Raises:
        DestinationExists: the file exists and `overwrite` is false.
        ImageError: an image of the store is missing or damaged.
        StoreError: the store cannot be reached.
        DatabaseError: the database does not answer.
    """
    settings = dataclasses.replace(
        project.settings,
        database="",
        store=Settings().store if with_store else project.store.location,
    )
    count = 0
    with (
        atomic_file(file, overwrite=overwrite) as temporary,
        tempfile.TemporaryDirectory(prefix="openaffect-") as folder,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        rows = Path(folder) / DATABASE
        _export(project, rows)
        write_settings(settings, Path(folder) / TOML)
        archive.write(Path(folder) / TOML, TOML)
        archive.write(rows, DATABASE, zipfile.ZIP_DEFLATED)
        stored = _stored(rows) if with_store else []
        read = map_in_order(
            lambda name: project.store.read(*name), stored, workers=project.store.workers
        )
        for (sha256, suffix), data in zip(stored, read, strict=True):
            name = f"store/{content_path(sha256, suffix)}"
            archive.writestr(name, data)
            count += 1
            if on_progress is not None:
                on_progress(Progress("writing images", count, len(stored)))
    return count


def restore_project(
    file: str | Path,
    path: str | Path,
    *,
    database: str | None = None,
    store: str | Path | None = None,
) -> Project:
    """Make a project of a backup, on either database.

    Args:
        file: from `backup_project`.
        path: the folder to make; it must not exist, or be empty.
        database: see `create_project`.
        store: see `create_project`; by default the images that the backup holds or refers to.

    Raises:
        FormatError: no backup, or a damaged one.
        NewerSchema: a newer openaffect has made it.
        DestinationExists, InputError, DatabaseError, StoreError: as `create_project`.
    """
    file, path = Path(file), Path(path)
    if not file.is_file():
        raise FormatError(f"expected a backup of a project at {file}, but there is no such file")
    with tempfile.TemporaryDirectory(prefix="openaffect-") as folder:
        unpacked = Path(folder)
        images = _unpack(file, unpacked)
        settings = read_settings(unpacked / TOML)
        if store is None and not images and not _is_there(settings.store):
            raise InputError(
                f"{file} holds no images and refers to those in {settings.store}, which is not "
                "there; say where they are with --store"
            )
        source = Database(file_url(unpacked / DATABASE))
        try:
            with source.write() as connection:  # an older backup is upgraded where it was unpacked
                upgrading.check_known(connection, str(file))
                upgrading.upgrade_tables(connection)
            project = make_project(
                path,
                settings,
                database=database,
                store=store,
                fill=lambda project, writer: _fill(project, writer, source, file, images),
            )
        finally:
            source.close()
    return project


def upgrade_project(
    path: str | Path, backup: str | Path | None = None
) -> tuple[str, str, Path | None]:
    """Bring the tables of a project to the version of this openaffect, after a backup.

    Args:
        path: the project.
        backup: where the backup goes; by default beside the project, with the old version and the
            time in its name.

    Returns:
        The version before, the version now, and the backup; None where nothing was to be done.

    Raises:
        FormatError, NewerSchema, DatabaseError: as `open_project`.
    """
    path = Path(path)
    project = connect_project(path)
    try:
        newest = upgrading.newest_version()
        with project.database.read() as connection:
            before = upgrading.find_version(connection)
        if before == newest:
            return before, newest, None
        with project.database.read() as connection:
            upgrading.check_known(connection, str(path))
        at = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        file = Path(backup or path.parent / f"{path.absolute().name}-{before}-{at}.backup")
        backup_project(project, file)
        with project.database.write() as connection:
            upgrading.upgrade_tables(connection)
            record_event(connection, "upgrade", newest, {"from": before})
        return str(before), newest, file
    finally:
        project.close()


def copy_rows(source: sa.Connection, target: sa.Connection) -> None:
    """Copy every row of every table into tables of the same version, whose rows are replaced."""
    ordered = schema.metadata.sorted_tables
    for table in reversed(ordered):
        target.execute(sa.delete(table))
    for table in ordered:
        if table in _OF_THE_MOMENT:
            continue
        key = list(table.primary_key.columns)
        rows = source.execute(
            sa.select(table).order_by(*key), execution_options={"yield_per": _BATCH}
        )
        for batch in rows.mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in batch])
        if target.dialect.name == "postgresql" and "id" in table.c and len(key) == 1:
            _move_sequence(target, table)


def _move_sequence(connection: sa.Connection, table: sa.Table) -> None:
    """Have PostgreSQL number new rows from after the last."""
    if isinstance(table.c.id.type, sa.BigInteger):
        sequence = sa.func.pg_get_serial_sequence(table.name, "id")
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0) + 1).scalar_subquery()
        connection.execute(sa.select(sa.func.setval(sequence, last, False)))


def _export(project: Project, path: Path) -> None:
    """The rows as one SQLite file, of the version that the project has."""
    if project.database.is_sqlite:
        try:
            with (
                contextlib.closing(sqlite3.connect(project.database.name)) as source,
                contextlib.closing(sqlite3.connect(path)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        except sqlite3.Error as error:
            raise DatabaseError(f"cannot copy {project.database.name}: {reason(error)}") from error
        return
    with project.database.read() as source:
        copy = Database(file_url(path))
        with copy.write() as connection:
            upgrading.upgrade_tables(connection, str(upgrading.find_version(source)))
            names = {
                table: [column["name"] for column in sa.inspect(connection).get_columns(table)]
                for table in sa.inspect(connection).get_table_names()
                if table != "alembic_version"
            }
        copy.close()
        with contextlib.closing(sqlite3.connect(path)) as target:
            target.execute("PRAGMA journal_mode=DELETE")
            for table, columns in names.items():
                _copy_plain(source, target, table, columns)
            target.commit()


def _copy_plain(
    source: sa.Connection, target: sqlite3.Connection, table: str, columns: list[str]
) -> None:
    """Copy a table of any version, value by value."""
    picked: Any = sa.select(*map(sa.column, columns)).select_from(sa.table(table))
    quoted = ", ".join(f'"{name}"' for name in columns)
    statement = f'INSERT INTO "{table}" ({quoted}) VALUES ({", ".join("?" * len(columns))})'
    rows = source.execute(picked, execution_options={"yield_per": _BATCH})
    for batch in rows.partitions():
        target.executemany(statement, [tuple(map(_plain, row)) for row in batch])


def _plain(value: object) -> object:
    """A value as SQLAlchemy stores it in SQLite."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return int(value) if isinstance(value, bool) else value


def _fill(
    project: Project, writer: sa.Connection, source: Database, file: Path, images: list[str]
) -> None:
    """The images and rows of a backup into a project that is being made."""
    with _reading(file) as archive:
        put = map_in_order(
            project.store.put, map(archive.read, images), workers=project.store.workers
        )
        for name, (sha256, _) in zip(images, put, strict=True):
            if sha256 != Path(name).stem:
                raise FormatError(f"{file} is damaged: the content of {name} does not fit its name")
    try:
        with source.read() as reader:
            copy_rows(reader, writer)
    except (ValueError, TypeError, OverflowError, LookupError) as error:
        raise FormatError(f"{file} is damaged: {reason(error)}") from error
    record_event(writer, "restore", file.name)


def _stored(path: Path) -> list[tuple[str, str]]:
    """The images of an exported database, as hash and suffix."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT sha256, suffix FROM images ORDER BY sha256")
            return [(str(sha256), str(suffix)) for sha256, suffix in rows]
    except sqlite3.Error as error:
        raise DatabaseError(f"cannot read the images of the project: {reason(error)}") from error


def _unpack(file: Path, folder: Path) -> list[str]:
    """Unpack the settings and the rows of a backup; the names of the images in it."""
    with _reading(file) as archive:
        names = archive.namelist()
        if TOML not in names or DATABASE not in names:
            raise FormatError(
                f"expected a backup of a project at {file}, but it holds no {TOML} and {DATABASE}"
            )
        for name in (TOML, DATABASE):
            with archive.open(name) as packed, (folder / name).open("wb") as plain:
                shutil.copyfileobj(packed, plain)
    check_file(folder / DATABASE)
    return [name for name in names if _is_image(name)]


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open_file(file, "a backup of a project") as plain, zipfile.ZipFile(plain) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FormatError(
            f"expected a backup of a project at {file}, but it is damaged or none: {reason(error)}"
        ) from error


_is_image = re.compile(r"store/([0-9a-f]{2})/([0-9a-f]{2})/\1\2[0-9a-f]{60}\.[a-z]{3,4}").fullmatch


def _is_there(store: str) -> bool:
    """Whether the store that a backup refers to is there; one at an address is asked by `prepare`."""
    return is_address(store) or (Path(store).is_absolute() and Path(store).is_dir())
