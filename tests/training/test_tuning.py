"""Parameter search: the space, the trials, what a study keeps, and what it does after a kill."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrowing import known
from openaffect.cli import main
from openaffect.errors import (
    FormatError,
    InputError,
    MismatchError,
    TrainingError,
    UnknownName,
)
from openaffect.info import describe
from openaffect.pages.plots import Axis
from openaffect.progress import Progress
from openaffect.storage import atomic_file
from openaffect.training import load_recipe, loop, recipe_names
from openaffect.training.run_folder import lock_folder
from openaffect.training.tuning import Categorical, Range, Study, Trial, tune
from openaffect.training.tuning.files import _importances
from openaffect.training.tuning.page import render_study
from openaffect.training.tuning.space import (
    FIXED,
    check_space,
    default_space,
    parse_space,
    read_space,
    space_toml,
)
from training.faces import fast_recipe, make_faces, rows_of, save_weights

SPACE: dict[str, Range | Categorical] = {
    "learning_rate": Range(1e-4, 0.1, log=True),
    "dropout": Range(0.0, 0.5),
    "batch_size": Categorical((16, 32)),
}
ONE = fast_recipe(epochs=1)
TWO = fast_recipe(epochs=2)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def essence(study: Study) -> list[tuple[object, ...]]:
    """What two equal searches must agree in, to the last bit."""
    return [(t.number, t.state, dict(t.settings), t.value, dict(t.curve)) for t in study.trials]


def made_up(values, settings, space, **changes) -> Study:
    """A study whose trials were never trained."""
    trials = tuple(
        Trial(n, "complete", setting, value, 1, {1: value})
        for n, (value, setting) in enumerate(zip(values, settings, strict=True))
    )
    return Study(
        Path("nowhere"), replace(ONE, **changes), space, "faces", "f" * 64, seed=0, trials=trials
    )


# The space.


def test_a_space_on_the_command_line():
    texts = [
        "learning_rate=1e-4..1e-1:log",
        "dropout=0..0.5",
        "batch_size=32,64",
        "flip=true,false",
    ]
    space = parse_space(
        [*texts, "optimizer=sgd,adamw", "rotate = 0 .. 20", "warmup=1..50:log"], ONE
    )
    assert space == {
        "learning_rate": Range(1e-4, 0.1, log=True),
        "dropout": Range(0.0, 0.5),
        "batch_size": Categorical((32, 64)),
        "flip": Categorical((True, False)),
        "optimizer": Categorical(("sgd", "adamw")),
        "rotate": Range(0.0, 20.0),
        "warmup": Range(1, 50, log=True),
    }
    warmup, rotate = space["warmup"], space["rotate"]
    assert isinstance(warmup, Range)
    assert isinstance(warmup.low, int)
    assert isinstance(rotate, Range)
    assert isinstance(rotate.high, float)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("learnin_rate=1e-4..1e-1", UnknownName, "did you mean 'learning_rate'"),
        ("optimizer=sgd,adan", UnknownName, "did you mean 'adam'"),
        ("learning_rate", InputError, "key=low..high"),
        ("learning_rate=", InputError, "key=low..high"),
        ("learning_rate=0..1:log", InputError, "'learning_rate' to be a finite number above 0"),
        ("weight_decay=0..1:log", InputError, "must begin above 0"),
        ("weight_decay=0..1:lg", InputError, "expected 'weight_decay=low..high:log'"),
        ("dropout=0..1", InputError, r"'dropout' to be a finite number in \[0, 1\), but got 1"),
        ("dropout=0.5..0.1", InputError, "from low to high"),
        ("dropout=0.1..0.1", InputError, "from low to high"),
        ("dropout=a..b", InputError, "a number at both ends"),
        ("dropout=0..nan", InputError, "finite number"),
        ("batch_size=16..32.5", InputError, "a whole number"),
        ("batch_size=16,many", InputError, "a whole number"),
        ("batch_size=16", InputError, "at least two different"),
        ("batch_size=16,16", InputError, "at least two different"),
        ("optimizer=sgd..adam", UnknownName, "sgd..adam"),
        ("flip=0..1", InputError, "true or false"),
        ("mean=0.1,0.2", InputError, "its value is a list"),
        (
            "early_stopping_fraction=0.1..0.2",
            InputError,
            "'early_stopping_fraction' cannot be searched",
        ),
        ("seed=1..100", InputError, "'seed' cannot be searched"),
    ],
)
def test_what_cannot_be_searched(text, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_space([text], ONE)
    assert type(caught.value) is kind


def test_a_key_is_searched_once_and_a_space_is_not_empty():
    with pytest.raises(InputError, match="searched twice"):
        parse_space(["dropout=0..0.1", "dropout=0..0.2"], ONE)
    with pytest.raises(InputError, match="space is empty"):
        check_space({}, ONE)
    with pytest.raises(InputError, match="has no range"):
        check_space({"optimizer": Range(0, 1)}, ONE)


def test_the_fixed_keys_are_keys():
    assert [key for key in FIXED if not hasattr(ONE, key)] == []


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.sampled_from(["learning_rate", "weight_decay", "epsilon", "affect_weight"]),
        st.tuples(st.floats(1e-12, 1e3), st.floats(1.001, 1e6), st.booleans()),
        min_size=1,
    ),
    st.lists(st.integers(2, 4096), min_size=2, max_size=4, unique=True),
)
def test_a_space_as_toml_is_the_same_space(tmp_path_factory, ranges, sizes):
    drawn = {key: Range(low, low * by, log) for key, (low, by, log) in ranges.items()}
    space = check_space(drawn | {"batch_size": Categorical(tuple(sizes))}, ONE)
    path = tmp_path_factory.getbasetemp() / "space.toml"
    path.write_text(space_toml(space), encoding="utf-8")
    assert read_space(path, ONE) == space


def test_a_file_that_is_no_space(tmp_path):
    path = tmp_path / "space.toml"
    with pytest.raises(FormatError, match="a search space at"):
        read_space(path, ONE)
    path.write_text("dropout = {", encoding="utf-8")
    with pytest.raises(FormatError, match="is not TOML"):
        read_space(path, ONE)
    path.write_text("dropout = { low = 0.1 }", encoding="utf-8")
    with pytest.raises(FormatError, match="expected 'dropout' in"):
        read_space(path, ONE)
    path.write_text("dropout = { low = 'a', high = 1 }", encoding="utf-8")
    with pytest.raises(InputError, match="a finite number"):
        read_space(path, ONE)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_space_of_its_own(name):
    recipe = load_recipe(name)
    space = default_space(recipe)
    assert check_space(space, recipe) == space
    assert ("svm_c" in space) == (recipe.method == "hog")
    assert ("learning_rate" in space) == (recipe.method == "network")


# A study.


@pytest.fixture(scope="module")
def found(faces, tmp_path_factory) -> Study:
    """Three trials of one epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "export_model", save_weights)
        return tune(faces, tmp_path_factory.mktemp("tuning") / "study", ONE, space=SPACE, trials=3)


