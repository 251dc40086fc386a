"""Review and withdrawn consent: what reviewers see and do, and what a person takes back."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_builders import (
    add_batch,
    add_faces,
    add_person,
    draw,
    person_of,
    recount,
    say,
    task_of,
    undo,
    uuid7,
)
from openaffect.annotation import measure_agreement
from openaffect.errors import ConflictError, InputError, NotFoundError
from openaffect.project import Project, accounts, answers, consent, counters, gold, review, schema
from openaffect.project.accounts import Person
from openaffect.project.answers import Answer


def list_open(project: Project, **more: Any) -> list[review.Item]:
    with project.database.read() as connection:
        found = review.list_open(connection, **more)
        waiting = connection.execute(
            sa.select(sa.func.count()).where(schema.tasks.c.review == "open")
        ).scalar_one()
        assert review.count_open(connection) == waiting
    return found


def both_say(project: Project, first: Any, second: Any) -> tuple[int, Person, Person, list[str]]:
    """A face that two people answer; each answer is an expression, or one and more of it."""
    [face] = add_faces(project, 1)
    add_batch(project, [face], wanted=2)
    people = [add_person(project, name) for name in ("Ada", "Bo")]
    names = []
    for person, said in zip(people, (first, second), strict=True):
        expression, more = (said, {}) if isinstance(said, str) else said
        names.append(say(project, person, draw(project, person)[0].id, expression, **more))
    return face, people[0], people[1], names


@pytest.mark.parametrize(
    ("first", "second", "reasons"),
    [
        ("happy", "happy", ()),
        ("happy", "sad", ("disagreement",)),
        (("happy", {"flag": True}), "happy", ("flag",)),
        (("happy", {"valence": -0.5, "arousal": 0.0}), "happy", ("outside_region",)),
        (("happy", {"valence": 0.0, "arousal": -0.2}), "happy", ()),  # its border belongs to it
        (
            ("happy", {"valence": -0.5, "arousal": 0.0}),
            ("sad", {"flag": True}),
            ("disagreement", "flag", "outside_region"),
        ),
        (("none", {"valence": -0.5, "arousal": 0.0}), "none", ()),  # it has no region
    ],
)
def test_what_a_reviewer_should_see(
    sqlite_project: Project, first: Any, second: Any, reasons: tuple[str, ...]
) -> None:
    face, ada, bo, _ = both_say(sqlite_project, first, second)
    found = list_open(sqlite_project)
    assert [one.reasons for one in found] == ([reasons] if reasons else [])
    for one in found:
        assert one.face == face
        assert {row.pseudonym for row in one.answers} == {ada.pseudonym, bo.pseudonym}


def test_the_queue_by_reason_and_a_page_at_a_time(project: Project) -> None:
    faces = add_faces(project, 5)
    add_batch(project, faces)
    ada = add_person(project, "Ada")
    for lease in draw(project, ada):
        flag = lease.face != faces[2]
        more = {} if flag else {"valence": -0.5, "arousal": 0.0}
        say(project, ada, lease.id, "happy", flag=flag, **more)
    flagged = [face for face in faces if face != faces[2]]
    assert [one.face for one in list_open(project, limit=3)] == faces[:3]
    assert [one.face for one in list_open(project, after=faces[2])] == faces[3:]
    assert [one.face for one in list_open(project, reason="flag")] == flagged
    assert [one.face for one in list_open(project, reason="outside_region")] == [faces[2]]
    assert list_open(project, reason="disagreement") == []
    with pytest.raises(InputError):
        list_open(project, reason="boredom")


def test_settled_faces_leave_the_queue_and_may_become_gold(project: Project) -> None:
    face, ada, _, names = both_say(project, "happy", "sad")
    root = add_person(project, "Root", "reviewer")
    answer = Answer(uuid7(), "fear", -0.1, 0.6)
    for _ in range(2):  # sent again, it is the same
        with project.database.write() as connection:
            review.settle(connection, root, face, answer, make_gold=True)
    assert list_open(project) == []
    assert task_of(project, face).review == "settled"
    with project.database.read() as connection:
        rows = answers.find_valid_answers(connection, face)
        known = gold.find_gold(connection, face)
        listed = review.list_settled(connection)
    assert sorted((row.kind, row.expression, row.counted) for row in rows) == [
        ("review", "fear", False),
        ("work", "happy", True),
        ("work", "sad", True),
    ]
    assert known == listed[0] == gold.GoldFace("face-00000", "fear", -0.1, 0.6)
    for again in (Answer(names[0], "fear"), Answer(answer.id, "sad")):
        with project.database.write() as connection, pytest.raises(ConflictError):
            review.settle(connection, root, face, again)
    undo(project, ada, names[0])
    say(project, ada, draw(project, ada)[0].id, "anger")
    assert list_open(project) == []  # no new reason
    say_again(project, ada, face, "anger", flag=True)
    assert [one.reasons for one in list_open(project)] == [("disagreement", "flag")]


def say_again(project: Project, person: Person, face: int, expression: str, **more: Any) -> str:
    """Undo a person's answer to a face, and give another one."""
    with project.database.read() as connection:
        row = next(
            one
            for one in answers.find_valid_answers(connection, face)
            if one.annotator_id == person.id and one.kind == "work"
        )
    lease = undo(project, person, row.id)
    return say(project, person, lease.id, expression, **more)


