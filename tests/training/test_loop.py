"""The loop: the same bits again, resumable anywhere, honest about what stopping looks at."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import math
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openaffect.dataset import Dataset
from openaffect.errors import (
    DestinationExists,
    FormatError,
    InputError,
    MismatchError,
    TrainingError,
)
from openaffect.labels import Expression
from openaffect.progress import Progress
from openaffect.training import augmentation, loop, losses
from openaffect.training.loader import CropReader, iterate_batches, plan_epoch
from openaffect.training.loop import out_of_memory, train
from openaffect.training.losses import smooth_targets
from openaffect.training.network import Network
from openaffect.training.optimization import learning_rate, make_optimizer
from openaffect.training.recipe import load_recipe
from openaffect.training.run_folder import read_checkpoint
from openaffect.training.targets import choose_targets, train_val_split
from training.faces import THREE, fast_recipe, losses_of, make_faces, rows_of, save_weights

pytestmark = pytest.mark.usefixtures("without_export")

# Everything random at once, and a metric that changes with every epoch.
RANDOM = {
    "resize": 20,
    "crops": "random",
    "rotate": 10.0,
    "brightness_contrast": 0.2,
    "dropout": 0.3,
    "optimizer": "adamw",
    "learning_rate": 0.005,
    "schedule": "cosine",
    "stop_metric": "loss",
    "strategy": "up-sampling",
    "target": "both",
}


class Stop(Exception):  # noqa: N818
    """Raised where a kill would come."""


def stop_at(number: int) -> Callable[[Progress], None]:
    """A callback that ends the training after so many steps."""
    done = 0

    def tell(event: Progress) -> None:
        nonlocal done
        done += event.phase == "training"
        if done == number:
            raise Stop

    return tell


def log_of(run: Path) -> list[dict[str, str]]:
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def same(a: Any, b: Any) -> bool:
    """Whether two checkpoints hold the same bits."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def assert_same_run(one: Path, other: Path) -> None:
    assert same(read_checkpoint(one / "checkpoint.pt"), read_checkpoint(other / "checkpoint.pt"))
    assert log_of(one) == log_of(other)
    exported = [torch.load(run / "model.onnx") for run in (one, other)]
    assert same(*exported)


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if not path.name.startswith(".")
    }


# The same bits again.


@pytest.mark.slow
def test_two_runs_are_equal_and_another_seed_is_not(faces, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(faces, tmp_path / name, fast_recipe(**RANDOM, seed=seed))
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert log_of(tmp_path / "a") != log_of(tmp_path / "c")


def test_what_happened_before_in_the_process_changes_nothing(faces, tmp_path):
    recipe = fast_recipe(**RANDOM, epochs=1)
    train(faces, tmp_path / "a", recipe)
    torch.manual_seed(99)
    np.random.default_rng(0).random()
    train(faces, tmp_path / "b", recipe)
    assert_same_run(tmp_path / "a", tmp_path / "b")


@pytest.fixture(scope="module")
def uninterrupted(faces, tmp_path_factory) -> Path:
    """A whole run, which nobody changes."""
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "export_model", save_weights)
        train(faces, run, fast_recipe(**RANDOM, checkpoint_steps=2))
    assert len(log_of(run)) == 2
    return run


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_resumed_run_is_the_uninterrupted_one(faces, uninterrupted, tmp_path, steps):
    """Four steps an epoch, a checkpoint every second step and after each epoch."""
    recipe = fast_recipe(**RANDOM, checkpoint_steps=2)
    with pytest.raises(Stop):
        train(faces, tmp_path / "run", recipe, on_progress=stop_at(steps))
    assert (tmp_path / "run" / "checkpoint.pt").exists() == (steps >= 2)
    assert not (tmp_path / "run" / "model.onnx").exists()
    train(faces, tmp_path / "run", recipe, resume=True)
    assert_same_run(tmp_path / "run", uninterrupted)


def test_a_run_may_be_interrupted_many_times(faces, uninterrupted, tmp_path):
    recipe = fast_recipe(**RANDOM, checkpoint_steps=2)
    stops = 0
    while True:
        try:
            train(faces, tmp_path / "run", recipe, resume=True, on_progress=stop_at(3))
            break
        except Stop:
            stops += 1
    assert stops == 3  # 3 of 8 steps, back to 2, 5, back to 4, 7, back to 6, then 2 more
    assert_same_run(tmp_path / "run", uninterrupted)


def test_a_finished_run_is_exported_again_without_training(faces, tmp_path):
    train(faces, tmp_path / "run", fast_recipe())
    before = digest(tmp_path / "run")
    (tmp_path / "run" / "model.onnx").unlink()
    events: list[Progress] = []
    train(faces, tmp_path / "run", fast_recipe(), resume=True, on_progress=events.append)
    assert [event.phase for event in events if event.phase != "reading"] == [
        "finished",
        "exporting",
    ]
    after = digest(tmp_path / "run")
    del before["model.onnx"], after["model.onnx"]  # torch.save writes a name into it
    assert after == before


def test_a_run_may_go_on_for_more_epochs(faces, tmp_path):
    train(faces, tmp_path / "long", fast_recipe(epochs=3))
    train(faces, tmp_path / "run", fast_recipe(epochs=1))
    train(faces, tmp_path / "run", fast_recipe(epochs=3), resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "long")
    assert load_recipe(tmp_path / "run" / "recipe.toml") == fast_recipe(epochs=3)