@pytest.mark.slow
def test_a_study_holds_what_it_says(found):
    assert [t.number for t in found.trials] == [0, 1, 2]
    assert {t.state for t in found.trials} == {"complete"}
    logged = []
    for trial in found.trials:
        with open(found.folder / "trials" / trial.name / "log.csv", encoding="utf-8") as file:
            logged.append([float(row["stop_f1"]) for row in csv.DictReader(file)])
    assert [list(t.curve.values()) for t in found.trials] == logged
    assert found.best.value == max(max(values) for values in logged)
    assert len({t.settings["learning_rate"] for t in found.trials}) == 3
    assert all(1e-4 <= t.settings["learning_rate"] <= 0.1 for t in found.trials)
    assert {t.settings["batch_size"] for t in found.trials} <= {16, 32}
    with open(found.folder / "trials.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["f1"]) for row in rows] == [t.value for t in found.trials]
    assert [float(row["dropout"]) for row in rows] == [t.settings["dropout"] for t in found.trials]
    assert read_space(found.folder / "space.toml", ONE) == SPACE


@pytest.mark.slow
def test_a_study_can_be_described(found):
    facts = describe(found.folder)
    assert facts["kind"] == "study"
    assert facts["space"].keys() == found.space.keys()
    assert sum(facts["trials"].values()) == len(found.trials) == len(facts["log"])
    assert facts["best"] == str(found.folder / "best.toml")


@pytest.mark.slow
def test_only_the_best_trial_keeps_its_weights(found):
    kept = sorted(str(p.relative_to(found.folder)) for p in found.folder.rglob("*.onnx"))
    assert kept == [f"trials/{found.best.name}/model.onnx"]
    kept = sorted(str(p.relative_to(found.folder)) for p in found.folder.rglob("*.pt"))
    assert kept == [f"trials/{found.best.name}/checkpoint.pt"]


@pytest.mark.slow
def test_the_best_recipe_trains_to_the_best_value(found, faces, tmp_path, without_export):
    best = load_recipe(found.folder / "best.toml")
    assert {key: getattr(best, key) for key in SPACE} == dict(found.best.settings)
    assert best.name == "fast-tuned"
    assert f"trial {found.best.number} of 3" in best.source
    events: list[Progress] = []
    loop.train(faces, tmp_path / "run", best, on_progress=events.append)
    assert [row["stop_f1"] for row in rows_of(events)] == [found.best.value]


@pytest.mark.slow
def test_searched_keys_are_no_longer_unverified(found):
    study = replace(found, recipe=replace(ONE, unverified=("dropout", "momentum")))
    assert study.best_recipe().unverified == ("momentum",)


@pytest.mark.slow
def test_the_page_stands_alone(found):
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"<script|https?://|<link|<img|url\(", page)
    assert page.count("<svg") == 1 + len(SPACE)  # one epoch has no curve
    assert f"<b>{found.best.value:.4f}</b>" in page
    assert page.count("complete: f1") == 3 * (1 + len(SPACE))