def test_a_face_that_was_sent_back_comes_first_with_its_note(project: Project) -> None:
    face, ada, _, names = both_say(project, "happy", "sad")
    with project.database.write() as connection:
        review.send_back(connection, face, names[0], " Look at the mouth. ", project.settings)
    assert list_open(project) == []
    [lease] = draw(project, ada)
    assert (lease.face, lease.note, lease.annotation) == (face, "Look at the mouth.", names[0])
    with project.database.read() as connection:
        assert len(answers.find_valid_answers(connection, face)) == 2  # the first one stands
    assert task_of(project, face).done == 2
    say(project, ada, lease.id, "sad")
    with project.database.read() as connection:
        valid = answers.find_valid_answers(connection, face)
        numbers = counters.read(connection)
    assert [row.expression for row in valid] == ["sad", "sad"]
    assert task_of(project, face).done == 2
    assert task_of(project, face).review is None
    assert (numbers["agreement.pairs"], numbers["agreement.agree"]) == (1, 1)
    assert numbers["expression.sad"] == 2
    assert "expression.happy" not in numbers
    assert person_of(project, ada.id).numbers["work"] == 1


def test_what_cannot_be_reviewed(sqlite_project: Project) -> None:
    project = sqlite_project
    face, ada, _, names = both_say(project, "happy", "sad")
    [other] = add_other_face(project)
    for number, annotation, note, error in (
        (face, names[0], "", InputError),
        (face, names[0], "x" * 1_001, InputError),
        (face, "nothing", "note", NotFoundError),
        (other, names[0], "note", NotFoundError),
        (10**6, names[0], "note", NotFoundError),
    ):
        with project.database.write() as connection, pytest.raises(error):
            review.send_back(connection, number, annotation, note, project.settings)
    undo(project, ada, names[0])
    with project.database.write() as connection, pytest.raises(ConflictError):
        review.send_back(connection, face, names[0], "note", project.settings)
    with project.database.write() as connection, pytest.raises(NotFoundError):
        review.dismiss(connection, other)


def add_other_face(project: Project) -> list[int]:
    """One more face, in no batch."""
    with project.database.write() as connection:
        at = person_of_any(connection)
        values = {"face_id": "other", "image_id": 1, "source": "made", "at": at}
        found = connection.execute(
            sa.insert(schema.faces).values(**values).returning(schema.faces.c.id)
        )
        return [found.scalar_one()]


def person_of_any(connection: sa.Connection) -> Any:
    return connection.execute(sa.select(schema.annotators.c.at).limit(1)).scalar_one()


def test_a_dismissed_face_stays_away(project: Project) -> None:
    face, *_ = both_say(project, "happy", "sad")
    for _ in range(2):
        with project.database.write() as connection:
            review.dismiss(connection, face)
    assert list_open(project) == []
    assert task_of(project, face).review == "dismissed"