def test_a_cosine_that_is_stretched_is_told_and_is_no_straight_run(faces, tmp_path):
    cosine = {"schedule": "cosine", "warmup": 0}
    told = []
    train(faces, tmp_path / "run", fast_recipe(epochs=1, **cosine))
    train(faces, tmp_path / "run", fast_recipe(epochs=2, **cosine), resume=True,
          on_progress=lambda event: told.append(event.warning))  # fmt: skip
    assert any("cosine" in note and "2 epochs" in note for note in told if note)
    recipe = load_recipe(tmp_path / "run" / "recipe.toml")
    assert recipe.extended_from == 1
    assert recipe.sha256() != fast_recipe(epochs=2, **cosine).sha256()
    # It is said once, remembered for ever, and hinders nothing.
    told.clear()
    train(faces, tmp_path / "run", fast_recipe(epochs=2, **cosine), resume=True,
          on_progress=lambda event: told.append(event.warning))  # fmt: skip
    assert not any("cosine" in note for note in told if note)
    assert load_recipe(tmp_path / "run" / "recipe.toml").extended_from == 1


def test_resuming_where_nothing_is_starts(faces, tmp_path):
    train(faces, tmp_path / "run", fast_recipe(epochs=1), resume=True)
    assert (tmp_path / "run" / "model.onnx").is_file()


# What is refused, and leaves all as it was.


