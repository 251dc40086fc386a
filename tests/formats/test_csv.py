"""CSV: names of columns, where pictures lie, and every kind of bad cell."""

from __future__ import annotations

import csv
import os

import pytest

from format_builders import bytes_by_id, make_dataset, put_picture, rows_by_id
from openaffect.analysis.table import collect_rows
from openaffect.cli import main
from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.formats import export_dataset, import_dataset
from openaffect.labels import Expression
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


def test_other_columns_stay_columns_of_their_type_and_come_back(tmp_path):
    header = "image,age,wears,score,zip,width"
    rows = ["a.png,31,glasses,1.5,007,48", "b.png,,,-1e-3,12,", "c.png, 40 ,7,2,,50"]
    put_picture(tmp_path / "in/c.png")
    dataset, summary = import_table(tmp_path, [header, *rows])
    found = {name: dataset.faces[name] for name in ("age", "wears", "score", "zip", "width")}
    assert {name: (str(column.type), column.to_pylist()) for name, column in found.items()} == {
        "age": ("int64", [31, None, 40]),
        "wears": ("string", ["glasses", None, "7"]),
        "score": ("double", [1.5, -1e-3, 2.0]),
        "zip": ("string", ["007", "12", None]),
        "width": ("int32", [48, None, 50]),
    }
    assert summary.notes == [
        "columns without a meaning here are kept as they are: age, wears, score, zip, width"
    ]
    exported = export_dataset("csv", dataset, tmp_path / "out")
    assert exported.dropped == ()
    again, _ = import_dataset("csv", tmp_path / "out", tmp_path / "again")
    assert again.faces.equals(dataset.faces)


def test_a_cell_that_a_known_column_cannot_hold_is_rejected(tmp_path):
    dataset, summary = import_table(
        tmp_path, ["image,width", "a.png,48", "b.png,wide", "c.png,1e3"]
    )
    assert dataset.ids == ["a"]
    assert summary.rejected == {"cell that is no number": 2}


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
def test_a_foreign_labeled_folder(test_data, tmp_path):
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


# ---------------------------------------------------------------- what columns mean


def import_lines(tmp_path, lines, size=(40, 48), encoding="utf-8", **options):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        put_picture(folder / name, number, size)
    data = lines if isinstance(lines, bytes) else "\n".join([*lines, ""]).encode(encoding)
    (folder / "t.csv").write_bytes(data)
    return import_dataset("csv", folder / "t.csv", tmp_path / "d", **options)


@pytest.mark.parametrize(
    ("header", "row", "box"),
    [
        ("left,top,right,bottom", "4,6,14,26", [4, 6, 10, 20]),
        ("left,top,right,bottom,width,height", "4,6,14,26,48,40", [4, 6, 10, 20]),
        ("width,height,xmin,ymin,xmax,ymax", "48,40,4,6,14,26", [4, 6, 10, 20]),
        ("X_Min,Y_Min,X_Max,Y_Max", "4,6,14,26", [4, 6, 10, 20]),
        ("x1,y1,x2,y2", "4,6,14,26", [4, 6, 10, 20]),
        ("x0,y0,x1,y1", "4,6,14,26", [4, 6, 10, 20]),
        ("left,top,width,height", "4,6,14,26", [4, 6, 14, 26]),
        ("x,y,width,height", "4,6,14,26", [4, 6, 14, 26]),
        ("x,y,width,height", "0,0,48,40", [0, 0, 48, 40]),
        ("box_x,box_y,box_w,box_h", "4,6,14,26", [4, 6, 14, 26]),
        ("x,y,w,h,left,top,right,bottom", "4,6,10,20,4,6,13,25", [4, 6, 10, 20]),
        ("x,y,w,h,left,top,right,bottom", ",,,,4,6,14,26", [4, 6, 10, 20]),
        ("width,height", "48,40", None),
    ],
)
def test_the_ways_to_state_a_box(tmp_path, header, row, box):
    dataset, _ = import_lines(tmp_path, [f"image,{header}", f"a.png,{row}"])
    assert dataset.faces["box"].to_pylist() == [box]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("x,y,width,height", "4,6,48,40", "sizes of the pictures"),
        ("left,top,width,height", "0,6,48,40", "sizes of the pictures"),
        ("x,y,w,h", "0.1,0.2,0.5,0.5", "fractions"),
        ("x1,y1,x2,y2", "0.1,0.2,0.5,1", "fractions"),
        ("x,y,w,h,left,top,right,bottom", "4,6,10,20,4,6,16,26", "different boxes in t.csv line 2"),
    ],
)
def test_a_box_of_unclear_meaning_is_refused_with_the_way_to_say_it(tmp_path, header, row, message):
    with pytest.raises(FormatError, match=f"{message}.*--column"):
        import_lines(tmp_path, [f"image,{header}", f"a.png,{row}"])
    assert not (tmp_path / "d").exists()
    dataset, _ = import_dataset("csv", tmp_path / "in/t.csv", tmp_path / "d", columns={"x": ""})
    assert dataset.faces["box"].to_pylist() == [None]


