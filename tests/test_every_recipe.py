"""What every recipe keeps to; a new file in `training/recipes` is tested here at once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from openaffect.training.network import Network, count_parameters
from openaffect.training.recipe import Recipe, load_recipe, recipe_names

NAMES = recipe_names()
NETWORKS = [name for name in NAMES if load_recipe(name).method == "network"]
STRATEGIES = ("imbalanced", "down-sampling", "up-sampling", "weighted-loss")
PARAMETERS = {
    # 57,003,840 of the backbone, and 8 or 2 outputs of 4,096 features
    **{f"alexnet-{strategy}": 57_036_616 for strategy in STRATEGIES},
    "alexnet-affect-ccc": 57_012_034,
    "alexnet-valence-arousal": 2 * (57_003_840 + 4_097),
    "efficientnet-b0": 4_020_358,
    "efficientnet-b2": 7_715_084,
    **{f"resnet-small-{strategy}": 700_760 for strategy in (*STRATEGIES, "class-balanced")},
    # counted once by torch: 1.5² times the small net's, but for heads and first convolution
    "resnet-medium-soft": 1_574_530,
    # layer4, a normalization of 1,024 channels, five outputs
    "resnet50-transfer": 14_964_736 + 2_048 + 10_245,
    # 25,028,904 with the 1,000 outputs that it is published with
    "resnext-annotator": 25_028_904 - 2_049_000 + 11 * 2_049,
    "vgg-study": 7_393_990,
}
"""The trainable weights of each recipe's network."""

every = pytest.mark.parametrize("name", NAMES)


def test_the_baselines_are_there():
    assert {*PARAMETERS} <= {*NAMES}


@every
def test_is_named_as_its_file_and_says_where_it_comes_from(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert len(recipe.source) > 20


@every
def test_unverified_keys_are_keys_each_once(name):
    unverified = load_recipe(name).unverified
    assert {*unverified} <= {field.name for field in dataclasses.fields(Recipe)}
    assert len({*unverified}) == len(unverified)


@every
def test_is_the_same_after_a_run_has_written_it_down(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize("name", NETWORKS)
def test_its_network_has_as_many_trainable_weights_as_stated(name):
    with torch.device("meta"):  # shapes alone, so that the large ones cost nothing
        network = Network(load_recipe(name))
    assert count_parameters(network) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_frozen_only_where_something_was_learned_before(name):
    recipe = load_recipe(name)
    assert recipe.trainable_fraction == 1 or recipe.weights != "random"


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[object, object]]:
    """What two recipes have otherwise, but what they are called."""
    a, b = dataclasses.asdict(one), dataclasses.asdict(other)
    return {k: (a[k], b[k]) for k in a if a[k] != b[k] and k not in ("name", "source")}


@pytest.mark.parametrize("strategy", [*STRATEGIES[1:], "class-balanced"])
def test_strategies_of_the_small_net_differ_in_the_strategy_alone(strategy):
    one, other = (load_recipe(f"resnet-small-{s}") for s in ("imbalanced", strategy))
    assert differences(one, other) == {"strategy": ("imbalanced", strategy)}


def test_strategies_of_alexnet_differ_in_the_strategy_and_what_is_unverified_of_its_schedule():
    base = load_recipe("alexnet-imbalanced")
    found = {s: differences(base, load_recipe(f"alexnet-{s}")) for s in STRATEGIES[1:]}
    assert found == {
        "weighted-loss": {"strategy": ("imbalanced", "weighted-loss")},
        "up-sampling": {
            "strategy": ("imbalanced", "up-sampling"),
            "epochs": (20, 10),
            "patience": (20, 10),  # none of them stops early
        },
        "down-sampling": {
            "strategy": ("imbalanced", "down-sampling"),
            # the epochs of this one are ours, the step is recalled
            "unverified": (
                base.unverified,
                (*(key for key in base.unverified if key != "epochs"), "max_per_class"),
            ),
            "step_every": (10_000, 5_000),
            "epochs": (20, 33),
            "patience": (20, 33),
        },
    }


def test_the_rate_falls_twice_in_the_imbalanced_and_the_down_sampled_run():
    """On AffectNet's public training faces, a twentieth held out."""
    train = [74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750]
    for name, faces in (
        ("alexnet-imbalanced", sum(train)),
        ("alexnet-down-sampling", sum(min(15_000, n) for n in train)),
    ):
        recipe = load_recipe(name)
        steps = (
            int(faces * (1 - recipe.early_stopping_fraction)) // recipe.batch_size * recipe.epochs
        )
        assert steps // recipe.step_every == 2


def test_one_net_for_affect_differs_from_two_in_that_and_in_the_loss():
    two, one = (load_recipe(f"alexnet-{n}") for n in ("valence-arousal", "affect-ccc"))
    found = differences(two, one)
    assert found.pop("unverified") == (
        ("separate_networks", "affect_loss", *one.unverified),
        one.unverified,
    )
    assert found == {"separate_networks": (True, False), "affect_loss": ("euclidean", "ccc")}


def test_the_study_has_its_labels_and_its_loss():
    six, five = load_recipe("vgg-study"), load_recipe("resnet50-transfer")
    assert [e.value for e in six.label_set] == [
        "neutral",
        "happy",
        "sad",
        "surprise",
        "fear",
        "anger",
    ]
    assert {*six.label_set} - {*five.label_set} == {"fear"}
    for recipe in (six, five):
        assert (recipe.strategy, recipe.beta) == ("class-balanced", 0.9999)
        assert "do not stand beside" in recipe.warning
