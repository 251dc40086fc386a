"""What every recipe keeps to; a new file in `training/recipes` is tested here at once."""

from __future__ import annotations

import dataclasses

import pytest

from openaffect.training.recipe import Recipe, load_recipe, recipe_names

NAMES = recipe_names()
every = pytest.mark.parametrize("name", NAMES)


def test_the_baselines_are_there():
    assert {
        f"{backbone}-{strategy}"
        for backbone in ("alexnet", "resnet-small")
        for strategy in ("imbalanced", "weighted-loss")
    } <= {*NAMES}


@every
def test_is_named_as_its_file_and_says_where_it_comes_from(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert len(recipe.source) > 20


@every
def test_recalled_keys_are_keys_each_once(name):
    recalled = load_recipe(name).recalled
    assert {*recalled} <= {field.name for field in dataclasses.fields(Recipe)}
    assert len({*recalled}) == len(recalled)


@every
def test_is_the_same_after_a_run_has_written_it_down(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml") == recipe


def _without_names(recipe: Recipe) -> dict[str, object]:
    values = dataclasses.asdict(recipe)
    return {k: v for k, v in values.items() if k not in ("name", "source", "strategy")}


@pytest.mark.parametrize("backbone", ["alexnet", "resnet-small"])
def test_strategies_of_a_backbone_differ_in_the_strategy_alone(backbone):
    one, other = (load_recipe(f"{backbone}-{s}") for s in ("imbalanced", "weighted-loss"))
    assert _without_names(one) == _without_names(other)
    assert (one.strategy, other.strategy) == ("imbalanced", "weighted-loss")