@pytest.fixture(scope="module")
def interrupted(faces, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(Stop):
        train(faces, run, fast_recipe(checkpoint_steps=1), on_progress=stop_at(6))
    return run


@pytest.fixture
def begun(interrupted, tmp_path) -> Path:
    """A run with a checkpoint, interrupted in its second epoch; a copy for each test."""
    return shutil.copytree(interrupted, tmp_path / "begun")


def test_resuming_with_another_recipe_is_refused(faces, begun):
    before = digest(begun)
    with pytest.raises(MismatchError, match=r"begun with batch_size = 16, but .* now has 8"):
        train(faces, begun, fast_recipe(checkpoint_steps=1, batch_size=8), resume=True)
    assert digest(begun) == before


def test_resuming_with_other_data_is_refused(begun, tmp_path):
    other = make_faces(tmp_path / "other", 63)
    before = digest(begun)
    with pytest.raises(MismatchError, match="begun on other data"):
        train(other, begun, fast_recipe(checkpoint_steps=1), resume=True)
    assert digest(begun) == before


def test_a_run_that_is_there_is_refused_with_the_two_ways_out(faces, begun):
    before = digest(begun)
    with pytest.raises(DestinationExists, match=r"--resume.*--overwrite"):
        train(faces, begun, fast_recipe(checkpoint_steps=1))
    assert digest(begun) == before


def test_overwriting_begins_anew_and_leaves_the_files_of_others(faces, begun, tmp_path):
    (begun / "notes.txt").write_text("mine")
    train(faces, begun, fast_recipe(seed=1), overwrite=True)
    train(faces, tmp_path / "new", fast_recipe(seed=1))
    assert_same_run(begun, tmp_path / "new")
    assert (begun / "notes.txt").read_text() == "mine"


def test_overwriting_refuses_a_folder_that_is_no_run(faces, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    with pytest.raises(InputError, match=r"photos is no run \(it has no recipe.toml\)"):
        train(faces, folder, fast_recipe(), overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["a.jpg"]


def test_overwriting_with_what_cannot_be_trained_keeps_the_old_run(begun, tmp_path):
    before = digest(begun)
    unlabeled = unlabeled_faces(tmp_path)
    with pytest.raises(InputError, match=r"no face of .* can be learned from"):
        train(unlabeled, begun, fast_recipe(), overwrite=True)
    assert digest(begun) == before


def test_resume_and_overwrite_together_are_refused(faces, begun):
    with pytest.raises(InputError, match="either resume or overwrite"):
        train(faces, begun, fast_recipe(checkpoint_steps=1), resume=True, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_place_of_the_run_is_refused(faces, tmp_path, overwrite):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="run is a file"):
        train(faces, tmp_path / "run", fast_recipe(), overwrite=overwrite)
    assert (tmp_path / "run").read_text() == "mine"


def test_what_cannot_be_trained_leaves_nothing_that_the_next_try_trips_over(faces, tmp_path):
    with pytest.raises(InputError, match=r"no face of .* can be learned from"):
        train(unlabeled_faces(tmp_path), tmp_path / "run", fast_recipe())
    assert digest(tmp_path / "run") == {}
    train(faces, tmp_path / "run", fast_recipe(epochs=1))


HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("way", [{"resume": True}, {"overwrite": True}])
def test_a_folder_in_use_by_another_process_is_refused_untouched(faces, begun, way):
    before = digest(begun)
    command = [sys.executable, "-c", HOLDER, str(begun / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another process trains in"):
            train(faces, begun, fast_recipe(checkpoint_steps=1), **way)
        assert digest(begun) == before
    assert other.returncode == 0
    train(faces, begun, fast_recipe(checkpoint_steps=1), **way)


# Checkpoints.


def test_a_checkpoint_that_is_not_whole_is_refused(faces, begun):
    path = begun / "checkpoint.pt"
    whole = path.read_bytes()
    for content in (
        b"",
        pickle.dumps(Path("x"), protocol=2),
        b"PK\x03\x04",
        b"hello",
        whole[:1000],
        whole[: len(whole) // 2],
        whole[:-1],
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"expected a checkpoint at .*broken"):
            train(faces, begun, fast_recipe(checkpoint_steps=1), resume=True)
        assert path.read_bytes() == content


@pytest.mark.parametrize("content", [{"version": 99}, [1, 2], {"weights": {}}])
def test_a_checkpoint_of_another_version_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(FormatError, match="no checkpoint of version 1"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_a_full_disk_keeps_the_old_checkpoint(faces, begun, uninterrupted, monkeypatch):
    before = digest(begun)
    real = torch.save

    def full(content: object, path: Path) -> None:
        real(content, path)
        path.write_bytes(path.read_bytes()[:5000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        train(faces, begun, fast_recipe(checkpoint_steps=1), resume=True)
    assert digest(begun) == before
    assert [p.name for p in begun.iterdir() if "partial" in p.name] == []
    monkeypatch.setattr(torch, "save", real)
    train(faces, begun, fast_recipe(checkpoint_steps=1), resume=True)


def test_a_loss_that_is_no_number_ends_the_training_with_its_place(faces, tmp_path):
    recipe = fast_recipe(learning_rate=1e30, checkpoint_steps=1)
    with pytest.raises(TrainingError) as caught:
        train(faces, tmp_path / "run", recipe)
    text = str(caught.value)
    assert "the loss is nan in epoch 1, step 2 (faces face-" in text
    assert "learning rate 1e+30" in text
    assert "--resume --set learning_rate=" in text
    assert not (tmp_path / "run" / "model.onnx").exists()
    # The weights after the first step give no loss: they are not kept.
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_run_whose_loss_became_no_number_goes_on_with_a_lower_rate(faces, tmp_path):
    run, recipe = tmp_path / "run", fast_recipe(checkpoint_steps=1, epochs=3)
    with pytest.raises(Stop):
        train(faces, run, recipe, on_progress=stop_at(6))
    events: list[Progress] = []
    wild = dataclasses.replace(recipe, learning_rate=1e30)
    with pytest.raises(TrainingError, match="in epoch 2, step 3"):
        train(faces, run, wild, resume=True, overrides=["learning_rate"], on_progress=events.append)
    assert "the run goes on with learning_rate = 1e+30; it had 0.02" in [
        event.warning for event in events
    ]
    checkpoint = read_checkpoint(run / "checkpoint.pt")
    assert checkpoint["state"]["total_steps"] == 5  # not 6, whose weights are ruined
    assert max(float(w.abs().max()) for w in checkpoint["weights"].values()) < 1e6
    clipped = dataclasses.replace(recipe, grad_clip_norm=1.0)
    with pytest.raises(MismatchError, match=r"learning_rate = 1e\+30, but the recipe now has 0.02"):
        train(faces, run, clipped, resume=True)
    train(faces, run, clipped, resume=True, overrides=["learning_rate", "grad_clip_norm"])
    assert len(log_of(run)) == 3
    with pytest.raises(MismatchError, match=r"grad_clip_norm = 1.0, but"):  # it is finished
        train(faces, run, recipe, resume=True, overrides=["grad_clip_norm"])
    assert load_recipe(run / "recipe.toml").grad_clip_norm == 1.0


def test_a_network_that_is_ruined_by_the_last_step_of_an_epoch_is_not_kept(faces, tmp_path):
    recipe = fast_recipe(learning_rate=1e38, batch_size=64)  # an epoch is one step
    with pytest.raises(TrainingError, match=r"after epoch 1, step 1, the network no longer gives"):
        train(faces, tmp_path / "run", recipe)
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"recipe.toml", ".lock"}


def test_faces_of_one_expression_alone_are_refused(tmp_path):
    dataset = make_faces(tmp_path / "data", 40, labels=(Expression.HAPPY,))
    with pytest.raises(InputError, match=r"two or more expressions .* are all of happy; choose"):
        train(dataset, tmp_path / "run", fast_recipe())
    assert not (tmp_path / "run" / "recipe.toml").exists()


# What is learned.


def unlabeled_faces(folder: Path) -> Dataset:
    return make_faces(folder / "none", 20, change=lambda _, row: setattr(row, "expression", None))


def test_the_loss_falls_and_the_classes_are_learned(faces, tmp_path):
    train(
        faces,
        tmp_path / "run",
        fast_recipe(epochs=6, learning_rate=0.05, early_stopping_fraction=0.3),
    )
    log = log_of(tmp_path / "run")
    assert float(log[-1]["loss"]) < 0.3 * float(log[0]["loss"])
    assert max(float(row["stop_accuracy"]) for row in log) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["euclidean", "ccc"])
def test_affect_alone_is_learned(faces, tmp_path, loss):
    recipe = fast_recipe(
        target="affect",
        stop_metric="ccc",
        affect_loss=loss,
        epochs=12,
        optimizer="adam",
        learning_rate=0.005,
    )
    train(faces, tmp_path / "run", recipe)
    log = log_of(tmp_path / "run")
    assert float(log[-1]["loss"]) < 0.5 * float(log[0]["loss"])
    assert max(float(row["stop_ccc"]) for row in log) > 0.5


def test_the_first_loss_is_the_published_formula(faces, tmp_path):
    """Σ H_c · −log p_c / N over the faces of the step, plus the affect's, written out in NumPy."""
    recipe = fast_recipe(strategy="weighted-loss", target="both", affect_weight=3.0, epochs=1)
    events: list[Progress] = []
    train(faces, tmp_path / "run", recipe, on_progress=events.append)
    first = losses_of(events)[0]

    learned, _ = train_val_split(faces, choose_targets(faces, recipe), 0.2, 0)
    reader = CropReader(faces, recipe)
    batch = next(iter(iterate_batches(recipe, learned, reader, epoch=0)))
    reader.close()
    torch.manual_seed(0)
    network = Network(recipe).train()
    pixels = torch.from_numpy(batch.images.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        logits, affect = (output.numpy().astype(float) for output in network(pixels))
    counts = np.bincount(learned.classes)
    weights = counts.min() / counts
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = batch.targets.classes
    entropy = -(weights[classes] * np.log(p[np.arange(16), classes])).sum() / 16
    squares = ((affect - batch.targets.affect) ** 2).sum() / 2 / 16
    assert len({*counts.tolist()}) > 1  # so that the weights differ
    assert first == pytest.approx(entropy + 3 * squares, rel=1e-5)


def record_rows(monkeypatch) -> list[int]:
    """The rows that are learned from."""
    rows: list[int] = []
    real = iterate_batches

    def spy(*arguments: Any, **places: Any):
        for batch in real(*arguments, **places):
            rows.extend(batch.targets.rows.tolist())
            yield batch

    monkeypatch.setattr(loop, "iterate_batches", spy)
    return rows


def test_neither_other_splits_nor_the_held_share_are_learned_from(tmp_path, monkeypatch):
    def change(number, row):
        row.split = ("train", "train", "validation", "test")[number % 4]
        row.group = f"person-{number // 5}"

    dataset = make_faces(tmp_path / "data", 80, change=change)
    recipe = fast_recipe()
    rows = record_rows(monkeypatch)
    train(dataset, tmp_path / "run", recipe)
    learned, held = train_val_split(dataset, choose_targets(dataset, recipe), 0.2, 0)
    assert {dataset.faces["split"][row].as_py() for row in rows} == {"train"}
    assert {*rows} == {*learned.rows.tolist()}
    assert len(held) > 3
    groups = [
        {dataset.faces["group"][int(row)].as_py() for row in part} for part in (rows, held.rows)
    ]
    assert groups[0].isdisjoint(groups[1])


def test_down_sampling_draws_other_faces_each_epoch(faces, tmp_path, monkeypatch):
    rows = record_rows(monkeypatch)
    train(faces, tmp_path / "run", fast_recipe(strategy="down-sampling", max_per_class=6))
    assert len(rows) == 2 * 3 * 6
    assert {*rows[:18]} != {*rows[18:]}


@pytest.mark.parametrize("strategy", ["weighted-loss", "up-sampling", "down-sampling"])
@pytest.mark.parametrize("sads", [0, 1])
def test_a_class_with_no_face_or_one_is_trained_around(tmp_path, strategy, sads):
    def change(number, row):
        if row.expression == Expression.SAD and number >= 3 * sads:
            row.expression = Expression.HAPPY

    dataset = make_faces(tmp_path / "data", 40, change=change)
    train(dataset, tmp_path / "run", fast_recipe(strategy=strategy))
    log = log_of(tmp_path / "run")
    assert len(log) == 2
    assert all(math.isfinite(float(row["loss"])) for row in log)


def test_faces_that_are_all_unlabeled_are_refused(tmp_path):
    with pytest.raises(InputError, match="none of these with a label among neutral, happy, sad"):
        train(unlabeled_faces(tmp_path), tmp_path / "run", fast_recipe())


def spoil(dataset: Dataset, rows: list[int]) -> None:
    for row in rows:
        dataset.image_paths[row].write_bytes(b"\x89PNG\r\n\x1a\n cut short")


def test_broken_pictures_are_counted_and_the_rest_is_learned(tmp_path, monkeypatch):
    dataset = make_faces(tmp_path / "data", 60)
    recipe = fast_recipe()
    learned, held = train_val_split(dataset, choose_targets(dataset, recipe), 0.2, 0)
    broken = [int(learned.rows[3]), int(learned.rows[4]), int(held.rows[0])]
    spoil(dataset, broken)
    rows = record_rows(monkeypatch)
    events: list[Progress] = []
    facts: list[Any] = []
    monkeypatch.setattr(loop, "export_model", lambda *args: facts.append(args[3]))
    train(dataset, tmp_path / "run", recipe, on_progress=events.append)
    assert {*rows} == {*learned.rows.tolist()} - {*broken}
    assert [row["broken"] for row in log_of(tmp_path / "run")] == ["3", "3"]
    (note,) = [event.warning for event in events if event.warning]
    assert note.startswith("3 of 60 faces cannot be read and are left out; first face-")
    assert ".png" in note
    assert facts[0].broken == 3
    assert sorted(facts[0].targets.rows) == sorted({*learned.rows.tolist()} - {*broken})


@pytest.mark.parametrize("left", [0, 1])
def test_a_step_with_hardly_a_picture_left_is_survived(tmp_path, left):
    """Batch normalization on 1 × 1 features cannot learn from one face alone."""
    dataset = make_faces(tmp_path / "data", 60)
    recipe = fast_recipe(epochs=1)
    learned, _ = train_val_split(dataset, choose_targets(dataset, recipe), 0.2, 0)
    first = plan_epoch(recipe, learned, 0)[0]
    spoil(dataset, learned.rows[first[left:]].tolist())
    events: list[Progress] = []
    train(dataset, tmp_path / "run", recipe, on_progress=events.append)
    losses = losses_of(events)
    assert len(losses) == 3
    assert (losses[0] == 0) == (left == 0)
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize(
    ("share", "message"),
    [(slice(None), "not one picture of"), ("held", "not one of the faces held out")],
)
def test_no_readable_picture_is_refused(tmp_path, share, message):
    dataset = make_faces(tmp_path / "data", 40)
    recipe = fast_recipe()
    _, held = train_val_split(dataset, choose_targets(dataset, recipe), 0.2, 0)
    spoil(dataset, held.rows.tolist() if share == "held" else list(range(40)))
    with pytest.raises(InputError, match=message):
        train(dataset, tmp_path / "run", recipe)


# Stopping and the choice of the epoch.


def with_scores(monkeypatch, values: list[float], key: str = "f1") -> None:
    """A judge that says what the test wants."""
    series = iter(values)
    monkeypatch.setattr(loop, "_validate", lambda _: {key: next(series)})


@pytest.mark.slow
def test_training_stops_after_its_patience_and_exports_the_best_epoch(faces, tmp_path, monkeypatch):
    with_scores(monkeypatch, [0.1, 0.5, 0.5, 0.4])
    train(faces, tmp_path / "run", fast_recipe(epochs=9, patience=2))
    log = log_of(tmp_path / "run")
    assert [row["best"] for row in log] == ["True", "True", "False", "False"]
    best = torch.load(tmp_path / "run" / "model.onnx")
    with_scores(monkeypatch, [0.1, 0.5])
    train(faces, tmp_path / "short", fast_recipe(epochs=2, patience=2))
    second = read_checkpoint(tmp_path / "short" / "checkpoint.pt")["weights"]
    fourth = read_checkpoint(tmp_path / "run" / "checkpoint.pt")["weights"]
    assert same(best, dict(second))
    assert not same(best, dict(fourth))


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("loss", [0.9, 0.2, 0.4], 2),
        ("accuracy", [0.1, 0.2, 0.3], 3),
        ("f1", [math.nan, math.nan, math.nan], 1),
        ("f1", [math.nan, 0.0, math.nan], 2),
    ],
)
def test_the_best_epoch_by_each_metric(faces, tmp_path, monkeypatch, metric, values, best):
    with_scores(monkeypatch, values, metric)
    train(faces, tmp_path / "run", fast_recipe(epochs=3, stop_metric=metric))
    state = read_checkpoint(tmp_path / "run" / "checkpoint.pt")["state"]
    assert state["best_epoch"] + 1 == best


def test_a_metric_that_is_never_defined_stops_by_patience(faces, tmp_path, monkeypatch):
    with_scores(monkeypatch, [math.nan] * 9)
    train(faces, tmp_path / "run", fast_recipe(epochs=9, patience=3))
    assert len(log_of(tmp_path / "run")) == 4


@pytest.mark.slow
def test_an_interrupted_run_keeps_its_patience_and_its_best_epoch(faces, tmp_path, monkeypatch):
    recipe = fast_recipe(epochs=9, patience=2)
    with_scores(monkeypatch, [0.5, 0.1, 0.1])
    train(faces, tmp_path / "whole", recipe)
    with_scores(monkeypatch, [0.5, 0.1])
    with pytest.raises(Stop):
        train(faces, tmp_path / "run", recipe, on_progress=stop_at(9))
    with_scores(monkeypatch, [0.1])
    train(faces, tmp_path / "run", recipe, resume=True)
    assert len(log_of(tmp_path / "run")) == 3
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_the_scores_of_an_epoch_are_those_of_its_weights_on_the_held_share(faces, tmp_path):
    recipe = fast_recipe(epochs=1, target="both", resize=20)
    train(faces, tmp_path / "run", recipe)
    _, held = train_val_split(faces, choose_targets(faces, recipe), 0.2, 0)
    network = Network(recipe)
    network.load_state_dict(read_checkpoint(tmp_path / "run" / "checkpoint.pt")["weights"])
    crops = np.stack([faces.crop(int(r), recipe.crop_rule, (20, 20)) for r in held.rows])
    pixels = torch.from_numpy(crops[:, 2:18, 2:18].transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        logits, _ = network.eval()(pixels)
    p = torch.softmax(logits, 1).numpy()
    (row,) = log_of(tmp_path / "run")
    assert float(row["stop_accuracy"]) == (p.argmax(1) == held.classes).mean()
    entropy = -np.log(p[np.arange(len(held)), held.classes]).mean()
    assert float(row["stop_loss"]) == pytest.approx(float(entropy), rel=1e-5)


# Rates, optimizers, precision.


@pytest.mark.parametrize(
    ("recipe", "rates"),
    [
        ({"schedule": "constant"}, {0: 0.1, 99: 0.1}),
        (
            {"schedule": "step", "step_every": 10, "step_factor": 0.5},
            {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025},
        ),
        ({"schedule": "cosine"}, {0: 0.1, 25: 0.0853553391, 50: 0.05, 100: 0.0}),
        (
            {"schedule": "cosine", "warmup": 20},
            {0: 0.005, 9: 0.05, 19: 0.1, 20: 0.1, 60: 0.05, 100: 0.0, 120: 0.0},
        ),
        ({"schedule": "constant", "warmup": 4}, {0: 0.025, 3: 0.1, 4: 0.1}),
        ({"schedule": "cosine", "warmup": 200}, {99: 0.05}),
    ],
)
def test_learning_rates_by_hand(recipe, rates):
    recipe = fast_recipe(learning_rate=0.1, **recipe)
    found = [learning_rate(recipe, step, 100) for step in rates]
    assert found == pytest.approx(list(rates.values()), abs=1e-10)


def test_the_rate_of_a_step_is_the_one_that_is_used(faces, tmp_path):
    """4 steps an epoch, 2 epochs: the last step is the eighth of eight."""
    recipe = fast_recipe(schedule="cosine", learning_rate=0.1)
    train(faces, tmp_path / "run", recipe)
    rates = [float(row["learning_rate"]) for row in log_of(tmp_path / "run")]
    assert rates == pytest.approx(
        [0.05 * (1 + math.cos(math.pi * step / 8)) for step in (3, 7)], rel=1e-12
    )
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert checkpoint["optimizer"]["param_groups"][0]["lr"] == rates[-1]


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.8}),
        ("adam", torch.optim.Adam, {}),
        ("adamw", torch.optim.AdamW, {}),
    ],
)
def test_optimizers_have_the_recipes_values(name, kind, settings):
    recipe = fast_recipe(optimizer=name, momentum=0.8, weight_decay=0.03, learning_rate=0.2)
    network = Network(recipe)
    optimizer = make_optimizer(network, recipe)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert len(group["params"]) == len(list(network.parameters()))
    expected = {"lr": 0.2, "weight_decay": 0.03} | settings
    assert {key: group[key] for key in expected} == expected


def test_clipping_bounds_the_step(faces, tmp_path):
    """Plain SGD moves the weights by rate · gradient, and the gradient has a norm of 0.001."""
    recipe = fast_recipe(grad_clip_norm=0.001, momentum=0.0, learning_rate=1.0, checkpoint_steps=1)
    with pytest.raises(Stop):
        train(faces, tmp_path / "run", recipe, on_progress=stop_at(2))
    torch.manual_seed(0)
    before = dict(Network(recipe).named_parameters())
    after = read_checkpoint(tmp_path / "run" / "checkpoint.pt")["weights"]
    moved = math.sqrt(sum(float((after[k] - v).detach().square().sum()) for k, v in before.items()))
    assert moved == pytest.approx(0.001, rel=1e-3)


@pytest.mark.slow
def test_one_process_may_train_with_several_precisions(faces, tmp_path):
    recipe = fast_recipe(epochs=1)
    train(faces, tmp_path / "before", recipe)
    train(faces, tmp_path / "half", dataclasses.replace(recipe, precision="bf16"))
    train(faces, tmp_path / "after", recipe)
    assert_same_run(tmp_path / "before", tmp_path / "after")
    assert not same(*(torch.load(tmp_path / n / "model.onnx") for n in ("half", "after")))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can compute in fp16")
def test_a_precision_that_the_machine_lacks_is_refused(faces, tmp_path):
    with pytest.raises(InputError, match="cannot train with precision 'fp16'"):
        train(faces, tmp_path / "run", fast_recipe(precision="fp16"))
    assert not (tmp_path / "run").exists()


# Averages, sharpness, mixtures, pieces.


@pytest.fixture
def plain_net(monkeypatch) -> None:
    """The small net without batch normalization, so that faces do not see each other."""

    class Alone(torch.nn.GroupNorm):
        def __init__(self, channels: int) -> None:
            super().__init__(1, channels)

    monkeypatch.setattr(torch.nn, "BatchNorm2d", Alone)


def weights_of(run: Path, key: str = "weights") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = read_checkpoint(run / "checkpoint.pt")[key]
    return found


@pytest.mark.usefixtures("plain_net")
@pytest.mark.parametrize("loss", ["euclidean", "ccc"])
def test_pieces_add_up_to_the_whole_step(faces, tmp_path, loss):
    recipe = fast_recipe(target="both", epochs=1, affect_loss=loss)
    losses = {}
    for pieces in (1, 3, 8):
        events: list[Progress] = []
        changed = dataclasses.replace(recipe, accumulate=pieces)
        train(faces, tmp_path / str(pieces), changed, on_progress=events.append)
        losses[pieces] = losses_of(events)
    if loss == "euclidean":
        np.testing.assert_allclose(losses[3], losses[1], rtol=1e-5)
        np.testing.assert_allclose(losses[8], losses[1], rtol=1e-5)
    else:  # CCC is of the faces of a piece
        assert losses[3] != losses[1]
        assert losses[8] != losses[3]


def test_a_run_may_go_on_in_more_pieces(faces, tmp_path):
    with pytest.raises(Stop):
        train(faces, tmp_path / "run", fast_recipe(checkpoint_steps=1), on_progress=stop_at(2))
    train(faces, tmp_path / "run", fast_recipe(checkpoint_steps=1, accumulate=2), resume=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9},
        {"sam": 0.1},
        {"mixup": 0.4},
        {"label_smoothing": 0.1, "ema_decay": 0.5, "sam": 0.05},
    ],
)
def test_every_way_of_training_resumes_with_the_same_bits_and_changes_the_result(
    faces, tmp_path, settings
):
    recipe = fast_recipe(**RANDOM, checkpoint_steps=2)
    changed = dataclasses.replace(recipe, **settings)
    train(faces, tmp_path / "whole", changed)
    with pytest.raises(Stop):
        train(faces, tmp_path / "cut", changed, on_progress=stop_at(5))
    train(faces, tmp_path / "cut", changed, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    train(faces, tmp_path / "plain", recipe)
    exported = [torch.load(tmp_path / name / "model.onnx") for name in ("whole", "plain")]
    assert not same(*exported)


def test_the_average_is_what_is_judged_and_exported(faces, tmp_path):
    recipe = fast_recipe(ema_decay=0.8, stop_metric="last", epochs=2)
    train(faces, tmp_path / "run", recipe)
    average = {
        name.removeprefix("module."): value
        for name, value in weights_of(tmp_path / "run", "average").items()
        if name.startswith("module.")
    }
    assert same(weights_of(tmp_path / "run", "best_weights"), average)
    assert same(torch.load(tmp_path / "run" / "model.onnx"), average)
    assert not same(weights_of(tmp_path / "run"), average)


@pytest.mark.usefixtures("plain_net")
def test_a_sharpness_aware_step_is_the_published_one(faces, tmp_path):
    """w − η·∇L(w + ρ·∇L(w)/‖∇L(w)‖), written out."""
    recipe = fast_recipe(sam=0.3, momentum=0.0, checkpoint_steps=1, flip=False)
    with pytest.raises(Stop):
        train(faces, tmp_path / "run", recipe, on_progress=stop_at(2))
    learned, _ = train_val_split(faces, choose_targets(faces, recipe), 0.2, 0)
    reader = CropReader(faces, recipe)
    batch = next(iter(iterate_batches(recipe, learned, reader, epoch=0)))
    reader.close()
    pixels = torch.from_numpy(batch.images.transpose(0, 3, 1, 2).astype(np.float32))
    truth = torch.from_numpy(batch.targets.classes)
    torch.manual_seed(0)
    network = Network(recipe).train()
    weights = list(network.parameters())

    def gradients() -> list[torch.Tensor]:
        loss = torch.nn.functional.cross_entropy(network(pixels)[0], truth)
        return list(torch.autograd.grad(loss, weights))

    first = gradients()
    norm = torch.cat([g.flatten() for g in first]).norm()
    with torch.no_grad():
        for weight, gradient in zip(weights, first, strict=True):
            weight.add_(0.3 * gradient / norm)
    second = gradients()
    with torch.no_grad():
        for weight, one, other in zip(weights, first, second, strict=True):
            weight.sub_(0.3 * one / norm + recipe.learning_rate * other)
    after = weights_of(tmp_path / "run")
    pairs = [(after[name], value.detach()) for name, value in network.named_parameters()]
    assert len(pairs) > 20
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_mixtures_mix_pictures_and_targets_by_the_same_share():
    torch.manual_seed(3)
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 2, 2)
    shares = torch.eye(6)
    truth = torch.stack([torch.arange(6.0) / 6, torch.full((6,), torch.nan)], dim=1)
    mixed, targets, affect = augmentation.mixup(0.5, images, shares, truth)
    numbers = torch.arange(6.0)
    np.testing.assert_allclose(targets.sum(1), np.ones(6), atol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], targets @ numbers, atol=1e-5)
    np.testing.assert_allclose(affect[:, 0], targets @ numbers / 6, atol=1e-6)
    assert affect[:, 1].isnan().all()
    assert ((targets > 0).sum(1) == 2).any()


