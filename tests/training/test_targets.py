"""Which faces are learned, what they should give, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.dataset import Dataset, group_key
from openaffect.errors import InputError
from openaffect.labels import EMOTIONS, Expression
from openaffect.training.targets import Targets, choose_targets, count_classes, train_val_split
from training.faces import THREE, affect_of, fast_recipe, make_faces

E = Expression


def edited(tmp_path, rows: int, **columns: list[Any]) -> Dataset:
    """Faces whose columns hold what is given, row by row."""

    def change(number, row):
        for name, values in columns.items():
            setattr(row, name, values[number])

    return make_faces(tmp_path / "edited", rows, labels=EMOTIONS, change=change)


def chosen(dataset: Dataset, **recipe: object) -> list[int]:
    return choose_targets(dataset, fast_recipe(**recipe)).rows.tolist()


# Which faces are learned.


def test_only_the_split_train_is_learned(tmp_path):
    splits = ["train", "validation", "test", None, "train", "train"]
    dataset = edited(tmp_path, 6, split=splits)
    assert chosen(dataset, labels="8") == [0, 4, 5]


def test_all_are_learned_if_no_row_has_a_split(tmp_path):
    assert chosen(edited(tmp_path, 6), labels="8") == [0, 1, 2, 3, 4, 5]


def test_only_the_label_set_is_learned_and_classes_are_places_in_it(tmp_path):
    labels = [E.SAD, E.CONTEMPT, None, E.NONE, E.UNCERTAIN, E.NO_FACE, E.HAPPY]
    targets = choose_targets(
        edited(tmp_path, 7, expression=labels), fast_recipe(labels="sad,happy")
    )
    assert targets.rows.tolist() == [0, 6]
    assert targets.classes.tolist() == [1, 0]  # happy before sad, by id
    assert targets.shares.tolist() == [[0, 1], [1, 0]]
    assert np.allclose(targets.affect, [affect_of(0), affect_of(6)])


SOFT = [
    [0, 0.6, 0.2, 0, 0.2, 0, 0, 0],  # mostly happy
    [0, 0, 0, 0, 0.5, 0.5, 0, 0],  # nothing of the three
    None,
]


@pytest.fixture
def soft(tmp_path) -> Dataset:
    labels = [E.HAPPY, E.HAPPY, E.HAPPY, E.UNCERTAIN, E.UNCERTAIN, E.UNCERTAIN, E.NONE, E.FEAR]
    return edited(tmp_path, 8, expression=labels, soft_label=[*SOFT, *SOFT, SOFT[0], SOFT[0]])


def test_soft_labels_are_the_raters_shares_of_the_set_and_take_uncertain_faces_in(soft):
    targets = choose_targets(soft, fast_recipe(soft_labels=True))
    happy = [0, 1, 0]
    shares = {0: [0, 0.75, 0.25], 1: happy, 2: happy, 3: [0, 0.75, 0.25]}
    assert targets.rows.tolist() == list(shares)
    assert np.allclose(targets.shares, np.array([*shares.values()]))
    assert targets.classes.tolist() == [1, 1, 1, 1]


def test_without_soft_labels_raters_shares_are_left_aside(soft):
    targets = choose_targets(soft, fast_recipe())
    assert targets.rows.tolist() == [0, 1, 2]
    assert targets.shares.tolist() == [[0, 1, 0]] * 3


def test_labels_that_raters_shares_cannot_hold_stand(soft):
    targets = choose_targets(soft, fast_recipe(labels="11", soft_labels=True))
    assert targets.rows.tolist() == list(range(8))
    assert targets.classes.tolist() == [1, 4, 1, 9, 9, 9, 8, 1]
    assert np.allclose(targets.shares.sum(axis=1), 1)


def test_affect_alone_needs_no_expression(tmp_path):
    affect = [0.1, None, 0.3]
    dataset = edited(
        tmp_path, 3, expression=[None, E.HAPPY, E.NONE], valence=affect, arousal=affect
    )
    alone = {"target": "affect", "stop_metric": "ccc"}
    assert choose_targets(dataset, fast_recipe(**alone)).rows.tolist() == [0]
    targets = choose_targets(dataset, fast_recipe(**alone, none_faces="affect"))
    assert targets.rows.tolist() == [0, 2]
    assert targets.shares.shape == (2, 0)
    assert np.allclose(targets.affect, [[0.1, 0.1], [0.3, 0.3]])


def test_faces_labeled_none_are_learned_for_their_affect_alone_if_asked(tmp_path):
    affect = [0.1, 0.2, 0.3, None]
    dataset = edited(
        tmp_path, 4, expression=[E.SAD, E.NONE, E.HAPPY, E.NONE], valence=affect, arousal=affect
    )
    both = {"target": "both", "strategy": "up-sampling"}
    assert choose_targets(dataset, fast_recipe(**both)).rows.tolist() == [0, 2]
    targets = choose_targets(dataset, fast_recipe(**both, none_faces="affect"))
    assert targets.rows.tolist() == [0, 1, 2]
    assert targets.shares.sum(axis=1).tolist() == [1, 0, 1]
    assert targets.classes.tolist() == [2, 3, 1]  # a class of its own, beyond the labels
    assert count_classes(targets, THREE) == {"neutral": 0, "happy": 1, "sad": 1}


def test_both_keeps_faces_without_affect(tmp_path):
    affect = [0.1, None, 0.3]
    dataset = edited(tmp_path, 3, valence=affect, arousal=affect)
    targets = choose_targets(dataset, fast_recipe(target="both"))
    assert targets.rows.tolist() == [0, 1, 2]
    assert np.isnan(targets.affect).tolist() == [[False] * 2, [True] * 2, [False] * 2]


NOTHING = [None] * 4


@pytest.mark.parametrize(
    ("columns", "recipe", "message"),
    [
        ({"expression": NOTHING}, {}, "of 4 faces 4 are .* train, none .* neutral, happy, sad"),
        ({"expression": NOTHING}, {"target": "both"}, "none of these with a label among neutral"),
        ({"split": ["test"] * 4}, {}, "of 4 faces 0 are in the split train"),
        (
            {"valence": NOTHING, "arousal": NOTHING},
            {"target": "affect", "stop_metric": "ccc"},
            "none of these with affect",
        ),
        (
            {"valence": NOTHING, "arousal": NOTHING},
            {"target": "both"},
            "learns valence and arousal, but no usable face",
        ),
    ],
)
def test_nothing_to_learn_from_is_told_with_the_reason(columns, recipe, message, tmp_path):
    dataset = edited(tmp_path, 4, **columns)
    with pytest.raises(InputError, match=message):
        choose_targets(dataset, fast_recipe(**recipe))


def test_class_counts_have_the_names_in_order_and_zeros(tmp_path):
    targets = choose_targets(make_faces(tmp_path / "d", 7), fast_recipe(labels="7"))
    counts = count_classes(targets, fast_recipe(labels="7").label_set)
    assert list(counts.items())[:4] == [("neutral", 3), ("happy", 2), ("sad", 2), ("surprise", 0)]
    assert len(counts) == 7


# Which faces are held out.


class Rows:
    """What `train_val_split` looks at of a dataset."""

    def __init__(self, ids: list[str], groups: list[str | None]) -> None:
        self.ids = ids
        self.groups = groups

    def group_keys(self) -> list[str]:
        return list(map(group_key, self.ids, self.groups))


def held_ids(
    classes: list[int], groups: Sequence[str | None], share: float, seed: int, order: list[int]
) -> set[str]:
    """The ids that are held out of rows that come in the given order."""
    rows = Rows([f"id-{n}" for n in order], [groups[n] for n in order])
    picked = np.array([classes[n] for n in order])
    targets = Targets(
        np.arange(len(order)), picked, np.eye(3)[picked], np.zeros((len(order), 2), np.float32)
    )
    learned, held = train_val_split(rows, targets, share, seed)  # type: ignore[arg-type]
    assert sorted([*learned.rows, *held.rows]) == list(range(len(order)))
    return {rows.ids[row] for row in held.rows}


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_the_share_of_every_class_is_held_out(share):
    classes = [0] * 400 + [1] * 100 + [2] * 20
    held = held_ids(classes, [None] * 520, share, 0, list(range(520)))
    counts = np.bincount([classes[int(name[3:])] for name in held], minlength=3)
    assert counts.tolist() == [400 * share, 100 * share, 20 * share]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=30, max_size=80),
    st.floats(0.1, 0.4),
    st.integers(0, 2**32 - 1),
    st.randoms(use_true_random=False),
)
def test_groups_stay_whole_whatever_the_order_of_the_rows(rows, share, seed, random):
    rows = [*rows, (0, 1), (1, 1), (2, 2)]
    classes = [label for label, _ in rows]
    # A third of the groups is of single faces without a name.
    groups = [None if group % 3 == 0 else f"g{group}" for _, group in rows]
    order = list(range(len(rows)))
    held = held_ids(classes, groups, share, seed, order)
    random.shuffle(order)
    assert held_ids(classes, groups, share, seed, order) == held
    sides: dict[str, set[bool]] = {}
    for number, name in enumerate(groups):
        sides.setdefault(name or f"alone {number}", set()).add(f"id-{number}" in held)
    assert {len(side) for side in sides.values()} == {1}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=10, max_size=60), st.integers(0, 1000))
def test_no_more_is_held_out_than_groups_make_necessary(sizes, seed):
    """Groups of one class: the held share misses the wanted one by half a group at most."""
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    count = len(groups)
    held = held_ids([0] * count, groups, 0.2, seed, list(range(count)))
    assert abs(len(held) - round(0.2 * count)) <= max(sizes) / 2


def test_a_group_of_most_faces_is_learned_and_not_held_out():
    groups = ["crowd"] * 80 + [f"g{n}" for n in range(20)]
    sizes = [len(held_ids([0] * 100, groups, 0.05, seed, list(range(100)))) for seed in range(20)]
    assert {*sizes} == {5}


def test_one_of_few_large_groups_is_held_out():
    groups = [f"g{n % 5}" for n in range(100)]
    held = held_ids([0] * 100, groups, 0.05, 0, list(range(100)))
    assert len(held) == 20


def test_a_seed_holds_out_the_same_faces_for_ever():
    """Scores of two versions of openaffect on the held-out faces can be compared."""
    held = held_ids(
        [n % 3 for n in range(30)], [f"g{n // 2}" for n in range(30)], 0.2, 7, list(range(30))
    )
    assert held == {f"id-{n}" for n in (4, 5, 6, 7, 14, 15)}


def test_the_seed_decides_which_faces_are_held_out():
    one, other = (held_ids([0] * 50, [None] * 50, 0.2, s, list(range(50))) for s in (0, 1))
    assert one != other


@pytest.mark.parametrize("groups", [["one"] * 40, [None] * 5])
def test_too_few_faces_or_groups_are_refused(groups):
    with pytest.raises(InputError, match=r"cannot hold out 5% of .*early_stopping_fraction"):
        held_ids([0] * len(groups), groups, 0.05, 0, list(range(len(groups))))
