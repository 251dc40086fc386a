"""The 8-label release: every shape of its files, its numbers, and crops on the way back."""

from __future__ import annotations

import csv
import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from format_builders import make_dataset, picture, put_picture
from openaffect.errors import FormatError
from openaffect.formats import export_dataset, import_dataset
from openaffect.formats._npy import read_npy
from openaffect.images import encode_image, read_image

POINTS = np.arange(136) * 1.5


def put_face(root, number, exp="1", val="0.5", aro="0.1", lnd=POINTS, folder="train_set"):
    put_picture(root / folder / "images" / f"{number}.jpg", 3, (224, 224))
    notes = root / folder / "annotations"
    notes.mkdir(exist_ok=True)
    for name, value in (("exp", exp), ("val", val), ("aro", aro), ("lnd", lnd)):
        if value is not None:
            np.save(notes / f"{number}_{name}.npy", np.asarray(value))
    return root


def only_row(tmp_path, **values):
    root = put_face(tmp_path / "in", 7, **values)
    dataset, _ = import_dataset("affectnet8", root, tmp_path / "d")
    (row,) = dataset.faces.to_pylist()
    return row


@pytest.mark.parametrize(
    "exp", ["6", ["6"], 6, [6], 6.0, np.float32(6), np.bytes_("6"), np.str_("6")]
)
@pytest.mark.parametrize("number", ["-0.25", ["-0.25"], -0.25, [-0.25], np.float32(-0.25)])
def test_text_or_number_with_or_without_a_dimension(tmp_path, exp, number):
    row = only_row(tmp_path, exp=exp, val=number, aro=number)
    assert (row["expression"], row["valence"], row["arousal"]) == ("anger", -0.25, -0.25)


@pytest.mark.parametrize("shape", [(136,), (68, 2), (1, 136), (136, 1)])
@pytest.mark.parametrize("kind", ["<f8", "<f4", ">f8", "<i4"])
def test_landmarks_of_any_shape(tmp_path, shape, kind):
    points = np.arange(136).astype(kind).reshape(shape)
    assert only_row(tmp_path, lnd=points)["landmarks"] == list(range(136))


def test_landmarks_in_fortran_order_are_the_same_points(tmp_path):
    points = np.asfortranarray(np.arange(136.0).reshape(68, 2))
    assert only_row(tmp_path, lnd=points)["landmarks"] == list(range(136))


@pytest.mark.parametrize("stem", ["007", "+7", "9" * 30, "\u0667"])
def test_a_name_that_is_no_plain_number_keeps_its_own_id(tmp_path, stem):
    put_face(tmp_path / "in", 7)
    put_face(tmp_path / "in", stem)
    dataset, _ = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/7", f"train/{stem}"]


def test_a_set_without_annotations_names_its_pictures(tmp_path):
    put_face(tmp_path / "in", 1)
    put_picture(tmp_path / "in/val_set/images/2.jpg", 5)
    dataset, summary = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert (dataset.ids, summary.rejected) == (["train/1"], {"picture without an annotation": 1})


@pytest.mark.parametrize("part", ["annotations/2_exp.npy", "annotations/2_lnd.npy", "images/2.jpg"])
def test_a_pipe_or_a_folder_in_place_of_a_file_rejects_its_row(tmp_path, part):
    for number, make in ((2, os.mkfifo), (3, os.mkdir)):
        put_face(tmp_path / "in", 1)
        put_face(tmp_path / "in", number)
        path = tmp_path / "in/train_set" / part.replace("2", str(number))
        path.unlink()
        make(path)
    dataset, summary = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/1"]
    assert summary.rejected.total() == 2


def test_a_row_is_what_the_files_say(tmp_path):
    row = only_row(tmp_path)
    assert (row["face_id"], row["image"], row["box"]) == ("train/7", "train_set/images/7.jpg", None)
    assert (row["split"], row["expression_origin"], row["affect_origin"]) == ("train",) + (
        "human",
    ) * 2
    assert row["landmarks"] == POINTS.tolist()


