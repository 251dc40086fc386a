"""Trainings that are killed, that meet in one folder, and that run as two processes."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from openaffect.labels import EMOTIONS
from openaffect.progress import Progress
from openaffect.training import loop
from openaffect.training.network import Network
from openaffect.training.recipe import load_recipe
from openaffect.training.run_folder import read_checkpoint
from training.faces import losses_of, make_faces, save_weights

pytestmark = pytest.mark.slow

PATHS = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
ROWS = 64

# `sleep` seconds after each step; below 0, wait there until standard input ends.
TRAIN = """
import json, sys, time
import torch
from openaffect.dataset import open_dataset
from openaffect.training import loop
from training.faces import fast_recipe, save_weights

data, run, settings, sleep, resume = sys.argv[1:]
torch.set_num_threads(1)
loop.export_model = save_weights

def tell(event):
    if event.phase == "training":
        print(event.done, event.loss, flush=True)
        if float(sleep) < 0:
            sys.stdin.read()
        else:
            time.sleep(float(sleep))

recipe = fast_recipe(**json.loads(settings))
loop.train(open_dataset(data), run, recipe, resume=resume == "yes", on_progress=tell)
"""

RANDOM = {
    "crops": "random",
    "resize": 20,
    "rotate": 10.0,
    "brightness_contrast": 0.2,
    "dropout": 0.3,
    "optimizer": "adamw",
    "learning_rate": 0.005,
    "schedule": "cosine",
    "stop_metric": "loss",
    "target": "both",
    "batch_size": 8,
    "epochs": 3,
}
STEPS = 3 * 7  # 52 faces are learned from, in 7 steps


def start(
    data: Path, run: Path, settings: dict[str, Any], *, sleep: float = 0, resume: bool = False
) -> subprocess.Popen[str]:
    arguments = [data, run, json.dumps(settings), sleep, "yes" if resume else "no"]
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    """The lines that a process that must succeed has printed."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out.splitlines()


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / "model.onnx")
    return weights


def assert_equal_bits(one: Path, other: Path) -> None:
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    last = [read_checkpoint(run / "checkpoint.pt")["weights"] for run in (one, other)]
    assert [name for name in last[0] if not torch.equal(last[0][name], last[1][name])] == []


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_faces(tmp_path_factory.mktemp("processes") / "data", ROWS).path


@pytest.mark.parametrize(("checkpoint_steps", "kills"), [(1, 3), (2, 2), (3, 2)])
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bits(
    data, tmp_path, checkpoint_steps, kills
):
    settings = RANDOM | {"checkpoint_steps": checkpoint_steps}
    assert len(finish(start(data, tmp_path / "whole", settings))) == STEPS
    rng = random.Random(checkpoint_steps)
    run = tmp_path / "killed"
    done = []
    for number in range(kills):
        process = start(data, run, settings, sleep=0.03, resume=number > 0)
        assert process.stdout is not None
        for _ in range(rng.randint(4, 6)):
            line = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.06))  # in a step, while a checkpoint is written, in between
        process.kill()
        assert process.wait() == -9
        process.communicate()
        done.append(int(line.split()[0]))
    lines = finish(start(data, run, settings, resume=True))
    assert 0 < len(lines) < STEPS
    assert done == sorted(done)
    assert_equal_bits(run, tmp_path / "whole")
    assert [path.name for path in run.iterdir() if "partial" in path.name] == []


def test_two_trainings_never_share_a_folder(data, tmp_path):
    settings = RANDOM | {"epochs": 2, "checkpoint_steps": 1}
    first = start(data, tmp_path / "run", settings, sleep=-1)
    assert first.stdout is not None
    first.stdout.readline()
    second = start(data, tmp_path / "run", settings, resume=True)
    _, err = second.communicate(timeout=240)
    assert first.poll() is None
    assert second.returncode == 1
    assert "InputError: another process trains in" in err
    third = start(data, tmp_path / "run", settings)
    assert "InputError: another process trains in" in third.communicate(timeout=240)[1]
    assert len(finish(first)) == 2 * 7 - 1
    finish(start(data, tmp_path / "alone", settings))
    assert_equal_bits(tmp_path / "run", tmp_path / "alone")