def test_smoothed_targets_keep_their_sum_and_rows_without_a_label_stay_empty():
    target = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]])
    found = smooth_targets(target, 0.2)
    expected = [[0.85, 0.05, 0.05, 0.05], [0.45, 0.45, 0.05, 0.05], [0, 0, 0, 0]]
    np.testing.assert_allclose(found, np.array(expected), atol=1e-7)


def test_a_full_memory_says_what_to_try(faces, tmp_path, monkeypatch):
    def fill(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    run = tmp_path / "run"
    with pytest.raises(Stop):
        train(faces, run, fast_recipe(checkpoint_steps=1), on_progress=stop_at(2))
    with monkeypatch.context() as patch:
        patch.setattr(losses, "expression_loss", fill)
        with pytest.raises(TrainingError, match="the memory is full with batch_size 16") as caught:
            train(faces, run, fast_recipe(checkpoint_steps=1), resume=True)
    assert "--resume --set accumulate=2" in str(caught.value)
    assert "--overwrite --set batch_size=8" in str(caught.value)
    train(faces, run, fast_recipe(checkpoint_steps=1, accumulate=2), resume=True)


def test_a_memory_that_is_full_while_judging_says_so_too(faces, tmp_path, monkeypatch):
    """What is judged passes in pieces as small as what is learned."""
    real, most = Network.forward, 8

    def forward(self: Network, image: torch.Tensor) -> Any:
        if not self.training and len(image) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …")
        return real(self, image)

    monkeypatch.setattr(Network, "forward", forward)
    held = fast_recipe(early_stopping_fraction=0.4)
    with pytest.raises(TrainingError, match="the memory is full with batch_size 16 in 1 piece"):
        train(faces, tmp_path / "run", held)
    train(faces, tmp_path / "run", dataclasses.replace(held, accumulate=2), resume=True)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"accumulate": 8}, "accumulate=16, or "),
        ({"accumulate": 16}, ""),
        ({"accumulate": 8, "target": "both", "affect_loss": "ccc"}, ""),
    ],
)
def test_the_advice_of_a_full_memory_can_be_followed(settings, more):
    text = str(out_of_memory(fast_recipe(**settings)))
    assert (more in text, "--resume" in text) == (True, bool(more))
    assert "begin anew with --overwrite --set batch_size=8" in text


