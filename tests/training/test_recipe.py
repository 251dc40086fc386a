"""Recipes: what is refused, how settings are read, and that the text of a recipe is the recipe."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.training.recipe import KEYS, Recipe, load_recipe, make_recipe, recipe_names
from training.faces import fast_recipe

NAME = "resnet-small-imbalanced"
NEEDED = {"name": "mine", "source": "a test", "backbone": "resnet-small"}


def make(**values: object) -> Recipe:
    return make_recipe(NEEDED | values)


def test_an_unknown_key_is_told_with_the_nearest_one():
    with pytest.raises(UnknownName, match=r"unknown recipe key 'epoch' .*did you mean 'epochs'"):
        load_recipe(NAME, ["epoch=3"])


def test_an_unknown_recipe_is_told_with_the_nearest_one():
    with pytest.raises(UnknownName, match="unknown recipe 'resnet-smal-imbalanced'; did you mean"):
        load_recipe("resnet-smal-imbalanced")


def test_missing_keys_are_named():
    with pytest.raises(InputError, match="lacks source"):
        make_recipe({"name": "mine"})


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("epochs", 2.0, "a whole number"),
        ("epochs", True, "a whole number"),
        ("epochs", "three", "a whole number"),
        ("flip", 1, "true or false"),
        ("flip", "False", "true or false"),
        ("learning_rate", "fast", "a finite number"),
        ("learning_rate", True, "a finite number"),
        ("learning_rate", float("inf"), "a finite number"),
        ("learning_rate", float("nan"), "a finite number"),
        ("learning_rate", 10**400, "a finite number"),
        ("mean", 0.5, "a list of three finite numbers"),
        ("mean", ["a", "b", "c"], "a list of three finite numbers"),
        ("mean", [True, True, True], "a list of three finite numbers"),
        ("std", [0.1, 0.1, float("inf")], "a list of three finite numbers"),
        ("std", {"r": 1}, "a list of three finite numbers"),
        ("unverified", "epochs", "a list of texts"),
        ("labels", ["happy", "sad"], "text"),
        ("labels", 7.5, "text"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key, value, wanted):
    with pytest.raises(InputError, match=f"recipe key '{key}' to be {wanted}.*, but got"):
        make(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_per_class", 0),
        ("affect_weight", 0.0),
        ("size", 7),
        ("rotate", 91.0),
        ("zoom", 1.0),
        ("shift", -0.1),
        ("brightness_contrast", 1.0),
        ("mean", [0.5, 0.5]),
        ("std", [0.5, 0.0, 0.5]),
        ("dropout", 1.0),
        ("learning_rate", 0.0),
        ("momentum", 1.0),
        ("weight_decay", -0.1),
        ("batch_size", 1),
        ("epochs", 0),
        ("step_every", 0),
        ("step_factor", 0.0),
        ("warmup", -1),
        ("grad_clip_norm", -1.0),
        ("early_stopping_fraction", 0.0),
        ("early_stopping_fraction", 0.5),
        ("patience", 0),
        ("checkpoint_steps", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("margin", -0.5),
        ("margin", 6.0),
    ],
)
def test_a_value_out_of_range_is_refused(key, value):
    with pytest.raises(InputError, match=key):
        make(**{key: value})


CHOICES = {name: key.choices for name, key in KEYS.items() if key.choices}


@pytest.mark.parametrize("key", sorted(CHOICES))
def test_a_word_that_is_no_choice_is_told_with_the_nearest_one(key):
    right = CHOICES[key][0]
    with pytest.raises(UnknownName, match=f"key '{key}' '{right}x'; did you mean '{right}'"):
        make(**{key: right + "x"})


@pytest.mark.parametrize(
    ("key", "inside", "outside", "wanted"),
    [
        ("zoom", (0, 0.999), (-1e-9, 1), "a finite number in [0, 1)"),
        ("gray", (0, 1), (-1e-9, 1.001), "a finite number in [0, 1]"),
        ("trainable_fraction", (1e-9, 1), (0, 1.001), "a finite number in (0, 1]"),
        ("early_stopping_fraction", (1e-9, 0.499), (0, 0.5), "a finite number in (0, 0.5)"),
        ("learning_rate", (1e-9,), (0, -1), "a finite number above 0"),
        ("weight_decay", (0,), (-1e-9,), "a finite number of at least 0"),
        ("batch_size", (2,), (1,), "a whole number of at least 2"),
        ("seed", (0, 2**32 - 1), (-1, 2**32), "a whole number in [0, 4294967296)"),
        ("mean", ([0, 0, 0],), ([0, 0], [0, 0, 0, 0]), "a list of three finite numbers"),
        ("std", ([1e-9] * 3,), ([1, 0, 1],), "a list of three finite numbers above 0"),
        ("flip", (True,), (0,), "true or false"),
        ("strategy", ("up-sampling",), (True,), "one of imbalanced, down-sampling, up-sampling"),
    ],
)
def test_the_bounds_of_a_key_are_those_that_its_message_names(key, inside, outside, wanted):
    for value in inside:
        make(**{key: value})
    told = []
    for value in outside:
        with pytest.raises(InputError) as caught:
            make(**{key: value})
        told.append(str(caught.value))
    assert len(told) == len(outside) > 0
    assert all(f"recipe key '{key}' to be {wanted}" in text for text in told)


def test_a_recipe_made_in_code_has_the_types_of_its_keys_too():
    recipe = Recipe("mine", "a test", backbone="resnet-small", zoom=0, mean=[1, 0, 0.5], labels=7)  # type: ignore[arg-type]
    assert (recipe.zoom, recipe.mean, recipe.labels) == (0.0, (1.0, 0.0, 0.5), "7")
    assert isinstance(recipe.zoom, float)
    with pytest.raises(InputError, match="'epochs' to be a whole number"):
        dataclasses.replace(recipe, epochs=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "resnet-smal"}, "unknown backbone .*did you mean 'resnet-small'"),
        ({"resize": 48, "size": 64}, r"'resize' to be at least 'size' \(64\), but got 48"),
        ({"labels": "happy"}, "two or more"),
        ({"labels": "happy,hapy"}, "unknown expression 'hapy'"),
        ({"labels": "9"}, "unknown label set '9'"),
        ({"unverified": ["epoch"]}, "'epoch' in 'unverified'; did you mean 'epochs'"),
        ({"target": "affect"}, "stop_metric 'f1' needs .* expressions; .* ccc or loss"),
        ({"target": "affect", "stop_metric": "accuracy"}, "needs a target with expressions"),
        (
            {"target": "affect", "stop_metric": "ccc", "strategy": "weighted-loss"},
            "strategy 'weighted-loss' needs a target with expressions",
        ),
        ({"stop_metric": "ccc"}, "needs a target with affect"),
        ({"none_faces": "affect"}, "none_faces 'affect' needs a target with affect"),
        (
            {"target": "both", "affect_loss": "ccc", "batch_size": 8, "accumulate": 5},
            r"at most half of 'batch_size' \(8\), but got 5",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        make(**values)


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("labels=7", "labels", "7"),
        ("labels=neutral,happy,sad", "labels", "neutral,happy,sad"),
        ('labels="8"', "labels", "8"),
        ("flip=false", "flip", False),
        ("mean=[0.5,0.25,1]", "mean", (0.5, 0.25, 1.0)),
        (" epochs = 3 ", "epochs", 3),
        ("learning_rate=1", "learning_rate", 1.0),
        ("learning_rate=1e-3", "learning_rate", 0.001),
        ("target=both", "target", "both"),
        ("warning=a = b", "warning", "a = b"),
        ("warning=", "warning", ""),
        ('unverified=["epochs"]', "unverified", ("epochs",)),
    ],
)
def test_settings_are_read_as_toml_or_else_as_text(setting, key, value):
    found = getattr(load_recipe(NAME, [setting]), key)
    assert found == value
    assert type(found) is type(value)


def test_a_wrong_value_in_a_file_is_told_with_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe(NAME).to_toml().replace("batch_size = 128", "batch_size = 3.5"))
    with pytest.raises(
        InputError, match=r"a whole number of at least 2, but got 3.5, in .*mine\.toml$"
    ):
        load_recipe(path)


def test_a_value_that_is_set_otherwise_is_no_longer_unverified():
    before = load_recipe("alexnet-imbalanced")
    same = load_recipe("alexnet-imbalanced", [f"epochs={before.epochs}", "learning_rate=1e-2"])
    assert same == before
    changed = load_recipe("alexnet-imbalanced", ["epochs=3", "patience=3"])
    assert "epochs" in before.unverified
    assert changed.unverified == tuple(key for key in before.unverified if key != "epochs")


def test_a_warning_of_the_labels_goes_with_them():
    before = load_recipe("vgg-study")
    assert before.warning
    assert load_recipe("vgg-study", ["epochs=1"]).warning == before.warning
    assert load_recipe("vgg-study", ["labels=8"]).warning == ""
    assert load_recipe("vgg-study", ["labels=8", "warning=mine"]).warning == "mine"


def test_the_last_setting_of_a_key_counts_and_others_stay():
    before, after = load_recipe(NAME), load_recipe(NAME, ["epochs=3", "epochs=4"])
    assert after == dataclasses.replace(before, epochs=4)


def test_a_setting_without_a_sign_is_refused():
    with pytest.raises(InputError, match="expected a setting as key=value, but got 'epochs'"):
        load_recipe(NAME, ["epochs"])


@pytest.mark.parametrize("setting", ["x" * 5000, f"epochs={'x' * 5000}"])
def test_a_message_repeats_the_start_of_a_long_setting(setting):
    with pytest.raises(InputError, match="xxx…") as caught:
        load_recipe(NAME, [setting])
    assert len(str(caught.value)) < 500


def test_a_setting_that_is_no_utf8_is_refused():
    assert load_recipe(NAME, ["warning=grün"]).warning == "grün"
    with pytest.raises(InputError, match="UTF-8"):
        load_recipe(NAME, ["warning=gr\udcfcn"])


def test_label_sets_follow_the_target():
    assert [label.id for label in make(labels="sad,neutral").label_set] == [0, 2]
    assert len(make(labels=7).label_set) == 7
    affect = make(target="affect", stop_metric="ccc")
    assert affect.label_set == ()
    assert (affect.learns_affect, make().learns_affect, make(target="both").learns_affect) == (
        True,
        False,
        True,
    )


def test_a_path_to_a_toml_file_is_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(fast_recipe(epochs=7).to_toml(), encoding="utf-8")
    assert load_recipe(path) == fast_recipe(epochs=7)
    assert load_recipe(str(path), ["epochs=2"]).epochs == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a recipe at .*no such file"),
        (b"name = ", "is not TOML"),
        (b'name = "\xff\xfe"', "is not TOML"),
        (b'name = "a"\nname = "b"\n', "is not TOML"),
        (b"epochs = " + b"1" * 5000, "is not TOML"),
        (b"mean = " + b"[" * 5000 + b"]" * 5000, "is not TOML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(content, message, tmp_path):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        load_recipe(path)


texts = st.text(st.characters(codec="utf-8"), max_size=20)
shares = st.floats(0, 1, exclude_max=True)
recipes = st.builds(
    Recipe,
    name=texts,
    source=texts,
    warning=texts,
    backbone=st.sampled_from(["torchvision/alexnet", "resnet-small"]),
    unverified=st.lists(st.sampled_from(["epochs", "size", "flip"]), max_size=3).map(tuple),
    labels=st.sampled_from(["7", "8", "11", "happy, Sad"]),
    soft_labels=st.booleans(),
    learning_rate=st.floats(1e-300, 1e300),
    mean=st.tuples(shares, shares, shares),
    zoom=shares,
    grad_clip_norm=st.floats(0, 1e300),
    epochs=st.integers(1, 10**12),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=150, deadline=None)
@given(recipes)
def test_the_text_of_a_recipe_is_the_recipe(recipe):
    text = recipe.to_toml()
    again = make_recipe(tomllib.loads(text))
    assert again == recipe
    assert again.sha256() == recipe.sha256()


def test_the_hash_tells_recipes_apart():
    assert fast_recipe().sha256() != fast_recipe(seed=1).sha256()


def test_the_text_holds_every_key_so_that_a_run_needs_no_defaults():
    assert list(tomllib.loads(fast_recipe().to_toml())) == [
        field.name for field in dataclasses.fields(Recipe)
    ]


def test_the_names_are_those_of_the_files():
    assert {NAME, "alexnet-weighted-loss"} <= {*recipe_names()}


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from openaffect.errors import MissingExtra
from openaffect.training import load_recipe, recipe_names, train
recipe = load_recipe(recipe_names()[0])
try:
    train(None, "run", recipe)
except MissingExtra as error:
    print(error)
"""


def test_without_the_extra_recipes_are_read_and_training_says_what_to_install():
    command = [sys.executable, "-c", WITHOUT_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("training needs an extra that is not installed: pip install")
    assert '[train]"' in done.stdout
