"""Addresses of images: who found them, which are to be downloaded, and what came of it."""

import urllib.parse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import sqlalchemy as sa

from openaffect.project import counters, work
from openaffect.project.copies import add_thumbnails
from openaffect.project.rows import ImageRow, insert, insert_images, read_fields
from openaffect.project.schema import (
    attempts,
    current_time,
    hits,
    hosts,
    queries,
    urls,
)
from openaffect.project.schema import images as image_table
from openaffect.project.schema import work as work_table
from openaffect.withdrawals import normalize_url

STEP = "download"
"""The queue of the addresses."""

LONGEST = 2_000
"""Bytes of an address in UTF-8: no longer one fits into an index of PostgreSQL."""

End: TypeAlias = Literal["stored", "known", "refused", "failed"]
"""How an attempt ends; `known`: its bytes are an image that is there already."""


@dataclass(frozen=True, slots=True)
class HitRow:
    """What a provider says of an address; the columns of `schema.hits`."""

    provider: str
    url: str
    rank: int | None = None
    page_url: str | None = None
    title: str | None = None
    author: str | None = None
    license: str | None = None
    license_url: str | None = None
    rights: str | None = None
    restrictions: str | None = None
    query_id: int | None = None
    query: str | None = None
    intended: str | None = None


@dataclass(frozen=True, slots=True)
class HitCounts:
    """What `add_hits` has added.

    Attributes:
        urls: addresses that no provider had found before.
        hits: a provider's word on an address, for a query.
    """

    urls: int = 0
    hits: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that is to be downloaded.

    Attributes:
        id: of the address.
        url: in the form of `withdrawals.normalize_url`.
        host: its host.
        hits: what providers said of it, in the order in which they came; `query` and `intended`
            are those of the query.
    """

    id: int
    url: str
    host: str
    hits: tuple[HitRow, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the download of an address ended; see `schema.attempts`.

    Attributes:
        url_id: of the address.
        status: how it ended; one that was `stored` becomes `known` where the image was there.
        reason: why it was refused or failed.
        http_status, final_url, size, seconds, rules: see `schema.attempts`.
        image: what was stored.
        thumb: its 256 gray pixels.
    """

    url_id: int
    status: End
    reason: str | None = None
    http_status: int | None = None
    final_url: str | None = None
    size: int | None = None
    seconds: float | None = None
    rules: str | None = None
    image: ImageRow | None = None
    thumb: bytes | None = None


def add_hits(
    connection: sa.Connection, rows: Sequence[HitRow], *, images: Mapping[str, int] | None = None
) -> HitCounts:
    """Add what a provider has found; an address that is new comes into the queue of downloads.

    The n-th address of a host has turn n: so downloads go round the hosts, and no host that
    has many addresses keeps the others waiting.

    Args:
        connection: of a transaction that writes.
        rows: at most some thousand.
        images: the ids of images that came along, by address as it stands in `rows`: these are not
            downloaded.
    """
    if not rows:
        return HitCounts()
    held = {normalize_url(url): number for url, number in (images or {}).items()}
    at = current_time()
    wanted = {normalize_url(row.url): row for row in rows}
    # Sorted: two transactions that add the same ones never wait for each other.
    values = [
        {"url": url, "host": find_host(url), "image_id": held.get(url), "at": at}
        for url in sorted(wanted)
    ]
    statement = insert(connection, urls).on_conflict_do_nothing()
    columns = (urls.c.id, urls.c.host, urls.c.image_id)
    new = connection.execute(statement.returning(*columns), values).all()
    _queue(connection, sorted((row.id, row.host, row.image_id is None) for row in new))
    ids = _find_ids(connection, wanted)
    found = [{**read_fields(row), "url_id": ids[normalize_url(row.url)], "at": at} for row in rows]
    added = connection.execute(
        insert(connection, hits).on_conflict_do_nothing().returning(hits.c.id), found
    )
    done = HitCounts(len(new), len(added.all()))
    counters.add(connection, {"urls": done.urls, "hits": done.hits})
    return done


def claim_urls(
    connection: sa.Connection, owner: str, count: int, busy_hosts: Sequence[str] = ()
) -> list[Candidate]:
    """Take up to `count` addresses that wait for their download, in their turns.

    Args:
        connection: of a transaction that writes.
        owner: the process.
        count: at most so many.
        busy_hosts: whose addresses stay in the queue.
    """
    free = None
    if busy_hosts:
        free = ~sa.exists().where(urls.c.id == work_table.c.item, urls.c.host.in_(busy_hosts))
    numbers = work.claim(connection, STEP, owner, count, among=free)
    if not numbers:
        return []
    names = [name for name in HitRow.__dataclass_fields__ if name not in ("query", "intended")]
    statement = (
        sa.select(
            urls.c.id,
            urls.c.url,
            urls.c.host,
            *(hits.c[name].label(f"hit_{name}") for name in names),
            sa.func.coalesce(hits.c.query, queries.c.text).label("hit_query"),
            sa.func.coalesce(hits.c.intended, queries.c.intended).label("hit_intended"),
        )
        .join(hits, hits.c.url_id == urls.c.id)
        .outerjoin(queries, queries.c.id == hits.c.query_id)
        .where(urls.c.id.in_(numbers))
        .order_by(hits.c.id)
    )
    fields = [*names, "query", "intended"]
    said: dict[tuple[int, str, str], list[HitRow]] = {}
    for number, url, host, *values in connection.execute(statement):
        hit = HitRow(**dict(zip(fields, values, strict=True)))
        said.setdefault((number, url, host), []).append(hit)
    found = {key[0]: Candidate(*key, tuple(rows)) for key, rows in said.items()}
    return [found[number] for number in numbers if number in found]


