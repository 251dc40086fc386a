"""The one rule for dirt, rejected.csv, batches, links and copies, and whole-or-nothing."""

from __future__ import annotations

import csv
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from format_builders import full_row, put_picture
from narrowing import known
from openaffect.circumplex import REGIONS, inside_disc
from openaffect.dataset import RowsHash, open_dataset
from openaffect.dataset_writer import BATCH, leaves_picture, write_dataset
from openaffect.errors import DestinationExists, InputError
from openaffect.face_row import FaceRow
from openaffect.labels import EMOTIONS, Expression
from openaffect.schemas import FACES


def write(path, rows, **options):
    with write_dataset(path, check_images=False, **options) as writer:
        for number, row in enumerate(rows):
            writer.add(row, f"list line {number}")
    return writer.summary


def rejected(path):
    with open(path / "rejected.csv", newline="", encoding="utf-8") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


GOOD = FaceRow("good", "good.png")
NAN = float("nan")


def nest(levels):
    """An object of so many levels."""
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner


def test_what_is_just_inside_the_bounds_is_kept(tmp_path):
    row = FaceRow(
        "a" * 1_000,
        "a.png",
        box=(0, 0, 1e9, 1e-8),
        landmarks=np.full(136, 1e9),
        votes=[65_535, *[0] * 10],
        soft_label=[1, *[0] * 7],
        extra={**nest(32), "n": 2**64 - 1},
    )
    assert write(tmp_path / "d", [GOOD, row]).rows == 2
    kept = open_dataset(tmp_path / "d").faces.to_pylist()[1]
    assert (kept["votes"][0], len(kept["face_id"])) == (65_535, 1_000)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (FaceRow("", "a.png"), "no face_id"),
        (FaceRow("a", ""), "picture path leaves the images folder"),
        (FaceRow("a", "/etc/a.png"), "picture path leaves the images folder"),
        (FaceRow("a", "x/../../a.png"), "picture path leaves the images folder"),
        (FaceRow("a", "a.png", box=(0, 0, 0, 5)), "box without a size"),
        (FaceRow("a", "a.png", box=(0, 0, 5, -1)), "box without a size"),
        (FaceRow("a", "a.png", box=(NAN, 0, 5, 5)), "box without a size"),
        (FaceRow("a", "a.png", landmarks=np.full(136, np.inf)), "landmarks that are not finite"),
        (FaceRow("a", "a.png", valence=0.1), "only one of valence and arousal"),
        (FaceRow("a", "a.png", valence=1.01, arousal=0.0), "valence or arousal outside [-1, 1]"),
        (FaceRow("a", "a.png", valence=0.0, arousal=NAN), "valence or arousal outside [-1, 1]"),
        (FaceRow("a", "a.png", split="val"), "unknown split"),
        (FaceRow("a" * 1_001, "a.png"), "face_id of more than 1,000 characters"),
        (FaceRow("a", "a\0.png"), "name with a zero character"),
        (FaceRow("a", "a.png", group="\ud800"), "text that is not valid Unicode"),
        (FaceRow("a", "a.png", affect_origin="me"), "unknown origin"),
        (FaceRow("a", "a.png", box=(0, 0, 5, 1e10)), "box without a size"),
        (FaceRow("a", "a.png", box=(0, 0, 5, 1e-40)), "box without a size"),
        (FaceRow("a", "a.png", landmarks=np.zeros(135)), "landmarks that are not 136 numbers"),
        (FaceRow("a", "a.png", landmarks=np.full(136, 2e9)), "landmarks farther away"),
        (FaceRow("a", "a.png", votes=[1] * 10), "votes that are not 11 numbers"),
        (FaceRow("a", "a.png", votes=[65_536, *[0] * 10]), "votes outside 0 to 65535"),
        (FaceRow("a", "a.png", votes=[-1, *[0] * 10]), "votes outside 0 to 65535"),
        (FaceRow("a", "a.png", soft_label=[0.5, 0.5]), "soft labels that are not 8 numbers"),
        (FaceRow("a", "a.png", soft_label=[NAN] * 8), "soft labels that are no shares"),
        (FaceRow("a", "a.png", soft_label=[0] * 8), "soft labels that are no shares"),
        (FaceRow("a", "a.png", soft_label=[-1, 2, *[0] * 6]), "soft labels that are no shares"),
        (FaceRow("a", "a.png", extra={"a": NAN}), "extra that is no JSON"),
        (FaceRow("a", "a.png", extra={"a": 2**64}), "extra that is no JSON"),
        (FaceRow("a", "a.png", extra={"a": {1, 2}}), "extra that is no JSON"),
        (FaceRow("a", "a.png", extra={"\udc80": 1}), "extra that is no JSON"),
        (FaceRow("a", "a.png", extra=nest(33)), "extra that is no JSON"),
        (FaceRow("good", "b.png"), "repeated face_id"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_and_named(tmp_path, row, reason):
    summary = write(tmp_path / "d", [GOOD, row])
    assert (summary.rows, list(summary.rejected.values())) == (1, [1])
    ((where, face, why),) = rejected(tmp_path / "d")
    assert (where, face) == ("list line 1", row.face_id[:1_000])
    assert why.startswith(reason)
    assert open_dataset(tmp_path / "d").info.rejected == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing picture"),
        (b"", "empty picture (0 bytes)"),
        (b"<html>", "not a picture (unknown first bytes)"),
    ],
)
def test_a_picture_is_looked_at(tmp_path, content, reason):
    put_picture(tmp_path / "in" / "good.png")
    if content is not None:
        (tmp_path / "in" / "bad.png").write_bytes(content)
    with write_dataset(tmp_path / "d", images=tmp_path / "in") as writer:
        assert writer.add(GOOD)
        assert not writer.add(FaceRow("bad", "bad.png"))
    assert writer.summary.rejected == {reason: 1}


