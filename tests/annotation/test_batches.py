"""Batches, gold faces from CSV, and the dashboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from annotation_builders import add_batch, add_faces, add_person, draw, person_of, say
from openaffect.annotation.batches import make_batch, make_first_batch
from openaffect.annotation.dashboard import read_dashboard
from openaffect.annotation.gold import add_gold, add_reviewed_gold
from openaffect.errors import ConflictError, FormatError, InputError
from openaffect.labels import EMOTIONS
from openaffect.predictions import Predictions
from openaffect.project import Project, gold, schema
from openaffect.project.tasks import Filter

HOPES = ["happy", "happy", "happy", "sad", "fear"]


def tasks_of(project: Project) -> Sequence[Any]:
    """The tasks in the order of the batch, each with what was hoped for and its face_id."""
    with project.database.read() as connection:
        return connection.execute(
            sa.select(schema.tasks, schema.images.c.intended, schema.faces.c.face_id.label("name"))
            .join(schema.faces, schema.faces.c.id == schema.tasks.c.face_id)
            .join(schema.images, schema.images.c.id == schema.faces.c.image_id)
        ).all()


def test_a_plan_says_what_is_made_then(sqlite_project: Project) -> None:
    project = sqlite_project
    add_faces(project, 100, HOPES)
    plan = make_batch(project, "first", overlap=3, overlap_share=0.2, plan=True)
    assert (plan.faces, plan.overlapping, plan.balanced_by) == (100, 20, "intended")
    assert plan.strata == {"fear": 20, "happy": 60, "sad": 20}
    assert not plan.made
    assert tasks_of(project) == []
    made = make_batch(project, "first", overlap=3, overlap_share=0.2)
    assert made.made
    assert made.strata == plan.strata
    found = tasks_of(project)
    assert Counter(task.wanted for task in found) == {1: 80, 3: 20}
    shared = Counter(task.intended for task in found if task.wanted == 3)
    assert shared == {"happy": 12, "sad": 4, "fear": 4}  # the same share of each
    with pytest.raises(ConflictError, match="first"):
        add_faces_and_batch(project, "first")


def add_faces_and_batch(project: Project, name: str) -> None:
    with project.database.write() as connection:
        values = {"face_id": "more", "image_id": 1, "source": "made", "at": _at(connection)}
        connection.execute(sa.insert(schema.faces).values(**values))
    make_batch(project, name)


def _at(connection: sa.Connection):
    return connection.execute(sa.select(schema.images.c.at).limit(1)).scalar_one()


def test_every_expression_comes_early(sqlite_project: Project) -> None:
    project = sqlite_project
    faces = add_faces(project, 2_500, ["happy"] * 4 + ["sad"])
    assert make_batch(project, "all").strata == {"happy": 2_000, "sad": 500}
    first = Counter(task.intended for task in tasks_of(project) if task.level == 0)
    assert first == {"happy": 500, "sad": 500}
    assert {task.level for task in tasks_of(project)} == {0, 1, 2}
    assert len(faces) == 2_500


def test_the_least_sure_come_first_and_balance_where_no_hope_is_known(
    sqlite_project: Project, tmp_path: Path
) -> None:
    project = sqlite_project
    add_faces(project, 40)
    ids = [f"face-{n:05}" for n in range(40)]
    sure = np.linspace(0.3, 0.99, 40)
    chances = np.tile(((1 - sure) / 7)[:, None], (1, 8))
    chances[np.arange(40), np.arange(40) % 2] = sure  # neutral and happy in turn
    affect = np.full((40, 2), 0.25)
    Predictions(ids, EMOTIONS, chances, affect=affect, errors=[None] * 40).save(tmp_path / "p")
    plan = make_batch(project, "all", predictions=tmp_path / "p", overlap_share=0.5)
    assert plan.balanced_by == "prediction"
    assert plan.strata == {"happy": 20, "neutral": 20}
    with project.database.read() as connection:
        ordered = connection.execute(
            sa.select(schema.tasks.c.prelabel).order_by(sa.text("rowid"))
        ).scalars()
        [one] = [p for p in ordered if p["confidence"] == 0.3]
    assert one == {"expression": "neutral", "confidence": 0.3, "valence": 0.25, "arousal": 0.25}


def test_filters(sqlite_project: Project) -> None:
    project = sqlite_project
    add_faces(project, 50, HOPES)

    def count(**which) -> int:
        try:
            return make_batch(project, "x", Filter(**which), plan=True).faces
        except InputError:
            return 0

    assert count() == 50
    assert count(intended=("sad", "fear")) == 20
    assert count(source="made") == 50
    assert count(source="other") == 0
    assert count(query="smile") == 0
    assert count(min_size=40) == 50  # the box is 40 pixels wide
    assert count(min_size=41) == 0
    assert count(limit=7) == 7
    make_batch(project, "sad", Filter(intended=("sad",)))
    assert count() == 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": "a\nb"},
        {"overlap": 0},
        {"overlap_share": 1.1},
        {"which": Filter(intended=("joy",))},
        {"which": Filter(limit=0)},
        {"which": Filter(source="nowhere")},
    ],
)
def test_batches_that_cannot_be(sqlite_project: Project, wrong: dict[str, Any]) -> None:
    add_faces(sqlite_project, 3)
    with pytest.raises(InputError):
        make_batch(sqlite_project, **{"name": "x"} | wrong)
    assert tasks_of(sqlite_project) == []


def test_the_first_batch_is_made_once(project: Project) -> None:
    assert make_first_batch(project) is None
    add_faces(project, 3)
    made = make_first_batch(project)
    assert made is not None
    assert made.faces == 3
    assert make_first_batch(project) is None


def test_gold_from_csv_names_what_it_does_not_take(project: Project) -> None:
    add_faces(project, 4)
    text = (
        "\ufeffface_id, expression ,valence,arousal\r\n"
        "face-00000,happy,0.5,0.1\r\n"
        "face-00001,joy,,\r\n"
        "face-00002,sad,,\r\n"
        "\r\n"
        "nobody,sad,,\r\n"
        "face-00003,sad,0.9,0.9\r\n"
        "face-00003,sad,0.1,\r\n"
        "face-00003,sad\r\n"
        '"face-00000",fear,,\r\n'
    )
    done = add_gold(project, text)
    assert (done.added, done.known) == (2, 0)
    assert [row for row, _ in done.rejected] == [3, 6, 7, 8, 9, 10]
    again = add_gold(project, "face_id,expression\nface-00000,sad\n")
    assert (again.added, again.known, again.rejected) == (0, 1, [])
    with project.database.read() as connection:
        assert gold.count_gold(connection) == {"happy": 1, "sad": 1}
        number = connection.execute(
            sa.select(schema.faces.c.id).where(schema.faces.c.face_id == "face-00000")
        ).scalar_one()
        assert gold.find_gold(connection, number) == gold.GoldFace("face-00000", "happy", 0.5, 0.1)


@pytest.mark.parametrize(
    "text", ["", "x", "face_id\na\n", "face_id,expression,face_id\n", "face_id,expression,note\n"]
)
def test_what_is_no_csv_of_gold(sqlite_project: Project, text: str) -> None:
    with pytest.raises(FormatError):
        add_gold(sqlite_project, text)


def test_gold_from_reviews_needs_reviews(sqlite_project: Project) -> None:
    done = add_reviewed_gold(sqlite_project)
    assert (done.added, done.known) == (0, 0)


def test_the_dashboard_counts_what_was_said(project: Project) -> None:
    faces = add_faces(project, 20)
    add_batch(project, faces, wanted=2)
    people = [add_person(project, name) for name in ("Ada", "Bo")]
    for number in range(8):
        for person in people:
            lease = draw(project, person)[0]
            more = {"valence": -0.95, "arousal": 0.05, "seconds": 2.0}
            say(project, person, lease.id, ("sad", "fear")[number % 2], **more)
    found = read_dashboard(project)
    assert found["answers"] == {"wanted": 40, "done": 16, "left": 24}
    assert found["faces"] == {"total": 20, "in_batches": 20}
    assert (found["per_hour"], found["hours_left"]) == (1800.0, 24 * 2 / 3600)
    assert found["by_expression"] | {"sad": 0, "fear": 0} == dict.fromkeys(
        found["by_expression"], 0
    )
    assert (found["by_expression"]["sad"], found["by_expression"]["fear"]) == (8, 8)
    counts = np.array(found["density"]["counts"])
    assert counts.shape == (20, 20)
    assert counts[10, 0] == counts.sum() == 16  # row by arousal, column by valence
    assert found["days"][-1]["work"] == 16
    assert [one["work"] for one in found["people"]] == [8, 8]
    assert found["people"][0]["seconds"] == 2.0
    assert person_of(project, people[0].id).numbers["today"] == 8
