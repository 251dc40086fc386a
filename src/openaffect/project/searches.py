"""How far the queries of a project have been asked, and how often a provider was asked on a day."""

import datetime
from dataclasses import dataclass

import sqlalchemy as sa

from openaffect.project import work
from openaffect.project.queries import Query
from openaffect.project.rows import insert
from openaffect.project.schema import current_time, queries, requests, searches


@dataclass(frozen=True, slots=True)
class OpenSearch:
    """A query that a provider has not answered to its end.

    Attributes:
        query_id: of the query.
        query: what to search for.
        page, start: where it goes on; see `providers.Cursor`.
        hits: that it has brought so far.
    """

    query_id: int
    query: Query
    page: int = 1
    start: int = 0
    hits: int = 0


def list_open_searches(
    connection: sa.Connection, provider: str, options: str, *, after: int = 0, limit: int = 100
) -> list[OpenSearch]:
    """Queries that are still to be asked, by their ids.

    Args:
        connection: of a transaction.
        provider: its name.
        options: as JSON: with other options the same query is another search.
        after: only queries with a higher id.
        limit: at most so many.
    """
    asked = sa.and_(
        searches.c.query_id == queries.c.id,
        searches.c.provider == provider,
        searches.c.options == options,
    )
    statement = (
        sa.select(queries, searches.c.page, searches.c.start, searches.c.hits)
        .outerjoin(searches, asked)
        .where(
            queries.c.active,
            queries.c.id > after,
            sa.or_(searches.c.state.is_(None), searches.c.state == "open"),
        )
        .order_by(queries.c.id)
        .limit(limit)
    )
    return [
        OpenSearch(
            row.id,
            Query(row.text, row.language, row.intended),
            row.page or 1,
            row.start or 0,
            row.hits or 0,
        )
        for row in connection.execute(statement)
    ]


def count_open_searches(connection: sa.Connection, provider: str, options: str) -> tuple[int, int]:
    """How many queries are still to be asked, and how many there are."""
    ended = sa.select(searches.c.query_id).where(
        searches.c.provider == provider,
        searches.c.options == options,
        searches.c.state != "open",
    )
    total = sa.select(sa.func.count()).select_from(queries).where(queries.c.active)
    left = total.where(queries.c.id.not_in(ended))
    return connection.execute(left).scalar_one(), connection.execute(total).scalar_one()


def save_search(
    connection: sa.Connection,
    provider: str,
    options: str,
    search: OpenSearch,
    *,
    state: str = "open",
    reason: str | None = None,
) -> None:
    """Write down how far a query has been asked.

    Args:
        connection: of the transaction that also writes what it found.
        provider, options: see `list_open_searches`.
        search: with its next page, and the hits so far.
        state: `open`, `done`, or `refused` by the provider.
        reason: why it was refused.
    """
    values = {
        "state": state,
        "reason": reason,
        "page": search.page,
        "start": search.start,
        "hits": search.hits,
        "at": current_time(),
    }
    key = {"query_id": search.query_id, "provider": provider, "options": options}
    statement = insert(connection, searches).values({**key, **values})
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def count_request(
    connection: sa.Connection, provider: str, day: datetime.date, most: int | None
) -> bool:
    """Count one more request of a day; False, and nothing is counted, where no more are allowed.

    Args:
        connection: of a transaction that writes.
        provider: its name.
        day: in UTC.
        most: requests of a day; None for any number.
    """
    if most is not None and read_requests(connection, provider, day) >= most:
        return False
    statement = insert(connection, requests).values(provider=provider, day=day.isoformat(), count=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["provider", "day"], set_={"count": requests.c.count + 1}
        )
    )
    return True


def read_requests(connection: sa.Connection, provider: str, day: datetime.date) -> int:
    """How often a provider was asked on a day."""
    statement = sa.select(requests.c.count).where(
        requests.c.provider == provider, requests.c.day == day.isoformat()
    )
    return int(connection.execute(statement).scalar() or 0)


def begin_search(connection: sa.Connection, provider: str, owner: str) -> bool:
    """Take the right to ask a provider; False while another process has it.

    One process at a time asks a provider: two would ask twice as often as it allows.
    """
    step = _step(provider)
    work.enqueue(connection, step, [0])
    work.release_dead(connection, step)
    return bool(work.claim(connection, step, owner, 1))


def keep_search(connection: sa.Connection, provider: str, owner: str) -> None:
    """Keep the right for longer."""
    work.renew(connection, _step(provider), owner)


def end_search(connection: sa.Connection, provider: str, owner: str) -> None:
    """Give the right back."""
    work.release(connection, _step(provider), owner)


def _step(provider: str) -> str:
    return f"search.{provider}"