def test_the_last_epoch_is_kept_where_nothing_is_watched(faces, tmp_path, monkeypatch):
    values = iter([0.9, 0.1, 0.5])
    monkeypatch.setattr(loop, "_validate", lambda _: {"f1": next(values)})
    recipe = fast_recipe(stop_metric="last", epochs=3, patience=1, temperature=False)
    train(faces, tmp_path / "run", recipe)
    assert [row["best"] for row in log_of(tmp_path / "run")] == ["True"] * 3
    last = weights_of(tmp_path / "run")
    assert same(torch.load(tmp_path / "run" / "model.onnx"), last)


def test_weights_that_cannot_be_had_leave_nothing_that_the_next_try_trips_over(faces, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"missing\.pth"):
        train(faces, run, fast_recipe(weights=str(tmp_path / "missing.pth")))
    train(faces, run, fast_recipe(epochs=1))
    before = digest(run)
    with pytest.raises(InputError, match=r"missing\.pth"):
        train(faces, run, fast_recipe(weights=str(tmp_path / "missing.pth")), overwrite=True)
    assert digest(run) == before
    # The weights of one run begin another, and its first loss tells.
    events: list[Progress] = []
    begun = fast_recipe(weights=str(run / "checkpoint.pt"), epochs=1)
    train(faces, tmp_path / "next", begun, on_progress=events.append)
    plain: list[Progress] = []
    train(faces, tmp_path / "plain", fast_recipe(epochs=1), on_progress=plain.append)
    losses = [losses_of(told)[0] for told in (events, plain)]
    assert losses[0] != losses[1]


