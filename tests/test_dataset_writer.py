"""The one rule for dirt, rejected.csv, batches, links and copies, and whole-or-nothing."""

from __future__ import annotations

import csv
import datetime
import hashlib
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
from openaffect.annotation_row import AnnotationRow
from openaffect.circumplex import REGIONS, inside_disc
from openaffect.dataset import open_dataset
from openaffect.dataset_writer import BATCH, leaves_picture, write_dataset
from openaffect.errors import DestinationExists, FormatError, InputError
from openaffect.face_row import FaceRow
from openaffect.fingerprints import ContentHash, RowsHash
from openaffect.labels import EMOTIONS, Expression
from openaffect.progress import Progress
from openaffect.schemas import ANNOTATIONS, FACES, PROVENANCE


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
    at = datetime.datetime(2026, 11, 25, 10, tzinfo=datetime.UTC)
    given: dict[str, Any] = {
        "id": "1",
        "kind": "work",
        "expression": "sad",
        "valence": -0.5,
        "arousal": 0.25,
        "occluded": True,
        "seconds": 2.5,
        "region_shown": False,
        "round": 3,
        "void": False,
        "origin": "human",
        "at": at,
    }
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.add(GOOD)
        assert writer.add_annotation(AnnotationRow("good", "ann", **given))
        assert writer.add_annotation(AnnotationRow("good", "bob"))
    dataset = open_dataset(tmp_path / "d")
    annotations = known(dataset.annotations)
    first, second = annotations.to_pylist()
    assert {name: first[name] for name in given} == given
    assert first["face_id"] == "good"
    assert first["annotator"] == "ann"
    assert {name for name, value in second.items() if value is not None} == {"face_id", "annotator"}
    assert annotations.schema.names == ANNOTATIONS.names
    assert annotations.schema.types == ANNOTATIONS.types
    assert writer.summary.annotations == 2
    assert "annotations.parquet" in (tmp_path / "d" / "README.md").read_text()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (AnnotationRow("other", "ann"), "annotation of a face that is not there"),
        (AnnotationRow("good", ""), "annotator of 1 to 1,000 characters expected"),
        (AnnotationRow("good", "a" * 1_001), "annotator of 1 to 1,000 characters expected"),
        (AnnotationRow("good", "ann", expression="glad"), "unknown expression"),
        (AnnotationRow("good", "ann", kind="play"), "unknown kind"),
        (AnnotationRow("good", "ann", origin="dog"), "unknown origin"),
        (AnnotationRow("good", "ann", valence=0.5), "only one of valence and arousal"),
        (AnnotationRow("good", "ann", arousal=0.5), "only one of valence and arousal"),
        (
            AnnotationRow("good", "ann", valence=1.1, arousal=0),
            "valence or arousal outside [-1, 1]",
        ),
        (
            AnnotationRow("good", "ann", valence=0, arousal=NAN),
            "valence or arousal outside [-1, 1]",
        ),
        (
            AnnotationRow("good", "ann", at=datetime.datetime(2026, 1, 1)),
            "time without a time zone",
        ),
        (AnnotationRow("good", "ann", id="known"), "repeated id of an annotation"),
    ],
)
def test_annotations_that_cannot_be_used_are_rejected_and_named(tmp_path, row, why):
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.add(GOOD)
        assert writer.add_annotation(AnnotationRow("good", "ann", id="known"))
        assert not writer.add_annotation(row, "judgments line 7")
    assert writer.summary.rejected == {why: 1}
    assert rejected(tmp_path / "d")[0][:2] == ("judgments line 7", row.face_id)
    assert len(known(open_dataset(tmp_path / "d").annotations)) == 1


def test_many_annotations_are_written_in_batches(tmp_path):
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.add(GOOD)
        for number in range(2 * BATCH + 1):
            writer.add_annotation(AnnotationRow("good", "ann", id=str(number)))
        assert len(writer._annotations) == 1
    ids = known(open_dataset(tmp_path / "d").annotations)["id"].to_pylist()
    assert ids == [str(number) for number in range(2 * BATCH + 1)]


