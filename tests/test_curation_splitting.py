"""Splits: exact, by whole groups, the same from the same seed whatever the order of the rows."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect import schemas, tables
from openaffect.curation import plan_split, split_dataset
from openaffect.dataset import Dataset, DatasetInfo, open_dataset
from openaffect.errors import DestinationExists, InputError, UnknownName
from openaffect.row_groups import SplitSize, draw_groups, parse_amount

CLASSES = ["neutral", "happy", "sad"]


def table(
    expressions: Sequence[str | None],
    groups: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
) -> Dataset:
    """A dataset of rows alone; the pictures do not matter here."""
    n = len(expressions)
    faces = pa.table(
        {
            "face_id": [f"f{number:04}" for number in range(n)],
            "image": ["x.png"] * n,
            "expression": pa.array(expressions, pa.string()),
            "group": pa.array(groups or [None] * n, pa.string()),
            "split": pa.array(splits or [None] * n, pa.string()),
        }
    )
    return Dataset(
        Path("DATASET"), DatasetInfo("rows"), tables.conform(faces, schemas.FACES, "the test")
    )


def by_class(dataset: Dataset, splits: tuple[str | None, ...], split: str) -> dict[str | None, int]:
    names = dataset.faces["expression"].to_pylist()
    return dict(collections.Counter(e for e, s in zip(names, splits, strict=True) if s == split))


def test_what_is_missing_goes_to_the_classes_with_the_largest_remainders() -> None:
    """9 of 31 + 36 + 18 faces are 3.28, 3.81 and 1.91: two more after 3, 3 and 1."""
    dataset = table(["neutral"] * 31 + ["happy"] * 36 + ["sad"] * 18)
    plan = plan_split(dataset, validation="9")
    assert plan.wanted["validation"] == {"neutral": 3, "happy": 4, "sad": 2}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500-per-class", SplitSize("per class", Fraction(500))),
        ("10%", SplitSize("share", Fraction(1, 10))),
        (" 12.5 % ", SplitSize("share", Fraction(1, 8))),
        ("1000", SplitSize("faces", Fraction(1000))),
        (7, SplitSize("faces", Fraction(7))),
    ],
)
def test_parse_amount(text: str | int, amount: SplitSize) -> None:
    assert parse_amount(text) == amount
    assert parse_amount(str(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "10 percent", "0", "0%", "100%", "-5", "1.5", "2.5-per-class", "nan"]
)
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="but got"):
        parse_amount(text)


def test_per_class_counts_are_exact() -> None:
    dataset = table(["neutral"] * 50 + ["happy"] * 30 + ["sad"] * 10 + [None] * 5)
    plan = plan_split(dataset, validation="10-per-class", test="20%", labels="neutral,happy")
    assert by_class(dataset, plan.splits, "validation") == {"neutral": 10, "happy": 10}
    assert by_class(dataset, plan.splits, "test") == {"neutral": 10, "happy": 6}
    assert by_class(dataset, plan.splits, "train") == {
        "neutral": 30,
        "happy": 14,
        "sad": 10,
        None: 5,
    }
    assert plan.drawn == plan.wanted


@settings(deadline=None)
@given(
    counts=st.tuples(*[st.integers(1, 60)] * 3),
    percent=st.integers(1, 99),
    seed=st.integers(0, 100),
)
def test_a_share_is_kept_in_every_class_and_in_all(
    counts: tuple[int, int, int], percent: int, seed: int
) -> None:
    dataset = table([name for name, n in zip(CLASSES, counts, strict=True) for _ in range(n)])
    plan = plan_split(dataset, test=f"{percent}%", seed=seed)
    drawn = by_class(dataset, plan.splits, "test")
    for name, n in zip(CLASSES, counts, strict=True):
        assert abs(drawn.get(name, 0) - n * percent / 100) < 1
    assert sum(drawn.values()) == round(Fraction(sum(counts) * percent, 100))


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=3), a=st.integers(1, 50))
def test_two_shares_never_ask_for_more_than_there_is(counts: list[int], a: int) -> None:
    dataset = table([name for name, n in zip(CLASSES, counts, strict=False) for _ in range(n)])
    plan = plan_split(dataset, test=f"{a}%", validation=f"{99 - a}%")
    assert plan.drawn == plan.wanted
    asked = {"test": Fraction(a, 100), "validation": Fraction(99 - a, 100)}
    for split, share in asked.items():
        drawn = sum(plan.drawn[split].values())
        assert abs(drawn - share * len(dataset)) <= Fraction(1, 2) or drawn < share * len(dataset)
    with pytest.raises(InputError, match="faces to draw from"):
        plan_split(dataset, test="60%", validation="60%")


def test_small_classes_are_not_asked_for_twice() -> None:
    plan = plan_split(table(["happy", "sad", "sad", "sad"]), test="40%", validation="40%")
    assert {split: sum(drawn.values()) for split, drawn in plan.drawn.items()} == {
        "test": 2,
        "validation": 2,
    }


def test_a_number_of_faces_keeps_the_shares() -> None:
    dataset = table(["neutral"] * 600 + ["happy"] * 300 + ["sad"] * 101)
    plan = plan_split(dataset, validation="100")
    assert by_class(dataset, plan.splits, "validation") == {"neutral": 60, "happy": 30, "sad": 10}


rows = st.lists(
    st.tuples(
        st.sampled_from([*CLASSES, None]),
        st.one_of(st.none(), st.sampled_from([f"g{n}" for n in range(6)])),
    ),
    min_size=8,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(rows=rows, seed=st.integers(0, 50), order_seed=st.integers(0, 50))
def test_groups_stay_together_and_order_means_nothing(
    rows: list[tuple[str | None, str | None]], seed: int, order_seed: int
) -> None:
    dataset = table([e for e, _ in rows], [g for _, g in rows])
    plan = plan_split(dataset, validation="30%", test="20%", seed=seed)
    places = collections.defaultdict(set)
    for (_, group), split in zip(rows, plan.splits, strict=True):
        if group is not None:
            places[group].add(split)
    assert all(len(found) == 1 for found in places.values())
    assert plan.crossing == ()
    for split, wanted in plan.wanted.items():
        assert all(plan.drawn[split][name] <= wanted[name] for name in wanted)
        assert {n: c for n, c in by_class(dataset, plan.splits, split).items() if n in wanted} == {
            n: c for n, c in plan.drawn[split].items() if c
        }
    order = np.random.default_rng(order_seed).permutation(len(rows))
    again = plan_split(dataset.select(order), validation="30%", test="20%", seed=seed)
    assert again.splits == tuple(plan.splits[row] for row in order)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), target=st.integers(1, 25))
def test_pure_groups_come_as_near_as_any_choice(sizes: list[int], target: int) -> None:
    contents: dict[str, dict[str | None, int]] = {
        str(number): {"sad": size} for number, size in enumerate(sizes)
    }
    chosen = draw_groups(contents, {"sad": target})
    assert len(set(chosen)) == len(chosen)
    best = max(
        total
        for k in range(len(sizes) + 1)
        for picked in itertools.combinations(sizes, k)
        if (total := sum(picked)) <= target
    )
    assert sum(contents[name]["sad"] for name in chosen) == best


def test_mixed_groups_fill_too_and_single_rows_make_it_exact() -> None:
    groups: dict[str, dict[str | None, int]] = {f"m{n}": {"sad": 1, "happy": 2} for n in range(5)}
    singles: dict[str, dict[str | None, int]] = {f"s{n}": {"sad": 1} for n in range(5)}
    singles.update({f"h{n}": {"happy": 1} for n in range(5)})
    chosen = draw_groups(groups | singles, {"sad": 5, "happy": 7})
    total: collections.Counter[str | None] = collections.Counter()
    for name in chosen:
        total.update((groups | singles)[name])
    assert total == {"sad": 5, "happy": 7}


def test_the_seed_decides() -> None:
    dataset = table(["happy"] * 200)
    first = plan_split(dataset, test="50", seed=1)
    assert plan_split(dataset, test="50", seed=1) == first
    assert plan_split(dataset, test="50", seed=2).splits != first.splits


def test_every_row_has_the_same_chance() -> None:
    dataset = table(["happy"] * 12, ["a"] * 2 + ["b"] * 2 + [None] * 8)
    hits = np.zeros(12)
    for seed in range(600):
        hits += [split == "test" for split in plan_split(dataset, test="6", seed=seed).splits]
    # Half of 600; five standard deviations of a fair coin are 61.
    assert (np.abs(hits - 300) < 61).all()


def test_rows_without_expression_follow_their_group_or_stay_in_train() -> None:
    dataset = table(["happy", None, None, "happy"], ["a", "a", None, None])
    plan = plan_split(dataset, test="1-per-class", seed=0)
    taken = {row for row, split in enumerate(plan.splits) if split == "test"}
    assert taken in ({0, 1}, {3})
    assert plan.splits[2] == "train"
    assert plan.drawn == {"test": {"happy": 1}}


def test_a_dataset_without_expressions_is_one_class() -> None:
    plan = plan_split(table([None] * 20), validation="25%")
    assert collections.Counter(plan.splits) == {"train": 15, "validation": 5}


def test_too_few_faces_name_the_class() -> None:
    dataset = table(["happy"] * 20 + ["sad"] * 7)
    with pytest.raises(InputError, match=r"needs 10 faces of class sad, but DATASET has 7"):
        plan_split(dataset, validation="10-per-class")
    with pytest.raises(
        InputError, match=r"5-per-class for test and 5-per-class for validation needs 10"
    ):
        plan_split(dataset, validation="5-per-class", test="5-per-class")
    with pytest.raises(InputError, match=r"class fear, but DATASET has 0"):
        plan_split(dataset, validation="5-per-class", labels=["happy", "fear"])
    with pytest.raises(InputError, match="has 27 faces to draw from"):
        plan_split(dataset, validation="28")
    with pytest.raises(InputError, match="has 0 faces"):
        plan_split(dataset, validation="10%", labels="fear,anger")


def test_a_class_that_lies_in_a_kept_split_is_not_forgotten() -> None:
    dataset = table(["happy"] * 4 + ["sad"] * 2, splits=["train"] * 4 + ["test"] * 2)
    with pytest.raises(InputError, match="class sad, but DATASET has 0"):
        plan_split(dataset, validation="1-per-class")


def test_wrong_requests() -> None:
    dataset = table(["happy"] * 4)
    with pytest.raises(InputError, match="needs an amount"):
        plan_split(dataset)
    with pytest.raises(UnknownName, match="did you mean 'happy'"):
        plan_split(dataset, test="1", labels="hapy,sad")


def test_existing_splits_are_kept_or_pooled() -> None:
    splits = ["test", "test", "validation", "train", "train", None, None, None]
    dataset = table(["happy"] * 8, splits=splits)
    with pytest.raises(InputError, match=r"has 1 validation faces already; .* --redo"):
        plan_split(dataset, validation="2")
    with pytest.raises(InputError, match="has 2 test faces"):
        plan_split(dataset, test="2")
    redone = plan_split(dataset, validation="4", redo=True)
    assert collections.Counter(redone.splits) == {"validation": 4, "train": 4}
    kept = plan_split(dataset.select([0, 1, 3, 4, 5, 6, 7]), validation="2")
    assert kept.splits[:2] == ("test", "test")
    assert collections.Counter(kept.splits) == {"test": 2, "validation": 2, "train": 3}


def test_groups_in_a_kept_split_are_left_as_they_are() -> None:
    groups = ["film", "film", "leak", "leak", None, None, None]
    splits = ["test", None, "test", "train", "train", "train", None]
    for seed in range(10):
        plan = plan_split(table(["happy"] * 7, groups, splits), validation="3", seed=seed)
        assert plan.splits == ("test", None, "test", "train", *["validation"] * 3)
        assert plan.crossing == ("leak",)


def test_split_dataset_writes(tmp_path: Path) -> None:
    dataset = table(["happy"] * 10 + ["sad"] * 10)
    written = split_dataset(dataset, tmp_path / "out", validation="2-per-class", seed=3)
    assert open_dataset(tmp_path / "out").faces.equals(written.faces)
    expected = plan_split(dataset, validation="2-per-class", seed=3).splits
    assert tuple(written.faces["split"].to_pylist()) == expected
    with pytest.raises(DestinationExists):
        split_dataset(dataset, tmp_path / "out", validation="2-per-class")
