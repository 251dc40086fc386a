"""`label_faces`: who keeps a label, who gets one, and whether what is said of them is so."""

from __future__ import annotations

import dataclasses
import json
import math
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest

from autolabel.labeled import COUNT, affect, colors, divided, shares, write_faces
from builders import tiny_model
from openaffect import metrics, streamed_inference
from openaffect.autolabel import label_faces, writing
from openaffect.autolabel.held_out import HeldOut
from openaffect.autolabel.rules import Wish, decide, fit_rule
from openaffect.dataset import open_dataset, save_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import DestinationExists, FormatError, InputError, MismatchError, UnknownName
from openaffect.face_row import FaceRow
from openaffect.formats import export_dataset
from openaffect.images import encode_image, pixel_hash, read_image
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import CARD_KEY, Card, open_model
from openaffect.predictions import Predictions, open_predictions
from openaffect.progress import Progress
from openaffect.reports import evaluate
from openaffect.synthetic import synthesize_face
from openaffect.unfinished import unfinished_folder

NAMES = [label.value for label in EMOTIONS]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """900 faces, two thirds of them with human labels in groups of five; one picture is broken."""
    return write_faces(tmp_path_factory.mktemp("faces") / "faces", groups=True, broken=(3,))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def labeled(faces, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "out"
    report = label_faces(faces.path, path, model, accuracy=0.7, seed=3)
    return open_dataset(path), report


def with_card(model, path, **changes):
    """The model with another card."""
    graph = onnx.load(model.path)
    card = dataclasses.replace(Card.from_json(graph.metadata_props[0].value, ""), **changes)
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {CARD_KEY: card.to_json()})
    onnx.save(graph, path)
    return open_model(path)


def test_people_keep_their_labels_and_the_model_signs_its_own(faces, labeled):
    out, report = labeled
    assert out.ids == faces.ids
    theirs, ours = faces.faces.to_pylist(), out.faces.to_pylist()
    human = [number for number in range(COUNT) if number % 3]
    for number in human:
        new = {"confidence", "expression_set", "abstained"}
        new |= {f"{axis}_{end}" for axis in ("valence", "arousal") for end in ("low", "high")}
        assert {k: v for k, v in ours[number].items() if k not in new} == theirs[number]
        assert {ours[number][name] for name in new} == {None}
    rest = [ours[number] for number in range(0, COUNT, 3)]
    given = [row for row in rest if row["expression"] is not None]
    assert 50 < len(given) < 290
    assert {row["expression_origin"] for row in given} == {"model"}
    assert {row["abstained"] for row in given} == {None}
    left = [row for row in rest if row["expression"] is None]
    assert {row["expression_origin"] for row in left} == {None}
    reasons = [row["abstained"] for row in left]
    assert set(reasons) - {"low_confidence"} == {reasons[[r["face_id"] for r in left].index("f3")]}
    assert sum(reason.startswith("error: ") for reason in reasons) == 1
    assert [row["affect_origin"] for row in rest].count(None) == 1  # of the broken picture
    counts = report.data["faces"]
    assert sum(counts["labeled"].values()) == len(given)
    assert counts["abstained"] == {"low_confidence": len(left) - 1, "error": 1}
    assert counts["kept"] == {"human": len(human)}
    assert out.info.content == out.content()
    assert out.info.images == str(faces.images_folder)


def test_labels_sets_and_intervals_follow_the_rule(labeled):
    """Every column again, from the colors, by the numbers in label.json alone."""
    out, report = labeled
    rule = report.data["rule"]
    t, threshold, least = rule["temperature"], rule["threshold"], rule["least"]
    checked = 0
    for number, row in enumerate(out.faces.to_pylist()):
        if number % 3 or number == 3:
            continue
        p = divided(shares(colors()[number]), t)
        assert row["confidence"] == pytest.approx(p.max(), abs=2e-6)
        # float32 in the graph may fall on either side of a bound.
        if abs(p.max() - threshold) > 1e-5:
            assert (row["expression"] is not None) == (p.max() >= threshold)
        if row["expression"] is not None:
            assert row["expression"] == NAMES[int(p.argmax())]
        if np.abs(p - least).min() > 1e-5:
            wanted = [n for n, v, b in zip(NAMES, p, least, strict=True) if v >= b]
            assert row["expression_set"] == wanted
        for value, axis, width in zip(
            affect(colors()[number]), ("valence", "arousal"), rule["half_widths"], strict=True
        ):
            assert row[axis] == pytest.approx(value, abs=1e-5)
            assert row[f"{axis}_low"] == pytest.approx(max(-1, value - width), abs=1e-5)
            assert row[f"{axis}_high"] == pytest.approx(min(1, value + width), abs=1e-5)
        assert row["affect_origin"] == "model"
        checked += 1
    assert checked == COUNT // 3 - 1


