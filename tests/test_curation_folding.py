"""Folds: every row in one, groups whole, classes even, the order of rows without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect import schemas
from openaffect.curation import assign_folds
from openaffect.dataset import Dataset, DatasetInfo
from openaffect.errors import InputError

NAMES = ("neutral", "happy", "contempt", None)


def make_dataset(rows: Sequence[tuple[str | None, str | None]]) -> Dataset:
    """A dataset in memory from (expression, group) of each row."""
    columns = {name: [None] * len(rows) for name in schemas.FACES.names} | {
        "face_id": [f"f{n}" for n in range(len(rows))],
        "image": [f"f{n}.png" for n in range(len(rows))],
        "expression": [expression for expression, _ in rows],
        "group": [group for _, group in rows],
    }
    faces = pa.table(columns, schema=schemas.FACES)
    return Dataset(Path("memory"), DatasetInfo("memory", "images"), faces, None)


rows = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from([None, None, None, "a", "b", "c"])),
    min_size=30,
    max_size=120,
)


@settings(deadline=None)
@given(rows, st.integers(2, 5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_groups_stay_whole_whatever_the_order_of_the_rows(rows, folds, seed, random):
    dataset = make_dataset(rows)
    found = assign_folds(dataset, folds, seed=seed)
    assert {*found.tolist()} <= {*range(folds)}
    for group in ("a", "b", "c"):
        assert len({*found[[g == group for _, g in rows]].tolist()}) <= 1
    order = [*range(len(rows))]
    random.shuffle(order)
    again = assign_folds(dataset.select(order), folds, seed=seed)
    assert again.tolist() == found[order].tolist()


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=10, max_size=200), st.integers(2, 5))
def test_without_groups_classes_and_sizes_differ_by_one_at_most(names, folds):
    found = assign_folds(make_dataset([(name, None) for name in names]), folds)
    sizes = np.bincount(found, minlength=folds)
    for name in {*names}:
        counts = np.bincount(found[[other == name for other in names]], minlength=folds)
        assert np.ptp(counts) <= 1
    assert np.ptp(sizes) <= 1


def test_a_group_goes_where_its_class_is_short_not_where_the_fold_is_small():
    """Twelve of contempt in groups of 6, 2, 2, 2: 6 and 6, though happy makes folds of any size."""
    groups = [
        ("contempt", name) for name, n in zip("abcd", (6, 2, 2, 2), strict=True) for _ in range(n)
    ]
    found = assign_folds(make_dataset([*groups, *[("happy", None)] * 40]), 2)
    rare = np.bincount(found[:12], minlength=2)
    assert rare.tolist() == [6, 6]
    # Mixed: happy faces in the groups of contempt make one fold large before the other.
    mixed = [("contempt", "a"), *[("happy", "a")] * 9, ("contempt", "b"), ("contempt", None)]
    mixed += [("contempt", None)]
    for seed in range(6):
        found = assign_folds(make_dataset(mixed), 2, seed=seed)
        assert np.bincount(found[[0, 10, 11, 12]], minlength=2).tolist() == [2, 2]


def test_the_largest_groups_are_placed_first():
    sizes = (1, 1, 1, 1, 4)
    rows = [("happy", f"g{n}") for n, size in enumerate(sizes) for _ in range(size)]
    for seed in range(8):
        found = assign_folds(make_dataset(rows), 2, seed=seed)
        assert sorted(np.bincount(found, minlength=2).tolist()) == [4, 4]


def test_the_seed_decides():
    dataset = make_dataset([("happy", None)] * 50)
    one, other = (assign_folds(dataset, 5, seed=seed) for seed in (0, 1))
    assert one.tolist() != other.tolist()
    assert Counter(one.tolist()) == Counter(other.tolist()) == dict.fromkeys(range(5), 10)


@pytest.mark.parametrize("folds", [0, 1, 4])
def test_too_few_folds_or_groups_are_refused(folds):
    dataset = make_dataset([("happy", "a"), ("happy", "a"), ("sad", "b"), ("sad", None)])
    with pytest.raises(InputError, match=f"the 3 groups of memory, but got {folds}"):
        assign_folds(dataset, folds)
