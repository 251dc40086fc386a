"""AffectNet+: keys of any spelling, what stays in extra, and bad annotations."""

from __future__ import annotations

import json

import pytest

from format_builders import put_picture
from openaffect.formats import export_dataset, import_dataset

SOFT = [0.05, 0.8, 0.0, 0.1, 0.0, 0.0, 0.05, 0.0]
WHOLE = {
    "human-label": 1,
    "soft-label": SOFT,
    "subset": 2,
    "meta-data": {
        "age": 31,
        "gender": "female",
        "race": "white",
        "pose": [0.1, -3.5, 2.0],
        "landmarks": [float(number) for number in range(136)],
        "valence": 0.5,
        "arousal": 0.1,
    },
}


def put_face(root, name="0001", data=WHOLE, folder="human_annotated/train_set"):
    put_picture(root / folder / "images" / f"{name}.jpg", 4)
    path = root / folder / "annotations" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return root


def only_row(tmp_path, data):
    dataset, summary = import_dataset(
        "affectnet-plus", put_face(tmp_path / "in", data=data), tmp_path / "d"
    )
    (row,) = dataset.faces.to_pylist()
    return row, summary


def test_a_row_is_what_the_file_says(tmp_path):
    row, _ = only_row(tmp_path, WHOLE)
    assert (row["face_id"], row["expression"], row["split"]) == ("train/0001", "happy", "train")
    assert row["soft_label"] == pytest.approx(SOFT)
    assert (row["valence"], row["arousal"]) == pytest.approx((0.5, 0.1))
    assert row["landmarks"] == [float(number) for number in range(136)]
    assert json.loads(row["extra"]) == {
        "subset": 2,
        "meta-data": {"age": 31, "gender": "female", "race": "white", "pose": [0.1, -3.5, 2.0]},
    }


def test_a_byte_order_mark_does_not_matter(tmp_path):
    row, _ = only_row(tmp_path, '\ufeff{"human-label": "2.0"}')
    assert row["expression"] == "sad"


def test_keys_of_any_spelling(tmp_path):
    data = {
        "Human_Label": "1",
        "Soft-Label": [str(share) for share in SOFT],
        "SUBSET": 0,
        "Meta_Data": {"Age": 3, "Valence": "-2", "AROUSAL": -2.0, "Hat": True, "Landmark": []},
        "Comment": "kept",
    }
    row, _ = only_row(tmp_path, data)
    assert (row["expression"], row["valence"], row["landmarks"]) == ("happy", None, None)
    assert json.loads(row["extra"]) == {
        "subset": 0,
        "meta-data": {"age": 3, "Hat": True},
        "Comment": "kept",
    }


@pytest.mark.parametrize(
    ("total", "normalized"), [(0.95, 1), (0.998, 1), (0.9995, 0), (1.0005, 0), (1.002, 1)]
)
def test_shares_are_taken_as_they_are_only_where_rounding_explains_their_sum(
    tmp_path, total, normalized
):
    row, summary = only_row(
        tmp_path, {"human-label": 1, "soft-label": [0, total - 0.5, 0, 0.5, 0, 0, 0, 0]}
    )
    assert summary.warnings["soft label normalized to sum 1"] == normalized
    expected = (total - 0.5) / (total if normalized else 1)
    assert row["soft_label"][1] == pytest.approx(expected, abs=1e-7)


def test_pictures_without_an_annotation_and_folders_in_its_place_are_named(tmp_path):
    root = put_face(tmp_path / "in")
    put_picture(root / "human_annotated/train_set/images/9.png", 4)
    put_picture(root / "human_annotated/validation_set/images/8.png", 4)
    (root / "human_annotated/train_set/annotations/7.json").mkdir()
    dataset, summary = import_dataset("affectnet-plus", root, tmp_path / "d")
    assert dataset.ids == ["train/0001"]
    assert summary.rejected == {
        "picture without an annotation": 2,
        "annotation that cannot be read": 1,
    }


def test_a_soft_label_that_is_no_share_is_normalized_and_kept_as_it_was(tmp_path):
    row, summary = only_row(tmp_path, {"human-label": 1, "soft-label": [0, 6, 0, 2, 0, 0, 0, 0]})
    assert row["soft_label"] == [0, 0.75, 0, 0.25, 0, 0, 0, 0]
    assert json.loads(row["extra"]) == {"soft-label": [0, 6, 0, 2, 0, 0, 0, 0]}
    assert summary.warnings == {"soft label normalized to sum 1": 1}