# Two processes. The net has no batch normalization and no dropout, so that two halves of a batch
# are learned as the whole is.
TOGETHER = """
import json, sys
import torch
from torch import nn
from types import SimpleNamespace
from openaffect import lookup
from openaffect.dataset import open_dataset
from openaffect.training import loop
from training.faces import fast_recipe, save_weights

data, run, settings, plain = sys.argv[1:]
torch.set_num_threads(1)
loop.export_model = save_weights

def build(size):
    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten()]
    net = nn.Sequential(*layers)
    return net, net(torch.zeros(1, 3, size, size)).shape[1]

if plain == "yes":
    lookup.load = lambda *names: SimpleNamespace(build=build)
else:  # what the first process judges gets better, what the second does gets worse
    loop._validate = lambda session: {
        "f1": session.state.epoch * (1 - 2 * session.accelerator.process_index)
    }

losses, worlds = [], set()
real = loop._fit

def spy(session):
    worlds.add((session.accelerator.process_index, session.accelerator.num_processes))
    real(session)

loop._fit = spy

def tell(event):
    if event.phase == "training":
        losses.append(event.loss)

loop.train(open_dataset(data), run, fast_recipe(**json.loads(settings)), on_progress=tell)
((rank, world),) = worlds
with open(f"{run}/seen-{rank}.json", "w") as file:
    json.dump({"rank": rank, "world": world, "losses": losses}, file)
"""


def run_together(
    processes: int, data: Path, run: Path, settings: dict[str, Any], *, plain: bool = True
):
    """What each process has seen."""
    script = run.parent / "together.py"
    script.write_text(TOGETHER)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    arguments = [script, data, run, json.dumps(settings), "yes" if plain else "no"]
    environment = os.environ | {
        "PYTHONPATH": PATHS,
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *(launch if processes > 1 else []), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "find_unused_parameters" not in done.stderr
    return [json.loads((run / f"seen-{n}.json").read_text()) for n in range(processes)]


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "weighted-loss", "target": "both", "epochs": 2, "grad_clip_norm": 0.5},
        {"target": "expression", "epochs": 2, "optimizer": "adamw", "crops": "random"},
    ],
)
def test_two_processes_follow_the_loss_of_one(data, tmp_path, settings):
    settings = {"resize": 18, "learning_rate": 0.02, "batch_size": 10} | settings
    (alone,) = run_together(1, data, tmp_path / "one", settings)
    both = run_together(2, data, tmp_path / "two", settings)
    assert [(seen["rank"], seen["world"]) for seen in both] == [(0, 2), (1, 2)]
    assert (alone["rank"], alone["world"]) == (0, 1)
    assert len(alone["losses"]) == 2 * 6
    assert alone["losses"][-1] < alone["losses"][0]
    assert both[0]["losses"] == both[1]["losses"]
    # float32 sums in another order
    assert both[0]["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=1e-5)
    one, two = (weights_of(tmp_path / name) for name in ("one", "two"))
    worst = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert worst < 1e-4


def test_two_processes_with_batch_norm_dropout_and_broken_pictures_end_together(tmp_path):
    """One's share of a step may be empty while the other's is not; both must still stop alike."""
    dataset = make_faces(tmp_path / "data", ROWS)
    for path in dataset.image_paths[::2]:
        path.write_bytes(b"")
    settings = RANDOM | {"batch_size": 4, "epochs": 4, "patience": 1, "stop_metric": "f1"}
    both = run_together(2, dataset.path, tmp_path / "run", settings, plain=False)
    assert [seen["world"] for seen in both] == [2, 2]
    assert both[0]["losses"] == both[1]["losses"]
    assert len(both[0]["losses"]) == 4 * 13  # by the word of the first process
    assert (tmp_path / "run" / "model.onnx").is_file()


def test_the_command_runs_as_several_processes_and_the_first_alone_speaks(data, tmp_path):
    """As docs/training.md has it, with nothing set in the environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ACCELERATE_")}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    settings = ["epochs=1", "batch_size=16", "resize=16", "size=16", "early_stopping_fraction=0.2"]
    command = ["-m", "openaffect", "train", str(data), str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, *launch, *command, *(x for s in settings for x in ("--set", s))],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("trained: ") == 1
    assert "UserWarning" not in done.stderr
    assert done.stderr.count("resnet-small-imbalanced: epoch 1/1 ") == 1
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["world"] == 2


def test_alexnet_takes_a_step_on_whole_pictures(tmp_path):
    """The published recipe on 8 faces of 224 pixels, five crops and all."""
    dataset = make_faces(tmp_path / "data", 16, labels=EMOTIONS, size=64)
    recipe = load_recipe(
        "alexnet-weighted-loss",
        ["batch_size=8", "epochs=1", "early_stopping_fraction=0.45", "temperature=false"],
    )
    events: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "export_model", save_weights)
        loop.train(dataset, tmp_path / "run", recipe, on_progress=events.append)
    losses = losses_of(events)
    assert losses
    assert all(map(math.isfinite, losses))
    torch.manual_seed(recipe.seed)
    before, after = Network(recipe).state_dict(), weights_of(tmp_path / "run")
    still = [name for name in before if torch.equal(before[name], after[name])]
    assert still == ["mean", "std"]
