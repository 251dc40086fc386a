"""Class folders: spellings, splits, numbers, and ids that never clash."""

from __future__ import annotations

import os

import numpy as np
import pytest

from format_builders import make_dataset, put_picture
from openaffect.errors import FormatError, UnknownName
from openaffect.formats import export_dataset, import_dataset
from openaffect.images import encode_image


def labels_of(dataset):
    return {row["face_id"]: (row["expression"], row["split"]) for row in dataset.faces.to_pylist()}


def test_spellings_and_splits(tmp_path):
    for number, place in enumerate(
        ["train/Happiness/a.jpg", "valid/angry/b.PNG", "test/Non-Face/deep/c.tif"]
    ):
        put_picture(tmp_path / "in" / place, number)
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert labels_of(dataset) == {
        "train/Happiness/a": ("happy", "train"),
        "valid/angry/b": ("anger", "validation"),
        "test/Non-Face/deep/c": ("no_face", "test"),
    }
    assert (summary.rejected.total(), summary.notes) == (0, [])


def test_an_unknown_folder_is_rejected_picture_by_picture_with_the_nearest_name(tmp_path):
    put_picture(tmp_path / "in/happy/a.png")
    put_picture(tmp_path / "in/suprise/b.png", 1)
    put_picture(tmp_path / "in/suprise/c.png", 2)
    (tmp_path / "in/happy/notes.txt").write_text("no picture")
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert len(dataset) == 1
    assert summary.rejected == {"unknown expression": 2}
    assert "did you mean surprise?" in (tmp_path / "d" / "rejected.csv").read_text()


def test_numbers_are_affectnets_ids_and_a_note_says_so(tmp_path):
    for number in (0, 3, 10):
        put_picture(tmp_path / f"in/{number}/p.png", number)
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert {label for label, _ in labels_of(dataset).values()} == {"neutral", "surprise", "no_face"}
    assert len(summary.notes) == 1
    assert "(0, 3, 10)" in summary.notes[0]


def test_two_endings_of_one_name_keep_them_in_their_ids(tmp_path):
    for number, name in enumerate(["a.png", "a.jpg", "b.png"]):
        put_picture(tmp_path / "in/sad" / name, number)
    dataset, _ = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["sad/a.jpg", "sad/a.png", "sad/b"]
    export_dataset("folders", dataset, tmp_path / "out")
    again, _ = import_dataset("folders", tmp_path / "out", tmp_path / "again")
    assert again.ids == dataset.ids


def test_origin_is_an_option(tmp_path):
    put_picture(tmp_path / "in/sad/a.png")
    dataset, _ = import_dataset("folders", tmp_path / "in", tmp_path / "d", origin="model")
    assert dataset.faces["expression_origin"].to_pylist() == ["model"]
    with pytest.raises(UnknownName, match="modell"):
        import_dataset("folders", tmp_path / "in", tmp_path / "e", origin="modell")


def test_folders_of_other_names_are_not_this_format(tmp_path):
    put_picture(tmp_path / "in/cats/a.png")
    with pytest.raises(FormatError, match="found cats/"):
        import_dataset("folders", tmp_path / "in", tmp_path / "d")


def test_export_leaves_rows_without_a_label_out_and_says_so(tmp_path):
    dataset = make_dataset(tmp_path / "d", 6)
    values = dataset.faces["expression"].to_pylist()
    summary = export_dataset(
        "folders", dataset.with_column("expression", [None, *values[1:]]), tmp_path / "out"
    )
    assert (summary.rows, summary.left_out) == (5, {"no expression": 1})


@pytest.mark.parametrize(("images", "linked", "count"), [("copy", False, 6), ("link", True, 6)])
def test_export_copies_or_links(tmp_path, images, linked, count):
    dataset = make_dataset(tmp_path / "d", 6)
    export_dataset("folders", dataset, tmp_path / "out", images=images)
    files = [path for path in (tmp_path / "out").rglob("*.*") if not path.is_dir()]
    assert len(files) == count
    assert {path.is_symlink() for path in files} == {linked}


def test_a_relabeled_row_moves_to_its_new_folder(tmp_path):
    put_picture(tmp_path / "in/train/sad/a.png")
    dataset, _ = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    export_dataset("folders", dataset.with_column("expression", ["fear"]), tmp_path / "out")
    again, _ = import_dataset("folders", tmp_path / "out", tmp_path / "again")
    assert again.faces["expression"].to_pylist() == ["fear"]


