"""Trackers: what a training sends them can be read back with their own readers."""

from __future__ import annotations

import importlib.util

import pytest

from openaffect.errors import InputError, MissingExtra, UnknownName
from openaffect.progress import Progress
from openaffect.training import loop
from training.faces import fast_recipe, losses_of, rows_of

pytestmark = pytest.mark.usefixtures("without_export")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:google")
def test_tensorboard_has_the_log(faces, tmp_path):
    told: list[Progress] = []
    recipe = fast_recipe(batch_size=2, epochs=1)  # 26 steps, of which the 20th is sent
    loop.train(faces, tmp_path / "run", recipe, track=["tensorboard"], on_progress=told.append)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "openaffect"))
    events.Reload()
    losses = losses_of(told)
    (sent,) = events.Scalars("loss")
    assert (sent.step, sent.value) == (20, pytest.approx(losses[19], rel=1e-6))
    row = rows_of(told)[0]
    (f1,) = events.Scalars("stop_f1")
    assert (f1.step, f1.value) == (26, pytest.approx(row["stop_f1"], rel=1e-6))


@pytest.mark.slow
# MLflow's own tables use a loader that SQLAlchemy 2.1 will drop.
@pytest.mark.filterwarnings("ignore:.*noload.* loader strategy")
def test_mlflow_has_the_log_and_the_recipe(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    loop.train(faces, tmp_path / "run", fast_recipe(epochs=2), track=["mlflow"])
    import mlflow

    (run,) = mlflow.search_runs(experiment_names=["openaffect"], output_format="list")
    assert run.data.params["strategy"] == "imbalanced"
    assert run.info.status == "FINISHED"
    assert 0 <= run.data.metrics["stop_f1"] <= 1


@pytest.mark.slow
def test_a_tracker_that_does_not_start_is_told_in_one_line(faces, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "NETRC", "WANDB_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(InputError, match=r"cannot start tracking with wandb: .*wandb login, or"):
        loop.train(faces, tmp_path / "run", fast_recipe(), track=["wandb"])


def test_a_tracker_that_there_is_not_is_told_before_anything_is_done(faces, tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match="tensorboard"):
        loop.train(faces, tmp_path / "run", fast_recipe(), track=["tensorbord"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"\[track\]"):
        loop.train(faces, tmp_path / "run", fast_recipe(), track=["wandb"])
    assert not (tmp_path / "run").exists()
