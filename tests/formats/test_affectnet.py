"""The full release: lists with and without a header, its known dirt, and what the counts tell."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from format_builders import make_dataset, put_picture
from openaffect.cli import main
from openaffect.dataset import open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.face_row import FaceRow
from openaffect.formats import export_dataset, import_dataset
from openaffect.formats._affectnet import TRAIN_COUNTS, ids_look_alphabetical, notes_from_counts
from openaffect.labels import EMOTIONS, Expression

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,"
    "facial_landmarks,expression,valence,arousal"
)
POINTS = ";".join(f"{number / 4:g}" for number in range(136))
ROWS = [
    f"1/aa.JPG,4,4,30,30,{POINTS},1,0.666667,0.0493827",
    f"2/bb.png,4,4,30,30,{POINTS},10,-2,-2",
]
IMAGES = "Manually_Annotated/Manually_Annotated_Images"
LISTS = "Manually_Annotated_file_lists"


def make_release(root, rows=ROWS, header=HEADER, name="training.csv", images=IMAGES, lists=LISTS):
    (root / lists).mkdir(parents=True)
    (root / lists / name).write_text("\n".join([*([header] if header else []), *rows, ""]))
    put_picture(root / images / "1/aa.jpg", 1)
    put_picture(root / images / "2/bb.png", 2)
    return root


@pytest.mark.parametrize("header", [HEADER, None])
def test_a_first_line_that_is_data_is_not_lost(tmp_path, header):
    root = make_release(tmp_path / "in", header=header)
    dataset, summary = import_dataset("affectnet", root, tmp_path / "d")
    first, second = dataset.faces.to_pylist()
    assert (first["face_id"], first["image"]) == ("1/aa", f"{IMAGES}/1/aa.jpg")
    assert (first["box"], first["expression"], first["split"]) == ([4, 4, 30, 30], "happy", "train")
    assert first["landmarks"] == [number / 4 for number in range(136)]
    assert first["valence"] == pytest.approx(0.666667, abs=1e-7)
    assert (second["face_id"], second["expression"]) == ("2/bb", "no_face")
    assert (second["valence"], second["arousal"], second["affect_origin"]) == (None, None, None)
    assert summary.warnings == {"picture found under another ending": 1}
    assert summary.rejected == {}


def test_columns_in_another_order_follow_the_header(tmp_path):
    names = HEADER.split(",")
    cells = ROWS[0].split(",")
    order = [0, *range(8, 0, -1)]
    root = make_release(
        tmp_path / "in",
        [",".join(cells[n] for n in order)],
        ",".join(names[n] for n in order),
    )
    row = import_dataset("affectnet", root, tmp_path / "d")[0].faces.to_pylist()[0]
    assert (row["expression"], row["box"]) == ("happy", [4, 4, 30, 30])


@pytest.mark.parametrize("start", ["", LISTS, f"{LISTS}/training.csv"])
def test_the_source_may_be_the_release_its_lists_or_one_list(tmp_path, start):
    root = make_release(tmp_path / "in")
    dataset, _ = import_dataset("affectnet", root / start, tmp_path / "d")
    assert dataset.ids == ["1/aa", "2/bb"]
    assert dataset.image(0).shape == (40, 48, 3)
    assert dataset.images_folder == root


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_pictures_lie_beside_the_lists_or_up_to_two_folders_above(tmp_path, depth):
    root = make_release(tmp_path / "in", ROWS[1:], lists="a/b/c"[: 2 * depth + 1])
    source = root / "a/b/c"[: 2 * depth + 1] / "training.csv"
    if depth == 2:
        with pytest.raises(FormatError, match="but found none"):
            import_dataset("affectnet", source, tmp_path / "d")
        (root / "Manually_Annotated").rename(root / "a/Manually_Annotated")
    dataset, _ = import_dataset("affectnet", source, tmp_path / "d")
    assert (dataset.ids, len(dataset)) == (["2/bb"], 1)


def test_automatic_labels_have_no_split_and_are_a_models(tmp_path):
    root = make_release(
        tmp_path / "in",
        ROWS[:1],
        name="automatically_annotated.csv",
        images="Automatically_Annotated/Automatically_Annotated_Images",
        lists="Automatically_annotated_file_list",
    )
    dataset, _ = import_dataset("affectnet", root, tmp_path / "d")
    row = dataset.faces.to_pylist()[0]
    assert (row["split"], row["expression_origin"], row["affect_origin"]) == (
        None,
        "model",
        "model",
    )
    export_dataset("affectnet", dataset, tmp_path / "out")
    lists = [path.name for path in (tmp_path / "out").rglob("*.csv")]
    assert lists == ["automatically_annotated.csv"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"1/aa.jpg,NULL,NULL,NULL,NULL,{POINTS},1,0,0", "box that is no number"),
        (f"1/aa.jpg,4,4,-30,30,{POINTS},1,0,0", "box without a size"),
        (f"1/aa.jpg,4,4,0,30,{POINTS},1,0,0", "box without a size"),
        (f"1/aa.jpg,4,4,nan,30,{POINTS},1,0,0", "box without a size"),
        ("1/aa.jpg,4,4,30,30,1;2;3,1,0,0", "landmarks that are not 136 numbers"),
        (f"1/aa.jpg,4,4,30,30,{POINTS[:-1]}x,1,0,0", "landmarks that are no numbers"),
        (f"1/aa.jpg,4,4,30,30,{POINTS},11,0,0", "unknown expression"),
        (f"1/aa.jpg,4,4,30,30,{POINTS},1,1.5,0", "valence or arousal outside [-1, 1]"),
        (f"1/aa.jpg,4,4,30,30,{POINTS},1,-2,0", "valence or arousal outside [-1, 1]"),
        (f"1/aa.jpg,4,4,30,30,{POINTS},1,,0", "valence or arousal that is no number"),
        ("1/aa.jpg,4,4,30,30", "valence or arousal that is no number"),
        (f"3/cc.jpg,4,4,30,30,{POINTS},1,0,0", "missing picture"),
        (f"3/c\0.jpg,4,4,30,30,{POINTS},1,0,0", "name with a zero character"),
        (f"1/aa.jpg,4,4,30,30,{POINTS},1,0,0,0,0", "more fields than the header"),
        (f"1/aa.jpg,4,4,30,30,{POINTS},{'9' * 5000},0,0", "unknown expression"),
        (f"1/aa.jpg,4,4,30,1_0,{POINTS},1,0,0", "box that is no number"),
        (f"1/aa.jpg,4,4,30,1e300,{POINTS},1,0,0", "box without a size"),
        (f"1/aa.jpg,4,4,30,30,{'1e300;' * 136},1,0,0", "landmarks farther away than any pixel"),
        (f"1/aa.jpg,4,4,30,30,{'9' * 200_000},1,0,0", "line that is no CSV"),
        (ROWS[1], "repeated face_id"),
    ],
)
def test_dirt_rejects_its_row_only(tmp_path, row, reason):
    root = make_release(tmp_path / "in", [ROWS[1], row])
    dataset, summary = import_dataset("affectnet", root, tmp_path / "d")
    assert dataset.ids == ["2/bb"]
    assert summary.rejected == {reason: 1}
    assert "training.csv line 3" in (tmp_path / "d" / "rejected.csv").read_text()


def test_odd_rows_are_kept_and_counted(tmp_path):
    rows = [
        f"1/aa.jpg,4,4,300,30,{POINTS},1,0.9,0.9",
        f"2/bb.png,-1,4,30,30,{POINTS},1,-0.5,0.1",
    ]
    dataset, summary = import_dataset(
        "affectnet", make_release(tmp_path / "in", rows), tmp_path / "d"
    )
    assert len(dataset) == 2
    assert summary.warnings == {
        "box leaves the picture": 2,
        "valence/arousal outside the unit disc": 1,
        "valence/arousal outside the region of the expression": 2,
    }


def test_lists_without_pictures_and_other_lists_are_refused(tmp_path):
    root = make_release(tmp_path / "a", images="elsewhere")
    with pytest.raises(FormatError, match="Manually_Annotated_Images"):
        import_dataset("affectnet", root, tmp_path / "d")
    root = make_release(tmp_path / "b", ["name,age", "anna,3"], header=None)
    with pytest.raises(FormatError, match="first line is: name,age"):
        import_dataset("affectnet", root, tmp_path / "d")
    root = make_release(tmp_path / "c", header="subDirectory_filePath,face_x,face_y")
    with pytest.raises(FormatError, match="has no column"):
        import_dataset("affectnet", root, tmp_path / "d")


def test_export_prints_what_the_release_prints(tmp_path):
    dataset, _ = import_dataset("affectnet", make_release(tmp_path / "in"), tmp_path / "d")
    export_dataset("affectnet", dataset, tmp_path / "out", images="none")
    lines = (tmp_path / "out" / LISTS / "training.csv").read_text().splitlines()
    assert lines == [HEADER, ROWS[0].replace(".JPG", ".jpg"), ROWS[1]]
    assert not (tmp_path / "out" / IMAGES).exists()


def test_export_says_what_it_cannot_say(tmp_path):
    dataset = make_dataset(tmp_path / "d", 6, split=None, box=None, expression_origin="synthetic")
    summary = export_dataset("affectnet", dataset, tmp_path / "out")
    assert [note.split(" rows")[0] for note in summary.notes] == ["6", "6", "the origin of 6"]
    back, _ = import_dataset("affectnet", tmp_path / "out", tmp_path / "back")
    assert set(back.faces["split"].to_pylist()) == {"train"}
    assert back.faces["box"].to_pylist() == [[0, 0, 48, 40]] * 6


def counts_of(train, validation=0):
    counts = {("train", e): n for e, n in zip(EMOTIONS, train, strict=True)}
    counts["validation", Expression.HAPPY] = validation
    return counts


def test_alphabetical_ids_are_noticed():
    by_name = dict(zip(EMOTIONS, TRAIN_COUNTS, strict=True))
    alphabetical = [by_name[name] for name in sorted(EMOTIONS)]
    assert ids_look_alphabetical(alphabetical)
    assert not ids_look_alphabetical(list(TRAIN_COUNTS))
    # Neither too few faces nor a balanced selection say anything.
    assert not ids_look_alphabetical([count // 200 for count in alphabetical])
    assert not ids_look_alphabetical([3_000] * 8)
    seven = [by_name[name] for name in sorted(EMOTIONS[:7])]
    assert ids_look_alphabetical([*seven, 0])
    assert not ids_look_alphabetical([*TRAIN_COUNTS[:7], 0])
    notes = notes_from_counts(counts_of(alphabetical, 4_000))
    assert len(notes) == 1
    assert "ids look alphabetical" in notes[0]


def test_the_validation_face_that_is_missing_is_noticed():
    assert notes_from_counts(counts_of(TRAIN_COUNTS, 4_000)) == []
    assert "3,999" in notes_from_counts(counts_of(TRAIN_COUNTS, 3_999))[0]


def test_crops_show_the_face_alone_and_box_and_points_move_along(tmp_path):
    """The square of the box and 15 % around it, cut by hand; beyond the photograph its edge repeats."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    points = np.arange(136, dtype=np.float32) / 4 + 20
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.write_image("a.png", pixels)
        writer.write_image("b.webp", pixels)
        row = FaceRow("x/a", "a.png", box=(30, 20, 20, 10), expression=Expression.SAD)
        row.landmarks, row.split = points, "train"
        writer.add(row)
        writer.add(FaceRow("b", "b.webp", box=(70, 50, 20, 20), expression=Expression.SAD))
        writer.add(FaceRow("c", "a.png", expression=Expression.SAD))
    dataset = open_dataset(tmp_path / "d")
    export_dataset("affectnet", dataset, tmp_path / "out", crop="true")
    images = tmp_path / "out" / IMAGES
    whole = np.asarray(Image.open(images / "x/a.png"))
    np.testing.assert_array_equal(whole, pixels[12:38, 27:53])  # 26 = 20 × 1.3 about (40, 25)
    beyond, lossy = np.asarray(Image.open(images / "b.webp.png")), dataset.image(1)
    np.testing.assert_array_equal(
        beyond, np.pad(lossy[47:60, 67:80], ((0, 13), (0, 13), (0, 0)), "edge")
    )
    assert (images / "c.png").read_bytes() == dataset.image_paths[2].read_bytes()
    again, _ = import_dataset("affectnet", tmp_path / "out", tmp_path / "again")
    rows = {row["face_id"]: row for row in again.faces.to_pylist()}
    assert rows["x/a"]["box"] == [3, 8, 20, 10]
    moved = np.array(rows["x/a"]["landmarks"]).reshape(-1, 2)
    np.testing.assert_allclose(moved, points.reshape(-1, 2) - [27, 12], atol=1e-4)
    assert rows["b.webp"]["box"] == [3, 3, 20, 20]
    assert rows["c"]["box"] == [0, 0, 80, 60]


def test_crops_are_no_links_and_no_other_format_has_them(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "d", 2)
    with pytest.raises(InputError, match="links"):
        export_dataset("affectnet", dataset, tmp_path / "out", crop=True, images="link")
    with pytest.raises(UnknownName, match="crop"):
        export_dataset("affectnet", dataset, tmp_path / "out", crop="15%")
    assert main(["export", "csv", str(tmp_path / "d"), str(tmp_path / "out"), "--crop"]) == 1
    assert "no option 'crop'" in capsys.readouterr().err
    assert main(["export", "affectnet", str(tmp_path / "d"), str(tmp_path / "out"), "--crop"]) == 0
    labels_only = export_dataset("affectnet", dataset, tmp_path / "bare", crop=True, images="none")
    assert labels_only.rows == 2
    lists = [tmp_path / name / LISTS / "training.csv" for name in ("out", "bare")]
    assert lists[0].read_text() == lists[1].read_text()
    assert not list((tmp_path / "bare").rglob("*.png"))