def test_columns_are_named_in_the_options(tmp_path):
    lines = ["Bild;Gefühl;links;oben;rechts;unten", "a.png;froh;1;2;11;22", "b.png;happy;1;2;11;22"]
    corners = {"left": "links", "top": "Oben", "right": "rechts", "bottom": "unten"}
    dataset, summary = import_lines(
        tmp_path, lines, columns={"image": "Bild", "expression": "gefühl", **corners}
    )
    row = dataset.faces.to_pylist()[0]
    assert (row["face_id"], row["expression"], row["box"]) == ("b", "happy", [1, 2, 10, 20])
    assert (summary.rejected, summary.notes) == ({"unknown expression": 1}, [])


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (None, FormatError, "--column image=NAME"),
        ({"image": "Bilt"}, UnknownName, "did you mean 'Bild'"),
        ({"imagee": "Bild"}, UnknownName, "did you mean 'image'"),
        ({"image": "Bild", "x": "links"}, InputError, "no column for y, w, h"),
        ({"image": ""}, FormatError, "--column image=NAME"),
        ("image=Bild", InputError, "expected columns"),
    ],
)
def test_columns_that_are_not_there(tmp_path, columns, error, message):
    with pytest.raises(error, match=message):
        import_lines(tmp_path, ["Bild,links", "a.png,3"], columns=columns)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("image,emotion,label", "a.png,happy,3", "'label' and 'emotion'.*line 2: 3 and happy"),
        ("image,label,label", "a.png,happy,sad", "expression.*line 2"),
        ("image,path", "a.png,b.png", "image.*line 2"),
        ("image,val,valence,arousal", "a.png,0.5,0.25,0", "valence.*line 2"),
        ("image,split,set", "a.png,train,test", "split.*line 2"),
    ],
)
def test_two_columns_that_differ_are_refused(tmp_path, header, row, message):
    with pytest.raises(FormatError, match=f"{message}.*--column"):
        import_lines(tmp_path, [header, row])


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,emotion,label", "a.png,happiness,1"),
        ("image,emotion,label", "a.png,,Happy"),
        ("number,image,label", "1,a.png,happy"),
        ("image,path,label,val,valence,aro", "a.png,./a.png,happy,0.50,.5,0.1"),
    ],
)
def test_two_columns_that_say_the_same_are_fine(tmp_path, header, row):
    dataset, _ = import_lines(tmp_path, [header, row])
    assert dataset.faces["image"].to_pylist() == ["a.png"]
    assert dataset.faces["expression"].to_pylist() == ["happy"]
    dataset, _ = import_dataset(
        "csv", tmp_path / "in/t.csv", tmp_path / "e", columns={"expression": "label"}
    )
    assert dataset.faces["expression"].to_pylist() == ["happy"]


def test_kaggles_affectnet_list(tmp_path):
    lines = [",pth,label,relFCs", "0,anger/a.png,surprise,0.87", "1,happy/b.png,happy,0.9"]
    table = make_table(tmp_path / "in", lines, ["anger/a.png", "happy/b.png"])
    dataset, summary = import_dataset("csv", table.parent, tmp_path / "d")
    assert dataset.ids == ["anger/a", "happy/b"]
    assert dataset.faces["expression"].to_pylist() == ["surprise", "happy"]
    assert summary.rejected == {}


# ---------------------------------------------------------------- decimal commas