def test_no_rejection_leaves_no_file(tmp_path):
    write(tmp_path / "d", [GOOD])
    assert sorted(os.listdir(tmp_path / "d")) == [
        *("README.md", "dataset.json", "faces.parquet", "images")
    ]


def test_every_column_comes_back(tmp_path):
    rows = [full_row(number) for number in range(7)]
    write(tmp_path / "d", rows)
    table = open_dataset(tmp_path / "d").faces
    assert (table.schema.names, table.schema.types) == (FACES.names, FACES.types)
    for got, row in zip(table.to_pylist(), rows, strict=True):
        assert got["face_id"] == row.face_id
        assert got["box"] == list(known(row.box))
        assert got["landmarks"] == known(row.landmarks).tolist()
        assert got["votes"] == row.votes
        assert got["soft_label"] == row.soft_label
        assert got["valence"] == np.float32(row.valence)
        assert got["extra"].startswith('{"meta-data": {"age": ')
        assert (got["group"], got["query"], got["url"]) == (row.group, row.query, row.url)


def test_nulls_stay_null_in_every_column(tmp_path):
    write(tmp_path / "d", [GOOD, full_row(1)])
    first = open_dataset(tmp_path / "d").faces.to_pylist()[0]
    assert {name for name, value in first.items() if value is not None} == {"face_id", "image"}


@given(
    st.floats(-1, 1, width=32),
    st.floats(-1, 1, width=32),
    st.sampled_from(EMOTIONS),
)
@settings(max_examples=60, deadline=None)
def test_odd_affect_is_counted_as_the_circumplex_says(tmp_path_factory, valence, arousal, label):
    """The writer compares plain numbers; the module with the published regions is the reference."""
    row = FaceRow("a", "a.png", expression=label, valence=valence, arousal=arousal)
    summary = write(tmp_path_factory.mktemp("w") / "d", [row])
    disc = summary.warnings["valence/arousal outside the unit disc"]
    region = summary.warnings["valence/arousal outside the region of the expression"]
    assert disc == (not inside_disc(valence, arousal))
    assert region == (not REGIONS[label].contains(valence, arousal))


def test_a_box_that_leaves_its_picture_is_counted(tmp_path):
    put_picture(tmp_path / "in" / "a.png", size=(40, 48))
    with write_dataset(tmp_path / "d", images=tmp_path / "in") as writer:
        for number, box in enumerate([(0, 0, 48, 40), (0, 0, 48.5, 40), (-1, 0, 9, 9)]):
            writer.add(FaceRow(str(number), "a.png", box=box))
    assert writer.summary.warnings == {"box leaves the picture": 2}
    assert writer.summary.rows == 3


@pytest.mark.parametrize(
    ("box", "leaves"),
    [
        ((0, 0, 10, 20), False),
        ((0, 0, 10.5, 20), True),
        ((-0.009, 0, 10.0, 20.009), False),
        ((0, 0, 10.02, 20), True),
        ((0, -0.02, 10, 20), True),
        ((0, 1, 10, 20), True),
        ((-0.1, 0, 5, 5), True),
        ((0, -1, 5, 5), True),
    ],
)
def test_leaving_a_picture(box, leaves):
    assert leaves_picture(box, (10, 20)) is leaves


