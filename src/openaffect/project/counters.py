"""Numbers that pages show, kept in the transaction that changes what they count."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openaffect.errors import FormatError
from openaffect.project.schema import counters


def add(connection: sa.Connection, changes: Mapping[str, int]) -> None:
    """Add to counters; one that is not there yet begins at 0.

    Args:
        connection: of the transaction that made the changes.
        changes: by name. They are made when the transaction ends, in the order of the names, so
            that two transactions never wait for each other.
    """
    pending = connection.info.setdefault(_PENDING, Counter())
    for name, change in changes.items():
        pending[name] += change


def flush(connection: sa.Connection) -> None:
    """Write what `add` has gathered; `Database.write` calls it as the last thing of a transaction.

    Every transaction changes the same few rows: whoever has them makes all others wait, so they are
    held for as short as can be, and nobody who has them waits for anything else.
    """
    pending = connection.info.pop(_PENDING, {})
    rows = [{"name": name, "value": change} for name, change in sorted(pending.items()) if change]
    if rows:
        connection.execute(_upsert(connection.dialect.name), rows)


def forget(connection: sa.Connection) -> None:
    """Drop what `add` has gathered, for the transaction is undone."""
    connection.info.pop(_PENDING, None)


def read(connection: sa.Connection, start: str = "") -> dict[str, int]:
    """Every counter that is not 0 and whose name begins like this, by name.

    Raises:
        FormatError: one that is no whole number: the file is damaged.
    """
    found: dict[str, int] = {}
    for row in connection.execute(_CHOSEN, {"start": start, "end": start + _LAST}):
        name, value = row
        if not isinstance(name, str) or not isinstance(value, int):
            raise FormatError(f"damaged counter in the database: {name!r:.50} is {value!r:.50}")
        found[name] = value
    for name, change in connection.info.get(_PENDING, {}).items():
        if name.startswith(start) and change:
            found[name] = found.get(name, 0) + change
    return {name: value for name, value in found.items() if value}


_PENDING = "openaffect_counters"

# A range, which the index of the names serves; LIKE is not served by it on every database.
_LAST = "\U0010ffff"
_CHOSEN: sa.Select[Any] = sa.select(counters.c.name, counters.c.value).where(
    counters.c.value != 0,
    counters.c.name >= sa.bindparam("start"),
    counters.c.name < sa.bindparam("end"),
)


@functools.cache
def _upsert(dialect: str) -> Any:
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(counters)
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": counters.c.value + statement.excluded.value}
    )