@pytest.mark.parametrize(
    ("place", "label"),
    [
        ("happy/train", ("happy", "train")),
        ("Sad/Valid", ("sad", "validation")),
        ("happy/test/deep", ("happy", "test")),
        ("fear/session 1/Validation", ("fear", "validation")),
        ("val/anger", ("anger", "validation")),
        ("test/4 - Happy", ("happy", "test")),
        ("0 - neutral", ("neutral", None)),
        ("03_Sad", ("sad", None)),
        ("4. Fear/train", ("fear", "train")),
        ("PrivateTest/happy", ("happy", "test")),
    ],
)
def test_split_and_label_stand_in_any_order(tmp_path, place, label):
    put_picture(tmp_path / "in" / place / "a.png")
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert labels_of(dataset) == {f"{place}/a": label}
    assert summary.warnings == {}
    assert len(summary.notes) == any(part[0].isdigit() for part in place.split("/"))


def test_a_second_split_is_counted_and_the_first_rules(tmp_path):
    put_picture(tmp_path / "in/train/happy/test/a.png")
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert labels_of(dataset) == {"train/happy/test/a": ("happy", "train")}
    assert summary.warnings == {"two splits above a picture (the first counts)": 1}


def test_no_picture_vanishes_without_a_word(tmp_path):
    put_picture(tmp_path / "in/happy/a.png")
    for number, name in enumerate(("noending", "b.jfif", "c.jpe", "d.heic", "Thumbs.db")):
        data = encode_image(np.full((8, 8, 3), number, np.uint8), ".jpg")
        (tmp_path / "in/happy" / name).write_bytes(b"other" if number > 2 else data)
    put_picture(tmp_path / "in/train/e.png", 1)
    put_picture(tmp_path / "in/f.png", 2)
    put_picture(tmp_path / "in/.cache/happy/g.png", 3)
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["happy/a", "happy/b", "happy/c", "happy/noending"]
    assert summary.rejected == {
        "picture outside the folders of expressions": 2,
        "not a picture (unknown first bytes)": 1,
    }
    assert summary.notes == ["files that are no pictures were not read (1): happy/Thumbs.db"]


def test_deep_folders_loops_and_pipes_end(tmp_path):
    put_picture(tmp_path / "in/happy/a.png")
    os.mkfifo(tmp_path / "in/happy/b.png")
    (tmp_path / "in/happy/loop").symlink_to(tmp_path / "in")
    here = os.getcwd()
    os.chdir(tmp_path / "in/happy")
    for _ in range(100):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert dataset.ids == ["happy/a"]
    assert summary.rejected == {
        "unreadable picture (a pipe or a device)": 1,
        "folder below 64 others": 1,
    }


def test_a_name_that_is_no_unicode_is_rejected(tmp_path):
    put_picture(tmp_path / "in/happy/a.png")
    bad = os.fsencode(tmp_path / "in/happy") + b"/\xff.png"
    os.rename(put_picture(tmp_path / "in/happy/b.png", 1), bad)
    dataset, summary = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    assert (dataset.ids, summary.rejected) == (["happy/a"], {"text that is not valid Unicode": 1})
    assert "\\udcff" in (tmp_path / "d" / "rejected.csv").read_text()


@pytest.mark.parametrize("split", [None, "train"])
def test_ids_that_look_like_splits_or_hidden_files_come_back_whole(tmp_path, split):
    dataset = make_dataset(tmp_path / "d", 6, split=split)
    ids = ["test/a", "x/val/b", ".c", "__d/e", "sad/test/f", "train/g"]
    export_dataset("folders", dataset.with_column("face_id", ids), tmp_path / "out")
    back, summary = import_dataset("folders", tmp_path / "out", tmp_path / "back")
    assert (len(back), summary.rejected.total()) == (6, 0)
    assert {label for _, label in labels_of(back).values()} == {split}
    expected = sorted(dataset.faces["expression"].to_pylist())
    assert sorted(back.faces["expression"].to_pylist()) == expected


def test_an_unknown_layout_shows_what_lies_below(tmp_path):
    put_picture(tmp_path / "in/data/cats/a.png")
    with pytest.raises(FormatError, match=r"found data/ \(cats/ \(a.png\)\)"):
        import_dataset("folders", tmp_path / "in", tmp_path / "d")
