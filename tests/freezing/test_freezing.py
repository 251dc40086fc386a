"""Freezing: one label, one group and one split per face; and the same again for the same project."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from freezing_builders import annotate, draw_picture, fill, make_dataset, read_rows
from openaffect.dataset import open_dataset
from openaffect.errors import DestinationExists, FormatError, InputError, UnknownName
from openaffect.freezing import FreezeOptions, freeze_project, has_changed, plan_freeze
from openaffect.freezing.labels import SOURCES, find_labels
from openaffect.images import encode_image
from openaffect.project import frozen, gold, rows, schema
from openaffect.project.backups import backup_project, restore_project
from openaffect.project.gold import GoldFace
from openaffect.project.rows import StoredAnnotation

_TWO = ["happy", "sad"]


def test_what_several_people_labeled_is_the_test_split(project, tmp_path):
    fill(project, make_dataset(tmp_path / "d", [None] * 20))
    both = {face: ["happy", "happy"] if face % 2 else ["sad", "sad"] for face in range(4)}
    one = {face: [_TWO[face % 2]] for face in range(4, 20)}
    annotate(project, both | one)
    options = FreezeOptions(validation="3-per-class", seed=5)
    plan = plan_freeze(project, options)
    done = freeze_project(project, tmp_path / "out", options)
    found = read_rows(done.dataset)
    assert {name for name, row in found.items() if row["split"] == "test"} == {
        f"f{face:02}" for face in both
    }
    counts = Counter((row["split"], row["expression"]) for row in found.values())
    assert counts["validation", "happy"] == counts["validation", "sad"] == 3
    assert counts["train", "happy"] == counts["train", "sad"] == 5
    assert plan.classes == counts
    assert plan.several == 4
    assert found["f00"]["votes"][2] == 2
    assert found["f00"]["raters"] == 2
    assert found["f05"]["label_source"] == "annotators"
    assert found["f05"]["expression_origin"] == "human"
    assert (done.dataset.images_folder / found["f05"]["image"]).is_file()


def _saved_again(number: int) -> bytes:
    return encode_image(draw_picture(number, 128), ".jpg", 80)


@pytest.mark.parametrize(
    "alike",
    [
        {"pictures": {1: encode_image(draw_picture(0))}},
        {"pictures": {0: _saved_again(0), 1: encode_image(draw_picture(0, 128))}},
        {"pictures": {1: encode_image(np.ascontiguousarray(draw_picture(0)[:, ::-1]))}},
        {"url": {0: "https://example.org/a.jpg", 1: "https://EXAMPLE.org/a.jpg#face"}},
        {"group": {0: "Ada", 1: "Ada"}},
    ],
    ids=["file", "copy", "mirror", "url", "group"],
)
def test_no_group_lies_on_both_sides(sqlite_project, tmp_path, alike):
    """The face that one person labeled is left out where its group is in test."""
    fill(sqlite_project, make_dataset(tmp_path / "d", [None] * 8, **alike))
    annotate(sqlite_project, {0: ["sad", "sad"], **{face: ["sad"] for face in range(1, 8)}})
    done = freeze_project(sqlite_project, tmp_path / "out", FreezeOptions(validation="2"))
    found = read_rows(done.dataset)
    assert found["f00"]["split"] == "test"
    assert "f01" not in found
    assert done.plan.left_out == {"in a group with a test face": 1}
    assert len(found) == 7


def test_groups_are_drawn_whole_and_named(sqlite_project, tmp_path):
    group = {0: "Ada", 1: "Ada", 2: "Bo"}
    pictures = {4: encode_image(draw_picture(3)), 5: encode_image(draw_picture(2))}
    fill(
        sqlite_project,
        make_dataset(tmp_path / "d", ["sad"] * 12, group=group, pictures=pictures),
    )
    options = FreezeOptions(splits="drawn", test="4", validation="4", seed=2)
    done = freeze_project(sqlite_project, tmp_path / "out", options)
    found = read_rows(done.dataset)
    assert found["f00"]["group"] == found["f01"]["group"] == "Ada"
    assert found["f02"]["group"] == found["f05"]["group"] == "Bo"  # a copy joins the group
    assert found["f03"]["group"] == found["f04"]["group"] == "f03"
    assert found["f06"]["group"] is None
    assert done.plan.groups == 3
    for pair in (("f00", "f01"), ("f02", "f05"), ("f03", "f04")):
        assert len({found[name]["split"] for name in pair}) == 1
    assert Counter(row["split"] for row in found.values()) == {
        "test": 4,
        "validation": 4,
        "train": 4,
    }


def test_a_group_from_outside_never_takes_the_name_of_another(sqlite_project, tmp_path):
    pictures = {1: encode_image(draw_picture(0))}
    dataset = make_dataset(tmp_path / "d", ["sad"] * 4, group={2: "f00"}, pictures=pictures)
    fill(sqlite_project, dataset)
    options = FreezeOptions(splits="drawn", test="1")
    found = read_rows(freeze_project(sqlite_project, tmp_path / "out", options).dataset)
    assert found["f00"]["group"] == found["f01"]["group"]
    assert found["f02"]["group"] == "f00" != found["f00"]["group"]


def test_a_review_counts_more_than_gold_and_gold_more_than_annotators(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["fear"] * 5))
    annotate(sqlite_project, {face: ["happy", "happy"] for face in range(3)})
    annotate(
        sqlite_project,
        [(0, "reviewer", "anger"), (0, "second", "sad")],
        kind="review",
        valence=-0.5,
        arousal=0.25,
    )
    with sqlite_project.database.write() as connection:
        known = [GoldFace("f00", "disgust"), GoldFace("f01", "disgust", -0.75, 0.5)]
        gold.insert_gold(connection, known, "csv")
    with sqlite_project.database.read() as connection:
        names = [f"f{face:02}" for face in range(5)]
        found = find_labels(
            connection,
            names,
            [1, 2, 3, 4, 5],
            [None] * 5,
            rule="majority",
            affect_rule="mean",
            seed=0,
        )
    assert [SOURCES[number] for number in found.source] == [
        "review",
        "gold",
        "annotators",
        "import",
        "import",
    ]
    assert found.expression.tolist() == [2, 5, 1, 4, 4]  # the last review, then gold, …
    assert found.affect[0].tolist() == [-0.5, 0.25]
    assert found.affect[1].tolist() == [-0.75, 0.5]
    assert found.share[0] == 0  # no annotator has said what the reviewer says
    assert found.raters.tolist() == [2, 2, 2, 1, 1]


def test_imported_judgments_that_count_are_annotators(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 6))
    annotate(
        sqlite_project, [(0, "import:x/a", "fear"), (0, "import:x/b", "fear")], kind="imported"
    )
    options = FreezeOptions(validation="1")
    with pytest.raises(InputError, match="train"):
        plan_freeze(sqlite_project, options)
    annotate(sqlite_project, [(1, "import:x/a", "fear")], kind="imported")
    done = freeze_project(
        sqlite_project, tmp_path / "out", FreezeOptions(validation="1", labels="4,2")
    )
    found = read_rows(done.dataset)
    assert found["f00"]["split"] == "test"
    assert found["f00"]["expression"] == "fear"
    assert found["f02"]["label_source"] == "import"
    assert done.dataset.annotations is not None
    people = set(done.dataset.annotations["annotator"].to_pylist())
    assert people == {"import:x/a", "import:x/b"}  # import:source names no rater


def test_the_intended_expression_breaks_a_tie(sqlite_project, tmp_path):
    intended = dict.fromkeys(range(6), "fear")
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad", "fear"] * 3, intended=intended))
    annotate(sqlite_project, {0: ["happy", "fear"]})
    options = FreezeOptions(rule="intended", validation="1")
    found = read_rows(freeze_project(sqlite_project, tmp_path / "out", options).dataset)
    assert found["f00"]["expression"] == "fear"
    assert found["f00"]["agreement"] == 0.5
    assert found["f00"]["soft_label"][1] == found["f00"]["soft_label"][4] == 0.5


def test_what_is_known_of_an_image_travels_along(sqlite_project, tmp_path):
    known = {
        "intended": "sad",
        "provider": "openverse",
        "page_url": "https://example.org/p",
        "author": "Ada",
        "title": "A face",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
        "restrictions": "personality",
    }
    columns: dict[str, Any] = {name: {0: value} for name, value in known.items()}
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"] * 4,
        url={0: "https://example.org/1.png"},
        license={0: "CC-BY-4.0"},
        query={0: "sad man"},
        **columns,
    )
    fill(sqlite_project, dataset)
    annotate(sqlite_project, {0: ["sad"]}, flag="flagged", occluded=True)
    done = freeze_project(
        sqlite_project, tmp_path / "out", FreezeOptions(splits="drawn", validation="1")
    )
    row = read_rows(done.dataset)["f00"]
    assert {name: row[name] for name in known} == known
    assert (row["url"], row["license"]) == ("https://example.org/1.png", "CC-BY-4.0")
    assert (row["query"], row["flags"], row["occluded"]) == ("sad man", "flagged", True)
    assert row["sha256"] in row["image"]
    assert (row["width"], row["height"]) == (64, 64)
    assert row["sharpness"] > 0
    assert done.dataset.info.license is None  # not all images have it


def test_affect_of_another_origin_comes_back(sqlite_project, tmp_path):
    fill(
        sqlite_project,
        make_dataset(
            tmp_path / "d",
            ["sad"] * 4,
            valence={0: -0.5},
            arousal={0: -0.25},
            affect_origin={0: "derived"},
        ),
    )
    options = FreezeOptions(splits="drawn", validation="1")
    row = read_rows(freeze_project(sqlite_project, tmp_path / "out", options).dataset)["f00"]
    assert (row["valence"], row["arousal"], row["affect_origin"]) == (-0.5, -0.25, "derived")
    assert row["extra"] is None


def test_labels_of_a_model_keep_their_origin(sqlite_project, tmp_path):
    origin = {0: "model", 1: "derived"}
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4, expression_origin=origin))
    options = FreezeOptions(splits="drawn", validation="1")
    found = read_rows(freeze_project(sqlite_project, tmp_path / "out", options).dataset)
    assert [found[name]["expression_origin"] for name in sorted(found)] == [
        "model",
        "derived",
        "human",
        "human",
    ]
    assert found["f00"]["raters"] == 0
    assert found["f02"]["raters"] == 1


def test_the_same_project_gives_the_same_bytes_on_both_databases(project, tmp_path, second_url):
    fill(project, make_dataset(tmp_path / "d", ["sad"] * 12, group={3: "x", 4: "x"}))
    annotate(project, {0: ["sad", "happy"], 1: ["happy"], 2: ["happy"], 3: ["happy"]})
    backup_project(project, tmp_path / "b", with_store=True)
    options = FreezeOptions(validation="2", seed=4)
    first = freeze_project(project, tmp_path / "one", options, name="n")
    again = freeze_project(project, tmp_path / "two", options, name="n", hard_links=False)
    other = second_url if project.database.is_sqlite else None
    with restore_project(tmp_path / "b", tmp_path / "p", database=other) as moved:
        third = freeze_project(moved, tmp_path / "three", options, name="n")
    files = sorted(
        path.relative_to(first.dataset.path)
        for path in first.dataset.path.rglob("*")
        if path.is_file() and path.name != "freeze.json"  # names the project's id
    )
    assert len(files) == 12 + 4  # images; two tables, dataset.json, README.md
    for done in (again, third):
        for name in files:
            same = (done.dataset.path / name).read_bytes() == (
                first.dataset.path / name
            ).read_bytes()
            assert same, name
    other_seed = freeze_project(
        project, tmp_path / "four", FreezeOptions(validation="2", seed=5), name="n"
    )
    assert other_seed.dataset.info.fingerprint != first.dataset.info.fingerprint


def test_a_project_that_has_changed_is_noticed(project, tmp_path):
    fill(project, make_dataset(tmp_path / "d", ["sad"] * 8))
    options = FreezeOptions(splits="drawn", validation="2")
    first = freeze_project(project, tmp_path / "one", options)
    assert (first.earlier, first.changed) == (None, None)
    assert not has_changed(project, first.dataset)
    assert freeze_project(project, tmp_path / "two", options).changed is False
    annotate(project, {0: ["sad"]})  # the label stays, but a judgment came
    assert has_changed(project, open_dataset(tmp_path / "one"))
    assert freeze_project(project, tmp_path / "three", options).changed is True
    assert freeze_project(project, tmp_path / "three", options, overwrite=True).changed is False
    about = json.loads((tmp_path / "three" / "freeze.json").read_text())
    assert about["options"]["validation"] == "2"
    assert about["annotators"] == 1
    with pytest.raises(FormatError, match=r"freeze\.json"):
        has_changed(project, open_dataset(tmp_path / "d"))


def test_the_dataset_of_another_project_is_refused(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4))
    options = FreezeOptions(splits="drawn", validation="1")
    done = freeze_project(sqlite_project, tmp_path / "one", options)
    about = json.loads((done.dataset.path / "freeze.json").read_text())
    about["project"]["id"] = "another"
    (done.dataset.path / "freeze.json").write_text(json.dumps(about))
    with pytest.raises(FormatError, match="another project"):
        has_changed(sqlite_project, done.dataset)


def test_images_that_were_not_searched_are_named(sqlite_project, tmp_path):
    from openaffect.collection import add_dataset

    add_dataset(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4))
    with pytest.raises(InputError, match="openaffect detect"):
        plan_freeze(sqlite_project, FreezeOptions(splits="drawn", validation="1"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (FreezeOptions(), "two annotators"),
        (FreezeOptions(splits="kept"), "came with a split"),
        (FreezeOptions(splits="kept", validation="10%"), "not drawn"),
        (FreezeOptions(splits="drawn"), "amount"),
        (FreezeOptions(splits="published", test="10%"), "several annotators"),
        (FreezeOptions(splits="drawn", validation="500-per-class"), "500"),
        (FreezeOptions(splits="drawn", validation="3-per-class"), "happy"),
        (FreezeOptions(splits="drawn", validation="2-per-class"), "happy is left for train"),
        (FreezeOptions(splits="drawn", validation="1", labels="anger,fear"), "no face to freeze"),
        (FreezeOptions(splits="other"), "published"),  # type: ignore[arg-type]
    ],
)
def test_splits_that_cannot_be_filled_are_refused(sqlite_project, tmp_path, options, named):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 6 + ["happy"] * 2))
    with pytest.raises(InputError, match=named):
        plan_freeze(sqlite_project, options)
    with pytest.raises(InputError, match=named):
        freeze_project(sqlite_project, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_names_that_are_none_are_refused(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4))
    with pytest.raises(UnknownName, match="majority"):
        plan_freeze(sqlite_project, FreezeOptions(rule="majorty", splits="drawn", test="1"))
    with pytest.raises(UnknownName, match="median"):
        plan_freeze(sqlite_project, FreezeOptions(affect_rule="med", splits="drawn", test="1"))
    freeze_project(sqlite_project, tmp_path / "out", FreezeOptions(splits="drawn", test="1"))
    with pytest.raises(DestinationExists):
        freeze_project(sqlite_project, tmp_path / "out", FreezeOptions(splits="drawn", test="1"))


def test_splits_that_came_with_the_faces_are_kept(sqlite_project, tmp_path):
    splits = {0: "test", 1: "validation", 2: "train", 3: "train", 4: "train"}
    pictures = {2: encode_image(draw_picture(0)), 3: encode_image(draw_picture(1))}
    fill(
        sqlite_project,
        make_dataset(tmp_path / "d", ["sad"] * 6, split=splits, pictures=pictures),
    )
    done = freeze_project(sqlite_project, tmp_path / "out", FreezeOptions(splits="kept"))
    found = read_rows(done.dataset)
    assert {name: row["split"] for name, row in found.items()} == {
        "f00": "test",
        "f01": "validation",
        "f04": "train",
        "f05": "train",
    }
    assert done.plan.left_out == {
        "in a group with a test face": 1,
        "in a group with a validation face": 1,
    }


def test_a_damaged_image_is_rejected_and_named(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 6))
    with sqlite_project.database.read() as connection:
        sha256, suffix = connection.execute(
            schema.images.select().where(schema.images.c.id == 2)
        ).one()[1:3]
    sqlite_project.store.path(sha256, suffix).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    options = FreezeOptions(splits="drawn", validation="1")
    done = freeze_project(sqlite_project, tmp_path / "out", options)
    assert done.written.rejected == {"damaged image in the store": 1}
    assert len(done.dataset) == 5
    assert "f01" in (tmp_path / "out" / "rejected.csv").read_text()


def test_faces_without_a_label_are_left_out(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4 + [None]))
    plan = plan_freeze(sqlite_project, FreezeOptions(splits="drawn", validation="1"))
    assert plan.left_out == {"no label": 1}
    assert plan.to_dict()["faces"] == 4


def test_rows_that_a_person_has_withdrawn_are_not_frozen(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 6))
    annotate(sqlite_project, {face: ["happy"] for face in range(6)})
    with sqlite_project.database.write() as connection:
        connection.execute(
            schema.annotators.update()
            .where(schema.annotators.c.name == "p0")
            .values(state="withdrawn")
        )
        first = connection.execute(
            schema.annotations.select().where(schema.annotations.c.expression == "happy")
        ).first()
        assert first is not None
        void = StoredAnnotation(
            "f00", "p0", kind="work", expression="happy", void=True, replaces=first.id, id="void"
        )
        rows.insert_annotations(connection, [void])
    options = FreezeOptions(splits="drawn", test="1", labels="happy,fear")
    done = freeze_project(sqlite_project, tmp_path / "out", options)
    assert done.dataset.annotations is not None
    assert "f00" not in done.dataset.annotations["face_id"].to_pylist()
    assert len(done.dataset.annotations) == 5


def test_of_a_kept_group_the_test_faces_stay(sqlite_project, tmp_path):
    splits = {0: "validation", 1: "test", 2: "train", 3: "train"}
    group = dict.fromkeys(range(3), "x")
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4, split=splits, group=group))
    plan = plan_freeze(sqlite_project, FreezeOptions(splits="kept"))
    assert plan.classes == {("test", "sad"): 1, ("train", "sad"): 1}
    assert plan.left_out == {"in a group with a test face": 2}


def test_faces_of_images_that_cannot_be_read_are_left_out(sqlite_project, tmp_path):
    pictures = {1: encode_image(draw_picture(1))[:100]}
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 5, pictures=pictures))
    plan = plan_freeze(sqlite_project, FreezeOptions(splits="drawn", test="1"))
    assert plan.left_out == {"image that cannot be read": 1}


def test_published_validation_has_500_faces_per_class(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", [None] * 4))
    annotate(sqlite_project, {0: ["sad", "sad"], 1: ["sad"], 2: ["sad"], 3: ["sad"]})
    with pytest.raises(InputError, match="500-per-class"):
        plan_freeze(sqlite_project)


def test_faces_that_wait_for_a_reviewer_or_were_drawn_are_counted(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", [None] * 6))
    annotate(sqlite_project, {0: ["sad", "fear"], **{face: ["sad"] for face in range(1, 6)}})
    annotate(sqlite_project, [(face, "q", "fear") for face in range(1, 3)])
    with sqlite_project.database.write() as connection:
        connection.execute(
            schema.batches.insert().values(
                name="b",
                state="open",
                overlap=1,
                overlap_share=0.0,
                balanced_by="random",
                faces=1,
                wanted=1,
                at=schema.current_time(),
            )
        )
        connection.execute(
            schema.tasks.insert().values(
                face_id=4, batch_id=1, wanted=1, level=0, place=0.5, review="open"
            )
        )
    plan = plan_freeze(
        sqlite_project, FreezeOptions(splits="drawn", test="1", rule="intended", labels="sad,fear")
    )
    assert plan.by_chance == 3
    assert plan.open_reviews == 1


def test_simulated_annotators_are_named_as_the_origin(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", [None] * 4))
    annotate(sqlite_project, {face: ["sad"] for face in range(3)}, valence=0.5, arousal=0.0)
    annotate(sqlite_project, [(3, "s", "sad")], origin="simulated")
    options = FreezeOptions(splits="drawn", test="1")
    found = read_rows(freeze_project(sqlite_project, tmp_path / "out", options).dataset)
    assert [found[name]["expression_origin"] for name in sorted(found)] == [
        *["human"] * 3,
        "simulated",
    ]
    assert found["f00"]["affect_origin"] == "human"
    assert found["f03"]["affect_origin"] is None


def test_a_dataset_that_a_killed_call_has_written_is_known_to_the_next(
    sqlite_project, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def stop(*_: Any, **__: Any) -> None:
        raise Killed

    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4))
    options = FreezeOptions(splits="drawn", test="1")
    monkeypatch.setattr(frozen, "record_dataset", stop)
    with pytest.raises(Killed):
        freeze_project(sqlite_project, tmp_path / "out", options)
    monkeypatch.undo()
    with pytest.raises(DestinationExists):
        freeze_project(sqlite_project, tmp_path / "out", options)
    with sqlite_project.database.read() as connection:
        (known,) = frozen.list_datasets(connection)
    assert known.path == str(tmp_path / "out")
    assert known.rows == 4
    assert known.content == open_dataset(tmp_path / "out").info.content
