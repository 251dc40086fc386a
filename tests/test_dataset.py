"""Dataset: opening, selecting, saving, refusing what is broken, and other people's readers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from format_builders import make_dataset
from openaffect import tables
from openaffect.dataset import Dataset, DatasetInfo, open_dataset, save_dataset, scan_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import (
    DestinationExists,
    FormatError,
    ImageError,
    InputError,
    MissingExtra,
    NewerSchema,
)
from openaffect.face_row import FaceRow
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule
from openaffect.labels import EXPRESSIONS
from openaffect.tables import iterate_rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("module") / "data", 24)


def rewrite(path, change):
    """Write faces.parquet again after a change of its table."""
    table = pq.read_table(path / "faces.parquet")
    pq.write_table(change(table), path / "faces.parquet")


def with_value(column, value, row=0):
    def change(table):
        values = table[column].to_pylist()
        values[row] = value
        place = table.column_names.index(column)
        field = pa.field(column, table[column].type)
        return table.set_column(place, field, pa.array(values, field.type))

    return change


def test_columns_as_arrays(dataset):
    rows = dataset.faces.to_pylist()
    names = [*EXPRESSIONS]
    assert dataset.expression_ids.tolist() == [names.index(row["expression"]) for row in rows]
    assert dataset.expression_ids.dtype == np.int8
    expected = [[row["valence"], row["arousal"]] for row in rows]
    assert dataset.affect.tolist() == expected
    assert dataset.affect.dtype == np.float32
    assert dataset.lists("landmarks").tolist() == [row["landmarks"] for row in rows]
    assert dataset.lists("box").shape == (24, 4)


def test_null_is_minus_one_and_nan_never_zero(dataset):
    half = [index % 2 == 0 for index in range(24)]

    def keep(column):
        values = dataset.faces[column].to_pylist()
        return [value if kept else None for value, kept in zip(values, half, strict=True)]

    changed = dataset
    for column in ("expression", "valence", "arousal", "box", "soft_label"):
        changed = changed.with_column(column, keep(column))
    odd = ~np.array(half)
    assert (changed.expression_ids[odd] == -1).all()
    assert np.isnan(changed.affect[odd]).all()
    assert np.isnan(changed.lists("box")[odd]).all()
    assert np.isnan(changed.lists("soft_label")[odd]).all()
    assert not np.isnan(changed.lists("box")[~odd]).any()
    assert changed.box(1) is None
    assert changed.box(0) == Box(*dataset.faces["box"][0].as_py())


def test_list_columns_of_a_slice_start_at_their_own_rows(dataset):
    part = dataclasses.replace(dataset, faces=dataset.faces.slice(5, 7))
    assert part.lists("landmarks").tolist() == dataset.lists("landmarks")[5:12].tolist()
    assert part.fingerprint() == dataset.select(list(range(5, 12))).fingerprint()


def test_where(dataset):
    rows = dataset.faces.to_pylist()
    assert dataset.where(split="test").ids == [r["face_id"] for r in rows if r["split"] == "test"]
    chosen = dataset.where(split="train", expression=["happy", "fear"])
    assert chosen.ids == [
        r["face_id"] for r in rows if r["split"] == "train" and r["expression"] in ("happy", "fear")
    ]
    assert len(chosen) > 0
    none = dataset.with_column("split", [None, "train"] * 12)
    assert none.where(split=None).ids == none.ids[::2]
    assert none.where(split=[None, "train"]).ids == none.ids
    with pytest.raises(InputError, match="no column 'expresion'"):
        dataset.where(expresion="happy")


def test_select_by_mask_by_index_and_with_repeats(dataset):
    mask = np.arange(24) % 5 == 0
    assert dataset.select(mask).ids == [i for i, m in zip(dataset.ids, mask, strict=True) if m]
    assert dataset.select([3, 1, 3]).ids == [dataset.ids[3], dataset.ids[1], dataset.ids[3]]
    assert len(dataset.select([])) == 0


def test_only_the_wanted_columns_are_read(dataset):
    part = open_dataset(dataset.path, columns=["split", "expression"])
    assert part.faces.column_names == ["face_id", "expression", "split"]
    assert part.ids == dataset.ids
    assert part.class_counts() == dataset.class_counts()
    for read in (lambda: part.box(0), lambda: part.image(0), part.group_keys, lambda: part.affect):
        with pytest.raises(InputError, match="has no column"):
            read()
    with pytest.raises(InputError, match="no column 'expresion'"):
        open_dataset(dataset.path, columns=["expresion"])


@pytest.mark.parametrize("rows", [1, 7, 24, 100])
def test_portions_are_the_table_in_order(dataset, rows):
    parts = list(scan_dataset(dataset.path, rows=rows))
    assert [len(part) for part in parts] == [min(rows, 24 - n) for n in range(0, 24, rows)]
    assert pa.concat_tables(part.faces for part in parts).equals(dataset.faces)
    assert {part.info.name for part in parts} == {dataset.info.name}
    np.testing.assert_array_equal(parts[-1].image(0), dataset.image(24 - len(parts[-1])))


def test_portions_are_checked_like_the_whole(tmp_path):
    """A value in the last portion, and an id that the first portion has."""
    for column, value, error in (
        ("expression", "glad", InputError),
        ("face_id", None, FormatError),
        ("valence", 2.0, InputError),
    ):
        make_dataset(tmp_path / column, 24)
        rewrite(tmp_path / column, with_value(column, value, row=23))
        with pytest.raises(error, match=column):
            list(scan_dataset(tmp_path / column, rows=7))
    repeated = make_dataset(tmp_path / "repeated", 24)
    rewrite(repeated.path, with_value("face_id", repeated.ids[2], row=23))
    with pytest.raises(InputError, match="face_id must be unique"):
        list(scan_dataset(repeated.path, rows=7))
    empty = make_dataset(tmp_path / "empty", 1)
    rewrite(empty.path, lambda table: table.slice(0, 0))
    assert [len(part) for part in scan_dataset(empty.path)] == [0]


@pytest.mark.parametrize(
    ("column", "values", "error"),
    [
        ("expression", ["glad", None], "expression"),
        ("kind", ["play", None], "kind"),
        ("origin", ["dog", None], "origin"),
        ("id", ["1", "1"], "id must be unique"),
        ("valence", [0.5, None], "only one of valence and arousal"),
    ],
)
def test_annotations_are_checked(tmp_path, column, values, error):
    path = make_dataset(tmp_path / "d", 2).path
    table = pa.table({"face_id": ["a", "a"], "annotator": ["x", "y"], column: values})
    pq.write_table(table, path / "annotations.parquet")
    with pytest.raises(InputError, match=error):
        open_dataset(path)


def test_annotations_follow_their_faces(dataset):
    notes = pa.table({"face_id": [dataset.ids[0], dataset.ids[0], dataset.ids[1]], "n": [1, 2, 3]})
    both = dataclasses.replace(dataset, annotations=notes)
    assert both.select([1, 5]).annotations["n"].to_pylist() == [3]
    assert both.select(np.arange(24) == 0).annotations["n"].to_pylist() == [1, 2]


def test_pictures_and_crops(dataset):
    assert dataset.image(2).shape == (40, 48, 3)
    assert dataset.image_paths[2].is_file()
    rule = CropRule(margin=0.0)
    assert dataset.crop(2, rule, (32, 16)).shape == (16, 32, 3)
    whole = dataset.with_column("box", [None] * 24)
    np.testing.assert_array_equal(whole.crop(2, rule), dataset.image(2))


def test_saving_a_selection_links_to_the_same_pictures(dataset, tmp_path):
    part = dataset.where(split="train")
    saved = save_dataset(part, tmp_path / "part")
    assert saved.ids == part.ids
    assert saved.image_paths == part.image_paths
    assert saved.info.fingerprint == part.fingerprint() != dataset.info.fingerprint
    assert saved.info.rows == len(part) == 8
    assert open_dataset(tmp_path / "part").faces.equals(part.faces)
    with pytest.raises(DestinationExists):
        save_dataset(part, tmp_path / "part")
    with pytest.raises(InputError, match="cannot write a dataset onto"):
        save_dataset(part, dataset.path, overwrite=True)


def test_other_columns_are_kept(dataset, tmp_path):
    more = dataset.with_column("age", pa.array(range(24), pa.int32()))
    saved = save_dataset(more, tmp_path / "more")
    assert saved.faces["age"].to_pylist() == list(range(24))


def test_rows_are_iterated_in_order(dataset):
    rows = list(iterate_rows(dataset.faces, ["face_id", "split"]))
    assert rows == dataset.faces.select(["face_id", "split"]).to_pylist()


def test_info_survives_json_and_ignores_what_it_does_not_know():
    info = DatasetInfo("n", crop=CropRule(margin=0.3), license="CC0", rows=3, fingerprint="f")
    data = json.loads(info.to_json()) | {"later": 1}
    assert DatasetInfo.from_json(json.dumps(data), "x") == info


NAMED = '{"name": "x", "schema": 1'


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", FormatError, "is not JSON"),
        ("[]", FormatError, "Expected `object`"),
        ('{"name": "x"}', FormatError, "`schema`"),
        ('{"schema": 1}', FormatError, "`name`"),
        ('{"name": "x", "schema": 2}', NewerSchema, "update openaffect"),
        ('{"name": ["later"], "schema": 2}', NewerSchema, "update openaffect"),
        ('{"name": "x", "schema": "1"}', FormatError, r"\$.schema"),
        ('{"name": "x", "schema": true}', FormatError, r"\$.schema"),
        ('{"name": "x", "schema": 0}', FormatError, r"\$.schema"),
        (NAMED + ', "crop": {"size": 3}}', FormatError, "margin"),
        (NAMED + ', "crop": {"margin": 9}}', FormatError, "margin"),
        (NAMED + ', "crop": {"margin": "0.1"}}', FormatError, r"\$.crop.margin"),
        (NAMED + ', "crop": "yunet"}', FormatError, r"\$.crop"),
        (NAMED + ', "images": 0}', FormatError, r"\$.images"),
        (NAMED + ', "images": null}', FormatError, r"\$.images"),
        (NAMED + ', "images": "a\\u0000b"}', FormatError, "zero byte"),
        (NAMED + ', "license": "\\ud800"}', FormatError, "is not JSON"),
        (NAMED + ', "shareable": "yes"}', FormatError, r"\$.shareable"),
        (NAMED + ', "rejected": []}', FormatError, r"\$.rejected"),
        (NAMED + ', "rows": 1.5}', FormatError, r"\$.rows"),
        (NAMED + ', "rows": NaN}', FormatError, "is not JSON"),
        ("[" * 100_000, FormatError, "Expected `object`"),
        (NAMED + ', "later": ' + "[" * 100_000, FormatError, "too deeply"),
    ],
)
def test_a_broken_dataset_json_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        DatasetInfo.from_json(text, "dataset.json")


def test_the_folder_of_the_pictures_may_be_missing_but_is_no_file(tmp_path):
    path = make_dataset(tmp_path / "d", 3).path
    text = (path / "dataset.json").read_text()

    def link(images):
        (path / "dataset.json").write_text(
            text.replace('"images": "images"', f'"images": "{images}"')
        )
        return open_dataset(path)

    assert link(tmp_path / "unmounted").ids == link("images").ids
    with pytest.raises(InputError, match=r"a folder under 'images' .*faces\.parquet is a file"):
        link(path / "faces.parquet")


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(FormatError, match="there is no such folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(FormatError, match=r"has no dataset\.json"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no more PAR1"])
def test_a_broken_table_is_refused(tmp_path, content):
    path = make_dataset(tmp_path / "d", 3).path
    table = path / "faces.parquet"
    table.unlink() if content is None else table.write_bytes(content)
    with pytest.raises(FormatError, match=r"the faces of a dataset at .*faces\.parquet"):
        open_dataset(path)


def test_a_truncated_table_is_refused(tmp_path):
    path = make_dataset(tmp_path / "d", 3).path
    data = (path / "faces.parquet").read_bytes()
    (path / "faces.parquet").write_bytes(data[:-100])
    with pytest.raises(FormatError, match="no whole Parquet file"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value("face_id", "pack1/face-001"), "face_id must be unique"),
        (with_value("expression", "joyful"), "expected expression .* got joyful"),
        (with_value("split", "val"), "expected split .* got val"),
        (with_value("expression_origin", "robot"), "expression_origin"),
        (with_value("affect_origin", "robot"), "affect_origin"),
        (with_value("valence", None), "only one of valence and arousal"),
        (with_value("valence", 1.5), r"in \[-1, 1\], but pack0/face-000 has 1.5"),
        (with_value("image", None), "column 'image' .* must not be null"),
        (
            with_value("box", [0, 0, 0, 5]),
            "column 'box' .* pack0/face-000 has 0, 0, 0, 5$",
        ),
        (with_value("box", [0, 0, 5, -1]), "a positive width and height"),
        (with_value("box", [float("nan"), 0, 5, 5], 2), "pack2/face-002 has nan"),
        (with_value("box", [0, 0, float("inf"), 5]), "column 'box'"),
        (with_value("box", [0, 0, None, 5]), "column 'box'"),
        (with_value("landmarks", [1.0] * 135 + [float("inf")]), "column 'landmarks'"),
        (with_value("soft_label", [0.5] * 8), "8 shares, at least 0, that sum to 1"),
        (with_value("soft_label", [1.5, -0.5] + [0] * 6), "column 'soft_label'"),
        (with_value("soft_label", [float("nan")] * 8), "column 'soft_label'"),
        (with_value("soft_label", [0.98] + [0] * 7), "column 'soft_label'"),
        (lambda table: table.drop_columns(["face_id"]), "expected a column 'face_id'"),
        (
            lambda table: table.set_column(4, "expression", pa.array([[1]] * 3)),
            "expected column 'expression' .* to be string",
        ),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused(tmp_path, change, message):
    path = make_dataset(tmp_path / "d", 3).path
    rewrite(path, change)
    with pytest.raises(InputError, match=message):
        open_dataset(path)


@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        "..",
        "../../x.png",
        "a/../../x.png",
        "a/..",
        "",
        ".",
        "C:\\x.png",
        "c:x.png",
        "\\\\server\\share\\x.png",
        "a\\..\\x.png",
        "a.png\0.txt",
    ],
)
def test_a_picture_outside_the_images_folder_is_refused_by_opening_and_by_writing(tmp_path, image):
    path = make_dataset(tmp_path / "d", 3).path
    rewrite(path, with_value("image", image, 1))
    with pytest.raises(InputError, match=r"column 'image' .* pack1/face-001 has"):
        open_dataset(path)
    with write_dataset(tmp_path / "e", check_images=False) as writer:
        assert writer.add(FaceRow("a", "a.png"))
        assert not writer.add(FaceRow("b", image))


def test_rows_that_break_a_rule_are_counted(tmp_path):
    path = make_dataset(tmp_path / "d", 4).path
    rewrite(path, lambda table: with_value("box", [0] * 4, 3)(with_value("box", [0] * 4, 1)(table)))
    with pytest.raises(InputError, match="pack1/face-001 has 0, 0, 0, 0, and 1 more"):
        open_dataset(path)


@pytest.mark.parametrize("image", ["..a/b..png", "./a.png", "a/.hidden/x", "…/Größe ä.png", "ab:c"])
def test_odd_but_honest_names_of_pictures_are_read(tmp_path, image):
    path = make_dataset(tmp_path / "d", 3).path
    rewrite(path, with_value("image", image))
    assert open_dataset(path).faces["image"][0].as_py() == image


def test_soft_labels_of_two_digits_are_read(tmp_path):
    path = make_dataset(tmp_path / "d", 3).path
    rewrite(path, with_value("soft_label", [0.33, 0.33, 0.33] + [0] * 5))
    assert open_dataset(path).lists("soft_label")[0, 0] == np.float32(0.33)


def test_columns_that_are_missing_or_of_a_wider_type_are_brought_into_the_schema(tmp_path):
    dataset = make_dataset(tmp_path / "d", 3)
    rewrite(dataset.path, lambda table: table.drop_columns(["votes", "box"]))
    again = open_dataset(dataset.path)
    assert again.faces["box"].null_count == 3
    assert again.faces["votes"].type == dataset.faces["votes"].type

    def widen(table):
        place = table.column_names.index("valence")
        return table.set_column(place, "valence", table["valence"].cast(pa.float64()))

    rewrite(dataset.path, widen)
    assert open_dataset(dataset.path).faces["valence"].type == pa.float32()


def test_a_picture_that_went_missing_is_an_error_when_it_is_read(tmp_path):
    dataset = make_dataset(tmp_path / "d", 3)
    dataset.image_paths[1].unlink()
    again = open_dataset(dataset.path)
    assert again.image(0).shape == (40, 48, 3)
    with pytest.raises(ImageError, match=r"face-001"):
        again.image(1)


# ---------------------------------------------------------------- other people's readers


def test_pandas_reads_it(dataset):
    pd = pytest.importorskip("pandas")
    frame = pd.read_parquet(dataset.path / "faces.parquet")
    assert frame["face_id"].tolist() == dataset.ids
    assert frame["expression"].value_counts().to_dict() == dict.fromkeys(EXPRESSIONS[:8], 3)
    assert dataset.to_pandas()["face_id"].tolist() == dataset.ids


def test_without_pandas_the_error_says_what_to_install(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"\[pandas\]"):
        dataset.to_pandas()


def test_duckdb_reads_it(dataset):
    duckdb = pytest.importorskip("duckdb")
    counts = duckdb.sql(
        f"select split, count(*), avg(valence), max(landmarks[1]) "
        f"from '{dataset.path}/faces.parquet' group by split order by split"
    ).fetchall()
    assert [(row[0], row[1]) for row in counts] == [("test", 8), ("train", 8), ("validation", 8)]
    expected = dataset.where(split="test").affect[:, 0].mean()
    assert counts[0][2] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.slow
def test_hugging_face_datasets_reads_the_folder(tmp_path):
    """Without the head of README.md this fails on the second Parquet file."""
    pytest.importorskip("datasets")
    dataset = make_dataset(tmp_path / "data", 6)
    notes = pa.table({"face_id": dataset.ids, "annotator": ["ann"] * 6})
    saved = save_dataset(dataclasses.replace(dataset, annotations=notes), tmp_path / "both")
    program = (
        "import sys, datasets\n"
        "faces = datasets.load_dataset(sys.argv[1])\n"
        "notes = datasets.load_dataset(sys.argv[1], 'annotations')\n"
        "print(*faces, *notes, len(notes['all_splits']))\n"
        "faces = datasets.load_dataset(sys.argv[1], split='all_splits')\n"
        "test = faces.filter(lambda face: face['split'] == 'test')\n"
        "print(len(faces), test['face_id'][:], len(faces[0]['landmarks']))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(saved.path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    tests = [dataset.ids[2], dataset.ids[5]]
    assert done.stdout.splitlines() == ["all_splits all_splits 6", f"6 {tests} 136"]


def test_a_table_read_in_portions_is_the_table_that_was_written(tmp_path):
    rows = 40_000  # more than one portion, whose rows end inside a row group
    boxes = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
    null = np.arange(rows) % 7 == 0
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(boxes.reshape(-1)), type=pa.list_(pa.float32(), 4), mask=pa.array(null)
    )
    names = pa.array([f"face {number}" for number in range(rows)])
    table = pa.table({"face_id": names, "box": column})
    pq.write_table(table, tmp_path / "faces.parquet", row_group_size=9_000)
    read = tables.read_parquet(tmp_path / "faces.parquet", "a table")
    assert read["box"].num_chunks > 1
    assert read.equals(table)
    dataset = Dataset(tmp_path, DatasetInfo("portions"), read)
    boxes[null] = np.nan
    np.testing.assert_array_equal(dataset.lists("box"), boxes)
    assert dataset.faces["box"][39_999].as_py() == boxes[39_999].tolist()


def test_a_table_without_rows_is_read(tmp_path):
    table = pa.table({"face_id": pa.array([], pa.string())})
    pq.ParquetWriter(tmp_path / "empty.parquet", table.schema).close()
    assert tables.read_parquet(tmp_path / "empty.parquet", "a table").equals(table)
