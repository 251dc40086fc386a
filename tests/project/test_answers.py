"""Leases, answers, undo, gold, repeats, training: what people get, and what becomes of what they say."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_builders import (
    add_batch,
    add_faces,
    add_person,
    ago,
    change,
    draw,
    person_of,
    recount,
    say,
    task_of,
    undo,
    uuid7,
)
from openaffect.errors import ConflictError, InputError, NotFoundError
from openaffect.project import (
    Project,
    accounts,
    answers,
    assignments,
    counters,
    gold,
    review,
    schema,
    training,
)
from openaffect.project.accounts import Person
from openaffect.project.answers import Answer, check_answer
from openaffect.project.gold import GoldFace
from openaffect.project.settings import Settings, replace_settings


def with_settings(project: Project, **values: Any) -> Project:
    """The project with other values of `[annotation]` and `[quality]`; `_` stands for `.`."""
    named = {key.replace("_", ".", 1): value for key, value in values.items()}
    return replace(project, settings=replace_settings(project.settings, named, project.path))


def make_gold(project: Project, faces: list[int], expression: str = "happy") -> None:
    with project.database.write() as connection:
        names = connection.execute(
            sa.select(schema.faces.c.face_id).where(schema.faces.c.id.in_(faces))
        ).scalars()
        gold.insert_gold(connection, [GoldFace(name, expression) for name in names], "csv")


def count(project: Project, *starts: str) -> dict[str, int]:
    """Counters by the beginnings of their names."""
    with project.database.read() as connection:
        return {k: v for k, v in counters.read(connection).items() if k.startswith(starts)}


OURS = ("annotations", "answers.", "expression.", "agreement.", "review.")


def counted(project: Project) -> dict[str, int]:
    found = count(project, *OURS)
    return {k: v for k, v in found.items() if k not in ("annotations.void", "annotations.counted")}


# ---- leases ---------------------------------------------------------------------------------


def test_a_person_gets_five_faces_and_no_face_twice(project: Project) -> None:
    faces = add_faces(project, 12)
    add_batch(project, faces)
    ada, bo = (add_person(project, name) for name in ("Ada", "Bo"))
    first = draw(project, ada)
    assert len({one.face for one in first}) == 5
    held = tuple(one.id for one in first)
    assert draw(project, ada, held) == []
    assert [one.id for one in draw(project, ada)] == list(held)  # a page that was loaded again
    other = draw(project, bo)
    assert not {one.face for one in first} & {one.face for one in other}
    say(project, ada, first[0].id)
    fresh = draw(project, ada, held[1:])
    assert len(fresh) == 1
    assert fresh[0].face not in {one.face for one in (*first, *other)}
    for one in (*first[1:], *fresh):
        say(project, ada, one.id)
    last = draw(project, ada)
    assert len(last) == 12 - 6 - 5
    assert draw(project, ada, tuple(one.id for one in last)) == []
    given = [task_of(project, face).given for face in faces]
    assert given == [1] * 12


def test_people_get_different_orders_and_each_one_always_the_same(sqlite_project: Project) -> None:
    faces = add_faces(sqlite_project, 40)
    add_batch(sqlite_project, faces, wanted=3)
    people = [add_person(sqlite_project, name) for name in "ab"]
    orders = [[one.face for one in draw(sqlite_project, person)] for person in people]
    assert orders[0] != orders[1]
    for person in people:
        with sqlite_project.database.write() as connection:
            connection.execute(sa.delete(schema.assignments))
            connection.execute(sa.update(schema.annotators).values(numbers=None))
            connection.execute(sa.update(schema.tasks).values(given=0))
        again = [one.face for one in draw(sqlite_project, person)]
        assert again == orders[people.index(person)]


def test_lower_levels_come_first_and_closed_batches_never(sqlite_project: Project) -> None:
    project = sqlite_project
    faces = add_faces(project, 6)
    add_batch(project, faces[:3], name="one")
    add_batch(project, faces[3:], name="two")
    late = schema.tasks.c.face_id == faces[0]
    change(project, schema.tasks, late, level=1)
    ada = add_person(project, "Ada")
    order = [one.face for one in draw(project, ada)]
    assert set(order[:2]) == set(faces[1:3])
    assert order[2] == faces[0]
    assert set(order[3:]) < set(faces[3:])
    change(project, schema.batches, schema.batches.c.name == "two", state="closed")
    bo = add_person(project, "Bo")
    assert draw(project, bo) == []
    change(project, schema.batches, schema.batches.c.name == "two", state="open", people=[bo.id])
    assert {one.face for one in draw(project, bo)} == {faces[3], faces[4], faces[5]} - set(order)
    assert draw(project, add_person(project, "Cy")) == []


def test_an_expired_lease_gives_the_face_back_and_a_late_answer_is_taken(project: Project) -> None:
    faces = add_faces(project, 1)
    add_batch(project, faces)
    ada, bo = (add_person(project, name) for name in ("Ada", "Bo"))
    lease = draw(project, ada)[0]
    assert draw(project, bo) == []
    change(project, schema.assignments, schema.assignments.c.id == lease.id, expires=ago(seconds=1))
    mine = draw(project, bo)
    assert [one.face for one in mine] == faces
    assert task_of(project, faces[0]).given == 1
    say(project, bo, mine[0].id, "sad")
    say(project, ada, lease.id, "happy")
    with project.database.read() as connection:
        rows = connection.execute(sa.select(schema.annotations)).all()
        valid = answers.find_valid_answers(connection, faces[0])
    assert {(row.annotator_id, row.late) for row in rows} == {(ada.id, True), (bo.id, False)}
    assert len(valid) == 2
    task = task_of(project, faces[0])
    assert (task.given, task.done, task.review) == (2, 2, "open")
    assert counted(project) == recount(project)


def test_what_a_page_holds_is_leased_for_longer(sqlite_project: Project) -> None:
    project = sqlite_project
    add_batch(project, add_faces(project, 9))
    ada = add_person(project, "Ada")
    held = tuple(one.id for one in draw(project, ada))
    column = schema.assignments.c
    change(project, schema.assignments, column.id > 0, expires=ago(minutes=-5))
    draw(project, ada, held[:2])
    with project.database.read() as connection:
        found = connection.execute(sa.select(column.id).where(column.expires > ago(minutes=-15)))
        assert set(found.scalars()) == set(held[:2])


def test_a_skipped_face_goes_to_others_and_comes_back_when_asked(project: Project) -> None:
    faces = add_faces(project, 2)
    add_batch(project, faces)
    ada, bo = (add_person(project, name) for name in ("Ada", "Bo"))
    first, second = draw(project, ada)

    skip(project, ada, first.id)
    skip(project, ada, first.id)  # a second click changes nothing
    assert task_of(project, first.face).given == 0
    assert draw(project, ada, (second.id,)) == []
    [given] = draw(project, bo)
    assert given.face == first.face
    skip(project, bo, given.id)
    with project.database.write() as connection:
        now = accounts.get_person(connection, ada.id)
        assert now.numbers["skipped"] == 1
        assert assignments.unskip_faces(connection, now) == 1
        accounts.save_numbers(connection, now)
    assert [one.face for one in draw(project, ada, (second.id,))] == [first.face]


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [1, 3])
def test_concurrent_draws_give_no_face_too_often(project: Project, wanted: int) -> None:
    faces = add_faces(project, 600)
    add_batch(project, faces, wanted=wanted)
    people = [add_person(project, f"p{n}") for n in range(10)]
    each = 600 * wanted // len(people)

    def work(person: Person) -> None:
        for _ in range(each):
            with project.database.write() as connection:
                face = assignments.draw_work(connection, person.id, 1, random.random())
                if face is not None:
                    values = {"kind": "work", "state": "done", "face_id": face}
                    connection.execute(
                        sa.insert(schema.assignments).values(
                            annotator_id=person.id, at=ago(), **values
                        )
                    )

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with project.database.read() as connection:
        drawn = connection.execute(
            sa.select(schema.assignments.c.face_id, schema.assignments.c.annotator_id)
        ).all()
        given = connection.execute(sa.select(schema.tasks.c.face_id, schema.tasks.c.given)).all()
    assert len(set(drawn)) == len(drawn)
    assert Counter(face for face, _ in drawn) == Counter(dict(given)) - Counter()
    assert max(dict(given).values()) <= wanted
    # Two draws at the same moment may pass by a row that the other one has locked.
    assert len(drawn) >= 600 * wanted * 0.95


# ---- answers --------------------------------------------------------------------------------


def test_an_answer_is_stored_once_and_another_under_its_id_is_refused(project: Project) -> None:
    faces = add_faces(project, 6)
    add_batch(project, faces)
    ada, bo = (add_person(project, name) for name in ("Ada", "Bo"))
    lease, other = draw(project, ada)[:2]
    more: dict[str, Any] = {"valence": 0.5, "arousal": -0.1, "seconds": 2.0}
    more |= {"comment": "glasses", "flag": True}
    name = say(project, ada, lease.id, "happy", **more)
    assert say(project, ada, lease.id, "happy", **more, id=name) == name
    for number, change_ in (
        (lease.id, {**more, "valence": 0.4}),
        (lease.id, {**more, "comment": ""}),
        (lease.id, {**more, "flag": False}),
        (lease.id, {**more, "expression": "sad"}),
        (other.id, more),
    ):
        with pytest.raises(ConflictError, match="id"):
            say(project, ada, number, **{"expression": "happy", "id": name} | change_)
    with pytest.raises(ConflictError):
        say(project, bo, lease.id, "happy", **more, id=name)
    with pytest.raises(ConflictError, match="has your answer"):
        say(project, ada, lease.id, "happy")
    with pytest.raises(NotFoundError):
        say(project, bo, lease.id)
    with pytest.raises(NotFoundError):
        say(project, ada, 10**9)
    with project.database.read() as connection:
        [row] = connection.execute(sa.select(schema.annotations)).all()
    assert (row.kind, row.origin, row.instructions, row.batch) == ("work", "human", "1", "all")
    assert (row.valence, row.seconds, row.comment, row.flag) == (0.5, 2.0, "glasses", "flagged")
    assert row.tool.startswith("openaffect ")
    assert counted(project) == recount(project)
    assert person_of(project, ada.id).numbers["work"] == 1
    assert person_of(project, ada.id).numbers["seconds"] == 2.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"valence": 0.8, "arousal": 0.7},
        {"valence": 1.001, "arousal": 0.0},
        {"valence": float("nan"), "arousal": 0.0},
        {"valence": 0.1},
        {"arousal": 0.1},
        {"expression": "uncertain", "valence": 0.1, "arousal": 0.1},
        {"expression": "no_face", "valence": 0.0, "arousal": 0.0},
        {"expression": "joy"},
        {"expression": "contempt"},  # not one of the seven
        {"comment": "x" * 2_001},
        {"comment": "\0"},
        {"seconds": -0.1},
        {"seconds": float("inf")},
        {"id": "1"},
        {"id": "00000000-0000-4000-8000-000000000000"},
        {"id": uuid7().upper()},
    ],
)
def test_answers_that_cannot_be(wrong: dict[str, Any]) -> None:
    settings = Settings(labels="neutral,happy,sad,none,uncertain,no_face")
    good = Answer(uuid7(), "happy")
    assert check_answer(good, settings) == good
    assert check_answer(replace(good, valence=0.6, arousal=-0.8, seconds=700.0), settings) == (
        replace(good, valence=0.6, arousal=-0.8, seconds=600.0)
    )
    with pytest.raises(InputError):
        check_answer(replace(good, **wrong), settings)


def test_undo_of_any_depth_and_the_answers_after_it(project: Project) -> None:
    faces = add_faces(project, 8)
    add_batch(project, faces)
    ada = add_person(project, "Ada")
    leases = draw(project, ada)
    names = [say(project, ada, one.id, "happy", valence=0.5, arousal=0.0) for one in leases[:3]]
    assert counted(project)["answers.done"] == 3
    again = [undo(project, ada, name) for name in reversed(names)]
    assert [one.face for one in again] == [one.face for one in reversed(leases[:3])]
    assert [one.annotation for one in again] == names[::-1]
    assert counted(project) == recount(project)
    assert counted(project).get("answers.done", 0) == 0
    assert person_of(project, ada.id).numbers["work"] == 0
    [first, *_] = draw(project, ada, ())
    assert first.face in faces[:]  # what was undone comes first after a reload
    assert {one.id for one in draw(project, ada)[:3]} == {one.id for one in leases[:3]}
    for one in again:
        say(project, ada, one.id, "sad")
    with project.database.read() as connection:
        rows = connection.execute(sa.select(schema.annotations)).all()
        valid = answers.find_valid_answers(connection, leases[0].face)
        listed = answers.list_answers(connection, ada.id, 50)
    assert len(rows) == 9
    assert [row.expression for row in valid] == ["sad"]
    assert valid[0].replaces == names[0]
    assert Counter(one["undone"] for one in listed) == {True: 3, False: 3}
    assert counted(project) == recount(project)
    assert count(project, "density.") == {}
    assert [task_of(project, one.face).done for one in leases[:3]] == [1, 1, 1]
    assert [task_of(project, one.face).given for one in leases[:3]] == [1, 1, 1]


def test_what_cannot_be_undone(project: Project) -> None:
    add_batch(project, add_faces(project, 8))
    ada, bo = (add_person(project, name) for name in ("Ada", "Bo"))
    lease = draw(project, ada)[0]
    name = say(project, ada, lease.id)
    with pytest.raises(NotFoundError):
        undo(project, bo, name)
    with pytest.raises(NotFoundError):
        undo(project, ada, uuid7())
    mark = uuid7()
    with project.database.write() as connection:
        now = accounts.get_person(connection, ada.id)
        for _ in range(2):  # sent again, it is the same
            answers.undo_answer(connection, now, mark, name, project.settings)
        accounts.save_numbers(connection, now)
    with pytest.raises(ConflictError, match="already"):
        undo(project, ada, name)
    say(project, ada, lease.id, "sad")
    with pytest.raises(ConflictError, match="later"):
        undo(project, ada, name)
    with pytest.raises(NotFoundError):
        undo(project, ada, mark)  # a void row is no answer
    with project.database.write() as connection, pytest.raises(InputError):
        answers.undo_answer(connection, ada, "1", name, project.settings)


def test_own_answers_are_listed_a_page_at_a_time(sqlite_project: Project) -> None:
    project = sqlite_project
    add_batch(project, add_faces(project, 20))
    ada, bo = (add_person(project, name) for name in ("Ada", "Bo"))
    names = []
    for _ in range(7):
        names.append(say(project, ada, draw(project, ada)[0].id))
    other = say(project, bo, draw(project, bo)[0].id)
    with project.database.read() as connection:
        first = answers.list_answers(connection, ada.id, 3)
        second = answers.list_answers(connection, ada.id, 3, first[-1]["id"])
        third = answers.list_answers(connection, ada.id, 3, second[-1]["id"])
        with pytest.raises(NotFoundError):
            answers.list_answers(connection, ada.id, 3, other)
    assert [one["id"] for one in (*first, *second, *third)] == names[::-1]


def test_counters_are_what_the_rows_say_whatever_happens(project: Project) -> None:
    faces = add_faces(project, 12)
    add_batch(project, faces[:6], wanted=2, name="two")
    add_batch(project, faces[6:], wanted=1, name="one")
    people = [add_person(project, name) for name in "abc"]
    chance = random.Random(5)
    said: list[tuple[Person, str]] = []
    seen: Counter[str] = Counter()
    for step in range(120):
        person = chance.choice(people)
        what = chance.choices(["undo", "return", "expire", "skip", "say"], [3, 2, 1, 1, 8])[0]
        found = draw(project, person)
        with contextlib.suppress(ConflictError):  # an answer that was undone before
            if what == "undo" and said:
                who, name = chance.choice(said)
                undo(project, who, name)
            elif what == "return" and said:
                who, name = chance.choice(said)
                with project.database.write() as connection:
                    face = answers.find_answer(connection, name).face_id
                    review.send_back(connection, face, name, "again", project.settings)
            elif what == "expire" and found:
                which = schema.assignments.c.id == found[0].id
                change(project, schema.assignments, which, expires=ago(seconds=1))
            elif what == "skip" and found:
                skip(project, person, found[0].id)
            elif found:
                more = {"valence": chance.uniform(-0.7, 0.7), "arousal": chance.uniform(-0.7, 0.7)}
                expression, flag = chance.choice(["happy", "sad"]), chance.random() < 0.2
                name = say(project, person, found[0].id, expression, flag=flag, **more)
                said.append((person, name))
            seen[what] += 1
        if step % 10 == 9:
            assert counted(project) == recount(project)
            for face in faces:
                assert_task_is_right(project, face)
    assert min(seen.values()) > 3
    assert counted(project)["answers.done"] > 3
    assert counted(project)["agreement.pairs"] > 0
    assert sum(count(project, "density.").values()) == counted(project)["annotations.work"]
    assert (
        sum(one.numbers["work"] for one in accounts.list_people(project))
        == (counted(project)["annotations.work"])
    )


def assert_task_is_right(project: Project, face: int) -> None:
    """`done` is the number of people whose work on the face stands, `given` those who have it, too."""
    with project.database.read() as connection:
        valid = answers.find_valid_answers(connection, face)
        states = connection.execute(
            sa.select(schema.assignments.c.annotator_id, schema.assignments.c.state).where(
                schema.assignments.c.face_id == face, schema.assignments.c.kind == "work"
            )
        ).all()
    people = [row.annotator_id for row in states]
    assert len(set(people)) == len(people)  # one assignment of a face per person
    task = task_of(project, face)
    assert task.done == len([row for row in valid if row.kind == "work"])
    assert task.given == sum(row.state in ("leased", "done", "returned") for row in states)


def skip(project: Project, person: Person, number: int) -> None:
    with project.database.write() as connection:
        now = accounts.get_person(connection, person.id)
        found = assignments.find_assignment(connection, person.id, number)
        assignments.skip_face(connection, now, found)
        accounts.save_numbers(connection, now)


def test_a_face_that_expired_comes_back_to_its_person_once(project: Project) -> None:
    [face] = add_faces(project, 1)
    add_batch(project, [face], wanted=2)
    ada = add_person(project, "Ada")
    [first] = draw(project, ada)
    which = schema.assignments.c.id == first.id
    change(project, schema.assignments, which, expires=ago(seconds=1))
    [again] = draw(project, ada)
    assert again.id == first.id
    say(project, ada, first.id)
    with pytest.raises(ConflictError):
        say(project, ada, again.id)
    assert (task_of(project, face).given, task_of(project, face).done) == (1, 1)
    assert draw(project, ada) == []


def test_a_correction_that_is_undone_brings_the_first_answer_back(project: Project) -> None:
    [face] = add_faces(project, 1)
    add_batch(project, [face])
    ada = add_person(project, "Ada")
    first = say(project, ada, draw(project, ada)[0].id, "happy", flag=True)
    with project.database.write() as connection:
        review.send_back(connection, face, first, "again", project.settings)
    second = say(project, ada, draw(project, ada)[0].id, "sad")
    assert counted(project)["expression.sad"] == 1
    lease = undo(project, ada, second)
    assert lease.annotation == first
    found = counted(project)
    assert (found["answers.done"], found["expression.happy"]) == (1, 1)
    assert "expression.sad" not in found
    assert counted(project) == recount(project)
    assert_task_is_right(project, face)
    assert task_of(project, face).review == "open"  # its flag counts again


def test_a_pause_keeps_first_answers_and_takes_what_was_in_work(project: Project) -> None:
    faces = add_faces(project, 8)
    add_batch(project, faces)
    ada = add_person(project, "Ada")
    leases = draw(project, ada)
    first = say(project, ada, leases[0].id)
    skip(project, ada, leases[1].id)
    with project.database.write() as connection:
        review.send_back(connection, leases[0].face, first, "again", project.settings)
        accounts.pause(connection, accounts.get_person(connection, ada.id), "tired")
        assignments.end_leases(connection, ada.id)
    assert task_of(project, leases[0].face).given == 1  # the first answer stands
    say(project, ada, leases[2].id)
    with pytest.raises(ConflictError, match="paused"):
        say(project, ada, leases[1].id)
    which = schema.assignments.c.id == leases[3].id
    change(project, schema.assignments, which, expires=ago(seconds=1))
    with pytest.raises(ConflictError, match="paused"):
        say(project, ada, leases[3].id)
    assert counted(project) == recount(project)
    for face in faces:
        assert_task_is_right(project, face)


def test_a_late_copy_of_an_undo_changes_nothing(project: Project) -> None:
    [face] = add_faces(project, 1)
    add_batch(project, [face])
    ada = add_person(project, "Ada")
    number = draw(project, ada)[0].id
    name, mark = say(project, ada, number), uuid7()

    def undo_again() -> int:
        with project.database.write() as connection:
            now = accounts.get_person(connection, ada.id)
            found = answers.undo_answer(connection, now, mark, name, project.settings)
            accounts.save_numbers(connection, now)
            return found.id

    assert undo_again() == undo_again() == number
    second = say(project, ada, number, "sad")
    with pytest.raises(ConflictError):
        undo_again()
    with project.database.write() as connection:
        now = accounts.get_person(connection, ada.id)
        with pytest.raises(ConflictError):
            answers.undo_answer(connection, now, second, second, project.settings)
    assert counted(project) == recount(project)
    assert_task_is_right(project, face)


@pytest.mark.slow
def test_people_who_do_everything_at_once_leave_true_counters(project: Project) -> None:
    faces = add_faces(project, 60)
    add_batch(project, faces, wanted=2)
    people = [add_person(project, f"p{n}") for n in range(8)]
    errors: list[BaseException] = []

    def work(person: Person, seed: int) -> None:
        chance = random.Random(seed)
        said: list[str] = []
        try:
            for _ in range(25):
                with contextlib.suppress(ConflictError):
                    if said and chance.random() < 0.3:
                        undo(project, person, chance.choice(said))
                    elif found := draw(project, person):
                        said.append(say(project, person, chance.choice(found).id, "sad"))
        except BaseException as error:  # told by the test
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=(person, 2 * n + twice))
        for n, person in enumerate(people)
        for twice in range(2)  # two tabs each
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert counted(project) == recount(project)
    assert counted(project)["answers.done"] > 30
    for face in faces:
        assert_task_is_right(project, face)


# ---- gold, repeats, training ----------------------------------------------------------------


def test_gold_and_repeats_come_as_often_as_they_should(sqlite_project: Project) -> None:
    project = with_settings(sqlite_project, quality_gold_share=0.2, quality_repeat_share=0.2)
    faces = add_faces(project, 400)
    add_batch(project, faces[:300])
    make_gold(project, faces[300:])
    ada = add_person(project, "Ada")
    kinds: list[str] = []
    seen: dict[int, list[int]] = {}
    for place in range(250):
        lease = draw(project, ada)[0]
        kinds.append(lease.kind)
        seen.setdefault(lease.face, []).append(place)
        say(project, ada, lease.id, "sad" if lease.kind == "gold" else "happy")
    found = Counter(kinds)
    assert 20 <= found["gold"] <= 80
    assert 20 <= found["repeat"] <= 80
    again = [places for places in seen.values() if len(places) > 1]
    assert len(again) == found["repeat"]
    assert all(len(places) == 2 for places in again)
    assert min(b - a for a, b in again) > 20 - assignments.AHEAD
    numbers = person_of(project, ada.id).numbers
    assert (numbers["gold_answers"], numbers["gold_right"]) == (found["gold"], 0)
    assert (numbers["repeat_answers"], numbers["repeat_same"]) == (found["repeat"],) * 2
    assert counted(project)["answers.done"] == found["work"]


def test_a_person_with_too_many_wrong_gold_answers_is_paused(sqlite_project: Project) -> None:
    project = with_settings(
        sqlite_project, quality_gold_share=1.0, quality_repeat_share=0.0, quality_minimum_gold=0.5
    )
    faces = add_faces(project, 120)
    make_gold(project, faces)
    good, bad = (add_person(project, name) for name in ("Good", "Bad"))
    for number in range(40):
        for person, right in ((good, number % 2 == 0), (bad, number % 3 == 0)):
            if person_of(project, person.id).state == "active":
                lease = draw(project, person)[0]
                say(project, person, lease.id, "happy" if right else "sad")
    assert person_of(project, good.id).state == "active"
    stopped = person_of(project, bad.id)
    assert stopped.state == "paused"
    assert stopped.numbers["gold_answers"] == 30  # watched once there are thirty
    assert "10 of your last 30" in (stopped.paused_because or "")
    with project.database.read() as connection:
        kinds = [event.kind for event in connection.execute(sa.select(schema.events))]
        held = sa.select(sa.func.count()).where(
            schema.assignments.c.annotator_id == bad.id, schema.assignments.c.state == "leased"
        )
        assert connection.execute(held).scalar_one() == 0
    assert "pause" in kinds
    accounts.resume(project, bad.id)
    say(project, bad, draw(project, bad)[0].id, "sad")
    assert person_of(project, bad.id).state == "active"  # the past is not held against them


def test_training_rounds_with_a_pass_mark(sqlite_project: Project) -> None:
    project = with_settings(
        sqlite_project,
        quality_training_rounds=2,
        quality_training_faces=10,
        quality_training_pass=0.6,
        quality_gold_share=0.0,
        quality_repeat_share=0.0,
    )
    faces = add_faces(project, 30)
    add_batch(project, faces[15:])
    make_gold(project, faces[:15])
    ada = add_person(project, "Ada")

    def play(right: int) -> training.Training | None:
        kinds: set[str] = set()
        for number in itertools.count():
            with project.database.write() as connection:
                now = accounts.get_person(connection, ada.id)
                state = training.advance_training(connection, now, project.settings)
                accounts.save_numbers(connection, now)
            leases = [] if state is None or state.failed else draw(project, ada)
            if not leases or leases[0].kind != "training":
                assert kinds <= {"training"}
                return state
            kinds.add(leases[0].kind)
            if number == 10:
                return state
            say(project, ada, leases[0].id, "happy" if number < right else "sad")
        raise AssertionError

    failed = play(5)
    assert failed is not None
    assert (failed.round, failed.done, failed.correct, failed.failed) == (1, 10, 5, True)
    with project.database.write() as connection:
        now = accounts.get_person(connection, ada.id)
        training.repeat_training(connection, now, project.settings)
        with pytest.raises(ConflictError):
            training.repeat_training(connection, now, project.settings)
        accounts.save_numbers(connection, now)
    second = play(6)
    assert second is not None
    assert (second.round, second.done, second.failed) == (2, 0, False)
    done = play(10)
    assert done is not None
    assert done.passed
    assert draw(project, ada)[0].kind == "work"
    with project.database.read() as connection:
        rows = connection.execute(
            sa.select(schema.annotations.c.round, sa.func.count())
            .where(schema.annotations.c.kind == "training")
            .group_by(schema.annotations.c.round)
        )
        assert dict(rows.all()) == {1: 10, 2: 10, 3: 10}
    assert counted(project).get("answers.done", 0) == 0


def test_training_comes_before_work_that_was_given_already(sqlite_project: Project) -> None:
    faces = add_faces(sqlite_project, 12)
    add_batch(sqlite_project, faces[:6])
    make_gold(sqlite_project, faces[6:])
    ada = add_person(sqlite_project, "Ada")
    before = with_settings(sqlite_project, quality_gold_share=0.0)
    assert {one.kind for one in draw(before, ada)} == {"work"}
    project = with_settings(sqlite_project, quality_training_rounds=1, quality_training_faces=5)
    with project.database.write() as connection:
        now = accounts.get_person(connection, ada.id)
        training.advance_training(connection, now, project.settings)
        accounts.save_numbers(connection, now)
    assert [one.kind for one in draw(project, ada)] == ["training"] * 5


def test_an_answer_in_training_cannot_be_undone(sqlite_project: Project) -> None:
    project = with_settings(sqlite_project, quality_training_rounds=1, quality_training_faces=5)
    make_gold(project, add_faces(project, 5))
    ada = add_person(project, "Ada")
    with project.database.write() as connection:
        training.advance_training(connection, ada, project.settings)
        accounts.save_numbers(connection, ada)
    first, second = draw(project, ada)[:2]
    name = say(project, ada, first.id)
    with pytest.raises(ConflictError, match="training"):
        undo(project, ada, name)
    with pytest.raises(ConflictError, match="training"):
        skip(project, ada, second.id)
    which = schema.assignments.c.id == second.id
    change(project, schema.assignments, which, expires=ago(seconds=1))
    again = [one for one in draw(project, ada) if one.face == second.face]
    assert len(again) == 1  # the same face once more, and only one answer
    with pytest.raises(ConflictError, match="round"):
        say(project, ada, second.id)


@pytest.mark.parametrize("seed", range(3))
def test_repetitions_that_agree_are_counted_whatever_is_undone(
    sqlite_project: Project, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(assignments, "_REPEAT_AFTER", 2)
    project = with_settings(sqlite_project, quality_gold_share=0.0, quality_repeat_share=0.4)
    add_batch(project, add_faces(project, 30))
    person = add_person(project, "Bo")
    chance = random.Random(seed)
    said: list[str] = []
    undone = compared = 0
    for _ in range(70):
        if said and chance.random() < 0.4:
            undo(project, person, said.pop(chance.randrange(len(said))))
            undone += 1
        for lease in draw(project, person)[:1]:
            said.append(say(project, person, lease.id, chance.choice(["happy", "sad"])))
        with project.database.read() as connection:
            rows = connection.execute(sa.select(schema.annotations)).all()
        standing: dict[tuple[int, str], str | None] = {}
        for row in rows:
            if row.id in said:
                standing[row.face_id, row.kind] = row.expression
        pairs = [
            expression == standing[face, "work"]
            for (face, kind), expression in standing.items()
            if kind == "repeat" and (face, "work") in standing
        ]
        compared += len(pairs)
        assert person_of(project, person.id).numbers["repeat_same"] == sum(pairs)
    assert undone > 10
    assert compared > 50


def test_people_are_invited_at_the_same_time(project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        links = list(pool.map(lambda n: accounts.invite(project, f"person {n}"), range(24)))
    assert len({link.person.pseudonym for link in links}) == 24