@pytest.mark.slow
def test_going_on_is_the_same_as_not_having_stopped(found, faces, tmp_path, without_export):
    shown: list[Progress] = []

    first = tune(faces, tmp_path / "s", ONE, space=SPACE, trials=9, minutes=1e-9)
    assert len(first.trials) == 1
    assert (
        tune(faces, tmp_path / "s", ONE, space=SPACE, trials=1, on_progress=shown.append) == first
    )
    assert shown == []
    second = tune(faces, tmp_path / "s", ONE, space=SPACE, trials=2, on_progress=shown.append)
    assert shown[0].line.startswith("trial 1 of 2: learning_rate=")
    assert {event.name for event in shown[1:]} == {"trial 1"}
    assert (shown[-1].phase, shown[-1].line[:10]) == ("finished", "complete, ")
    assert essence(second) == essence(found)[:2]


@pytest.mark.slow
def test_another_seed_searches_elsewhere(faces, found, tmp_path, without_export):
    other = tune(faces, tmp_path / "s", ONE, space=SPACE, trials=1, seed=1)
    assert other.trials[0].settings != found.trials[0].settings


class Cut(BaseException):
    """As Ctrl-C: no error that anybody should catch."""


@pytest.mark.slow
def test_a_trial_that_was_cut_off_goes_on(faces, tmp_path, without_export):
    recipe = replace(TWO, checkpoint_steps=1)
    whole = tune(faces, tmp_path / "whole", recipe, space=SPACE, trials=2)
    steps: list[tuple[str, str]] = []
    second = ("trial 1", "epoch 2/2")

    def note(event: Progress) -> None:
        if event.phase == "training":
            steps.append((event.name, event.title))

    def cut(event: Progress) -> None:
        note(event)
        if steps.count(second) == 2:
            raise Cut

    with pytest.raises(Cut):
        tune(faces, tmp_path / "cut", recipe, space=SPACE, trials=2, on_progress=cut)
    begun = len(steps)
    again = tune(
        faces,
        tmp_path / "cut",
        recipe,
        space=SPACE,
        trials=2,
        on_progress=note,
    )
    assert essence(again) == essence(whole)
    assert set(steps[begun:]) == {second}


