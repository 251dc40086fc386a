"""The version of a project's tables: made, checked, and brought up to date by Alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from openaffect.errors import FormatError, InputError, NewerSchema

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_166_510  # any number: the advisory lock of upgrades on PostgreSQL
_VERSION = sa.table("alembic_version", sa.column("version_num"))


def newest_version() -> str:
    """The version that this openaffect works with."""
    return known_versions()[-1]


def known_versions() -> list[str]:
    """Every version up to the newest: the first four letters of the files in `migrations/versions`.

    Alembic, which takes half a second to import, is asked only where tables change.
    """
    names = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return sorted(path.name[:4] for path in names)


def find_version(connection: sa.Connection) -> str | None:
    """The version of the tables in a database, or None if it holds no project."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    found = connection.execute(sa.select(_VERSION)).scalars().all()
    return str(found[0]) if found else None


def check_version(connection: sa.Connection, where: str) -> None:
    """Refuse a database that this openaffect cannot work with.

    Raises:
        FormatError: it holds no project.
        NewerSchema: a newer openaffect has made or upgraded it.
        InputError: an older one has; the message says how to upgrade it.
    """
    found, newest = find_version(connection), newest_version()
    if found == newest:
        return
    check_known(connection, where)
    raise InputError(
        f"the database of {where} has version {found}, and this openaffect works with "
        f"{newest}: run `openaffect upgrade {where}`, which makes a backup first"
    )


def check_known(connection: sa.Connection, where: str) -> None:
    """Refuse a database whose version this openaffect does not know.

    Raises:
        FormatError: it holds no project.
        NewerSchema: a newer openaffect has made or upgraded it.
    """
    found = find_version(connection)
    if found is None:
        raise FormatError(
            f"expected the database of a project in {where}, but it has no tables of one"
        )
    if found not in known_versions():
        raise NewerSchema(
            f"the database of {where} has version {found}, but this openaffect knows versions up "
            f"to {newest_version()}; update openaffect"
        )


def upgrade_tables(connection: sa.Connection, to: str = "head") -> str | None:
    """Bring the tables of a database to a version, or make them; the version they had.

    All of it is one transaction, that of the caller. On PostgreSQL two upgrades wait for each other;
    on SQLite the transaction has the lock already.
    """
    from alembic.config import Config
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    before = find_version(connection)
    migrations = MigrationContext.configure(
        connection,
        opts={
            "fn": lambda revision, _context: scripts._upgrade_revs(to, revision),
            "transactional_ddl": False,  # the transaction is the caller's
        },
    )
    with Operations.context(migrations):
        migrations.run_migrations()
    return before
