"""The queue of a step, on both databases: every item once, whoever is killed."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
from collections import Counter

import pytest
import sqlalchemy as sa

from openaffect.errors import DatabaseError
from openaffect.project import Project, counters, open_project, work
from openaffect.project.schema import current_time
from openaffect.project.schema import work as table
from openaffect.storage import process_name


def fill(project: Project, count: int) -> None:
    with project.database.write() as connection:
        assert work.enqueue(connection, "detect", range(1, count + 1)) == count


def numbers(project: Project) -> dict[str, int]:
    with project.database.read() as connection:
        return counters.read(connection)


def claim(project: Project, owner: str, count: int) -> list[int]:
    with project.database.write() as connection:
        return work.claim(connection, "detect", owner, count)


def finish(project: Project, owner: str, results: dict[int, str | None]) -> set[int]:
    with project.database.write() as connection:
        return work.finish(connection, "detect", owner, results)


def test_an_item_is_in_the_queue_once(project: Project) -> None:
    fill(project, 3)
    with project.database.write() as connection:
        assert work.enqueue(connection, "detect", [2, 3, 4]) == 1
    assert numbers(project) == {"detect.pending": 4}
    assert claim(project, "a", 2) == [1, 2]
    assert claim(project, "a", 9) == [3, 4]
    assert claim(project, "a", 9) == []


def test_ends_are_counted_by_reason(project: Project) -> None:
    fill(project, 4)
    claim(project, "a", 4)
    ends = {1: None, 2: "broken: 2.jpg", 3: "broken: 3.jpg", 4: None}
    assert finish(project, "a", ends) == {1, 2, 3, 4}
    assert numbers(project) == {"detect.done": 2, "detect.failed.broken": 2}
    assert project.status()["steps"]["detect"] == {
        "pending": 0,
        "done": 2,
        "failed": {"broken": 2},
        "refused": {},
    }
    with project.database.write() as connection:
        assert work.retry(connection, "detect") == 2
    assert numbers(project) == {"detect.done": 2, "detect.pending": 2}
    assert claim(project, "b", 9) == [2, 3]


def test_only_the_owner_of_a_claim_ends_it(project: Project) -> None:
    fill(project, 2)
    claim(project, "a", 1)
    assert finish(project, "b", {1: None, 2: None}) == set()
    assert finish(project, "a", {1: None, 2: None}) == {1}
    assert finish(project, "a", {1: "again"}) == set()  # an end is an end
    assert numbers(project) == {"detect.done": 1, "detect.pending": 1}


def test_a_claim_that_has_expired_is_given_to_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(project, 1)
    claim(project, "a", 1)
    assert claim(project, "b", 1) == []
    late = datetime.datetime.now(datetime.UTC) + work.LEASE + datetime.timedelta(seconds=1)
    monkeypatch.setattr(work, "current_time", lambda: late)
    assert claim(project, "b", 1) == [1]
    assert finish(project, "a", {1: None}) == set()
    assert finish(project, "b", {1: None}) == {1}


def test_claims_of_a_dead_process_are_given_back_and_those_of_others_are_not(
    project: Project,
) -> None:
    fill(project, 3)
    code = "from openaffect.storage import process_name; print(process_name())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    claim(project, done.stdout.strip() + ".1", 1)
    claim(project, f"{process_name()}.1", 1)
    claim(project, "elsewhere.7.1.1", 1)
    with project.database.write() as connection:
        assert work.release_dead(connection, "detect") == 1
    assert claim(project, "b", 9) == [1]


def test_many_workers_get_every_item_once(project: Project) -> None:
    fill(project, 400)
    taken: list[int] = []
    lock = threading.Lock()

    def labor(name: str) -> None:
        with open_project(project.path) as mine:
            while items := claim(mine, name, 7):
                ended = finish(mine, name, dict.fromkeys(items))
                with lock:
                    taken.extend(ended)

    threads = [threading.Thread(target=labor, args=(f"worker-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(taken) == Counter(range(1, 401))
    assert numbers(project) == {"detect.done": 400}


def test_a_transaction_that_fails_leaves_nothing(project: Project) -> None:
    fill(project, 2)

    def begin_and_fail() -> None:
        with project.database.write() as connection:
            work.claim(connection, "detect", "a", 2)
            work.finish(connection, "detect", "a", {1: None})
            raise RuntimeError("pulled plug")

    with pytest.raises(RuntimeError, match="pulled"):
        begin_and_fail()
    assert numbers(project) == {"detect.pending": 2}
    assert claim(project, "b", 9) == [1, 2]


def test_a_database_that_goes_away_is_one_line_and_loses_nothing(
    project: Project, database_url: str | None
) -> None:
    if database_url is None:
        pytest.skip("a file does not go away")
    fill(project, 2)

    def claim_and_lose_the_connection() -> None:
        with project.database.write() as connection:
            work.claim(connection, "detect", "a", 2)
            number = connection.execute(sa.select(sa.func.pg_backend_pid())).scalar()
            with project.database.engine.connect() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(number)))
            connection.execute(sa.select(sa.func.count()).select_from(table))

    with pytest.raises(DatabaseError) as caught:
        claim_and_lose_the_connection()
    assert "does not answer" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert claim(project, "b", 9) == [1, 2]


def test_a_locked_file_is_waited_for_and_then_told(
    project: Project, database_url: str | None
) -> None:
    if database_url is not None:
        pytest.skip("PostgreSQL locks rows")
    fill(project, 1)
    code = (
        "import sqlite3, sys, time\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(project.path / "project.db")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with project.database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=100")  # of the pool's one connection
        with pytest.raises(DatabaseError, match="lock"):
            claim(project, "a", 1)
        assert project.status()["steps"]["detect"]["pending"] == 1  # readers never wait
    finally:
        holder.kill()
        holder.communicate()
    assert claim(project, "a", 1) == [1]


def test_a_full_disk_is_told_and_loses_nothing(project: Project, database_url: str | None) -> None:
    if database_url is not None:
        pytest.skip("PostgreSQL's disk cannot be filled here")
    fill(project, 3)
    with project.database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DatabaseError, match="disk is full"), project.database.write() as connection:
        work.enqueue(connection, "detect", range(10, 20_000))
    assert numbers(project) == {"detect.pending": 3}
    assert os.path.getsize(project.path / "project.db") > 0


def test_lower_turns_come_first_and_a_condition_leaves_items_in_the_queue(
    project: Project,
) -> None:
    turns = {1: 5, 2: 0, 3: 5, 4: 1}
    with project.database.write() as connection:
        work.enqueue(connection, "detect", turns, turns)
        work.enqueue(connection, "detect", [5])
    with project.database.write() as connection:
        assert work.claim(connection, "detect", "a", 2, among=table.c.item != 5) == [2, 4]
        assert work.claim(connection, "detect", "a", 9) == [5, 1, 3]


def test_what_a_rule_refuses_is_counted_apart(project: Project) -> None:
    fill(project, 6)
    assert claim(project, "a", 4) == [1, 2, 3, 4]
    with project.database.write() as connection:
        ends = {1: None, 2: "rule: x", 3: "rule: y", 4: "rule: z"}
        work.finish(connection, "detect", "a", ends, refused=[2, 3])
        assert work.refuse(connection, "detect", [1, 4, 5, 77], "copy: of 1") == 1
    expected = {
        "detect.done": 1,
        "detect.failed.rule": 1,
        "detect.refused.rule": 2,
        "detect.refused.copy": 1,
        "detect.pending": 1,
    }
    assert numbers(project) == expected
    with project.database.write() as connection:
        assert work.retry(connection, "detect") == 1
        assert work.retry(connection, "detect", "refused") == 3
    assert numbers(project) == {"detect.done": 1, "detect.pending": 5}


def test_what_is_removed_leaves_no_count(project: Project) -> None:
    fill(project, 5)
    claim(project, "a", 3)
    with project.database.write() as connection:
        work.finish(connection, "detect", "a", {1: None, 2: "broken: 2"}, refused=[])
        states = work.remove(connection, "detect", [1, 2, 3, 4, 99])
    assert states == {1: "done", 2: "failed", 3: "claimed", 4: "pending"}
    assert numbers(project) == {"detect.pending": 1}
    assert claim(project, "b", 9) == [5]


def test_a_claim_that_is_renewed_holds_for_longer(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(project, 2)
    claim(project, "a", 1)
    claim(project, "b", 1)
    now = current_time()
    monkeypatch.setattr(work, "current_time", lambda: now + work.LEASE * 0.9)
    with project.database.write() as connection:
        work.renew(connection, "detect", "a")
    monkeypatch.setattr(work, "current_time", lambda: now + work.LEASE * 1.5)
    assert claim(project, "c", 9) == [2]