def test_columns_beyond_the_schema(tmp_path):
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.add_columns(PROVENANCE)
        writer.add_columns(pa.schema([("lab", pa.string())]))
        writer.add(FaceRow("a", "a.png", columns={"provider": "openverse", "width": 640}))
        writer.add(FaceRow("b", "b.png", columns={"lab": "ours", "yaw": 12.5}))
        writer.add(FaceRow("c", "c.png", columns={"width": "wide"}), "line 3")
        writer.add(FaceRow("d", "d.png", columns={"width": 2**31}))
        writer.add(FaceRow("e", "e.png", columns={"lab": "\ud800"}))
    assert writer.summary.rejected == {"width that is no int32": 2, "lab that is no string": 1}
    dataset = open_dataset(tmp_path / "d")
    assert dataset.faces.column_names == [*FACES.names, *PROVENANCE.names, "lab"]
    columns = ("provider", "width", "yaw", "lab")
    assert [dataset.faces[name].to_pylist() for name in columns] == [
        ["openverse", None],
        [640, None],
        [None, 12.5],
        [None, "ours"],
    ]
    assert dataset.faces.schema.field("width").type == pa.int32()


def test_names_of_columns_are_there_once_and_announced(tmp_path):
    with (
        pytest.raises(FormatError, match="box"),
        write_dataset(tmp_path / "a", check_images=False) as writer,
    ):
        writer.add_columns(pa.schema([("box", pa.string())]))
    with (
        pytest.raises(InputError, match="age"),
        write_dataset(tmp_path / "b", check_images=False) as writer,
    ):
        writer.add(FaceRow("a", "a.png", columns={"age": 3}))


def test_pictures_are_placed_by_their_content(tmp_path):
    red, blue = put_picture(tmp_path / "in/red.png", 1), put_picture(tmp_path / "in/blue.png", 2)
    with write_dataset(tmp_path / "d") as writer:
        assert writer.add(FaceRow("a", ""), picture=red)
        assert writer.add(FaceRow("b", "x"), picture=red.read_bytes())
        assert writer.add(FaceRow("c", "x"), picture=blue)
        assert not writer.add(FaceRow("d", "x"), picture=tmp_path / "in/none.png")
        assert not writer.add(FaceRow("e", "x"), picture=b"<html>")
        lost = put_picture(tmp_path / "in/lost.png", 3)
        assert not writer.add(FaceRow("f", "x", split="val"), picture=lost)
    dataset = open_dataset(tmp_path / "d")
    names = []
    for picture in (red, red, blue):
        sha256 = hashlib.sha256(picture.read_bytes()).hexdigest()
        names.append(f"{sha256[:2]}/{sha256[2:4]}/{sha256}.png")
    assert dataset.faces["image"].to_pylist() == names
    files = [p for p in (tmp_path / "d/images").rglob("*") if p.is_file()]
    assert len(files) == 2
    assert dataset.image_paths[2].read_bytes() == blue.read_bytes()
    assert not os.path.samefile(dataset.image_paths[0], red)
    assert writer.summary.rejected == {"missing or unreadable picture": 2, "unknown split": 1}


def test_pictures_placed_by_their_content_may_be_hard_links(tmp_path):
    red = put_picture(tmp_path / "in/red.png", 1)
    with write_dataset(tmp_path / "d", hard_links=True) as writer:
        writer.add(FaceRow("a", ""), picture=red)
    assert os.path.samefile(open_dataset(tmp_path / "d").image_paths[0], red)