def test_held_out_faces_have_one_use_and_groups_stay_whole(faces, labeled):
    out, report = labeled
    rows = pq.read_table(out.path / "held-out.parquet").to_pylist()
    assert [row["face_id"] for row in rows] == [f"f{n}" for n in range(COUNT) if n % 3]
    uses = {
        use: [r for r in rows if r["used_for"] == use]
        for use in ("calibration", "threshold", "report")
    }
    counts = {use: len(found) for use, found in uses.items()}
    assert counts == report.data["protocol"]["used_for"]
    assert counts["calibration"] == pytest.approx(150, abs=5)
    assert counts["threshold"] == pytest.approx(150, abs=5)
    group_of = dict(zip(faces.ids, faces.column("group").to_pylist(), strict=True))
    groups = [{group_of[row["face_id"]] for row in found} for found in uses.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 180
    human = dict(zip(faces.ids, faces.column("expression").to_pylist(), strict=True))
    assert [row["human"] for row in rows] == [human[row["face_id"]] for row in rows]


def test_the_report_is_of_the_faces_that_decided_nothing(labeled):
    """Accuracy, share and precision again, from held-out.parquet."""
    out, report = labeled
    rows = pq.read_table(out.path / "held-out.parquet").to_pylist()
    used = [row for row in rows if row["used_for"] == "report"]
    given = [row for row in used if row["labeled"]]
    right = [row for row in given if row["human"] == row["model"]]
    found = report.data["expression"]
    assert found["accuracy"]["value"] == pytest.approx(len(right) / len(given))
    assert (found["accuracy"]["low"], found["accuracy"]["high"]) == metrics.share_interval(
        len(right), len(given)
    )
    assert found["labeled"]["value"] == pytest.approx(len(given) / len(used))
    assert found["n"] == len(used)
    assert found["accuracy"]["value"] > 0.6
    for name, one in found["by_class"].items():
        said = [row for row in given if row["model"] == name]
        assert one["precision"]["n"] == len(said)
        assert one["n"] == sum(row["human"] == name for row in used)
    assert found["coverage"]["value"] == pytest.approx(0.9, abs=0.08)
    assert sum(found["set_sizes"]) == len(used)
    assert found["curve"][-1]["value"] == pytest.approx(found["accuracy_of_all"]["value"])
    assert report.data["affect"]["valence"]["half_width"] == pytest.approx(0.165, abs=0.04)
    assert report.data["affect"]["arousal"]["coverage"]["value"] == pytest.approx(0.9, abs=0.08)
    assert json.loads((out.path / "label.json").read_text()) == report.data
    page = (out.path / "label.html").read_text()
    assert f"{found['accuracy']['value']:.3f}" in page
    assert "<script" not in page


def test_the_rule_is_fitted_on_its_own_faces_alone(faces, model, labeled):
    """Temperature, bounds and threshold again, by the pure functions, from the right rows."""
    out, report = labeled
    rows = pq.read_table(out.path / "held-out.parquet").to_pylist()
    place = {face_id: number for number, face_id in enumerate(faces.ids)}

    def of(use):
        used = [row for row in rows if row["used_for"] == use]
        p = np.array([shares(colors()[place[row["face_id"]]]) for row in used])
        return np.array([NAMES.index(row["human"]) for row in used]), p

    rule = report.data["rule"]
    assert rule["temperature"] == pytest.approx(
        metrics.fit_temperature(*of("calibration")), rel=1e-3
    )
    truth, p = of("threshold")
    p = metrics.divide_scores(p, rule["temperature"])
    assert rule["least"] == pytest.approx(metrics.fit_sets(truth, p, 0.9).tolist(), abs=1e-4)
    right = p.argmax(axis=1) == truth
    wanted = metrics.find_threshold(right, p.max(axis=1), 0.7, certainty=0.9)
    assert rule["threshold"] == pytest.approx(wanted, abs=1e-4)
    numbers = [place[row["face_id"]] for row in rows if row["used_for"] == "threshold"]
    errors = np.array([affect(colors()[number]) for number in numbers]) - faces.affect[numbers]
    widths = [metrics.fit_interval(errors[:, axis], 0.9) for axis in (0, 1)]
    assert rule["half_widths"] == pytest.approx(widths, abs=1e-4)


def test_the_predictions_are_calibrated_and_can_be_evaluated(faces, labeled):
    out, report = labeled
    made = open_predictions(out.path / "predictions.parquet")
    assert made.ids == [f"f{n}" for n in range(0, COUNT, 3)]
    expected = divided(shares(colors()[6]), report.data["rule"]["temperature"])
    np.testing.assert_allclose(made.probabilities[2], expected, atol=1e-5)
    assert made.errors[1] is not None
    scored = evaluate(out.select(range(0, COUNT, 3)), made, split="all", rounds=20, draws=5)
    assert any("were given by a model" in text for text in scored.warnings)


def test_a_share_can_be_asked_for_or_everything(faces, model, tmp_path):
    some = label_faces(faces.path, tmp_path / "some", model, share=0.4).data
    assert some["expression"]["labeled"]["value"] == pytest.approx(0.4, abs=0.08)
    whole = label_faces(faces.path, tmp_path / "all", model).data
    assert whole["expression"]["labeled"]["value"] == 1
    assert whole["faces"]["abstained"] == {"error": 1}
    assert whole["rule"]["threshold"] == 0


def test_sets_can_keep_their_coverage_in_each_class(faces, model, tmp_path):
    """Disgust is so rare here that no face for the threshold has it."""
    chosen = [name for name in NAMES if name != "disgust"]
    options: dict[str, Any] = {
        "labels": ",".join(chosen),
        "class_conditional": True,
        "coverage": 0.8,
    }
    made = label_faces(faces.path, tmp_path / "out", model, **options)
    least = made.data["rule"]["least"]
    assert len(least) == 7
    assert len({*least}) > 3
    always = [name for name, bound in zip(chosen, least, strict=True) if bound is None]
    sets = open_dataset(tmp_path / "out").column("expression_set").to_pylist()
    assert all({*always} <= {*one} for one in sets if one is not None)
    assert any("every set holds" in text for text in made.warnings) == bool(always)


def test_held_out_labels_may_be_of_another_dataset(model, tmp_path):
    new = write_faces(tmp_path / "new", lambda _: False, count=40, seed=7)
    other = write_faces(tmp_path / "other", lambda _: True, count=200, seed=9, values=False)
    made = label_faces(new.path, tmp_path / "out", model, held_out=other.path)
    assert made.data["protocol"]["held_out"] == "other"
    assert sum(made.data["protocol"]["used_for"].values()) == 200
    assert made.data["affect"] is None
    assert "valence_low" not in open_dataset(tmp_path / "out").faces.column_names
    assert any("no intervals" in text for text in made.warnings)
    again = label_faces(
        new.path, tmp_path / "again", model, held_out=other.path, split="validation"
    )
    assert again.data["rule"] == made.data["rule"]


def test_labels_of_a_model_are_made_anew_and_those_of_people_stay(faces, model, labeled, tmp_path):
    out, _ = labeled
    other = open_model(tiny_model(tmp_path / "other.onnx", affect=False))
    again = label_faces(out.path, tmp_path / "again", other, share=0.3, only_new=True)
    rows = open_dataset(tmp_path / "again")
    assert rows.ids == [f"f{n}" for n in range(0, COUNT, 3)]
    assert again.data["faces"]["kept"] == {"human": 600}
    labels = rows.column("expression").drop_null()
    assert len(labels) == sum(again.data["faces"]["labeled"].values()) < 150
    assert rows.faces.column_names.count("confidence") == 1


def test_faces_in_learned_images_are_no_held_out_labels(faces, model, tmp_path):
    paths = faces.image_paths
    hashes = {n: pixel_hash(read_image(paths[n])) for n in range(COUNT) if n != 3}
    all_but = Card.encode_learned(np.array([h for n, h in hashes.items() if n % 3]))
    greedy = with_card(model, tmp_path / "greedy.onnx", learned=all_but)
    with pytest.raises(InputError, match="learned from"):
        label_faces(faces.path, tmp_path / "out", greedy)
    assert not unfinished_folder(tmp_path / "out").exists()
    few = Card.encode_learned(np.array([hashes[n] for n in range(1, 120, 3)]))
    careful = with_card(model, tmp_path / "few.onnx", learned=few)
    made = label_faces(faces.path, tmp_path / "out", careful)
    assert made.data["protocol"]["left_out"] == {"in images that the model learned from": 40}
    used = pq.read_table(tmp_path / "out" / "held-out.parquet")["face_id"].to_pylist()
    assert len(used) == 560
    assert not {f"f{n}" for n in range(1, 120, 3)} & {*used}
    assert not any("does not say which images" in text for text in made.warnings)


def test_what_people_put_elsewhere_is_counted_and_said(model, tmp_path):
    faces = write_faces(
        tmp_path / "f", truth=lambda n: Expression.UNCERTAIN if n % 6 == 1 else None
    )
    made = label_faces(faces.path, tmp_path / "out", model)
    found = made.data["expression"]
    assert found["others"]["uncertain"]["labeled"] == found["others"]["uncertain"]["n"] > 40
    strict = found["accuracy_with_others"]
    assert strict["n"] == found["n"] + found["others"]["uncertain"]["n"]
    assert strict["value"] < found["accuracy"]["value"]
    assert any("people put elsewhere" in text for text in made.warnings)


def test_a_model_must_fit_the_labels(faces, model, tmp_path):
    six = open_model(tiny_model(tmp_path / "six.onnx", labels=EMOTIONS[:6]))
    with pytest.raises(MismatchError, match=r"does not know: \d+ anger, \d+ contempt"):
        label_faces(faces.path, tmp_path / "out", six)
    made = label_faces(faces.path, tmp_path / "out", six, labels=",".join(NAMES[:6]))
    assert list(made.data["expression"]["others"]) == ["anger", "contempt"]
    with pytest.raises(MismatchError, match="knows anger, contempt"):
        label_faces(faces.path, tmp_path / "o", six, labels="8")
    absent = with_card(
        model,
        tmp_path / "absent.onnx",
        trained_on={"classes": {**dict.fromkeys(NAMES, 9), "fear": 0}},
    )
    with pytest.raises(MismatchError, match="no face of fear"):
        label_faces(faces.path, tmp_path / "o", absent)
    left = [name for name in NAMES if name != "fear"]
    assert label_faces(faces.path, tmp_path / "o", absent, labels=",".join(left))
    numb = open_model(tiny_model(tmp_path / "numb.onnx", labels=()))
    with pytest.raises(InputError, match="tells no expression"):
        label_faces(faces.path, tmp_path / "o2", numb)
    strange = write_faces(tmp_path / "strange", truth=lambda _: Expression.UNCERTAIN)
    with pytest.raises(MismatchError, match="600 uncertain"):
        label_faces(strange.path, tmp_path / "o2", model)
    assert not (tmp_path / "o2").exists()
    assert not unfinished_folder(tmp_path / "o2").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"accuracy": 0.999}, InputError, "no threshold reaches"),
        ({"accuracy": 1.5}, InputError, "accuracy"),
        ({"accuracy": 0.9, "share": 0.5}, InputError, "both"),
        ({"accuracy": 0.9, "certainty": 0.2}, InputError, "certainty"),
        ({"share": 0.0}, InputError, "share"),
        ({"coverage": 1.0}, InputError, "coverage"),
        ({"split": "test"}, InputError, "human labels"),
        ({"engine": "cluster"}, UnknownName, "engine"),
        ({"no_face": "yunett"}, UnknownName, "detector"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    faces, model, tmp_path, options, error, message
):
    with pytest.raises(error, match=message):
        label_faces(faces.path, tmp_path / "out", model, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_people_never_say_has_no_sets_of_its_own(model, tmp_path):
    faces = write_faces(
        tmp_path / "f", truth=lambda n: Expression.HAPPY if n % 2 else Expression.SAD
    )
    with pytest.raises(InputError, match="none of neutral, surprise"):
        label_faces(faces.path, tmp_path / "out", model, class_conditional=True)


def test_sources_without_what_is_needed_are_refused(faces, model, tmp_path):
    few = save_dataset(faces.select(range(30)), tmp_path / "few")
    with pytest.raises(InputError, match="too few"):
        label_faces(few.path, tmp_path / "out", model)
    done = save_dataset(faces.where(expression_origin="human"), tmp_path / "done")
    with pytest.raises(InputError, match="nothing to label"):
        label_faces(done.path, tmp_path / "out", model)
    none = save_dataset(faces.where(expression_origin=None), tmp_path / "none")
    with pytest.raises(InputError, match=r"no label.*--held-out"):
        label_faces(none.path, tmp_path / "out", model)
    with pytest.raises(FormatError, match="project or a dataset"):
        label_faces(tmp_path / "nowhere", tmp_path / "out", model)
    with pytest.raises(InputError, match="onto"):
        label_faces(few.path, few.path, model, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["done", "few", "none"]
    label_faces(faces.path, tmp_path / "out", model)
    with pytest.raises(DestinationExists):
        label_faces(faces.path, tmp_path / "out", model)


class Killed(BaseException):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize("where", ["held-out", "faces", "writing"])
def test_a_killed_run_goes_on_and_gives_the_same(
    faces, model, labeled, tmp_path, monkeypatch, where
):
    monkeypatch.setattr(streamed_inference, "_PORTION", 100)
    monkeypatch.setattr(writing, "PORTION", 100)
    out = tmp_path / "out"
    if where == "writing":
        target: ModuleType = writing
        name, after = "label_portion", 4
    else:
        target, name, after = streamed_inference, "predict_faces", 3 if where == "held-out" else 14
    whole, count = getattr(target, name), 0

    def stop(*arguments, **options):
        nonlocal count
        count += 1
        if count == after:
            raise Killed
        return whole(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, stop)
        with pytest.raises(Killed):
            label_faces(faces.path, out, model, accuracy=0.7, seed=3)
    assert not out.exists()
    with pytest.raises(DestinationExists, match="--resume"):
        label_faces(faces.path, out, model, accuracy=0.7, seed=3)
    with pytest.raises(MismatchError, match=r"accuracy was 0.7"):
        label_faces(faces.path, out, model, accuracy=0.8, seed=3, resume=True)
    seen: list[Progress] = []
    label_faces(
        faces.path,
        out,
        model,
        accuracy=0.7,
        seed=3,
        resume=True,
        on_progress=seen.append,
    )
    expected = labeled[0].path
    assert {event.phase for event in seen} == {
        "held-out": {"held-out faces", "labeling"},
        "faces": {"labeling"},
        "writing": set(),
    }[where]
    ours, theirs = open_dataset(out), open_dataset(expected)
    assert ours.faces.equals(theirs.faces)
    assert (out / "held-out.parquet").read_bytes() == (expected / "held-out.parquet").read_bytes()
    assert not unfinished_folder(out).exists()


def test_workers_label_the_same(faces, model, labeled, tmp_path):
    label_faces(
        faces.path, tmp_path / "out", model, accuracy=0.7, seed=3, engine="processes", workers=2
    )
    ours, theirs = open_dataset(tmp_path / "out"), labeled[0]
    assert ours.column("expression").equals(theirs.column("expression"))
    np.testing.assert_allclose(
        ours.column("confidence").to_numpy(), theirs.column("confidence").to_numpy(), atol=1e-6
    )


def test_a_detector_tells_what_is_no_face(model, tmp_path):
    """Drawn faces and gray pictures; people call the gray ones no face."""
    with write_dataset(tmp_path / "f") as writer:
        for number in range(96):
            gray = number % 4 == 0
            pixels = (
                np.full((64, 64, 3), 100 + number % 50, np.uint8)
                if gray
                else synthesize_face("happy", seed=number, size=64).image
            )
            writer.write_image(f"{number}.png", pixels)
            row = FaceRow(f"f{number}", f"{number}.png")
            if number % 2 == 0:
                label = Expression.NO_FACE if gray else Expression.HAPPY
                row.expression, row.expression_origin = label, "human"
            elif number % 8 == 1:
                writer.write_image(f"{number}.png", np.full((64, 64, 3), 90, np.uint8))
            writer.add(row)
    made = label_faces(tmp_path / "f", tmp_path / "out", model, no_face="haar", coverage=0.6)
    rows = open_dataset(tmp_path / "out").faces.to_pylist()
    empty = [rows[number] for number in range(96) if number % 8 == 1]
    assert {row["expression"] for row in empty} == {"no_face"}
    assert {row["expression_origin"] for row in empty} == {"model"}
    assert {(row["confidence"], row["expression_set"], row["valence"]) for row in empty} == {
        (None, None, None)
    }
    seen = [row["expression"] for n, row in enumerate(rows) if n % 2 and n % 8 != 1]
    assert seen.count("no_face") < len(seen) / 3
    no_face = made.data["expression"]["by_class"]["no_face"]
    assert no_face["accuracy"]["value"] == 1
    assert no_face["n"] > 5
    assert made.data["protocol"]["detector"] == "haar"
    knowing = tiny_model(tmp_path / "m.onnx", labels=(*EMOTIONS, Expression.NO_FACE))
    with pytest.raises(InputError, match="itself"):
        label_faces(tmp_path / "f", tmp_path / "o", open_model(knowing), no_face="haar")


def test_a_rule_leaves_out_what_is_no_face():
    """Faces in which the detector sees none neither fit a rule nor get a set."""
    p = np.tile([0.9, 0.1], (60, 1))
    found = np.arange(60) % 3 > 0
    p[~found] = [0.1, 0.9]
    ids = [f"f{number}" for number in range(60)]
    made = Predictions(ids, EMOTIONS[:2], p, errors=[None] * 60, face_found=found)
    uses = ["calibration"] * 20 + ["threshold"] * 20 + ["report"] * 20
    truth = np.where(np.arange(60) % 20 == 1, 1, 0).astype(np.int8)
    held = HeldOut(ids, truth, np.full((60, 2), np.nan), ids, uses)
    rule = fit_rule(held, made, EMOTIONS[:2], Wish(share=0.5, coverage=0.6))
    assert metrics.divide_scores([[0.9, 0.1]], rule.temperature)[0, 0] == pytest.approx(
        12 / 13, abs=1e-3
    )
    assert rule.threshold == pytest.approx(12 / 13, abs=1e-3)
    said = decide(rule, made, np.arange(60))
    assert said.sets.any(axis=1).tolist() == found.tolist()
    assert (said.expression == Expression.NO_FACE.id).tolist() == (~found).tolist()
    assert said.labeled.all()


def test_values_of_people_stay_and_those_of_a_model_are_made_anew(model, tmp_path):
    """Of faces without an expression."""
    faces = write_faces(tmp_path / "f", count=150)
    values = {0: (0.5, 0.25, "human"), 3: (0.125, -0.5, "model")}
    table = {
        name: faces.column(name).to_pylist() for name in ("valence", "arousal", "affect_origin")
    }
    for number, row in values.items():
        for name, value in zip(table, row, strict=True):
            table[name][number] = value
    for name, column in table.items():
        faces = faces.with_column(name, column)
    save_dataset(faces, tmp_path / "mixed")
    label_faces(tmp_path / "mixed", tmp_path / "out", model)
    rows = open_dataset(tmp_path / "out").faces.to_pylist()
    assert [rows[0][name] for name in table] == [0.5, 0.25, "human"]
    assert rows[0]["valence_low"] is None
    assert rows[0]["expression_origin"] == rows[3]["affect_origin"] == "model"
    assert [rows[3]["valence"], rows[3]["arousal"]] == pytest.approx(affect(colors()[3]), abs=1e-5)


def test_an_export_names_what_was_left_to_people(faces, labeled, tmp_path):
    out, report = labeled
    out = out.select([number for number in range(COUNT) if number != 3])  # whose picture is broken
    export_dataset("csv", out, tmp_path / "plain")
    export_dataset("csv", out, tmp_path / "named", abstained="uncertain")
    texts = [next((tmp_path / n).glob("*.csv")).read_text() for n in ("plain", "named")]
    left = report.data["faces"]["abstained"]["low_confidence"]
    assert texts[1].count("uncertain") - texts[0].count("uncertain") == left
    with pytest.raises(UnknownName, match="uncertain"):
        export_dataset("csv", out, tmp_path / "x", abstained="unsure")
    with pytest.raises(InputError, match="no column 'abstained'"):
        export_dataset("csv", faces, tmp_path / "x", abstained="uncertain")


def test_annotations_go_with_the_faces(model, tmp_path):
    from openaffect.annotation_row import AnnotationRow

    with write_dataset(tmp_path / "f") as writer:
        for number, color in enumerate(colors(120)):
            writer.write_image(f"{number}.png", np.broadcast_to(color, (6, 6, 3)).copy())
            row = FaceRow(f"f{number}", f"{number}.png")
            if number < 100:
                row.expression, row.expression_origin = EMOTIONS[number % 8], "human"
            writer.add(row)
            writer.add_annotation(
                AnnotationRow(f"f{number}", "ada", expression=EMOTIONS[number % 8])
            )
    label_faces(tmp_path / "f", tmp_path / "out", model)
    ours, theirs = open_dataset(tmp_path / "out"), open_dataset(tmp_path / "f")
    assert ours.annotations.equals(theirs.annotations)
    assert ours.info.content == ours.content()


def test_intervals_need_enough_human_values():
    assert math.isinf(metrics.fit_interval([0.1] * 8, 0.9))


def test_encoded_faces_are_as_they_were_drawn():
    color = colors(1)[0]
    assert (
        read_image(encode_image(np.broadcast_to(color, (6, 6, 3)).copy()), where="x") == color
    ).all()