def test_a_class_without_a_face_is_told(tmp_path):
    data = make_faces(tmp_path / "data", 40)
    notes = []
    recipe = fast_recipe(labels="neutral,happy,sad,fear", epochs=1)
    train(data, tmp_path / "run", recipe, on_progress=lambda event: notes.append(event.warning))
    assert [note for note in notes if note] == [
        "no training faces of fear: the model will rarely predict it"
    ]


def test_other_threads_than_at_the_beginning_are_told(faces, tmp_path, monkeypatch):
    with pytest.raises(Stop):
        train(faces, tmp_path / "run", fast_recipe(checkpoint_steps=1), on_progress=stop_at(2))
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: before + 3)
    notes = []
    recipe = fast_recipe(checkpoint_steps=1)
    train(
        faces,
        tmp_path / "run",
        recipe,
        resume=True,
        on_progress=lambda event: notes.append(event.warning),
    )
    assert f"started with {before} threads and is resumed with {before + 3}" in "".join(notes)


# What is shown and written.


def test_events_tell_where_the_training_is(faces, tmp_path):
    events: list[Progress] = []
    train(faces, tmp_path / "run", fast_recipe(), on_progress=events.append)
    assert [event.phase for event in events] == [
        *(["reading"] * 64 + ["starting"]),
        *(2 * (["training"] * 4 + ["validation"] * 2) + ["exporting"]),
    ]
    steps = [event for event in events if event.phase == "training"]
    assert [(event.done, event.total) for event in steps] == [(step, 8) for step in range(1, 9)]
    assert [event.title for event in steps] == ["epoch 1/2"] * 4 + ["epoch 2/2"] * 4
    assert all(re.fullmatch(r"[\d,]+ faces/s · loss \d\.\d{3}", event.note) for event in steps)
    assert all(math.isfinite(loss) for loss in losses_of(events))
    # Ctrl-C waits for the end of a step, and for that of a validation.
    waits = [event.phase for event in events if event.stop_at_next]
    assert waits == ["starting"] + 2 * (["training"] * 4 + ["validation"] * 2)
    lines = [event.line for event in events if event.line]
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2", "epoch 2 o"]
    assert [event.log for event in events if event.log] == ["training, 2 epochs of 4 steps"]
    rows = rows_of(events)
    assert [row["epoch"] for row in rows] == [1, 2]