def test_decimal_commas_are_told_by_the_column(tmp_path):
    lines = [
        "image;valence;arousal;x;y;w;h",
        "a.png;0,5;-0,125;1,5;2;10;20,25",
        "b.png;1;0;1;2;9;9",
    ]
    dataset, summary = import_lines(tmp_path, lines)
    first, second = dataset.faces.to_pylist()
    assert (first["valence"], first["arousal"]) == (0.5, -0.125)
    assert first["box"] == [1.5, 2, 10, 20.25]
    assert (second["valence"], second["box"]) == (1, [1, 2, 9, 9])
    assert summary.notes == ["the numbers of x, h, valence, arousal have decimal commas"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("12,5", "1.234"), "with a comma.*with a point"),
        (("1.234", "12,5"), "with a comma.*with a point"),
        (("1,234", "2,345"), "decimals or thousands"),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_refused(tmp_path, cells, message):
    rows = [f"{name}.png;{cell};2;9;9" for name, cell in zip("ab", cells, strict=True)]
    with pytest.raises(FormatError, match=message):
        import_lines(tmp_path, ["image;x;y;w;h", *rows])


@pytest.mark.parametrize("cell", ["1,234,567", "1.234,5", "0,5,", "a,5", "1_0"])
def test_what_is_no_number_with_a_comma_either_is_rejected(tmp_path, cell):
    lines = ["image;valence;arousal", f"a.png;{cell};0,5", "b.png;0,25;0,5"]
    dataset, summary = import_lines(tmp_path, lines)
    assert dataset.faces["valence"].to_pylist() == [0.25]
    assert summary.rejected == {"valence that is no number": 1}


