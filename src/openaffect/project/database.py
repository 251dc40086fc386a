"""The database of a project: SQLite or PostgreSQL, reached in transactions only.

SQLite runs with a write-ahead log: readers never wait, and one writer at a time takes the lock at
the start of its transaction (`BEGIN IMMEDIATE`), for a lock that is asked for later can fail at
once. PostgreSQL takes its row locks by `FOR UPDATE SKIP LOCKED`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from openaffect.errors import DatabaseError, FormatError, InputError, reason
from openaffect.project import counters

Connection = sa.Connection
"""What a transaction is written with; for the annotations of those who do not speak SQL."""

PASSWORD = "OPENAFFECT_DATABASE_PASSWORD"
"""The environment variable that may hold the password; libpq's PGPASSWORD and ~/.pgpass work too."""

_WAIT_S = 30  # for a lock that another process holds
_READER_WAIT_MS = 2_000  # for readers, before the log is left for later
_POOL = 8  # connections at most: PostgreSQL allows 100 in all


class Database:
    """Where the rows of a project are.

    Attributes:
        name: what messages call it: a path, or the address without a password.
        is_sqlite: whether it is a file.
    """

    def __init__(self, url: URL) -> None:
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.name = str(url.database) if self.is_sqlite else url.render_as_string()
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgresql_engine(url)
        self._turn = _Turns() if self.is_sqlite else contextlib.nullcontext()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads and sees one state of the database.

        Raises:
            DatabaseError: the database does not answer, or answers with an error.
        """
        with self._naming():
            connection = self.engine.connect()
            with connection:
                if not self.is_sqlite:
                    connection = connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is kept when the block ends without an error, and else undone.

        Raises:
            DatabaseError: the database does not answer, is locked by another process for longer
                than half a minute, or its disk is full.
        """
        with self._turn, self._naming(), self.engine.connect() as plain:
            connection = plain.execution_options(openaffect_write=True)
            try:
                with connection.begin():
                    yield connection
                    counters.flush(connection)
            finally:
                counters.forget(connection)

    def make_durable(self) -> None:
        """Wait for the disk at the end of each transaction, as PostgreSQL does by itself.

        Without it SQLite's last transactions may be lost with the power, though never in part.
        """
        if self.is_sqlite:
            self.engine.dispose()
            sa.event.listen(self.engine, "connect", _be_durable)

    def purge(self) -> bool:
        """Let nothing of deleted rows stay in the files; whether this could be done now.

        SQLite overwrites what is deleted (`secure_delete`), and its write-ahead log is emptied here,
        unless another process is reading. PostgreSQL frees the rows (`VACUUM`); its files, logs and
        copies are its operator's.
        """
        with self._turn, self._naming(), self.engine.connect() as plain:
            if not self.is_sqlite:
                plain.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")
                return True
            raw: Any = plain.connection.dbapi_connection
            try:
                raw.execute(f"PRAGMA busy_timeout={_READER_WAIT_MS}")
                return not raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                raw.execute(f"PRAGMA busy_timeout={_WAIT_S * 1000}")

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            raise DatabaseError(f"{self.name}: {_explain(error)}") from error
        except exc.TimeoutError as error:
            raise DatabaseError(
                f"{self.name}: no connection became free within {_WAIT_S} s; try again"
            ) from error


class _Turns:
    """A lock that threads of this process get in the order in which they asked.

    SQLite's own way to wait is to try again after longer and longer pauses: with many threads the
    newest wins, and some wait for half a minute.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False

    def __enter__(self) -> None:
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()
        except BaseException:  # an interrupt: give the turn on, or never take it
            with self._mutex:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                    raise
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False


def parse_url(text: str) -> URL:
    """The address of a PostgreSQL database, without a password.

    Raises:
        InputError: another kind of address, or one that holds a password. The message does not
            repeat the address.
    """
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (exc.ArgumentError, ValueError):
        url, backend = None, ""
    if url is None or backend != "postgresql":
        raise InputError(
            "expected the address of a database as postgresql://user@host/name; without one a "
            "project has its own file, project.db"
        )
    secret = [key for key in url.query if "password" in key.lower() or key.lower() == "passfile"]
    if url.password is not None or secret:
        raise InputError(
            "the address of a database must not hold a password: it would be stored in "
            f"project.toml; use {PASSWORD}, PGPASSWORD or ~/.pgpass"
        )
    return url.set(drivername="postgresql+psycopg")


def file_url(path: Path) -> URL:
    """The address of a SQLite file."""
    return URL.create("sqlite", database=str(path.absolute()))


def _sqlite_engine(url: URL) -> sa.Engine:
    engine = sa.create_engine(
        url, connect_args={"timeout": _WAIT_S}, pool_size=_POOL, max_overflow=2 * _POOL
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # else the module begins transactions on its own
        # What is deleted is overwritten: a forgotten face must not be found in the file.
        for pragma in (
            *("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"),
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("openaffect_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _be_durable(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=FULL")


def _postgresql_engine(url: URL) -> sa.Engine:
    from openaffect.extras import needs

    with needs("postgres", "a PostgreSQL database"):
        import psycopg  # noqa: F401
    password = os.environ.get(PASSWORD)
    return sa.create_engine(
        url.set(password=password) if password else url,
        pool_size=_POOL,
        max_overflow=_POOL,
        connect_args={"connect_timeout": _WAIT_S},
    )


def _explain(error: exc.DBAPIError) -> str:
    """What happened to the database, and what to do; the statement and its values stay out."""
    cause = reason(error.orig) if error.orig is not None else type(error).__name__
    text = cause.lower()
    kept = "what was finished is kept; run the command again"
    if "locked" in text or "lock timeout" in text:
        return f"another process has held its lock for {_WAIT_S} seconds; {kept} when it is done"
    if "disk is full" in text or "no space left" in text:
        return f"the disk is full; {kept} when there is room"
    if "not a database" in text or "malformed" in text:
        return f"the file is damaged ({cause}); restore a backup with `openaffect new DIR --from`"
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return f"the database does not answer ({cause}); {kept} when it does"
    return cause


def check_file(path: Path) -> None:
    """Refuse what is no SQLite file before SQLite makes an empty one of it.

    Raises:
        FormatError: there is no such file, or it is none of SQLite's.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise FormatError(
            f"expected the database of a project at {path}: {reason(error)}"
        ) from error
    if head != b"SQLite format 3\0":
        raise FormatError(f"expected the database of a project at {path}, but it is no SQLite file")