def test_the_content_takes_in_what_the_fingerprint_leaves_out(tmp_path):
    """Landmarks, licenses, annotations, other columns, the order of the rows; no batches."""

    def made(name, change=lambda _: None, *, judged=("sad",), lab="ours", **options):
        rows = [full_row(0), full_row(1)]
        change(rows)
        with write_dataset(tmp_path / name, name="d", check_images=False, **options) as writer:
            writer.add_columns(pa.schema([("lab", pa.string())]))
            for row in rows:
                row.columns = {"lab": lab}
                writer.add(row)
            for expression in judged:
                writer.add_annotation(AnnotationRow(rows[0].face_id, "ann", expression))
        dataset = open_dataset(tmp_path / name)
        assert dataset.info.content == dataset.content()
        return dataset.info

    first = made("first")
    assert made("again").content == first.content

    def set_first(**values):
        def change(rows):
            for name, value in values.items():
                setattr(rows[0], name, value)

        return change

    others = [
        made("landmarks", set_first(landmarks=np.arange(136) + 0.5)),
        made("license", set_first(license="CC0")),
        made("no license", set_first(license="")),
        made("group", set_first(group="other")),
        made("order", lambda rows: rows.reverse()),
        made("judged", judged=("happy",)),
        made("twice", judged=("sad", "sad")),
        made("unjudged", judged=()),
        made("lab", lab="theirs"),
        made("all", license="CC BY 4.0"),
        made("shared", shareable=True),
    ]
    assert {info.fingerprint for info in others} == {first.fingerprint}
    contents = [info.content for info in (first, *others)]
    assert len(set(contents)) == len(contents)


@given(st.lists(st.sampled_from(["a", "bb", "", None]), max_size=8), st.data())
@settings(max_examples=50, deadline=None)
def test_the_content_does_not_depend_on_how_a_table_is_cut(values, data):
    """Nor on what lies under nulls, or on the order of the columns."""
    table = pa.table(
        {
            "text": pa.array(values, pa.string()),
            "list": pa.array(
                [None if v is None else [len(v), None] for v in values], pa.list_(pa.float32(), 2)
            ),
            "number": pa.array([None if v is None else len(v) for v in values], pa.int32()),
            "at": pa.array(
                [None if v is None else len(v) for v in values], pa.timestamp("us", tz="UTC")
            ),
            "yes": pa.array([None if v is None else len(v) > 1 for v in values], pa.bool_()),
            "struct": pa.array(
                [None if v is None else {"a": v} for v in values], pa.struct([("a", pa.string())])
            ),
        }
    )
    whole, cut = ContentHash(), ContentHash()
    whole.update("t", table)
    at = data.draw(st.integers(0, len(values)))
    for part in (table.slice(0, at), table.slice(at)):
        cut.update("t", part.select(["struct", "yes", "at", "number", "list", "text"]))
    assert cut.hexdigest({}) == whole.hexdigest({})


def test_texts_that_are_cut_elsewhere_have_another_content():
    contents = set()
    for values in (["ab", "c"], ["a", "bc"], ["abc", None], [None, "abc"], ["abc", ""]):
        content = ContentHash()
        content.update("t", pa.table({"text": values}))
        contents.add(content.hexdigest({}))
    assert len(contents) == 5


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
    seen: list[Progress] = []
    rows = [FaceRow(f"f{number % 500}", "a.png") for number in range(600)]
    write(tmp_path / "d", rows, on_progress=seen.append)
    assert [event.done for event in seen] == [256, 512, 600]


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


def test_lists_count_by_their_values_and_lengths():
    """Whatever their items are called, and wherever a list ends."""

    def content(values, item="item"):
        found = ContentHash()
        found.update(
            "t", pa.table({"set": pa.array(values, pa.list_(pa.field(item, pa.string())))})
        )
        return found.hexdigest({})

    first = content([["a", "b"], [], None])
    assert content([["a", "b"], [], None], "element") == first
    others = [[["a"], ["b"], None], [["a", "b"], None, []], [["b", "a"], [], None]]
    assert first not in [content(other) for other in others]