def finish_urls(connection: sa.Connection, owner: str, found: Sequence[Attempt]) -> list[Attempt]:
    """Write down how downloads ended, with the images that they brought.

    Returns:
        Those that were this process's to finish; `stored` ones whose image was there are `known`.
    """
    results = {one.url_id: one.reason for one in found}
    refused = {one.url_id for one in found if one.status == "refused"}
    mine = work.finish(connection, STEP, owner, results, refused=refused)
    ours = [one for one in found if one.url_id in mine]
    images = [one.image for one in ours if one.image is not None]
    thumbs = {one.image.sha256: one.thumb for one in ours if one.image is not None}
    ids, new = add_images(connection, images, thumbs)
    ended = []
    for one in ours:
        known = one.image is not None and one.image.sha256 not in new
        if one.image is not None:
            new.discard(one.image.sha256)  # of equal bytes the first is stored
        ended.append(replace(one, status="known") if known else one)
    at = current_time()
    rows = [
        {
            "url_id": one.url_id,
            "status": one.status,
            "reason": one.reason,
            "http_status": one.http_status,
            "final_url": one.final_url,
            "bytes": one.size,
            "seconds": one.seconds,
            "rules": one.rules,
            "at": at,
        }
        for one in ended
    ]
    if rows:
        connection.execute(sa.insert(attempts), rows)
    came = [
        {"b_id": one.url_id, "b_image": ids[one.image.sha256]}
        for one in ours
        if one.image is not None
    ]
    if came:
        connection.execute(
            sa.update(urls)
            .where(urls.c.id == sa.bindparam("b_id"))
            .values(image_id=sa.bindparam("b_image")),
            came,
        )
    counters.add(connection, {f"{STEP}.known": sum(one.status == "known" for one in ended)})
    return ended


def add_images(
    connection: sa.Connection, rows: Sequence[ImageRow], thumbs: Mapping[str, bytes | None]
) -> tuple[dict[str, int], set[str]]:
    """Add images with their thumbnails, and have new ones searched; see `rows.insert_images`."""
    unique: dict[str, ImageRow] = {}
    for row in rows:
        unique.setdefault(row.sha256, row)
    ids, new = insert_images(connection, [unique[sha256] for sha256 in sorted(unique)])
    work.enqueue(connection, "detect", sorted(ids[sha256] for sha256 in new))
    add_thumbnails(connection, {ids[sha256]: thumbs.get(sha256) for sha256 in new})
    return ids, new


def has_image(connection: sa.Connection, sha256: str) -> bool:
    """Whether an image with these bytes is in the project."""
    statement = sa.select(sa.exists().where(image_table.c.sha256 == sha256))
    return bool(connection.execute(statement).scalar())


def list_hosts(connection: sa.Connection, limit: int) -> list[tuple[str, int]]:
    """The hosts with most addresses, each with their number."""
    statement = sa.select(hosts).order_by(hosts.c.urls.desc(), hosts.c.name).limit(limit)
    return [(row.name, row.urls) for row in connection.execute(statement)]


def is_too_long(url: str) -> bool:
    """Whether an address is too long to be kept."""
    return len(normalize_url(url).encode("utf-8", "surrogatepass")) > LONGEST


def find_host(url: str) -> str:
    """The host of an address, in lower case; "" where it has none."""
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _queue(connection: sa.Connection, new: Sequence[tuple[int, str, bool]]) -> None:
    """Count new addresses for their hosts, and queue those that are to be downloaded."""
    counts = Counter(host for _, host, _ in new)
    statement = insert(connection, hosts)
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"urls": hosts.c.urls + statement.excluded.urls}
    ).returning(hosts.c.name, hosts.c.urls)
    # One by one, in the order of the names: two transactions never wait for each other.
    turns_of = {}
    for host, count in sorted(counts.items()):
        name, total = connection.execute(statement, {"name": host, "urls": count}).one()
        turns_of[name] = total - count
    turns = {}
    for number, host, is_wanted in new:
        if is_wanted:
            turns[number] = turns_of[host]
        turns_of[host] += 1
    work.enqueue(connection, STEP, turns, turns)


def _find_ids(connection: sa.Connection, wanted: Iterable[str]) -> dict[str, int]:
    rows = connection.execute(sa.select(urls.c.url, urls.c.id).where(urls.c.url.in_(list(wanted))))
    return dict(rows.all())