@pytest.mark.slow
def test_a_trial_that_always_ends_the_process_is_given_up(faces, tmp_path, without_export):
    def tell(event: Progress) -> None:
        if event.phase == "training" and event.name == "trial 0":
            raise Cut

    for _ in range(3):
        with pytest.raises(Cut):
            tune(faces, tmp_path / "s", ONE, space=SPACE, trials=2, on_progress=tell)
    study = tune(faces, tmp_path / "s", ONE, space=SPACE, trials=2, on_progress=tell)
    assert [t.state for t in study.trials] == ["failed", "complete"]
    assert "begun 3 times" in study.trials[0].reason


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_failed_trial(faces, tmp_path, without_export):
    space = {"learning_rate": Categorical((0.02, 1e30))}
    study = tune(faces, tmp_path / "s", ONE, space=space, trials=3, seed=3)
    states = {t.settings["learning_rate"]: t.state for t in study.trials}
    assert states == {0.02: "complete", 1e30: "failed"}
    failed = next(t for t in study.trials if t.state == "failed")
    assert "the loss is" in failed.reason
    assert failed.value is None
    text = (tmp_path / "s" / "trials.csv").read_text(encoding="utf-8")
    assert failed.reason in text.replace('""', '"')
    assert "failed: the loss is" in (tmp_path / "s" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_if_every_trial_fails_the_search_says_so(faces, tmp_path, without_export):
    space = {"learning_rate": Range(1e29, 1e30)}
    with pytest.raises(TrainingError, match=r"no trial of .*: 2 of 2 failed; the first: the loss"):
        tune(faces, tmp_path / "s", ONE, space=space, trials=2)
    assert not (tmp_path / "s" / "best.toml").exists()
    assert (tmp_path / "s" / "report.html").is_file()
    with open(tmp_path / "s" / "trials.csv", encoding="utf-8") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["failed", "failed"]


@pytest.mark.slow
def test_values_that_do_not_go_together_are_a_failed_trial(faces, tmp_path, without_export):
    space = {"resize": Categorical((16, 20)), "size": Categorical((16, 20))}
    recipe = fast_recipe(epochs=1, resize=20, size=16)
    study = tune(faces, tmp_path / "s", recipe, space=space, trials=5)
    wrong = [t for t in study.trials if t.settings == {"resize": 16, "size": 20}]
    assert wrong
    assert {t.state for t in wrong} == {"failed"}
    assert {t.state for t in study.trials if t not in wrong} == {"complete"}
    assert "'resize' to be at least 'size'" in wrong[0].reason


@pytest.mark.slow
def test_a_trial_that_is_worse_than_most_is_pruned(faces, tmp_path, without_export):
    folder, recipe = tmp_path / "s", fast_recipe(epochs=3)
    space = {"learning_rate": Range(1e-6, 1e-5)}
    tune(faces, folder, recipe, space=space, trials=1, keep="all")
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db")
    for _ in range(5):  # trials that no such rate can reach
        optuna.load_study(study_name="openaffect", storage=storage).add_trial(
            optuna.trial.create_trial(
                value=1.0,
                params={"learning_rate": 5e-6},
                distributions={"learning_rate": optuna.distributions.FloatDistribution(1e-6, 1e-5)},
                intermediate_values={1: 1.0, 2: 1.0, 3: 1.0},
            )
        )
    storage.remove_session()
    storage.engine.dispose()
    study = tune(faces, folder, recipe, space=space, trials=7, keep="all")
    assert study.trials[6].state == "pruned"
    assert list(study.trials[6].curve) == [1]
    run = folder / "trials" / "006"
    left = sorted(path.name for path in run.iterdir() if path.name != ".lock")
    assert left == ["checkpoint.pt", "log.csv", "recipe.toml"]
    with lock_folder(run):
        pass  # nobody holds it
    study = tune(faces, folder, recipe, space=space, trials=8, keep="all", prune=False)
    assert study.trials[7].state == "complete"
    assert (folder / "trials" / "007" / "model.onnx").is_file()
    assert known(study.best).number == 1


# What is refused, and leaves all as it was.


@pytest.mark.slow
def test_a_study_begun_with_something_else(found, faces, tmp_path):
    before = digest(found.folder)
    other = make_faces(tmp_path / "other", 32)
    shorter = SPACE | {"dropout": Range(0.0, 0.4)}
    fewer = {key: SPACE[key] for key in ("learning_rate", "dropout")}
    for arguments, message in (
        ((other, replace(ONE), SPACE, 0), "begun on other data than other is now"),
        ((faces, replace(ONE, epochs=2), SPACE, 0), "begun with epochs = 1, but now it is 2"),
        ((faces, ONE, shorter, 0), r"the search of dropout = .*0.5.*, but now it is .*0.4"),
        ((faces, ONE, fewer, 0), r"the search of batch_size = \[16, 32\], but now it is 'nothing'"),
        ((faces, ONE, SPACE, 7), "the search's seed = 0, but now it is 7"),
    ):
        dataset, recipe, space, seed = arguments
        with pytest.raises(MismatchError, match=message):
            tune(dataset, found.folder, recipe, space=space, trials=9, seed=seed)
    assert digest(found.folder) == before


@pytest.mark.slow
def test_two_searches_never_share_a_study(found, faces):
    before = digest(found.folder)
    with (
        lock_folder(found.folder),
        pytest.raises(InputError, match="another process trains in"),
    ):
        tune(faces, found.folder, ONE, space=SPACE, trials=9)
    assert digest(found.folder) == before


def test_a_folder_of_something_else_is_left_alone(faces, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is no study .*notes\.txt"):
        tune(faces, tmp_path, ONE, space=SPACE, trials=1)
    with pytest.raises(InputError, match="is a file"):
        tune(faces, tmp_path / "notes.txt", ONE, space=SPACE, trials=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_broken_storage_is_told(faces, tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(FormatError, match=r"expected optuna's storage at .*study\.db"):
        tune(faces, tmp_path, ONE, space=SPACE, trials=1)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"stop_metric": "last"}, {}, "'last' ranks no trials"),
        ({"labels": "anger,fear"}, {}, "no face of"),
        ({}, {"trials": 0}, "at least one trial"),
        ({}, {"minutes": 0}, "minutes above 0"),
        ({}, {"minutes": math.nan}, "minutes above 0"),
    ],
)
def test_what_cannot_be_tuned_makes_no_folder(faces, tmp_path, changes, arguments, message):
    with pytest.raises(InputError, match=message):
        tune(faces, tmp_path / "s", replace(ONE, **changes), space=SPACE, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_with_a_strange_name(faces, tmp_path, without_export):
    folder = tmp_path / "a b%20#1?x=y&é"
    assert len(tune(faces, folder, ONE, space=SPACE, trials=1).trials) == 1
    assert (folder / "study.db").is_file()


# Ranking, importances, drawing: no training.


def test_a_loss_is_ranked_downwards_and_equals_by_number():
    settings = [{"dropout": 0.1}] * 4
    study = made_up([0.5, 0.2, 0.9, 0.2], settings, {"dropout": Range(0.0, 0.5)})
    assert [t.number for t in study.ranked] == [2, 0, 1, 3]
    study = replace(study, recipe=replace(ONE, stop_metric="loss"))
    assert [t.number for t in study.ranked] == [1, 3, 0, 2]
    pruned = replace(study.trials[1], state="pruned")
    study = replace(study, trials=(study.trials[0], pruned, *study.trials[2:]))
    assert known(study.best).number == 3


def test_importances_see_what_decides():
    """Half of the orders of magnitude are good, though but a thousandth of the range."""
    rng = np.random.default_rng(0)
    rates, noise = 10 ** rng.uniform(-5, 0, 60), rng.uniform(0, 0.5, 60)
    space = {"learning_rate": Range(1e-5, 1.0, log=True), "dropout": Range(0.0, 0.5)}
    settings = [
        {"learning_rate": float(a), "dropout": float(b)} for a, b in zip(rates, noise, strict=True)
    ]
    values = (rates < 10**-2.5) + 0.2 * (noise > 0.25)
    low = made_up(values.tolist(), settings, space)
    shares = _importances(low)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
    assert shares["learning_rate"] > 0.85
    assert _importances(low) == shares
    assert list(shares) == ["learning_rate", "dropout"]
    huge = made_up(np.exp(-20 * values).tolist(), settings, space, stop_metric="loss")
    assert _importances(huge)["learning_rate"] > 0.85


def test_importances_need_trials_that_differ():
    settings = [{"dropout": n / 20} for n in range(8)]
    space = {"dropout": Range(0.0, 0.5)}
    assert _importances(made_up([0.5] * 8, settings, space)) == {}
    assert _importances(made_up([0.1, 0.2, 0.3], settings[:3], space)) == {}
    assert _importances(made_up([n / 8 for n in range(8)], settings, space)) == {"dropout": 1.0}


@given(st.floats(1e-9, 1e9), st.floats(1.01, 1e12), st.booleans())
def test_an_axis_keeps_the_order_and_has_ticks(low, by, log):
    axis = Axis(low, low * by, 50, 400, log)
    values = np.geomspace(low, low * by, 9)
    assert np.all(np.diff([axis.at(float(v)) for v in values]) > 0)
    assert axis.at(low) == pytest.approx(50)
    assert axis.at(low * by) == pytest.approx(400)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 9
    assert all(49 <= axis.at(tick) <= 401 for tick in ticks)


def test_a_page_without_a_value_and_with_dirty_names():
    space = {"backbone": Categorical(("<b>", "a&b"))}
    failed = Trial(0, "failed", {"backbone": "<b>"}, reason="<script>no</script>")
    study = made_up([], [], space)
    page = render_study(replace(study, trials=(failed,), dataset="<i>"))
    assert "<script" not in page
    assert "&lt;script&gt;no&lt;/script&gt;" in page
    assert "<b>," not in page
    assert "Too few complete trials" in page


# The command line.


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tuning-cli") / "drawn"
    assert main(["synthesize", "40", str(path), "--size", "64", "--seed", "5"]) == 0
    return path


TINY = [
    "--set",
    "epochs=1",
    "--set",
    "resize=16",
    "--set",
    "size=16",
    "--set",
    "early_stopping_fraction=0.3",
]


@pytest.mark.slow
def test_the_command(drawn, tmp_path, monkeypatch, capsys, without_export):
    monkeypatch.chdir(tmp_path)
    command = ["tune", str(drawn), "my study", *TINY, "--trials", "1"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "searching learning_rate=0.0003..0.03:log" in err
    assert "trial 0 of 1: learning_rate=" in err
    assert "A new study" not in err + out
    lines = out.splitlines()
    assert lines[0].split() == [
        "trial",
        "f1",
        "epoch",
        *default_space(load_recipe("resnet-small-imbalanced")),
    ]
    assert (
        lines[-1] == f"train the best: openaffect train {drawn} RUN --recipe 'my study/best.toml'"
    )
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["best"] == 0
    assert [trial["state"] for trial in data["trials"]] == ["complete"]
    assert main([*command, "--search", "dropout=0..0.5"]) == 1
    assert "was begun with the search of learning_rate" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_and_options_make_one_space(drawn, tmp_path, capsys, without_export):
    (tmp_path / "space.toml").write_text("dropout = [0.1, 0.2]\nflip = [true, false]\n")
    command = ["tune", str(drawn), str(tmp_path / "s"), *TINY, "--trials", "1", "--json"]
    space = ["--space", str(tmp_path / "space.toml"), "--search", "dropout=0..0.5"]
    assert main([*command, *space]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["space"] == {
        "dropout": {"low": 0.0, "high": 0.5, "log": False},
        "flip": [True, False],
    }
    assert "searching" not in streams.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--search", "learnin_rate=1..2"], "did you mean 'learning_rate'"),
        (["--search", "dropout=0..2"], "'dropout' to be a finite number in [0, 1)"),
        (["--space", "nowhere.toml"], "expected a search space at nowhere.toml"),
        (["--keep", "none"], "expected --keep best or all"),
        (["--recipe", "alexnet-imbalance"], "did you mean 'alexnet-imbalanced'"),
        (["--minutes", "-1"], "minutes above 0"),
    ],
)
def test_a_users_error_is_one_line(drawn, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", str(drawn), "study", *arguments]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_optuna_the_extra_is_named(drawn, tmp_path):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'optuna':
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Missing())
from openaffect.cli import main
sys.exit(main(['tune', r'{drawn}', r'{tmp_path}/study', '--search', 'dropout=0..0.5']))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '[tune]"' in done.stderr
    assert list(tmp_path.iterdir()) == []


# Real processes.

SEARCH = """
import sys, time
import torch
from openaffect.dataset import open_dataset
from openaffect.training import loop
from openaffect.training.tuning import tune
from training.faces import save_weights
from training.test_tuning import FINE, SLOW

data, folder, sleep = sys.argv[1:]
torch.set_num_threads(1)
loop.export_model = save_weights

def tell(event):
    if event.phase == "training":
        print(event.name, event.done, flush=True)
        time.sleep(float(sleep))

tune(open_dataset(data), folder, SLOW, space=FINE, trials=4, on_progress=tell)
"""
SLOW = fast_recipe(epochs=2, checkpoint_steps=1, batch_size=8)  # 14 steps a trial
FINE = {key: SPACE[key] for key in ("learning_rate", "dropout")}


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_ends_the_same(faces, tmp_path, without_export):
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])

    def start(folder: Path, sleep: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SEARCH, str(faces.path), str(folder), str(sleep)],
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = start(tmp_path / "whole", 0)
    _, err = whole.communicate(timeout=280)
    assert whole.returncode == 0, err
    rng = random.Random(0)
    for _ in range(3):
        process = start(tmp_path / "killed", 0.02)
        assert process.stdout is not None
        for _ in range(rng.randint(4, 16)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        assert process.wait() == -9
        process.communicate()
    last = start(tmp_path / "killed", 0)
    _, err = last.communicate(timeout=280)
    assert last.returncode == 0, err
    one, other = (
        tune(faces, tmp_path / name, SLOW, space=FINE, trials=4) for name in ("whole", "killed")
    )
    assert essence(one) == essence(other)
    assert len(one.trials) == 4
    left = [digest(tmp_path / name / "trials") for name in ("whole", "killed")]
    assert left[0].keys() == left[1].keys()


@pytest.mark.slow
def test_hog_is_tuned_too(tmp_path):
    dataset = make_faces(tmp_path / "data", 64, size=64)
    recipe = fast_recipe(method="hog", resize=32, size=32, components=20)
    study = tune(dataset, tmp_path / "s", recipe, trials=3)
    assert {t.state for t in study.trials} == {"complete"}
    assert {type(t.settings["components"]) for t in study.trials} == {int}
    assert [p.parent.name for p in (tmp_path / "s").rglob("model.onnx")] == [known(study.best).name]
    with atomic_file(tmp_path / "again.toml") as path:
        path.write_text(known(study.best_recipe()).to_toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml") == study.best_recipe()


def test_the_page_escapes_what_it_shows():
    script = "<script>alert(\"1\" + '&')</script>"
    space = {"backbone": Categorical((script, "alexnet"))}
    study = made_up([0.2, 0.4], [{"backbone": script}, {"backbone": "alexnet"}], space)
    failed = Trial(2, "failed", {"backbone": script}, reason=script)
    text = render_study(replace(study, dataset=script, trials=(*study.trials, failed)))
    assert "<script" not in text
    assert 'alert("1"' not in text
    assert text.count("&lt;script&gt;") >= 6
