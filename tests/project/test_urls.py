"""Addresses, what providers say of them, and their queue, on both databases."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from openaffect.collection.downloads import _RENEW_S
from openaffect.project import Project, schema, work
from openaffect.project.queries import Query, set_queries
from openaffect.project.rows import ImageRow
from openaffect.project.urls import (
    STEP,
    Attempt,
    Candidate,
    HitRow,
    add_hits,
    claim_urls,
    finish_urls,
    list_hosts,
)


def add(project: Project, *rows: HitRow) -> None:
    with project.database.write() as connection:
        add_hits(connection, rows)


def claim(project: Project, count: int = 99, owner: str = "me") -> list[Candidate]:
    with project.database.write() as connection:
        return claim_urls(connection, owner, count)


def finish(project: Project, *found: Attempt, owner: str = "me") -> list[Attempt]:
    with project.database.write() as connection:
        return finish_urls(connection, owner, found)


def read(project: Project, *columns: Any) -> list[tuple[Any, ...]]:
    with project.database.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns))]


def image(sha256: str, name: str = "x") -> ImageRow:
    return ImageRow(sha256 * 64, "jpg", 9, "x", name)


def test_hits_come_in_the_order_in_which_they_were_found(project: Project) -> None:
    set_queries(project, [Query("happy man", "en", "happy")])
    ((number,),) = read(project, schema.queries.c.id)
    url = "https://a.example/1"
    add(project, HitRow("b", url, title="first", query_id=number))
    add(project, HitRow("a", url, title="second", query="own words", intended="sad"))
    add(project, HitRow("c", url, title="third", query="own", intended="fear", query_id=number))
    add(project, HitRow("b", url, title="again", query_id=number))
    (found,) = claim(project)
    assert [(hit.provider, hit.title, hit.query, hit.intended) for hit in found.hits] == [
        ("b", "first", "happy man", "happy"),
        ("a", "second", "own words", "sad"),
        ("c", "third", "own", "fear"),
    ]
    assert (found.url, found.host) == (url, "a.example")


def test_addresses_come_in_their_turns(project: Project) -> None:
    add(project, *(HitRow("x", f"https://b.example/{n}") for n in range(3)))
    add(project, *(HitRow("x", f"https://a.example/{n}") for n in range(3)))
    assert [one.url[-1] for one in claim(project)] == ["0", "0", "1", "1", "2", "2"]


def test_what_came_with_its_bytes_counts_for_its_host_and_is_not_queued(project: Project) -> None:
    add(project, HitRow("x", "https://a.example/0"))
    (waiting,) = claim(project)
    finish(project, Attempt(waiting.id, "stored", image=image("a")))
    ((number,),) = read(project, schema.images.c.id)
    with project.database.write() as connection:
        urls = [f"https://a.example/{n}" for n in range(1, 4)]
        add_hits(connection, [HitRow("x", url) for url in urls], images={urls[1]: number})
    assert [one.url for one in claim(project)] == [urls[0], urls[2]]
    with project.database.read() as connection:
        assert list_hosts(connection, 9) == [("a.example", 4)]


def test_the_hosts_with_most_addresses_come_first(project: Project) -> None:
    add(project, *(HitRow("x", f"https://{name}.example/{n}") for n, name in enumerate("abbccc")))
    with project.database.read() as connection:
        assert list_hosts(connection, 2) == [("c.example", 3), ("b.example", 2)]


def test_what_is_no_longer_ours_is_not_written_down(project: Project) -> None:
    add(project, *(HitRow("x", f"https://a.example/{n}") for n in range(2)))
    mine, lost = claim(project)
    with project.database.write() as connection:
        work.release(connection, STEP, "me")
    (again,) = claim(project, 1, "me")
    assert again.id == mine.id
    assert [one.id for one in claim(project, 1, "another")] == [lost.id]
    ended = finish(
        project,
        Attempt(mine.id, "stored", image=image("a")),
        Attempt(lost.id, "stored", image=image("b")),
    )
    assert [one.url_id for one in ended] == [mine.id]
    assert read(project, schema.attempts.c.url_id) == [(mine.id,)]
    assert read(project, schema.images.c.sha256) == [("a" * 64,)]


def test_an_attempt_is_written_with_all_that_is_known(project: Project) -> None:
    add(project, HitRow("x", "https://a.example/0"))
    (one,) = claim(project)
    attempt = Attempt(
        one.id,
        "refused",
        "robots.txt: Disallow: /",
        http_status=200,
        final_url="https://b.example/0",
        size=17,
        seconds=0.5,
        rules="Disallow: /",
    )
    assert finish(project, attempt) == [attempt]
    names = ("status", "reason", "http_status", "final_url", "bytes", "seconds", "rules")
    (row,) = read(project, *(schema.attempts.c[name] for name in names))
    values = dataclasses.asdict(attempt)
    assert row == tuple(values["size" if name == "bytes" else name] for name in names)
    state = read(project, schema.work.c.state, schema.work.c.owner, schema.work.c.expires)
    assert state == [("refused", None, None)]


def test_of_equal_bytes_in_one_transaction_the_first_is_stored(project: Project) -> None:
    add(project, *(HitRow("x", f"https://a.example/{n}") for n in range(2)))
    first, second = claim(project)
    ended = finish(
        project,
        Attempt(first.id, "stored", image=image("a", "first")),
        Attempt(second.id, "stored", image=image("a", "second")),
    )
    assert [one.status for one in ended] == ["stored", "known"]
    assert read(project, schema.images.c.name) == [("first",)]
    assert project.status()["found"]["known_images"] == 1


def test_an_image_that_was_there_is_not_queued_again(project: Project) -> None:
    add(project, *(HitRow("x", f"https://a.example/{n}") for n in range(2)))
    first, second = claim(project)
    finish(project, Attempt(first.id, "stored", image=image("a")))
    with project.database.write() as connection:
        work.remove(
            connection, "detect", [number for (number,) in read(project, schema.images.c.id)]
        )
    finish(project, Attempt(second.id, "stored", image=image("a")))
    assert project.status()["steps"]["detect"]["pending"] == 0


def test_a_retry_forgets_the_reason_and_a_rule_opens_what_it_refused_alone(
    project: Project,
) -> None:
    add(project, *(HitRow("x", f"https://a.example/{n}") for n in range(2)))
    first, second = claim(project)
    finish(project, Attempt(first.id, "failed", "HTTP 404"), Attempt(second.id, "refused", "rule"))
    with project.database.write() as connection:
        assert work.reopen(connection, STEP, [first.id, second.id]) == 1
    states = dict(read(project, schema.work.c.item, schema.work.c.state))
    assert states == {first.id: "failed", second.id: "pending"}
    with project.database.write() as connection:
        assert work.retry(connection, STEP) == 1
    assert read(project, schema.work.c.reason) == [(None,)] * 2


def test_a_claim_is_renewed_well_before_it_ends() -> None:
    assert work.LEASE.total_seconds() >= 2 * _RENEW_S
