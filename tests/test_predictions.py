"""Predictions: what a file may hold, what is refused, and that no order matters."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrowing import known
from openaffect.dataset import open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import (
    DestinationExists,
    FormatError,
    InputError,
    MismatchError,
    NewerSchema,
    UnknownName,
)
from openaffect.face_row import FaceRow
from openaffect.labels import EMOTIONS, LABEL_SETS, Expression
from openaffect.predictions import (
    Predictions,
    align_predictions,
    join_predictions,
    open_predictions,
    read_predictions,
)


def example(**changes: Any) -> Predictions:
    p = np.random.default_rng(0).dirichlet(np.ones(8), 3)
    p[1] = np.nan
    affect = np.array([[0.25, -0.5], [np.nan, np.nan], [0.0, 1.0]])
    given_ = {
        "ids": ["a", "b", "c"],
        "labels": EMOTIONS,
        "probabilities": p,
        "affect": affect,
        "errors": [None, "broken picture", None],
        "made_with": {"model": "tiny", "crop": {"margin": 0.15}},
    }
    return Predictions(**{**given_, **changes})


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    example().save(tmp_path / "p.parquet")
    back = open_predictions(tmp_path / "p.parquet")
    assert back.ids == ["a", "b", "c"]
    assert back.labels == EMOTIONS
    assert back.choices is None
    # stored as float32: half a unit in the 24th binary digit, then renormalized
    np.testing.assert_allclose(known(back.probabilities), known(example().probabilities), rtol=3e-7)
    np.testing.assert_array_equal(back.affect, example().affect)
    assert back.errors == [None, "broken picture", None]
    assert back.made_with == example().made_with


def test_a_failed_row_is_null_in_the_file(tmp_path: Path) -> None:
    example().save(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    nulls = {name: table[name].null_count for name in table.column_names}
    assert nulls == {
        "face_id": 0,
        **{f"p_{e}": 1 for e in EMOTIONS},
        "valence": 1,
        "arousal": 1,
        "error": 2,
    }
    assert table["p_happy"].type == pa.float32()


def test_choices_come_back(tmp_path: Path) -> None:
    choices = np.array([1, -1, 10], np.int8)
    made = example(labels=(), probabilities=None, choices=choices, affect=None)
    made.save(tmp_path / "p.parquet")
    back = open_predictions(tmp_path / "p.parquet")
    assert (back.labels, back.probabilities, back.affect) == ((), None, None)
    np.testing.assert_array_equal(back.choices, choices)


def test_a_file_is_replaced_only_on_demand(tmp_path: Path) -> None:
    example().save(tmp_path / "p.parquet")
    with pytest.raises(DestinationExists):
        example().save(tmp_path / "p.parquet")
    example(ids=["x", "y", "z"]).save(tmp_path / "p.parquet", overwrite=True)
    assert open_predictions(tmp_path / "p.parquet").ids == ["x", "y", "z"]


# ---- tables of other systems ------------------------------------------------------------


def test_spellings_and_orders_of_other_systems_are_read() -> None:
    table = pa.table({"face_id": [7, 8], "p_Sadness": [0.25, 1], "p_Happiness": [0.75, 0]})
    found = read_predictions(table)
    assert found.ids == ["7", "8"]
    assert found.labels == (Expression.HAPPY, Expression.SAD)
    np.testing.assert_array_equal(found.probabilities, [[0.75, 0.25], [0, 1]])


def test_rows_that_nearly_sum_to_1_are_renormalized() -> None:
    table = pa.table({"face_id": ["a"], "p_happy": [0.5004], "p_sad": [0.5004]})
    np.testing.assert_allclose(
        known(read_predictions(table).probabilities), [[0.5, 0.5]], rtol=1e-15
    )


GOOD: dict[str, list[Any]] = {"face_id": ["a", "b"], "p_happy": [0.5, 1.0], "p_sad": [0.5, 0.0]}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"p_sad": [0.6, 0.0]}, InputError, "those of a sum to 1.1"),
        ({"p_happy": [0.5, 1.5], "p_sad": [0.5, -0.5]}, InputError, "smallest -0.5"),
        ({"p_sad": [float("nan"), 0.0]}, InputError, "a .and 0 more. has NaN"),
        ({"p_sad": [None, 0.0]}, InputError, "a null beside numbers"),
        ({"p_sad": [float("inf"), 0.0]}, InputError, "expected probabilities"),
        ({"face_id": ["a", "a"]}, InputError, "face_id must be unique"),
        ({"p_hapy": [0.0, 0.0]}, UnknownName, "did you mean 'happy'"),
        ({"valence": [0.1, 0.1]}, FormatError, "only one of the columns valence and arousal"),
        ({"valence": [0.1, None], "arousal": [0.1, 0.1]}, InputError, "only one of valence"),
        ({"valence": [0.1, np.inf], "arousal": [0.1, 0.1]}, InputError, "not finite"),
        ({"valence": [0.1, 1.51], "arousal": [0.1, 0.1]}, InputError, "1 of 2 rows .* up to 1.51"),
        ({"valence": [0.1, 0.1], "arousal": [-12.0, 0.1]}, InputError, "another scale"),
        ({"valence": ["x", "y"], "arousal": [0.1, 0.1]}, FormatError, "column 'valence'"),
        ({"valence": [[1.0], [1.0]], "arousal": [0.1, 0.1]}, FormatError, "column 'valence'"),
        ({"valence": [0.1, 0.1], "arousal": [b"\xff", b"1"]}, FormatError, "column 'arousal'"),
        ({"p_sad": ["x", "y"]}, FormatError, "column 'p_sad' .* double"),
        ({"p_sad": [b"\xff", b"0"]}, FormatError, "column 'p_sad'"),
        ({"p_sad": [[0.5], [0.0]]}, FormatError, "column 'p_sad'"),
        ({"p_sad": [{"a": 1}, {"a": 1}]}, FormatError, "column 'p_sad'"),
        ({"p_sad": [datetime(2020, 1, 1)] * 2}, FormatError, "column 'p_sad'"),
        ({"p_sad": [1e308, 0.0], "p_happy": [1e308, 1.0]}, InputError, "sum to inf"),
        ({"face_id": ["a", None]}, FormatError, "face_id.* null in 1 of 2 rows"),
        ({"face_id": [b"\xff", b"a"]}, FormatError, "column 'face_id'"),
        ({"face_id": [{"a": 1}, {"a": 2}]}, FormatError, "column 'face_id'"),
        ({"error": [[1], [2]]}, FormatError, "column 'error'"),
    ],
)
def test_what_is_refused(changes: dict[str, list[Any]], error: type[Exception], says: str) -> None:
    assert len(read_predictions(pa.table(GOOD))) == 2
    with pytest.raises(error, match=says):
        read_predictions(pa.table({**GOOD, **changes}))


@pytest.mark.parametrize(
    ("values", "expected", "noted"),
    [
        (["Happiness", None, "none"], [1, -1, 8], False),
        (["happy", "happy", "sad"], [1, 1, 2], False),
        ([0, 7, None], [0, 7, -1], True),
        ([3.0, float("nan"), 10.0], [3, -1, 10], True),
        (["0", "1", " 2"], [0, 1, 2], True),
        (["0.0", "1.", None], [0, 1, -1], True),
        (pa.array(["sad", None, "fear"]).dictionary_encode(), [2, -1, 4], False),
        (pa.array(["sad", None, "fear"], pa.large_string()), [2, -1, 4], False),
        (pa.array([1, 2, 3], pa.uint8()), [1, 2, 3], True),
        ([None, None, None], [-1, -1, -1], False),
    ],
)
def test_expressions_are_read_from_names_and_numbers(
    values: Any, expected: list[int], noted: bool
) -> None:
    found = read_predictions(pa.table({"face_id": ["a", "b", "c"], "expression": values}))
    assert found.choices is not None
    assert found.choices.tolist() == expected
    assert found.choices.dtype == np.int8
    assert ["AffectNet's ids: 0 neutral, 1 happy" in note for note in found.notes] == [True] * noted


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (["hapy"], UnknownName),
        ([11], UnknownName),
        ([-1], UnknownName),
        ([1.5], FormatError),
        ([float("inf")], FormatError),
        ([2**63], FormatError),
        ([True], UnknownName),
        ([["happy"]], FormatError),
        ([b"\xff"], FormatError),
        ([datetime(2020, 1, 1)], InputError),
    ],
)
def test_what_is_no_expression_is_refused(values: list[Any], error: type[Exception]) -> None:
    column = pa.array(values, pa.uint64()) if values == [2**63] else values
    with pytest.raises(error):
        read_predictions(pa.table({"face_id": ["a"], "expression": column}))


@pytest.mark.parametrize(
    ("affect", "notes"),
    [([1.0, -1.0], 0), ([1.5, 0.0], 1), ([0.0, -1.001], 1), ([None, None], 0)],
)
def test_what_lies_a_little_outside_the_range_is_noted(affect: list[Any], notes: int) -> None:
    table = pa.table({"face_id": ["a"], "p_happy": [1.0], "valence": [affect[0]]})
    table = table.append_column("arousal", pa.array([affect[1]], pa.float64()))
    assert len(read_predictions(table).notes) == notes


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "null",
        "[]",
        "{",
        '{"schema": "1"}',
        '{"schema": null}',
        '{"schema": 0}',
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"labels": [{}]}',
        '{"labels": "happy"}',
        '{"crop": "yunet"}',
        '{"model": 5}',
        '{"a": ' + "[" * 100_000,
        b"\xff",
    ],
)
def test_metadata_that_is_not_what_it_should_be_is_refused(text: Any) -> None:
    with pytest.raises(FormatError, match="the metadata of the table"):
        read_predictions(pa.table(GOOD).replace_schema_metadata({"openaffect": text}))


def test_metadata_that_json_cannot_hold_is_not_written() -> None:
    for value in (float("nan"), {1, 2}):
        with pytest.raises(InputError, match="made_with"):
            example(made_with={"a": value}).to_table()


def test_columns_of_one_name_are_refused() -> None:
    for name in GOOD:
        table = pa.table(GOOD).append_column(name, pa.table(GOOD)[name])
        with pytest.raises(FormatError, match=f"two columns of one name: {name}"):
            read_predictions(table)


def test_other_columns_are_not_read(tmp_path: Path) -> None:
    many = {f"feature {n}": [0.0, 0.0] for n in range(500)}
    table = pa.table({**many, **GOOD})
    doubled = table.append_column("feature 1", table["feature 1"])
    pq.write_table(doubled, tmp_path / "p.parquet")
    assert len(open_predictions(tmp_path / "p.parquet")) == 2
    with pytest.raises(FormatError) as caught:
        read_predictions(pa.table(many))
    assert len(str(caught.value)) < 400


def test_a_table_without_ids_or_without_answers_is_refused() -> None:
    with pytest.raises(FormatError, match="face_id"):
        read_predictions(pa.table({"id": ["a"], "p_happy": [1.0]}))
    with pytest.raises(FormatError, match="p_<name> columns"):
        read_predictions(pa.table({"face_id": ["a"], "score": [1.0]}))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        open_predictions(tmp_path / "none.parquet")
    (tmp_path / "p.parquet").write_bytes(b"face_id,p_happy\n")
    with pytest.raises(FormatError, match="no whole Parquet file"):
        open_predictions(tmp_path / "p.parquet")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    example().save(tmp_path / "p.parquet")
    data = (tmp_path / "p.parquet").read_bytes()
    (tmp_path / "p.parquet").write_bytes(data[:-20])
    with pytest.raises(FormatError, match="no whole Parquet file"):
        open_predictions(tmp_path / "p.parquet")


def test_a_newer_schema_is_refused() -> None:
    table = pa.table(GOOD).replace_schema_metadata({"openaffect": json.dumps({"schema": 99})})
    with pytest.raises(NewerSchema, match="update openaffect"):
        read_predictions(table)


# ---- joining ----------------------------------------------------------------------------


def test_align_finds_rows_by_id() -> None:
    assert example().align(["c", "a", "c"]).tolist() == [2, 0, 2]
    with pytest.raises(MismatchError, match="lack 2: x, y"):
        example().align(["a", "x", "y"])


def test_predictions_of_nothing_lack_every_face(tmp_path: Path) -> None:
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        writer.add(FaceRow("a", "a.png", expression=Expression.HAPPY))
    none = read_predictions(pa.table(GOOD).slice(0, 0))
    assert len(none) == 0
    with pytest.raises(MismatchError, match="lack 1: a"):
        align_predictions(open_dataset(tmp_path / "d"), none)


def test_a_dataset_finds_its_rows_and_names_foreign_ones(tmp_path: Path) -> None:
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        for name in ("b", "a"):
            writer.add(FaceRow(name, f"{name}.png", expression=Expression.HAPPY))
    dataset = open_dataset(tmp_path / "d")
    with pytest.raises(MismatchError, match=r"1 predictions are of faces that .* lacks: c"):
        align_predictions(dataset, example())
    two = dataclasses.replace(example(), ids=["a", "b"])
    assert align_predictions(dataset, two).tolist() == [1, 0]
    assert align_predictions(dataset, two, ["a"]).tolist() == [0]


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_order_of_a_table_never_matters(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 8))
    labels = data.draw(st.sampled_from([LABEL_SETS["7"], EMOTIONS, EMOTIONS[:2]]))
    shares = st.lists(
        st.lists(st.integers(0, 100), min_size=len(labels), max_size=len(labels)).filter(any),
        min_size=n,
        max_size=n,
    )
    p = np.array(data.draw(shares), float)
    p /= p.sum(axis=1, keepdims=True)
    p[data.draw(st.lists(st.integers(0, n - 1), max_size=n))] = np.nan
    ids = [f"f{i}" for i in range(n)]
    table = Predictions(ids, labels, p).to_table()
    order = data.draw(st.permutations(range(n)))
    columns = data.draw(st.permutations(table.column_names))
    back = read_predictions(table.take(order).select(columns))
    assert back.labels == labels
    found = known(back.probabilities)[back.align(ids)]
    np.testing.assert_allclose(found, p, rtol=1e-6)


def test_parts_are_joined_in_their_order_with_their_errors() -> None:
    one = example()
    other = example(ids=["d", "e", "f"], errors=[])
    joined = join_predictions([one, other], {"folds": 2})
    assert joined.ids == ["a", "b", "c", "d", "e", "f"]
    assert joined.errors == [None, "broken picture", None, None, None, None]
    np.testing.assert_array_equal(known(joined.probabilities)[:3], one.probabilities)
    np.testing.assert_array_equal(known(joined.affect)[3:], other.affect)
    assert joined.choices is None
    assert joined.made_with == {"folds": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "3 faces occur in several predictions, first a"),
        ({"ids": ["c", "d", "e"]}, "1 faces occur in several predictions, first c"),
        ({"ids": ["d", "e", "f"], "affect": None}, "same classes and kind"),
        (
            {"ids": ["d"], "labels": LABEL_SETS["7"], "probabilities": np.full((1, 7), 1 / 7)},
            "same classes and kind",
        ),
    ],
)
def test_parts_that_do_not_fit_are_not_joined(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        join_predictions([example(), example(**changes)], {})
