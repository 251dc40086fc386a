"""Synthetic faces as a dataset: the same bytes whoever draws them, and whole or not there."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.dataset import Dataset, open_dataset
from openaffect.errors import DestinationExists, InputError
from openaffect.labels import EMOTIONS, Expression
from openaffect.progress import Progress
from openaffect.synthetic.dataset import even_counts, synthesize_dataset

E = Expression
COUNTS = {"train": {E.HAPPY: 9, E.SAD: 6}, "validation": {E.SAD: 2}, None: {E.FEAR: 1}}


def pictures(dataset: Dataset) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in dataset.image_paths]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Dataset:
    return synthesize_dataset(
        tmp_path_factory.mktemp("drawn") / "faces", COUNTS, size=48, workers=1
    )


def test_holds_as_many_faces_of_each_split_and_expression_as_asked_for(drawn):
    rows = drawn.faces.select(["split", "expression"]).to_pylist()
    found: dict[str | None, dict[str, int]] = {}
    for row in rows:
        classes = found.setdefault(row["split"], {})
        classes[row["expression"]] = classes.get(row["expression"], 0) + 1
    assert found == {split: {**classes} for split, classes in COUNTS.items()}


def test_faces_are_mixed_so_that_a_first_part_is_like_the_whole(drawn):
    expressions = drawn.faces["expression"].to_pylist()
    assert expressions != sorted(expressions)
    assert {*expressions[:9]} >= {"happy", "sad"}


def test_says_all_that_is_known_of_a_face(drawn):
    columns = ("box", "landmarks", "expression", "valence", "arousal", "license")
    assert [drawn.faces[name].null_count for name in columns] == [0] * 6
    for column in ("expression_origin", "affect_origin"):
        assert drawn.faces[column].unique().to_pylist() == ["synthetic"]
    assert (drawn.info.shareable, drawn.info.license) == (True, "CC0-1.0")
    assert drawn.info.source == "faces synthesized by openaffect, seed 0"
    assert drawn.image(3).shape == (48, 48, 3)
    boxes = drawn.lists("box")
    assert (boxes[:, 2:] > 5).all()
    points = drawn.lists("landmarks").reshape(-1, 68, 2)
    assert np.abs(points - 24).max() < 60
    assert drawn.info.rejected == 0


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(drawn, tmp_path):
    done: list[Progress] = []
    again = synthesize_dataset(
        tmp_path / "again", COUNTS, size=48, workers=3, on_progress=done.append
    )
    assert len(again) > 16  # so that processes are started
    assert pictures(again) == pictures(drawn)
    assert again.fingerprint() == drawn.fingerprint()
    assert [event.done for event in done] == list(range(1, 19))


def test_another_seed_gives_other_faces(drawn, tmp_path):
    other = synthesize_dataset(tmp_path / "other", COUNTS, size=48, seed=1, workers=1)
    assert {*pictures(other)}.isdisjoint(pictures(drawn))
    assert len({*pictures(drawn)}) == 18


def test_the_name_is_the_folders_or_the_one_given(drawn, tmp_path):
    assert drawn.info.name == "faces"
    one = {None: {E.HAPPY: 1}}
    assert synthesize_dataset(tmp_path / "a", one, size=32, name="mine").info.name == "mine"


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        ({}, {}, "one or more faces to draw, but got 0"),
        ({None: {E.HAPPY: 0}}, {}, "one or more faces to draw, but got 0"),
        ({None: {E.HAPPY: 3, E.SAD: -1}}, {}, "0 or more faces of sad, but got -1"),
        ({None: {E.HAPPY: 1}}, {"size": 16}, "32"),
        ({None: {E.HAPPY: 1, E.NONE: 1}}, {}, "expression to draw 'none'"),
        ({"training": {E.HAPPY: 1}}, {}, "split of train, validation, test, but got training"),
        ({None: {E.HAPPY: 1}}, {"seed": -1}, "seed of 0 or more, but got -1"),
        ({None: {E.HAPPY: 1}}, {"workers": -2}, "workers of 1 or more, but got -2"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(counts, settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        synthesize_dataset(tmp_path / "faces", counts, **({"size": 32} | settings))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_dataset_is_replaced_only_on_demand(tmp_path):
    one, two = {None: {E.HAPPY: 1}}, {None: {E.HAPPY: 2}}
    synthesize_dataset(tmp_path / "faces", one, size=32)
    with pytest.raises(DestinationExists):
        synthesize_dataset(tmp_path / "faces", two, size=32)
    assert len(open_dataset(tmp_path / "faces")) == 1
    synthesize_dataset(tmp_path / "faces", two, size=32, overwrite=True)
    assert len(open_dataset(tmp_path / "faces")) == 2


def test_a_failure_on_the_way_leaves_nothing(tmp_path):
    def fail(event: Progress) -> None:
        if event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_dataset(tmp_path / "faces", COUNTS, size=32, workers=2, on_progress=fail)
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 10_000))
def test_even_counts_differ_by_one_at_most_and_add_up(total):
    counts = even_counts(total)
    assert list(counts) == list(EMOTIONS)
    assert sum(counts.values()) == total
    assert max(counts.values()) - min(counts.values()) <= 1