def test_rows_come_in_the_order_of_their_numbers_and_both_sets_share_them(tmp_path):
    for number in (10, 9, 100):
        put_face(tmp_path / "in", number)
    put_face(tmp_path / "in", 9, folder="val_set", exp="9", val="-2", aro="-2")
    dataset, _ = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/9", "train/10", "train/100", "val/9"]
    last = dataset.faces.to_pylist()[-1]
    assert (last["split"], last["expression"], last["valence"]) == ("validation", "uncertain", None)
    assert dataset.info.crop is None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"exp": "happyish"}, "unknown expression"),
        ({"exp": 6.5}, "unknown expression"),
        ({"exp": np.inf}, "unknown expression"),
        ({"exp": -np.inf}, "unknown expression"),
        ({"exp": np.nan}, "unknown expression"),
        ({"exp": "9" * 5000}, "unknown expression"),
        ({"exp": np.datetime64("2020-01-01")}, "annotation that cannot be read"),
        ({"exp": np.timedelta64(5, "s")}, "annotation that cannot be read"),
        ({"exp": True}, "annotation that cannot be read"),
        ({"exp": 1j}, "annotation that cannot be read"),
        ({"exp": np.zeros(0)}, "unknown expression"),
        ({"exp": np.ones((2, 2, 2))}, "unknown expression"),
        ({"exp": np.zeros(1, [("a", "<f8")])}, "annotation that cannot be read"),
        ({"val": "x"}, "valence or arousal that is no number"),
        ({"val": "0_1"}, "valence or arousal that is no number"),
        ({"val": "9" * 5000}, "valence or arousal outside [-1, 1]"),
        ({"val": np.inf}, "valence or arousal outside [-1, 1]"),
        ({"val": [1.0, 0.5]}, "annotation that cannot be read"),
        ({"val": "3"}, "valence or arousal outside [-1, 1]"),
        ({"val": None}, "only one of valence and arousal"),
        ({"lnd": np.zeros(10)}, "annotation that cannot be read"),
        ({"lnd": 5.0}, "annotation that cannot be read"),
        ({"lnd": np.zeros((2, 68))}, "annotation that cannot be read"),
        ({"lnd": np.zeros((4, 17, 2))}, "annotation that cannot be read"),
        ({"lnd": np.full(136, "1")}, "annotation that cannot be read"),
        ({"lnd": np.full(136, 1e300)}, "landmarks farther away than any pixel"),
        ({"lnd": np.zeros(9_000)}, "annotation that cannot be read"),
        ({"lnd": np.full(136, np.nan)}, "landmarks that are not finite"),
        ({"exp": np.array({"a": 1}, object)}, "annotation that cannot be read"),
    ],
)
def test_dirt_rejects_its_row_only(tmp_path, values, reason):
    put_face(tmp_path / "in", 1)
    put_face(tmp_path / "in", 2, **values)
    dataset, summary = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/1"]
    assert summary.rejected == {reason: 1}


HEAD = b"\x93NUMPY\x01\x00"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        HEAD + b"\x80",
        HEAD + b"\xff\xff{",
        b"PK\x03\x04junk",
        b"text",
        None,
        b"\x93NUMPY\x03\x00" + bytes(200),
        *(
            HEAD + len(header).to_bytes(2, "little") + header + bytes(8)
            for header in (
                b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }",
                b"{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
                b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }" % (b"9" * 5000),
                b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
                b"{'descr': '<f8', 'fortran_order': False, 'shape': ((((((((",
                b"{'descr':\0'<f8', 'fortran_order': False, 'shape': (), }",
                b"{'descr': '|O', 'fortran_order': False, 'shape': (), }",
                b"{'descr': '<f3', 'fortran_order': False, 'shape': (), }",
                b"{'descr': '<U999999999', 'fortran_order': False, 'shape': (), }",
                b"{1: 2, b'x': 3}",
                b"(" * 2000,
            )
        ),
    ],
)
def test_a_broken_file_rejects_its_row_only(tmp_path, content):
    put_face(tmp_path / "in", 1)
    put_face(tmp_path / "in", 2)
    path = tmp_path / "in/train_set/annotations/2_aro.npy"
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    dataset, summary = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/1"]
    assert summary.rejected == {"annotation that cannot be read": 1}


def test_pictures_and_annotations_without_each_other_are_named(tmp_path):
    for number in (1, 2):
        put_face(tmp_path / "in", number)
    (tmp_path / "in/train_set/images/2.jpg").unlink()
    put_picture(tmp_path / "in/train_set/images/3.jpg", 5)
    put_picture(tmp_path / "in/train_set/images/4.PNG", 5)
    dataset, summary = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["train/1"]
    assert summary.rejected == {"missing picture": 1, "picture without an annotation": 2}


def test_what_is_absent_is_null_and_counted(tmp_path):
    put_face(tmp_path / "in", 1, val=None, aro=None, lnd=None)
    dataset, summary = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    row = dataset.faces.to_pylist()[0]
    assert (row["landmarks"], row["valence"], row["affect_origin"]) == (None, None, None)
    assert summary.warnings == {"no landmarks": 1, "no valence and arousal": 1}


