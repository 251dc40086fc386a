"""Tombstones: hashes of what was forgotten, in the database and in `withdrawn.csv` beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from openaffect.project.rows import insert
from openaffect.project.schema import current_time, tombstones
from openaffect.withdrawals import FILE, Withdrawal, Withdrawals, write_withdrawn

_ROWS = 1_000  # of one INSERT


def read_tombstones(connection: sa.Connection) -> Withdrawals:
    """What was withdrawn from a project."""
    statement = sa.select(
        tombstones.c.kind, tombstones.c.hash, tombstones.c.hash_version, tombstones.c.at
    )
    return Withdrawals(
        Withdrawal(kind, digits, version, at.date().isoformat())
        for kind, digits, version, at in connection.execute(statement)
    )


def add_tombstones(connection: sa.Connection, rows: Iterable[Withdrawal], because: str) -> int:
    """Add hashes that are not there yet; how many were added."""
    at = current_time()
    values = [
        {
            "kind": row.kind,
            "hash": row.hash,
            "hash_version": row.hash_version,
            "because": because,
            "at": at,
        }
        for row in rows
    ]
    added = 0
    for start in range(0, len(values), _ROWS):
        statement = insert(connection, tombstones).on_conflict_do_nothing()
        part = values[start : start + _ROWS]
        added += len(connection.execute(statement.returning(tombstones.c.id), part).all())
    return added


def write_tombstones(connection: sa.Connection, folder: Path) -> None:
    """Write `withdrawn.csv` beside the database: a backup that is older than it can obey it."""
    write_withdrawn(read_tombstones(connection), folder / FILE)
