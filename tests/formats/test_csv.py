"""CSV: names of columns, where pictures lie, and every kind of bad cell."""

from __future__ import annotations

import csv

import pytest

from format_builders import bytes_by_id, make_dataset, put_picture, rows_by_id
from openaffect.errors import FormatError, InputError
from openaffect.formats import export_dataset, import_dataset
from openaffect.schemas import FACES


def make_table(folder, lines, pictures=("a.png", "b.png"), name="labels.csv", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        put_picture(folder / picture, number)
    (folder / name).write_text("\n".join([*lines, ""]), encoding=encoding)
    return folder / name


def import_table(tmp_path, lines, **options):
    table = make_table(tmp_path / "in", lines)
    return import_dataset("csv", table, tmp_path / "d", **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_aliases_delimiters_and_a_byte_order_mark(tmp_path, delimiter, encoding):
    lines = [
        ["File Name", "Label", "VAL", "aro", "face_x", "face_y", "face_width", "face_height"],
        ["a.png", "Happiness", "0.5", "0.1", "1", "2", "10", "12"],
        ["./b.png", "6", "-2", "-2", "", "", "", ""],
    ]
    table = make_table(tmp_path / "in", map(delimiter.join, lines), encoding=encoding)
    dataset, summary = import_dataset("csv", table, tmp_path / "d")
    first, second = dataset.faces.to_pylist()
    assert (first["face_id"], first["expression"], first["box"]) == ("a", "happy", [1, 2, 10, 12])
    assert (first["valence"], first["affect_origin"]) == (0.5, "human")
    assert (second["face_id"], second["expression"], second["box"]) == ("b", "anger", None)
    assert (second["valence"], second["arousal"], second["affect_origin"]) == (None, None, None)
    assert len(summary.notes) == 1
    assert "AffectNet's ids" in summary.notes[0]


@pytest.mark.parametrize(
    ("header", "cells", "reason"),
    [
        ("expression", "hapy", "unknown expression"),
        ("valence,arousal", "1.2,0", "valence or arousal outside [-1, 1]"),
        ("valence,arousal", "nan,0", "valence or arousal outside [-1, 1]"),
        ("valence,arousal", "-2,0.5", "valence or arousal outside [-1, 1]"),
        ("valence,arousal", "0.5,", "only one of valence and arousal"),
        ("valence,arousal", "much,0", "valence that is no number"),
        ("x,y,w,h", "NULL,NULL,NULL,NULL", "box that is no number"),
        ("x,y,w,h", "1,1,0,5", "box without a size"),
        ("x,y,w,h", "1,1,-3,5", "box without a size"),
        ("x,y,w,h", "1,,3,5", "box that is no number"),
        ("landmarks", "1;2;3", "landmarks that are not 136 numbers"),
        ("votes", "1;x", "votes that are no numbers"),
        ("votes", "0;0;0;0;0;0;0;0;0;0;70000", "votes outside 0 to 65535"),
        ("split", "trian", "unknown split"),
        ("extra", "not json", "extra that is no JSON object"),
        ("extra", "[1]", "extra that is no JSON object"),
        ("expression", "happy,sad", "more fields than the header"),
    ],
)
def test_a_bad_cell_rejects_its_row_only(tmp_path, header, cells, reason):
    dataset, summary = import_table(tmp_path, [f"image,{header}", f"a.png,{cells}", "b.png,"])
    assert dataset.ids == ["b"]
    assert summary.rejected == {reason: 1}
    with open(tmp_path / "d" / "rejected.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["labels.csv line 2"]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("gone.png", "missing picture"),
        ("../b.png", "picture path leaves the images folder"),
        ("/b.png", "picture path leaves the images folder"),
        ("empty.jpg", "empty picture (0 bytes)"),
        ("page.jpg", "not a picture (unknown first bytes)"),
        ("a.png", "repeated face_id"),
    ],
)
def test_a_bad_picture_rejects_its_row_only(tmp_path, image, reason):
    table = make_table(tmp_path / "in", ["image", "a.png", image])
    (tmp_path / "in" / "empty.jpg").write_bytes(b"")
    (tmp_path / "in" / "page.jpg").write_bytes(b"<html>")
    dataset, summary = import_dataset("csv", table, tmp_path / "d")
    assert dataset.ids == ["a"]
    assert summary.rejected == {reason: 1}


def test_other_columns_go_to_extra_and_come_back(tmp_path):
    dataset, summary = import_table(tmp_path, ["image,age,wears", "a.png,31,glasses", "b.png,,"])
    assert dataset.faces["extra"].to_pylist() == ['{"age": "31", "wears": "glasses"}', None]
    assert summary.notes == ["columns without a meaning here are kept in extra: age, wears"]
    export_dataset("csv", dataset, tmp_path / "out")
    again, _ = import_dataset("csv", tmp_path / "out", tmp_path / "again")
    assert again.faces["extra"].to_pylist() == dataset.faces["extra"].to_pylist()


def test_pictures_beside_the_table_in_images_or_where_the_option_says(tmp_path):
    lines = ["image", "a.png"]
    make_table(tmp_path / "x", lines, ["images/a.png"])
    assert import_dataset("csv", tmp_path / "x", tmp_path / "dx")[0].ids == ["a"]
    table = make_table(tmp_path / "y", lines, ["pictures/a.png"])
    with pytest.raises(FormatError, match="none of the first 1 is there"):
        import_dataset("csv", table, tmp_path / "dy")
    found, _ = import_dataset("csv", table, tmp_path / "dy", images_folder="pictures")
    assert found.images_folder == tmp_path / "y" / "pictures"
    with pytest.raises(InputError, match="expected a folder of pictures"):
        import_dataset("csv", table, tmp_path / "dz", images_folder="nowhere")


def test_the_fields_list_of_numbers(tmp_path):
    table = make_table(
        tmp_path / "in",
        ["number,exp,val,aro", "7,3,0.1,0.8", "12,9,-2,-2"],
        ["train_set/images/7.jpg", "train_set/images/12.PNG"],
    )
    dataset, summary = import_dataset(
        "csv", table, tmp_path / "d", images_folder="train_set/images", split="train"
    )
    assert dataset.faces["image"].to_pylist() == ["7.jpg", "12.PNG"]
    assert dataset.faces["expression"].to_pylist() == ["surprise", "uncertain"]
    assert dataset.faces["split"].to_pylist() == ["train", "train"]
    assert summary.warnings["picture found under another ending"] == 2


def test_one_table_is_needed(tmp_path):
    make_table(tmp_path / "in", ["image", "a.png"], name="one.csv")
    make_table(tmp_path / "in", ["image", "a.png"], name="two.csv")
    with pytest.raises(FormatError, match=r"one\.csv, two\.csv"):
        import_dataset("csv", tmp_path / "in", tmp_path / "d")
    make_table(tmp_path / "in", ["image", "b.png"], name="labels.csv")
    assert import_dataset("csv", tmp_path / "in", tmp_path / "d")[0].ids == ["b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name;age\nanna;3\n", "a header with a column of pictures"),
        (b"", "a header with a column of pictures"),
        (b"image,\xe4\n", "expected UTF-8"),
    ],
)
def test_files_that_are_no_such_table(tmp_path, content, message):
    table = make_table(tmp_path / "in", ["image"])
    table.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        import_dataset("csv", table, tmp_path / "d")


