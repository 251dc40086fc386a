"""Class folders: spellings, splits, numbers, and ids that never clash."""

from __future__ import annotations

import pytest

from format_builders import make_dataset, put_picture
from openaffect.errors import FormatError, UnknownName
from openaffect.formats import export_dataset, import_dataset


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


def test_a_relabelled_row_moves_to_its_new_folder(tmp_path):
    put_picture(tmp_path / "in/train/sad/a.png")
    dataset, _ = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    export_dataset("folders", dataset.with_column("expression", ["fear"]), tmp_path / "out")
    again, _ = import_dataset("folders", tmp_path / "out", tmp_path / "again")
    assert again.faces["expression"].to_pylist() == ["fear"]