@pytest.mark.parametrize("choice", ["keep", "void"])
def test_withdrawn_consent(project: Project, choice: str) -> None:
    faces = add_faces(project, 8)
    add_batch(project, faces, wanted=2)
    ada, bo = (add_person(project, name) for name in ("Ada Lovelace", "Bo"))
    for number in range(6):
        for person in (ada, bo):
            expression = "sad" if number == 1 and person is ada else "happy"
            lease = draw(project, person)[0]
            more = {"valence": 0.3, "arousal": 0.1}
            say(project, person, lease.id, expression, comment="mine", **more)
    token = accounts.begin_session(project, ada.id)
    assert consent.withdraw(project, ada.id, choice).voided == (6 if choice == "void" else 0)
    gone = person_of(project, ada.id)
    assert (gone.name, gone.state) == (gone.pseudonym, "withdrawn")
    with project.database.read() as connection:
        assert accounts.find_session(connection, token) is None
        everything = str([connection.execute(sa.select(t)).all() for t in (schema.annotators,)])
        numbers = counters.read(connection)
        standing = [
            row
            for face in faces
            for row in answers.find_valid_answers(connection, face)
            if row.annotator_id == ada.id
        ]
    assert "Lovelace" not in everything
    assert "Lovelace" not in str(project.events())
    done = 6 if choice == "void" else 12
    assert numbers["answers.done"] == numbers["annotations.work"] == done
    assert len(standing) == done - 6
    ours = {k: v for k, v in recount(project).items() if not k.startswith("annotations")}
    assert {k: v for k, v in numbers.items() if k in ours} == ours
    assert consent.withdraw(project, ada.id, "void").voided == (0 if choice == "void" else 6)
    # Its faces are given to somebody else.
    cy = add_person(project, "Cy")
    assert len(draw(project, cy)) == 5
    assert (
        sum(task_of(project, face).given for face in faces) == 8 * 2 - (8 * 2 - 6 - 5 - 2)
        or choice == "keep"
    )


@pytest.mark.parametrize("choice", ["keep", "void"])
def test_a_withdrawn_name_is_in_no_file_of_the_project(
    sqlite_project: Project, choice: str
) -> None:
    project = sqlite_project
    add_batch(project, add_faces(project, 60), wanted=2)
    people = [add_person(project, f"Zebedee Quillfeather {number}") for number in range(40)]
    ada = add_person(project, "Ada Lovelace")
    for _ in range(3):
        say(project, ada, draw(project, ada)[0].id, "happy")
    accounts.end_sign_in(project, "Ada Lovelace", "here", None)

    def holding(name: bytes) -> list[str]:
        files = [one for one in project.path.rglob("*") if one.is_file()]
        return [one.name for one in files if name in one.read_bytes()]

    assert holding(b"Lovelace")
    assert consent.withdraw(project, ada.id, choice).purged
    assert holding(b"Lovelace") == []
    assert holding(b"Quillfeather")
    for person in people:
        consent.withdraw(project, person.id, choice)
    assert holding(b"Quillfeather") == []


def test_a_name_stays_while_somebody_reads_and_the_caller_is_told(
    sqlite_project: Project,
) -> None:
    ada = add_person(sqlite_project, "Ada Lovelace")
    reader = sqlite3.connect(sqlite_project.database.name)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM images").fetchone()
        assert not consent.withdraw(sqlite_project, ada.id, "keep").purged
    finally:
        reader.close()
    assert consent.withdraw(sqlite_project, ada.id, "keep").purged


def test_agreement_leaves_out_what_was_withdrawn(sqlite_project: Project) -> None:
    project = sqlite_project
    faces = add_faces(project, 40)
    add_batch(project, faces, wanted=3)
    people = [add_person(project, name) for name in "abc"]
    for number in range(40):
        for person in people:
            lease = draw(project, person)[0]
            say(project, person, lease.id, ("happy", "sad")[(number + (person is people[2])) % 2])
    before = measure_agreement(project.path).to_dict()
    assert before["protocol"]["people"] == 3
    consent.withdraw(project, people[2].id, "void")
    after = measure_agreement(project.path).to_dict()
    assert after["protocol"]["people"] == 2
    assert set(after["people"]) == {one.pseudonym for one in people[:2]}


def test_withdrawals_that_cannot_be(sqlite_project: Project) -> None:
    root = add_person(sqlite_project, "Root", "owner")
    with pytest.raises(ConflictError, match="last owner"):
        consent.withdraw(sqlite_project, root.id, "keep")
    with pytest.raises(InputError):
        consent.withdraw(sqlite_project, root.id, "all")
    with pytest.raises(NotFoundError):
        consent.withdraw(sqlite_project, 99, "keep")
