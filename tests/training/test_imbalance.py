"""The strategies against class imbalance, on AffectNet's published counts and on any others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.training.imbalance import class_weights, sample_epoch

# Faces of AffectNet's training.csv, neutral to contempt.
TRAIN = np.array([74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750])
AFFECTNET = np.repeat(np.arange(8), TRAIN)

labels = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
seeds = st.integers(0, 2**32 - 1)


def rows_of(strategy: str, classes: np.ndarray, seed: int = 0, max_per_class: int = 15_000):
    return sample_epoch(strategy, classes, max_per_class, np.random.default_rng(seed))


def counts_of(classes: np.ndarray, rows: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(classes[rows], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_weights_of_affectnet_to_the_printed_digits():
    weights = class_weights("weighted-loss", TRAIN)
    printed = [0.0501, 0.0279, 0.1473, 0.2661, 0.5880, 0.9861, 0.1507, 1.0]
    assert np.round(weights, 4).tolist() == printed


@pytest.mark.parametrize("strategy", ["imbalanced", "down-sampling", "up-sampling"])
def test_other_strategies_weigh_all_classes_alike(strategy):
    assert class_weights(strategy, np.array([5, 1, 0])).tolist() == [1.0, 1.0, 1.0]


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=11).filter(any))
def test_weighted_classes_add_up_alike(counts):
    """w_i f_i is the same for every class that has faces, and the rarest has 1."""
    found = class_weights("weighted-loss", np.array(counts))
    smallest = min(count for count in counts if count)
    assert np.allclose(found * counts, [smallest if n else 0 for n in counts], rtol=1e-12)
    assert found.max() == 1
    assert [weight == 0 for weight in found] == [count == 0 for count in counts]


def test_affectnet_down_sampled_is_semi_balanced():
    rows = rows_of("down-sampling", AFFECTNET)
    assert counts_of(AFFECTNET, rows) == dict(enumerate(np.minimum(TRAIN, 15_000).tolist()))
    assert len(rows) == 88_021
    assert len(np.unique(rows)) == len(rows)


def test_affectnet_up_sampled_has_every_class_as_large_as_the_largest():
    rows = rows_of("up-sampling", AFFECTNET)
    assert counts_of(AFFECTNET, rows) == dict.fromkeys(range(8), 134_415)
    times = np.bincount(rows)[AFFECTNET == 7]
    assert {*times.tolist()} == {35, 36}  # 134,415 / 3,750 = 35.8


@pytest.mark.parametrize("strategy", ["imbalanced", "weighted-loss"])
def test_others_take_every_row_once(strategy):
    rows = rows_of(strategy, AFFECTNET[::100])
    assert sorted(rows.tolist()) == list(range(len(AFFECTNET[::100])))


@settings(deadline=None)
@given(labels, st.integers(1, 20), seeds)
def test_down_sampling_keeps_small_classes_whole_and_repeats_nothing(classes, max_per_class, seed):
    rows = rows_of("down-sampling", classes, seed, max_per_class)
    sizes = counts_of(classes, np.arange(len(classes)))
    assert counts_of(classes, rows) == {k: min(n, max_per_class) for k, n in sizes.items()}
    assert len({*rows.tolist()}) == len(rows)


@settings(deadline=None)
@given(labels, seeds)
def test_up_sampling_repeats_the_rows_of_a_class_alike(classes, seed):
    rows = rows_of("up-sampling", classes, seed)
    sizes = counts_of(classes, np.arange(len(classes)))
    largest = max(sizes.values())
    assert counts_of(classes, rows) == dict.fromkeys(sizes, largest)
    times = np.bincount(rows, minlength=len(classes))
    apart = [np.ptp(times[classes == value]) for value in sizes]
    assert max(apart) <= 1
    assert times.min() >= 1


@settings(deadline=None)
@given(labels, seeds, st.sampled_from(["imbalanced", "down-sampling", "up-sampling"]))
def test_the_seed_alone_decides(classes, seed, strategy):
    first, second = (rows_of(strategy, classes, seed, 3) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert first.dtype == np.int64


@pytest.mark.parametrize("strategy", ["imbalanced", "down-sampling", "up-sampling"])
def test_rows_are_shuffled_and_drawn_anew_with_each_seed(strategy):
    classes = np.repeat(np.arange(3), (50, 20, 5))
    one, other = (rows_of(strategy, classes, seed, 10) for seed in (0, 1))
    assert one.tolist() != sorted(one.tolist())
    assert one.tolist() != other.tolist()
    if strategy == "down-sampling":
        assert {*one.tolist()} != {*other.tolist()}
    if strategy == "up-sampling":  # 50 = 2 · 20 + 10: which ten rows come a third time
        thirds = [np.flatnonzero(np.bincount(rows)[50:70] == 3).tolist() for rows in (one, other)]
        assert len(thirds[0]) == len(thirds[1]) == 10
        assert thirds[0] != thirds[1]


def test_class_balanced_weights_are_those_of_the_study():
    # Neutral, happy, sad, surprise, fear, anger: counts and weights as published.
    counts = np.array([75374, 134915, 25959, 14590, 6878, 25382])
    published = [0.802518525, 0.802092228, 0.866721731, 1.045004055, 1.612773364, 0.870890096]
    weights = class_weights("class-balanced", counts, beta=0.9999)
    np.testing.assert_allclose(weights, published, rtol=0, atol=1e-9)


def test_a_class_without_faces_has_no_share_in_the_class_balanced_mean():
    with_none = class_weights("class-balanced", np.array([50, 0, 7]), beta=0.99)
    without = class_weights("class-balanced", np.array([50, 7]), beta=0.99)
    assert with_none[1] == 0
    np.testing.assert_array_equal(with_none[[0, 2]], without)
