"""A project's unlabeled faces labeled, and the least sure of them given to people first."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import sqlalchemy as sa

from autolabel.labeled import colors, shares, write_faces
from builders import tiny_model
from openaffect.annotation.batches import make_batch
from openaffect.autolabel import label_faces
from openaffect.cli import main
from openaffect.collection import add_dataset
from openaffect.dataset import open_dataset
from openaffect.errors import FormatError
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import open_model
from openaffect.predictions import open_predictions
from openaffect.project import open_project, schema

COUNT = 150


@pytest.fixture
def model(tmp_path):
    return open_model(tiny_model(tmp_path / "tiny.onnx"))


@pytest.fixture
def faces(tmp_path):
    """150 faces, 100 of them with human labels."""
    return write_faces(tmp_path / "drawn", count=COUNT)


@pytest.fixture
def filled(sqlite_project, faces):
    add_dataset(sqlite_project, faces, count_imported=True)
    return sqlite_project


def test_a_project_is_labeled_into_a_dataset(filled, faces, model, tmp_path):
    before = filled.status()
    made = label_faces(filled.path, tmp_path / "out", model, coverage=0.8)
    assert filled.status() == before  # no annotation was written
    out = open_dataset(tmp_path / "out")
    assert sorted(out.ids) == sorted(faces.ids)
    assert out.info.images == "images"
    theirs = dict(zip(faces.ids, faces.faces.to_pylist(), strict=True))
    for row in out.faces.to_pylist():
        number = int(row["face_id"][1:])
        if number % 3:
            given = theirs[row["face_id"]]
            assert (row["expression"], row["expression_origin"]) == (given["expression"], "human")
            assert row["valence"] == pytest.approx(given["valence"], abs=1e-6)
        else:
            p = shares(colors(COUNT)[number])
            assert row["expression"] == EMOTIONS[int(p.argmax())].value
            assert row["expression_origin"] == "model"
        stored = filled.store.path(*row["image"].rsplit("/", 1)[-1].split("."))
        assert os.path.samefile(out.images_folder / row["image"], stored)  # a hard link
        assert row["sha256"] in row["image"]
    assert made.data["protocol"]["name"] == filled.settings.name


def test_faces_on_which_people_are_divided_are_left_out(filled, model, tmp_path):
    """A second label of another kind for one face, and one by a simulated rater."""
    with filled.database.write() as connection:
        a = schema.annotations
        row = connection.execute(
            sa.select(a).join(schema.faces).where(schema.faces.c.face_id == "f1")
        ).one()
        values = row._asdict()
        other = "sad" if values["expression"] != "sad" else "happy"
        person = dict(connection.execute(sa.select(schema.annotators)).first()._asdict())
        person |= {"id": 999, "pseudonym": "import:second", "name": "second"}
        connection.execute(sa.insert(schema.annotators).values(person))
        connection.execute(
            sa.insert(a).values(values | {"id": "x" * 32, "expression": other, "annotator_id": 999})
        )
        number = connection.execute(
            sa.select(schema.faces.c.id).where(schema.faces.c.face_id == "f2")
        ).scalar_one()
        connection.execute(sa.update(a).where(a.c.face_id == number).values(origin="simulated"))
    made = label_faces(filled.path, tmp_path / "out", model, coverage=0.8)
    assert made.data["protocol"]["left_out_of_project"] == {"on which people are divided": 1}
    rows = {row["face_id"]: row for row in open_dataset(tmp_path / "out").faces.to_pylist()}
    assert len(rows) == COUNT - 1
    assert "f1" not in rows
    assert rows["f2"]["expression_origin"] == "simulated"
    assert sum(made.data["protocol"]["used_for"].values()) == 98
    assert made.data["faces"]["kept"] == {"human": 98, "simulated": 1}


def test_only_new_faces_bring_only_their_images(filled, model, tmp_path):
    label_faces(filled.path, tmp_path / "out", model, coverage=0.8, only_new=True)
    out = open_dataset(tmp_path / "out")
    assert len(out) == COUNT // 3
    images = [path for path in out.images_folder.rglob("*") if path.is_file()]
    assert len(images) == len({*out.column("image").to_pylist()})


def test_the_least_sure_faces_come_first_to_people(filled, model, tmp_path, monkeypatch):
    """Two commands: `label`, then `annotate --prelabels`, whose server is not started here."""
    monkeypatch.setattr("openaffect.project.tasks._LEVEL", 1)
    monkeypatch.setattr("openaffect.web.annotate", lambda *_, **__: None)
    path, out = str(filled.path), str(tmp_path / "out")
    command = ["label", path, "-o", out, "--model", str(model.path), "--coverage", ".8"]
    assert main([*command, "--share", ".5"]) == 0
    assert main(["annotate", path, "--prelabels", out]) == 0
    with filled.database.read() as connection:
        batch = connection.execute(sa.select(schema.batches)).one()
        tasks = connection.execute(
            sa.select(schema.tasks.c.prelabel, schema.faces.c.face_id, schema.tasks.c.level)
            .join(schema.faces, schema.faces.c.id == schema.tasks.c.face_id)
            .order_by(schema.tasks.c.level)
        ).all()
    assert (batch.name, batch.balanced_by) == ("out", "prediction")
    assert len(tasks) == COUNT // 3  # people have labeled the others
    said = open_predictions(tmp_path / "out" / "predictions.parquet")
    sure = dict(zip(said.ids, np.nanmax(said.probabilities, axis=1), strict=True))
    of_neutral = [
        task.face_id for task in tasks if task.prelabel and task.prelabel["expression"] == "neutral"
    ]
    assert len(of_neutral) > 5
    confidence = [sure[face_id] for face_id in of_neutral]
    assert confidence == pytest.approx(sorted(confidence))


def test_annotate_says_what_its_options_need(filled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("openaffect.web.annotate", lambda *_, **__: None)
    (tmp_path / "empty").mkdir()
    path = str(filled.path)
    assert main(["annotate", path, "--batch", "first"]) == 1
    assert "--prelabels" in capsys.readouterr().err
    assert main(["annotate", path, "--prelabels", str(tmp_path / "empty")]) == 1
    assert "no predictions.parquet" in capsys.readouterr().err
    with open_project(path) as opened, pytest.raises(FormatError):
        make_batch(opened, "b", predictions=tmp_path / "empty")
    assert main(["annotate", path]) == 0
    assert main(["annotate", path, "--prelabels", str(tmp_path / "empty")]) == 0
    assert "in a batch already" in capsys.readouterr().err


def test_the_command_prints_what_came_of_it(faces, model, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["label", str(faces.path), "-o", str(out), "--model", str(model.path)]
    capsys.readouterr()
    assert main([*command, "--coverage", ".8"]) == 0
    streams = capsys.readouterr()
    assert "50 faces of drawn labeled by tiny, 0 left to people, 100 labels kept" in streams.out
    assert "label.html" in streams.out
    assert "25 for calibration, 25 for threshold, 50 for report" in streams.err
    assert main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--coverage", ".8", "--overwrite", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["protocol"]["coverage"] == 0.8
    assert main(["info", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False


def test_training_on_labels_of_a_model_is_said(faces, model, tmp_path, capsys):
    label_faces(faces.path, tmp_path / "out", model, coverage=0.8)
    out = open_dataset(tmp_path / "out")
    from openaffect.cli.options import warn_of_model_labels

    capsys.readouterr()
    warn_of_model_labels(out.with_column("split", ["train"] * COUNT))
    text = capsys.readouterr().err
    assert "50 of 150 training faces with an expression" in text
    assert "50 of 150 training faces with valence and arousal" in text
    warn_of_model_labels(out.with_column("split", ["validation"] * COUNT))
    assert capsys.readouterr().err == ""
    assert Expression.HAPPY in out.column("expression").to_pylist()
    assert main(["cross-validate", str(out.path), str(tmp_path / "folds"), "--folds", "999"]) == 1
    assert "50 of 150 training faces with an expression" in capsys.readouterr().err
