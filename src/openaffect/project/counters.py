"""Numbers that pages show, kept in the transaction that changes what they count."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openaffect.errors import FormatError
from openaffect.project.schema import counters


def add(connection: sa.Connection, changes: Mapping[str, int]) -> None:
    """Add to counters; one that is not there yet begins at 0.

    Args:
        connection: of the transaction that made the changes.
        changes: by name. They are made in the order of the names, so that two transactions never
            wait for each other.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    rows = [{"name": name, "value": change} for name, change in sorted(changes.items()) if change]
    if rows:
        statement = insert(counters).values(rows)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"value": counters.c.value + statement.excluded.value},
            )
        )


def read(connection: sa.Connection) -> dict[str, int]:
    """Every counter that is not 0, by name.

    Raises:
        FormatError: one that is no whole number: the file is damaged.
    """
    found = {}
    for name, value in connection.execute(sa.select(counters).where(counters.c.value != 0)):
        if not isinstance(name, str) or not isinstance(value, int):
            raise FormatError(f"damaged counter in the database: {name!r:.50} is {value!r:.50}")
        found[name] = value
    return found
