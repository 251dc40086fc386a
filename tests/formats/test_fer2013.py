"""FER2013: pixels in a table, its own order of labels, and every kind of bad row."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.formats import export_dataset, import_dataset

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (3, 48, 48), np.uint8)
PIXELS = [" ".join(map(str, face.ravel())) for face in GRAY]


def make_table(folder, lines, name="fer2013.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([*lines, ""]))
    return folder / name


def labels_of(dataset):
    return [(r["face_id"], r["expression"], r["split"]) for r in dataset.faces.to_pylist()]


ROWS = [f"3,{PIXELS[0]},Training", f"0,{PIXELS[1]},PublicTest", f"6,{PIXELS[2]},PrivateTest"]
EXPECTED = [
    ("00000", "happy", "train"),
    ("00001", "anger", "validation"),
    ("00002", "neutral", "test"),
]


def test_labels_splits_and_pixels(tmp_path):
    table = make_table(tmp_path / "in", ["emotion,pixels,Usage", *ROWS])
    dataset, summary = import_dataset("fer2013", table, tmp_path / "d")
    assert labels_of(dataset) == EXPECTED
    assert summary.rejected == {}
    assert dataset.faces["expression_origin"].unique().to_pylist() == ["human"]
    for number in range(3):
        assert (dataset.image(number) == GRAY[number][:, :, None]).all()
    assert dataset.images_folder == tmp_path / "d" / "images"
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        *("README.md", "dataset.json", "faces.parquet", "images")
    ]


def test_every_number_has_its_own_label_not_affectnets(tmp_path):
    rows = [f"{number},{PIXELS[0]}" for number in range(7)]
    table = make_table(tmp_path / "in", ["emotion,pixels", *rows], "train.csv")
    dataset, _ = import_dataset("fer2013", table, tmp_path / "d", split="train")
    names = [*("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")]
    assert [label for _, label, _ in labels_of(dataset)] == names
    assert {split for *_, split in labels_of(dataset)} == {"train"}
    with pytest.raises(UnknownName, match="trian"):
        import_dataset("fer2013", table, tmp_path / "e", split="trian")


def test_the_other_table_of_the_challenge_and_its_archive(tmp_path):
    lines = ["emotion, Usage, pixels", *(f"{e}, {u}, {p}" for e, p, u in map(split_row, ROWS))]
    make_table(tmp_path / "in/challenge", lines, "icml_face_data.csv")
    dataset, _ = import_dataset("fer2013", tmp_path / "in", tmp_path / "d")
    assert labels_of(dataset) == EXPECTED
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        file.add(tmp_path / "in/challenge", "challenge")
    packed, _ = import_dataset("fer2013", tmp_path / "a.tar.gz", tmp_path / "p")
    assert packed.fingerprint() == dataset.fingerprint()
    assert not (tmp_path / "p" / "unpacked").exists()
    assert (packed.image(2) == dataset.image(2)).all()


def split_row(row):
    return row.split(",")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"7,{PIXELS[0]},Training", "unknown expression"),
        (f"-1,{PIXELS[0]},Training", "unknown expression"),
        (f"{'9' * 5000},{PIXELS[0]},Training", "unknown expression"),
        (f",{PIXELS[0]},Training", "unknown expression"),
        (f"3,{PIXELS[0]},Trening", "unknown usage"),
        ("3,,Training", "pixels that are not 48 × 48"),
        (f"3,{PIXELS[0]} 1,Training", "pixels that are not 48 × 48"),
        (f"3,{PIXELS[0][:-4]} 256,Training", "pixels that are not numbers from 0 to 255"),
        (f"3,{PIXELS[0][:-4]} -1,Training", "pixels that are not numbers from 0 to 255"),
        (f"3,{PIXELS[0]}_0,Training", "pixels that are not numbers from 0 to 255"),
        (f"3,{'9' * 5000},Training", "pixels that are not numbers from 0 to 255"),
        ("3,x,Training", "pixels that are not numbers from 0 to 255"),
        (f"3,{'1 ' * 100_000},Training", "line that is no CSV"),
        (f'3,"{PIXELS[0]}', "line that is no CSV"),
        ("3", "line of another length"),
    ],
)
def test_a_bad_row_is_rejected_alone_and_still_counts(tmp_path, row, reason):
    lines = ["emotion,pixels,Usage", ROWS[0], ROWS[1], row]
    if '"' not in row:  # a quote that is never closed takes the rest with it
        lines.append(ROWS[2])
    table = make_table(tmp_path / "in", lines)
    dataset, summary = import_dataset("fer2013", table, tmp_path / "d")
    assert summary.rejected == {reason: 1}
    assert dataset.ids == ["00000", "00001", "00003"][: 3 - ('"' in row)]


def test_a_float_is_fer2013s_number_too_never_affectnets(tmp_path):
    table = make_table(tmp_path / "in", ["emotion,pixels", f"3.0,{PIXELS[0]}"])
    assert labels_of(import_dataset("fer2013", table, tmp_path / "d")[0])[0][1] == "happy"


def test_what_is_not_this_table(tmp_path):
    table = make_table(tmp_path / "in", ["image,label", "a.png,happy"], "t.csv")
    with pytest.raises(FormatError, match=r"emotion, pixels.*found t\.csv"):
        import_dataset("fer2013", tmp_path / "in", tmp_path / "d")
    with pytest.raises(FormatError, match="emotion, pixels"):
        import_dataset("fer2013", table, tmp_path / "d")
    table = make_table(tmp_path / "x", ["emotion,pixels,Usage", *ROWS])
    with pytest.raises(FormatError, match="use `openaffect import fer2013`"):
        import_dataset("csv", table, tmp_path / "d")
    with pytest.raises(InputError, match="cannot link"):
        import_dataset("fer2013", table, tmp_path / "d", images="link")


def test_other_formats_hold_what_was_imported(tmp_path):
    table = make_table(tmp_path / "in", ["emotion,pixels,Usage", *ROWS])
    dataset, _ = import_dataset("fer2013", table, tmp_path / "d")
    export_dataset("csv", dataset, tmp_path / "out")
    back, _ = import_dataset("csv", tmp_path / "out", tmp_path / "back")
    assert back.fingerprint() == dataset.fingerprint()
    assert (back.image(1) == GRAY[1][:, :, None]).all()
