"""The queue of a step: what is to be done, who does it, and how it ended.

An item is `pending`, `claimed`, `done`, `failed`, or `refused`: a rule says that it must not be done.
A claim names its process and ends after a time: what a killed process had claimed is given out
again, at once where the process is known to be dead. An item is finished by the process that holds
its claim, and by nobody else.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openaffect.project import counters
from openaffect.project.schema import current_time, work
from openaffect.storage import is_dead

LEASE = datetime.timedelta(minutes=15)
"""How long a claim holds."""


def enqueue(
    connection: sa.Connection,
    step: str,
    items: Iterable[int],
    turns: Mapping[int, int] | None = None,
) -> int:
    """Add items that are not in the queue yet; how many were added.

    Args:
        connection: of a transaction that writes.
        step: the queue.
        items: the ids of what is to be done.
        turns: when each is done: lower numbers first, of equal ones the lower item; 0 by default.
    """
    turn_of = turns or {}
    rows = [
        {"step": step, "item": item, "state": "pending", "turn": turn_of.get(item, 0)}
        for item in items
    ]
    if not rows:
        return 0
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(work).on_conflict_do_nothing().returning(work.c.item)
    added = len(connection.execute(statement, rows).all())
    counters.add(connection, {f"{step}.pending": added})
    return added


def claim(
    connection: sa.Connection,
    step: str,
    owner: str,
    count: int,
    *,
    among: sa.ColumnElement[bool] | None = None,
) -> list[int]:
    """Take up to `count` pending items for a process, in their turns.

    Args:
        connection: of a transaction that writes.
        step: the queue.
        owner: the process.
        count: at most so many.
        among: a condition on the rows of `work`; all of the queue by default.
    """
    now = current_time()
    _release(connection, step, work.c.expires < now)
    pending = (
        sa.select(work.c.item)
        .where(
            work.c.step == step, work.c.state == "pending", sa.true() if among is None else among
        )
        .order_by(work.c.turn, work.c.item)
        .limit(count)
        .with_for_update(skip_locked=True)  # nothing on SQLite, where one writer has the whole lock
        .cte("pending")  # PostgreSQL may run a subquery more than once, and take more rows
    )
    statement = (
        sa.update(work)
        .where(work.c.step == step, work.c.item.in_(sa.select(pending.c.item)))
        .values(state="claimed", owner=owner, expires=now + LEASE)
        .returning(work.c.turn, work.c.item)
    )
    return [item for _, item in sorted(connection.execute(statement).all())]


def finish(
    connection: sa.Connection,
    step: str,
    owner: str,
    results: Mapping[int, str | None],
    *,
    refused: Collection[int] = (),
) -> set[int]:
    """End claims: None says that an item is done, a text why it failed.

    Args:
        connection: of the transaction that also writes what came of the items.
        step: the queue.
        owner: the process that claimed them.
        results: by item.
        refused: those that have not failed, but that a rule refuses, as their text says.

    Returns:
        The items that were this process's to finish. What came of the others, whose claims had
        ended, must not be written.
    """
    mine = set(
        connection.execute(
            sa.select(work.c.item)
            .where(
                work.c.step == step,
                work.c.item.in_(list(results)),
                work.c.state == "claimed",
                work.c.owner == owner,
            )
            .with_for_update()
        ).scalars()
    )
    ends: dict[tuple[str, str | None], list[int]] = {}
    for item in sorted(mine):
        why = results[item]
        state = "done" if why is None else "refused" if item in refused else "failed"
        ends.setdefault((state, why), []).append(item)
    changes = Counter({f"{step}.pending": -len(mine)})
    for (state, why), items in ends.items():
        connection.execute(
            sa.update(work)
            .where(work.c.step == step, work.c.item.in_(items))
            .values(state=state, reason=why, owner=None, expires=None)
        )
        changes[_counter(step, state, why)] += len(items)
    counters.add(connection, changes)
    return mine


def release(connection: sa.Connection, step: str, owner: str) -> int:
    """Give back what a process has claimed and not finished; how many items."""
    return _release(connection, step, work.c.owner == owner)


def release_dead(connection: sa.Connection, step: str) -> int:
    """Give back what processes of this computer had claimed that run no more; how many items."""
    owners = connection.execute(
        sa.select(work.c.owner).where(work.c.step == step, work.c.state == "claimed").distinct()
    ).scalars()
    dead = [owner for owner in owners if owner and is_dead(owner)]
    return _release(connection, step, work.c.owner.in_(dead)) if dead else 0


def renew(connection: sa.Connection, step: str, owner: str) -> None:
    """Let the claims of a process that is still at work hold for longer."""
    connection.execute(
        sa.update(work)
        .where(work.c.step == step, work.c.state == "claimed", work.c.owner == owner)
        .values(expires=current_time() + LEASE)
    )


def retry(connection: sa.Connection, step: str, state: str = "failed") -> int:
    """Make all that has failed, or was `refused`, pending again; how many items."""
    return _reopen(connection, step, work.c.state == state)


def reopen(connection: sa.Connection, step: str, items: Sequence[int]) -> int:
    """Make those of the items pending again that were refused; how many there were."""
    return _reopen(connection, step, work.c.state == "refused", work.c.item.in_(items))


def _reopen(connection: sa.Connection, step: str, *which: sa.ColumnElement[bool]) -> int:
    ended = work.c.step == step, *which
    rows = connection.execute(
        sa.select(work.c.state, work.c.reason, sa.func.count())
        .where(*ended)
        .group_by(work.c.state, work.c.reason)
    ).all()
    total: int = sum(count for _, _, count in rows)
    changes = Counter({f"{step}.pending": total})
    for state, why, count in rows:
        changes[_counter(step, state, why)] -= count
    connection.execute(sa.update(work).where(*ended).values(state="pending", reason=None))
    counters.add(connection, changes)
    return total


def refuse(connection: sa.Connection, step: str, items: Sequence[int], why: str) -> int:
    """Take items that nobody has begun out of the queue, by a rule; how many there were."""
    pending = work.c.step == step, work.c.state == "pending", work.c.item.in_(items)
    count = connection.execute(
        sa.update(work).where(*pending).values(state="refused", reason=why)
    ).rowcount
    counters.add(connection, {f"{step}.pending": -count, _counter(step, "refused", why): count})
    return count


def remove(connection: sa.Connection, step: str, items: Sequence[int]) -> dict[int, str]:
    """Delete items, whatever became of them; the state of each that was there."""
    of_items = work.c.step == step, work.c.item.in_(items)
    rows = connection.execute(sa.select(work.c.item, work.c.state, work.c.reason).where(*of_items))
    changes: Counter[str] = Counter()
    states: dict[int, str] = {}
    for item, state, why in rows:
        states[item] = state
        changes[_counter(step, state, why)] -= 1
    connection.execute(sa.delete(work).where(*of_items))
    counters.add(connection, changes)
    return states


def _release(connection: sa.Connection, step: str, which: sa.ColumnElement[bool]) -> int:
    statement = (
        sa.update(work)
        .where(work.c.step == step, work.c.state == "claimed", which)
        .values(state="pending", owner=None, expires=None)
    )
    return connection.execute(statement).rowcount


def _counter(step: str, state: str, why: str | None) -> str:
    """The counter of a state; what stands before the first `:` of a reason is counted."""
    if state in ("pending", "claimed"):
        return f"{step}.pending"
    return f"{step}.done" if why is None else f"{step}.{state}.{why.split(':', maxsplit=1)[0]}"
