"""The queries of a project: what to search for, and the expression that each is meant to find."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from openaffect.project.project import Project
from openaffect.project.rows import insert, record_event
from openaffect.project.schema import current_time, hits, queries, searches


@dataclass(frozen=True, slots=True)
class Query:
    """A text to search for.

    Attributes:
        text: in Unicode's composed form.
        language: its code, such as `en`.
        intended: the expression that it is meant to find, or None.
    """

    text: str
    language: str
    intended: str | None = None


@dataclass(frozen=True, slots=True)
class QueryChanges:
    """How many queries `set_queries` has added, changed, removed, and retired.

    A query that has found something is retired: it stays as the provenance of its hits, and is
    not asked again.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    retired: int = 0


def list_queries(project: Project) -> list[Query]:
    """The queries that are to be asked, in the order in which they came."""
    with project.database.read() as connection:
        rows = connection.execute(_asked().order_by(queries.c.id))
        return [Query(row.text, row.language, row.intended) for row in rows]


def set_queries(
    project: Project, wanted: Iterable[Query], *, keep_others: bool = False
) -> QueryChanges:
    """Make these the queries of a project, in one transaction.

    Args:
        project: that is to search for them.
        wanted: each text of a language once.
        keep_others: whether the queries that are not among them stay.

    Returns:
        What has changed; the project records it as an event.
    """
    at = current_time()
    asked = {(query.language, query.text): query for query in wanted}
    with project.database.write() as connection:
        known = {(row.language, row.text): row for row in connection.execute(sa.select(queries))}
        new = [query for key, query in asked.items() if key not in known]
        changed = [
            {"number": known[key].id, "meant": query.intended}
            for key, query in asked.items()
            if key in known and (not known[key].active or known[key].intended != query.intended)
        ]
        rest = (
            []
            if keep_others
            else [row.id for key, row in known.items() if key not in asked and row.active]
        )
        if new:
            values = [
                {
                    "text": query.text,
                    "language": query.language,
                    "intended": query.intended,
                    "active": True,
                    "at": at,
                }
                for query in new
            ]
            connection.execute(insert(connection, queries), values)
        if changed:
            connection.execute(
                sa.update(queries)
                .where(queries.c.id == sa.bindparam("number"))
                .values(intended=sa.bindparam("meant"), active=True),
                changed,
            )
        removed, retired = _remove(connection, rest)
        done = QueryChanges(len(new), len(changed), removed, retired)
        if done != QueryChanges():
            details: dict[str, Any] = {
                "added": done.added,
                "changed": done.changed,
                "removed": done.removed,
                "retired": done.retired,
            }
            record_event(connection, "queries", None, details)
    return done


def _asked() -> Any:
    return sa.select(queries).where(queries.c.active)


def _remove(connection: sa.Connection, numbers: list[int]) -> tuple[int, int]:
    """Delete queries without hits, retire the others; how many of each."""
    removed = retired = 0
    for start in range(0, len(numbers), 500):
        part = queries.c.id.in_(numbers[start : start + 500])
        found = sa.exists().where(hits.c.query_id == queries.c.id)
        retired += connection.execute(
            sa.update(queries).where(part, found).values(active=False)
        ).rowcount
        gone = sa.select(queries.c.id).where(part, ~found)
        connection.execute(sa.delete(searches).where(searches.c.query_id.in_(gone)))
        removed += connection.execute(sa.delete(queries).where(part, ~found)).rowcount
    return removed, retired