def test_batches_make_no_difference(tmp_path):
    count = BATCH * 2 + 3
    rows = (
        FaceRow(f"f{n}", f"{n}.png", expression=EMOTIONS[n % 8], split="train")
        for n in range(count)
    )
    summary = write(tmp_path / "d", rows)
    dataset = open_dataset(tmp_path / "d")
    assert pq.ParquetFile(tmp_path / "d" / "faces.parquet").num_row_groups == 3
    assert dataset.ids == [f"f{n}" for n in range(count)]
    assert summary.rows == dataset.info.rows == count
    assert summary.classes["train", Expression.HAPPY] == -(-(count - 1) // 8)
    assert sum(summary.classes.values()) == count
    assert dataset.info.fingerprint == dataset.fingerprint()


def test_the_fingerprint_ignores_order_and_sees_every_hashed_column(tmp_path):
    rows = [full_row(number) for number in range(5)]
    write(tmp_path / "a", rows)
    write(tmp_path / "b", rows[::-1])
    a, b = open_dataset(tmp_path / "a"), open_dataset(tmp_path / "b")
    assert a.info.fingerprint == b.info.fingerprint
    changes = {
        "face_id": "other",
        "image": "other.png",
        "box": (1.0, 1.0, 3.0, 3.0),
        "expression": Expression.NONE,
        "valence": 0.123,
        "votes": [1] * 11,
        "soft_label": [0.125] * 8,
        "split": None,
    }
    prints = set()
    for number, (name, value) in enumerate(changes.items()):
        other = full_row(0)
        setattr(other, name, value)
        write(tmp_path / f"c{number}", [other, *rows[1:]])
        prints.add(open_dataset(tmp_path / f"c{number}").info.fingerprint)
    assert len(prints - {a.info.fingerprint}) == len(changes)


def test_equal_rows_do_not_cancel_in_the_hash():
    """A sum, not an exclusive or: two rows a are another table than two rows b."""

    def twice(name):
        row = {"face_id": name, "image": f"{name}.png"}
        rows = RowsHash()
        rows.update(pa.RecordBatch.from_pylist([row, row], schema=FACES))
        return rows.hexdigest()

    assert twice("a") != twice("b")


def test_annotations_are_written_beside(tmp_path):
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.add(GOOD)
        writer.annotations.append({"face_id": "good", "annotator": "ann", "expression": "sad"})
    dataset = open_dataset(tmp_path / "d")
    assert known(dataset.annotations).to_pylist()[0]["expression"] == "sad"
    assert "annotations.parquet" in (tmp_path / "d" / "README.md").read_text()


def test_copies_are_made_of_kept_rows_only(tmp_path):
    for name in ("a", "b", "c"):
        put_picture(tmp_path / "in" / "deep" / f"{name}.png", ord(name))
    with write_dataset(tmp_path / "d", images=tmp_path / "in", copy_images=True) as writer:
        writer.add(FaceRow("1", "deep/a.png"))
        writer.add(FaceRow("2", "deep/a.png"))
        writer.add(FaceRow("3", "deep/b.png", split="val"))
    dataset = open_dataset(tmp_path / "d")
    assert [p.name for p in (tmp_path / "d" / "images").rglob("*.png")] == ["a.png"]
    assert dataset.image_paths[1] == tmp_path / "d" / "images" / "deep" / "a.png"
    assert dataset.image_paths[1].read_bytes() == (tmp_path / "in/deep/a.png").read_bytes()


def test_written_pictures_are_where_the_rows_say(tmp_path):
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    with write_dataset(tmp_path / "d") as writer:
        writer.write_image("new/a.png", pixels)
        assert writer.add(FaceRow("a", "new/a.png"))
    np.testing.assert_array_equal(open_dataset(tmp_path / "d").image(0), pixels)


def test_progress_ends_with_all_rows_kept_or_rejected(tmp_path):
    seen: list[int] = []
    rows = [FaceRow(f"f{number % 500}", "a.png") for number in range(600)]
    write(tmp_path / "d", rows, progress=seen.append)
    assert seen == [256, 512, 600]


def fail_after_one_row(path, **options):
    with write_dataset(path, check_images=False, **options) as writer:
        writer.add(FaceRow("other", "other.png"))
        raise ZeroDivisionError


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fail_after_one_row(tmp_path / "d")
    assert os.listdir(tmp_path) == []


def test_an_error_on_the_way_leaves_the_old_dataset(tmp_path):
    write(tmp_path / "d", [GOOD])
    with pytest.raises(ZeroDivisionError):
        fail_after_one_row(tmp_path / "d", overwrite=True)
    assert open_dataset(tmp_path / "d").ids == ["good"]
    assert os.listdir(tmp_path) == ["d"]


def test_not_one_row_is_an_error_that_says_why(tmp_path):
    with pytest.raises(InputError, match=r"from a list \(2 rows rejected: unknown split: 2\)"):
        write(
            tmp_path / "d",
            [FaceRow("a", "a", split="x"), FaceRow("b", "b", split="y")],
            source="a list",
        )
    with pytest.raises(InputError, match="it has no rows"):
        write(tmp_path / "d", [])
    assert os.listdir(tmp_path) == []


def test_an_existing_dataset_is_not_replaced_unasked(tmp_path):
    write(tmp_path / "d", [GOOD])
    with pytest.raises(DestinationExists):
        write(tmp_path / "d", [GOOD])