def test_export_gives_the_same_json_back(tmp_path):
    root = put_face(tmp_path / "in")
    put_face(root, "0002", {"human-label": 10, "meta-data": {"valence": -2.0, "arousal": -2.0}})
    put_face(root, "0001", folder="human_annotated/validation_set")
    put_face(root, "0003", {"human-label": 1, "soft-label": [0, 6, 0, 2, 0, 0, 0, 0]})
    dataset, _ = import_dataset("affectnet-plus", root, tmp_path / "d")
    assert dataset.ids == ["train/0001", "train/0002", "train/0003", "val/0001"]
    export_dataset("affectnet-plus", dataset, tmp_path / "out")
    place = "human_annotated/{}/annotations/{}.json"
    for folder, name in (("train_set", "0001"), ("train_set", "0002"), ("validation_set", "0001")):
        before, after = (
            (r / place.format(folder, name)).read_text() for r in (root, tmp_path / "out")
        )
        assert json.loads(after) == json.loads(before)
    raw = json.loads((tmp_path / "out" / place.format("train_set", "0003")).read_text())
    assert raw["soft-label"] == [0, 6, 0, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{", "annotation that cannot be read"),
        ("[]", "annotation that cannot be read"),
        ("", "annotation that cannot be read"),
        ("9" * 5000, "annotation that cannot be read"),
        (
            '{"human-label": 1, "a": ' + "[" * 5000 + "]" * 5000 + "}",
            "annotation that cannot be read",
        ),
        ('{"human-label": 1, "subset": "\\ud800"}', "annotation that cannot be read"),
        ('{"human-label": 1, "soft-label": 1' + "0" * 5000 + "}", "annotation that cannot be read"),
        ('{"human-label": NaN}', "annotation that cannot be read"),
        ('{"human-label": 1}' + " " * 2_000_000, "annotation that cannot be read"),
        (
            '{"human-label": 1, "a": ' + "[" * 40 + "]" * 40 + "}",
            "extra that is no JSON object of at most 32 levels",
        ),
        ({"soft-label": SOFT}, "annotation that cannot be read"),
        ({"human-label": None}, "annotation that cannot be read"),
        ({"human-label": [1]}, "annotation that cannot be read"),
        ({"human-label": True}, "annotation that cannot be read"),
        ({"human-label": 1.5}, "unknown expression"),
        ({"human-label": 1, "Human_Label": 2}, "two keys mean human-label, and differ"),
        ({"human-label": 11}, "unknown expression"),
        ({"human-label": 1, "meta-data": 3}, "annotation that cannot be read"),
        ({"human-label": 1, "soft-label": {}}, "annotation that cannot be read"),
        ({"human-label": 1, "soft-label": [None] * 8}, "annotation that cannot be read"),
        ({"human-label": 1, "soft-label": [0] * 8}, "soft labels that are no shares"),
        ({"human-label": 1, "soft-label": ["nan"] * 8}, "soft labels that are no shares"),
        ({"human-label": 1, "soft-label": [1e300] * 8}, "soft labels that are no shares"),
        ({"human-label": 1, "meta-data": {"valence": [1]}}, "valence that is no number"),
        ({"human-label": 1, "meta-data": {"landmarks": "\u00e4"}}, "landmarks that are no numbers"),
        ({"human-label": 1, "meta-data": {"landmarks": {}}}, "landmarks that are no numbers"),
        (
            {"human-label": 1, "meta-data": {"landmarks": [[0] * 68] * 2}},
            "landmarks that are not 136 numbers",
        ),
        (
            {"human-label": 1, "meta-data": {"landmarks": [1e300] * 136}},
            "landmarks farther away than any pixel",
        ),
        ({"human-label": 1, "soft-label": [1, 0]}, "soft labels that are not 8 numbers"),
        (
            {"human-label": 1, "soft-label": [-1, 2, 0, 0, 0, 0, 0, 0]},
            "soft labels that are no shares",
        ),
        ({"human-label": 1, "soft-label": ["x"] * 8}, "soft label that is no number"),
        ({"human-label": 1, "meta-data": {"valence": "x"}}, "valence that is no number"),
        ({"human-label": 1, "meta-data": {"landmarks": [1]}}, "landmarks that are not 136 numbers"),
        ({"human-label": 1, "meta-data": {"valence": 0.5}}, "only one of valence and arousal"),
    ],
)
def test_dirt_rejects_its_row_only(tmp_path, data, reason):
    put_face(tmp_path / "in")
    put_face(tmp_path / "in", "0002", data)
    dataset, summary = import_dataset("affectnet-plus", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/0001"]
    assert summary.rejected == {reason: 1}


def test_pictures_nobody_labeled_are_noted(tmp_path):
    put_face(tmp_path / "in")
    for number in range(3):
        put_picture(tmp_path / f"in/no_human_annotated/images/{number}.jpg", number)
    dataset, summary = import_dataset("affectnet-plus", tmp_path / "in", tmp_path / "d")
    assert len(dataset) == 1
    assert summary.notes == ["no_human_annotated has 3 pictures without annotations: left out"]