def test_the_log_has_a_row_an_epoch_with_the_mean_loss_of_its_faces(faces, tmp_path):
    events: list[Progress] = []
    train(faces, tmp_path / "run", fast_recipe(), on_progress=events.append)
    log = log_of(tmp_path / "run")
    assert [(row["epoch"], row["step"]) for row in log] == [("1", "4"), ("2", "8")]
    losses = losses_of(events)
    sizes = [16, 16, 16, 4]  # 64 faces, 12 of them held out
    assert float(log[0]["loss"]) == pytest.approx(np.average(losses[:4], weights=sizes), rel=1e-6)
    assert set(log[0]) == {
        *("epoch", "step", "learning_rate", "loss", "best", "broken"),
        *("stop_loss", "stop_accuracy", "stop_f1"),
    }


def test_the_run_keeps_its_recipe(faces, tmp_path):
    recipe = fast_recipe(epochs=1, warning="ours")
    train(faces, tmp_path / "run", recipe)
    assert load_recipe(tmp_path / "run" / "recipe.toml") == recipe
    assert recipe.label_set == THREE


def test_ctrl_c_between_steps_leaves_a_checkpoint_of_that_step(faces, tmp_path):
    def press(number: int) -> Callable[[Progress], None]:
        steps = 0

        def tell(event: Progress) -> None:
            nonlocal steps
            steps += event.phase == "training"
            if steps == number:
                raise KeyboardInterrupt

        return tell

    recipe = fast_recipe(**RANDOM, seed=3)
    train(faces, tmp_path / "whole", recipe)
    with pytest.raises(KeyboardInterrupt):
        train(faces, tmp_path / "cut", recipe, on_progress=press(3))
    assert read_checkpoint(tmp_path / "cut" / "checkpoint.pt")["state"]["total_steps"] == 3
    train(faces, tmp_path / "cut", recipe, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
