"""Imported annotations that count: answers that nobody needs to give again."""

from __future__ import annotations

import datetime

import pytest

from annotation_builders import (
    add_batch,
    add_faces,
    add_person,
    draw,
    person_of,
    say,
    task_of,
    undo,
)
from openaffect.project import Project, counters, rows
from openaffect.project.forgotten import delete_image
from openaffect.project.rows import StoredAnnotation


def add_ratings(project: Project, said: dict[str, dict[str, str]], *, counted: bool = True) -> None:
    """What people elsewhere said of faces: expressions by face and name."""
    found = [
        StoredAnnotation(face, f"import:{name}", expression=one, counted=counted)
        for face, by_name in said.items()
        for name, one in by_name.items()
    ]
    with project.database.write() as connection:
        rows.insert_annotations(connection, found)


def numbers(project: Project) -> dict[str, int]:
    with project.database.read() as connection:
        found = counters.read(connection)
    names = ("answers.wanted", "answers.done", "batch.1.done", "agreement.pairs", "agreement.agree")
    return {name: found.get(name, 0) for name in names}


def tasks(project: Project, faces: list[int]) -> list[tuple[int, int, int]]:
    return [(one.wanted, one.given, one.done) for one in (task_of(project, f) for f in faces)]


SAID = {
    "face-00000": {"a": "happy"},
    "face-00001": {"a": "sad", "b": "sad"},
    "face-00002": {"a": "fear", "b": "fear", "c": "fear"},
}


@pytest.mark.parametrize("first", ["ratings", "batch"])
def test_they_stand_for_answers_whichever_came_first(project: Project, first: str) -> None:
    faces = add_faces(project, 4)
    if first == "ratings":
        add_ratings(project, SAID)
    add_batch(project, faces, wanted=2)
    if first == "batch":
        add_ratings(project, SAID)
    assert tasks(project, faces) == [(2, 1, 1), (2, 2, 2), (2, 2, 2), (2, 0, 0)]
    assert numbers(project) == {
        "answers.wanted": 8, "answers.done": 5, "batch.1.done": 5,
        "agreement.pairs": 0, "agreement.agree": 0,
    }  # fmt: skip
    person = add_person(project, "Ada")
    assert {lease.face for lease in draw(project, person)} == {faces[0], faces[3]}


def test_the_same_rater_again_is_one_answer(project: Project) -> None:
    faces = add_faces(project, 1)
    add_batch(project, faces, wanted=3)
    for day in (1, 1, 2):
        at = datetime.datetime(2026, 11, day, tzinfo=datetime.UTC)
        again = StoredAnnotation("face-00000", "import:a", expression="happy", counted=True, at=at)
        with project.database.write() as connection:
            rows.insert_annotations(connection, [again])
    add_ratings(project, {"face-00000": {"a": "happy", "b": "happy"}})
    assert tasks(project, faces) == [(3, 2, 2)]


def test_those_that_do_not_count_change_nothing(project: Project) -> None:
    faces = add_faces(project, 4)
    add_ratings(project, SAID, counted=False)
    add_batch(project, faces)
    assert tasks(project, faces) == [(1, 0, 0)] * 4
    assert numbers(project)["answers.done"] == 0


def test_a_person_who_disagrees_with_one_is_looked_at(project: Project) -> None:
    faces = add_faces(project, 2)
    add_ratings(project, {"face-00000": {"a": "happy"}, "face-00001": {"a": "sad"}})
    add_batch(project, faces, wanted=2)
    person = add_person(project, "Ada")
    said = {}
    for lease in draw(project, person):
        said[lease.face] = say(project, person, lease.id, "happy")
    assert [task_of(project, face).review for face in faces] == [None, "open"]
    assert numbers(project)["agreement.pairs"] == 2
    assert numbers(project)["agreement.agree"] == 1
    assert numbers(project)["answers.done"] == 4
    undo(project, person_of(project, person.id), said[faces[1]])
    assert tasks(project, faces) == [(2, 2, 2), (2, 2, 1)]
    assert numbers(project)["agreement.pairs"] == 1
    assert task_of(project, faces[1]).review is None


def test_forgetting_takes_them_out_of_what_is_done(project: Project) -> None:
    faces = add_faces(project, 4)
    add_ratings(project, SAID)
    add_batch(project, faces, wanted=2)
    person = add_person(project, "Ada")
    for lease in draw(project, person):
        say(project, person, lease.id, "happy")
    before = numbers(project)
    assert (before["answers.done"], before["agreement.pairs"]) == (7, 1)
    with project.database.write() as connection:
        delete_image(connection, 1, project.settings)
    assert numbers(project) == {
        "answers.wanted": 6, "answers.done": 5, "batch.1.done": 5,
        "agreement.pairs": 0, "agreement.agree": 0,
    }  # fmt: skip


def test_a_batch_may_want_nothing_more(project: Project) -> None:
    faces = add_faces(project, 1)
    add_ratings(project, {"face-00000": {"a": "happy"}})
    add_batch(project, faces)
    assert draw(project, add_person(project, "Ada")) == []