# ---------------------------------------------------------------- damaged tables


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.png,happy,0\0", "valence that is no number"),
        (b"a\0.png,happy,", "name with a zero character"),
        (b"a.png,happy," + b"0" * 200_000, "line that is no CSV"),
        (b"a.png,happy," + b"x" * 10_000_000, "line that is no CSV"),
        (b'a.png,"happy"x,', "line that is no CSV"),
        (b"a.png,h\xe4ppy,", "line that is not UTF-8; save the file as UTF-8"),
        (b"a.png,happy,," + b"," * 50, "more fields than the header"),
        (b"a.png," + b"x" * 100_000 + b",", "unknown expression"),
        (b"a.png," + b"9" * 5_000 + b",", "unknown expression"),
        (b"a" * 2_000 + b".png,happy,", "face_id of more than 1,000 characters"),
        (b",happy,", "no face_id"),
        (b'a.png,happy,,"{""a"": ""\\ud800""}"', "extra that is no JSON object"),
        (b'a.png,happy,,"{""a"":' + b"[" * 9_000 + b'"', "extra that is no JSON object"),
        (b'a.png,happy,,"{""a"":' + b"9" * 5_000 + b'}"', "extra that is no JSON object"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_damaged_line_is_rejected_alone(tmp_path, line, reason, end):
    data = end.join([b"image,label,valence,extra", line, b"", b"b.png,sad,,", b""])
    dataset, summary = import_lines(tmp_path, data)
    assert dataset.ids == ["b"]
    assert summary.rejected == {reason: 1}


def test_a_quote_that_is_never_closed_swallows_no_row_unseen(tmp_path):
    lines = ["image,label,note", "a.png,happy,fine", 'b.png,sad,"open']
    dataset, summary = import_lines(tmp_path, [*lines, *(f"{n}.png,sad,x" for n in range(3))])
    assert dataset.ids == ["a"]
    assert summary.rejected == {"line that is no CSV": 1}


def test_a_row_of_endless_quoted_lines_is_bounded(tmp_path):
    row = b'"' + b'","'.join([(b"x" * 2_000 + b"\n") * 60] * 40) + b'"\n'
    dataset, summary = import_lines(tmp_path, b"image,label\na.png,happy\n" + row + b"b.png,sad\n")
    assert {"a", "b"} >= {*dataset.ids} >= {"a"}
    assert summary.rejected["line that is no CSV"] >= 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_with_its_mark(tmp_path, encoding):
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    data = mark + "image\tlabel\tNäme\na.png\thappy\tJürgen\n".encode(encoding)
    dataset, _ = import_lines(tmp_path, data)
    assert dataset.faces["näme"].to_pylist() == ["Jürgen"]
    (tmp_path / "in/t.csv").write_bytes(data + b"\xd8")
    with pytest.raises(FormatError, match="UTF-16"):
        import_dataset("csv", tmp_path / "in/t.csv", tmp_path / "e")


@pytest.mark.parametrize("data", [b"", b"\n\n\n", b"\xff\xfe", b"\0" * 3_000_000, b"x" * 3_000_000])
def test_no_header_is_an_error_of_one_line(tmp_path, data):
    with pytest.raises(FormatError, match="expected a header") as caught:
        import_lines(tmp_path, data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_65536_votes_are_one_too_many(tmp_path):
    votes = [f"{n};0;0;0;0;0;0;0;0;0;0" for n in (65_535, 65_536)]
    dataset, summary = import_lines(
        tmp_path, ["image,votes", *(f"{i}.png,{v}" for i, v in zip("ab", votes, strict=True))]
    )
    assert dataset.faces["votes"].to_pylist() == [[65_535, *[0] * 10]]
    assert summary.rejected == {"votes outside 0 to 65535": 1}


@pytest.mark.parametrize(
    ("header", "cell", "reason"),
    [
        ("soft_label", "1;0;0;0;0;0;0;nan", "soft labels that are no shares"),
        ("soft_label", "2;-1;0;0;0;0;0;0", "soft labels that are no shares"),
        ("votes", "9" * 5_000, "votes that are no numbers"),
        ("votes", "1;2", "votes that are not 11 numbers"),
        ("landmarks", ";".join(["1e300"] * 136), "landmarks farther away than any pixel"),
        ("landmarks", ";".join(["inf"] * 136), "landmarks that are not finite"),
        ("x,y,w,h", "1,1,1e300,5", "box without a size"),
        ("x,y,w,h", "1,1,1e-300,5", "box without a size"),
        ("label,expression_origin", "happy,nobody", "unknown origin"),
    ],
)
def test_values_that_no_column_can_hold(tmp_path, header, cell, reason):
    dataset, summary = import_lines(tmp_path, [f"image,{header}", f"a.png,{cell}", "b.png,"])
    assert dataset.ids == ["b"]
    assert summary.rejected == {reason: 1}


def test_a_soft_label_of_a_table_is_normalized_like_any_other(tmp_path):
    dataset, summary = import_lines(tmp_path, ["image,soft_label", "a.png,3;1;0;0;0;0;0;0"])
    assert dataset.faces["soft_label"].to_pylist() == [[0.75, 0.25, 0, 0, 0, 0, 0, 0]]
    assert summary.warnings == {"soft label normalized to sum 1": 1}


def test_a_table_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(FormatError, match="no regular file"):
        import_dataset("csv", tmp_path / "t.csv", tmp_path / "d")
    with pytest.raises(InputError, match="pipe or a device"):
        import_dataset("csv", tmp_path, tmp_path / "d")


# ---------------------------------------------------------------- what analyze wrote

FOUND = {"status": "ok", "face_index": 0, "expression": "happy", "valence": 0.5, "arousal": 0.25}
BOX = [1.5, 2.25, 10.0, 20.0]


def make_analysis(path, sources, **more):
    rows = [
        {**FOUND, "source": sources[0], "box": BOX, "landmarks": [0.5] * 136, **more},
        {**FOUND, "source": sources[0], "face_index": 1, "box": BOX, "expression": None, **more},
        {**FOUND, "source": sources[1], "box": BOX, **more},
        {"source": "gone.png", "status": "error", "error": "it is: empty"},
        {"source": sources[1], "status": "no_face_found"},
        {**FOUND, "source": "film.mp4", "frame": 3, "box": BOX},
        {**FOUND, "source": "https://example.org/a.png", "box": BOX},
    ]
    collect_rows(rows, [Expression.HAPPY, Expression.SAD], {}).save(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_an_analysis_becomes_faces_labeled_by_a_model(tmp_path, suffix, monkeypatch):
    for number, name in enumerate(("photos/a.png", "photos/b.png")):
        put_picture(tmp_path / name, number)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    table = make_analysis(tmp_path / f"results/x{suffix}", ["photos/a.png", "photos/b.png"])
    dataset, summary = import_dataset("csv", table, tmp_path / "d")
    assert dataset.ids == ["photos/a", "photos/a#1", "photos/b"]
    first, second, _ = dataset.faces.to_pylist()
    assert (first["box"], first["landmarks"]) == (BOX, [0.5] * 136)
    assert (first["expression"], first["expression_origin"]) == ("happy", "model")
    assert (first["valence"], first["arousal"], first["affect_origin"]) == (0.5, 0.25, "model")
    assert (second["expression"], second["expression_origin"]) == (None, None)
    assert summary.rejected == {
        "analysis failed": 1,
        "no face found": 1,
        "frame of a video, which is not a picture": 1,
        "missing picture": 1,
    }


@pytest.mark.parametrize("start", ["absolute", "climbing"])
def test_an_analysis_of_pictures_elsewhere(tmp_path, start, monkeypatch):
    for number, name in enumerate(("photos/x/a.png", "photos/b.png")):
        put_picture(tmp_path / name, number)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    prefix = str(tmp_path) if start == "absolute" else ".."
    table = make_analysis(
        tmp_path / "x.csv", [f"{prefix}/photos/x/a.png", f"{prefix}/photos/b.png"]
    )
    dataset, _ = import_dataset("csv", table, tmp_path / "d")
    assert dataset.ids == ["x/a", "x/a#1", "b"]
    assert dataset.images_folder == tmp_path / "photos"


def test_absolute_paths_of_any_table_lie_in_the_folder_that_is_named(tmp_path):
    put_picture(tmp_path / "photos/a.png")
    table = make_table(
        tmp_path / "in", ["image", f"{tmp_path}/photos/a.png", f"{tmp_path}/in/a.png"]
    )
    dataset, summary = import_dataset(
        "csv", table, tmp_path / "d", images_folder=tmp_path / "photos"
    )
    assert (dataset.ids, dataset.images_folder) == (["a"], tmp_path / "photos")
    assert summary.rejected == {"picture path leaves the images folder": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"image": 1', "line that is no JSON object"),
        (b"[1]", "line that is no JSON object"),
        (b'{"image": "\\ud800"}', "line that is no JSON object"),
        (b'{"image": ' + b"[" * 90_000, "line that is no JSON object"),
        (b'{"image": "a.png", "other": 1}', "names that the first line does not have"),
        (b'{"image": "a.png", "box": [1, 2]}', "box that is not four numbers"),
        (b'{"image": "a.png", "box": [1, 2, [3], {}]}', "box that is no number"),
        (b"\xff", "line that is no JSON object"),
        (b"x" * 3_000_000, "line that is no JSON object"),
    ],
)
def test_a_bad_json_line_is_rejected_alone(tmp_path, line, reason):
    put_picture(tmp_path / "b.png")
    (tmp_path / "t.jsonl").write_bytes(b'{"image": "b.png", "box": null}\n' + line + b"\n")
    dataset, summary = import_dataset("csv", tmp_path / "t.jsonl", tmp_path / "d")
    assert (dataset.ids, summary.rejected) == (["b"], {reason: 1})


def test_a_damaged_parquet_file_is_an_error_of_one_line(tmp_path):
    put_picture(tmp_path / "photos/a.png")
    table = make_analysis(tmp_path / "x.parquet", ["photos/a.png", "photos/a.png"])
    good = table.read_bytes()
    assert import_dataset("csv", table, tmp_path / "d")[1].rows == 2
    refused = 0
    for place in range(len(good) - 700, len(good), 3):
        table.write_bytes(good[:place] + b"\xc5" + good[place + 1 :])
        try:
            import_dataset("csv", table, tmp_path / "d", overwrite=True)
        except InputError:  # and nothing else
            refused += 1
    assert refused > 20


def test_the_command_line_names_columns_and_says_what_became_of_them(tmp_path, capsys):
    lines = ["Bild;Gefühl;x;y;w;h", "a.png;happy;1,5;2;9;9", "b.png;hapy;1;2;9;9"]
    table = make_table(tmp_path / "in", lines)
    wish = ["--column", "image=Bild", "--column", "expression=gefühl"]
    assert main(["import", "csv", str(table), str(tmp_path / "d"), *wish]) == 0
    printed = capsys.readouterr()
    assert "1 face in" in printed.out
    assert "1 row rejected: unknown expression" in printed.err
    assert "decimal commas" in printed.err
    assert main(["import", "csv", str(table), str(tmp_path / "e"), "--column", "image"]) == 1
    assert main(["import", "csv", str(table), str(tmp_path / "e")]) == 1
    assert "--column image=NAME" in capsys.readouterr().err