@given(
    hnp.arrays(
        st.sampled_from(
            [np.dtype(code) for code in ("<f8", "<f4", ">f4", "<i8", "u1", "<U3", "S4")]
        ),
        hnp.array_shapes(min_dims=0, max_dims=2, max_side=12),
    )
)
def test_the_fast_reader_agrees_with_numpy(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("npy") / "x.npy"
    np.save(path, values)
    expected, got = np.load(path), read_npy(str(path))
    if expected.size != 1:
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, expected.squeeze())
        return
    expected = expected.reshape(-1)
    if expected.dtype.kind == "S":
        assert got == expected[0].decode("utf-8", "replace")
    elif expected.dtype.kind == "U":
        assert got == expected[0]
    else:
        np.testing.assert_equal(got, float(expected[0]))


@pytest.mark.parametrize("shape", ["1" * 60, "1L" * 40, "1 " * 40, "1," * 5000 + "x"])
def test_a_damaged_shape_is_refused_at_once(tmp_path, shape):
    """A pattern that could match many digits in many ways took for ever."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    start = time.process_time()
    with pytest.raises(ValueError, match="header"):
        read_npy(str(path))
    assert time.process_time() - start < 1


def test_export_gives_numbers_back_and_maps_foreign_ids(tmp_path):
    for number in (5, 12):
        put_face(tmp_path / "in", number)
    put_face(tmp_path / "in", 5, folder="val_set")
    dataset, _ = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    summary = export_dataset("affectnet8", dataset, tmp_path / "out")
    assert summary.notes == []
    assert not (tmp_path / "out" / "ids.csv").exists()
    # An id that says train while the split says otherwise is foreign.
    moved = dataset.with_column("split", ["validation", "train", "validation"])
    summary = export_dataset("affectnet8", moved, tmp_path / "moved")
    with open(tmp_path / "moved" / "ids.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == [["val_set", "6", "train/5"]]
    again, _ = import_dataset("affectnet8", tmp_path / "moved", tmp_path / "again")
    assert again.ids == ["train/12", "val/5", "val/6"]


def test_a_whole_picture_of_the_right_size_is_copied_byte_for_byte(tmp_path):
    put_face(tmp_path / "in", 5)
    dataset, _ = import_dataset("affectnet8", tmp_path / "in", tmp_path / "d")
    export_dataset("affectnet8", dataset, tmp_path / "out")
    made = (tmp_path / "out/train_set/images/5.jpg").read_bytes()
    assert made == picture(3, ".jpg", (224, 224))


def test_a_box_is_cropped_and_its_landmarks_move_along(tmp_path):
    box = (10.0, 8.0, 20.0, 20.0)
    points = np.tile([box[0] + box[2] / 2, box[1] + box[3] / 2], 68)
    dataset = make_dataset(tmp_path / "d", 1, box=box, landmarks=points)
    pixels = np.zeros((40, 48, 3), np.uint8)
    pixels[17:20, 19:22] = 255  # about the middle of the box
    dataset.image_paths[0].write_bytes(encode_image(pixels))
    export_dataset("affectnet8", dataset, tmp_path / "out", picture="png")
    made = read_image(tmp_path / "out/train_set/images/0.png")
    assert made.shape == (224, 224, 3)
    # The middle of the box is the middle of the crop, whose side is 1.3 × 20 = 26 pixels.
    back, _ = import_dataset("affectnet8", tmp_path / "out", tmp_path / "back")
    assert back.lists("landmarks") == pytest.approx(np.full((1, 136), 112.0))
    side = 224 / 26
    bright = np.argwhere(made[:, :, 0] > 127).mean(axis=0)
    assert bright == pytest.approx([112 + side / 2] * 2, abs=1)
    area = (made[:, :, 0] > 127).sum()
    assert area == pytest.approx((3 * side) ** 2, rel=0.05)


def test_rows_of_other_classes_are_left_out(tmp_path):
    dataset = make_dataset(tmp_path / "d", 4)
    labels = dataset.with_column("expression", ["happy", "none", None, "sad"])
    summary = export_dataset("affectnet8", labels, tmp_path / "out")
    assert summary.rows == 2
    assert summary.left_out == {
        "expression is not one of the eight: none": 1,
        "expression is not one of the eight: None": 1,
    }


def test_another_release_is_told_apart(tmp_path):
    dataset = make_dataset(tmp_path / "d", 3)
    export_dataset("affectnet-plus", dataset, tmp_path / "plus")
    with pytest.raises(FormatError, match="looks like affectnet-plus"):
        import_dataset("affectnet8", tmp_path / "plus", tmp_path / "x")