def test_every_column_comes_back_exactly_even_numbers_without_end(tmp_path):
    third = 1 / 3
    dataset = make_dataset(
        tmp_path / "d", 5, valence=third, arousal=-third, box=(third, 1, 20 * third, 9)
    )
    export_dataset("csv", dataset, tmp_path / "out")
    again, _ = import_dataset("csv", tmp_path / "out", tmp_path / "again")
    assert rows_by_id(again, FACES.names) == rows_by_id(dataset, FACES.names)
    assert bytes_by_id(again) == bytes_by_id(dataset)


def test_two_faces_in_one_picture_share_its_file(tmp_path):
    dataset, _ = import_table(
        tmp_path, ["face_id,image,x,y,w,h", "one,a.png,0,0,9,9", "two,a.png,9,9,9,9"], images="copy"
    )
    assert [path.name for path in (tmp_path / "d" / "images").iterdir()] == ["a.png"]
    export_dataset("csv", dataset, tmp_path / "out")
    again, _ = import_dataset("csv", tmp_path / "out", tmp_path / "again")
    assert rows_by_id(again, FACES.names) == rows_by_id(dataset, FACES.names)


@pytest.mark.real
def test_a_foreign_labelled_folder(test_data, tmp_path):
    dataset, summary = import_dataset("csv", test_data / "photos.zip", tmp_path / "photos")
    counts = {expression: count for (_, expression), count in summary.classes.items()}
    assert counts == {
        "neutral": 900,
        "happy": 900,
        "surprise": 167,
        "sad": 67,
        "anger": 52,
        "disgust": 8,
    }
    assert (summary.rejected.total(), len(dataset)) == (0, 2094)
