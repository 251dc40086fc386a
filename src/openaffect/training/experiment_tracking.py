"""Trackers: the log of a training, sent to TensorBoard, Weights & Biases or MLflow as it grows."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from accelerate import Accelerator

from openaffect.errors import InputError, MissingExtra, UnknownName
from openaffect.training.recipe import Recipe

TRACKERS = ("tensorboard", "wandb", "mlflow")


def check_trackers(names: Sequence[str]) -> None:
    """Raise the error of a tracker that there is not, before anything is trained.

    Raises:
        UnknownName: no such tracker.
        MissingExtra: its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        # accelerate would leave it out and say nothing.
        if importlib.util.find_spec(name) is None:
            raise MissingExtra("track", f"tracking with {name}")


@contextlib.contextmanager
def start_tracking(
    accelerator: Accelerator, recipe: Recipe, names: Sequence[str]
) -> Iterator[None]:
    """Within it, `accelerator.log` reaches the trackers; afterwards they have written everything.

    TensorBoard's files go to RUN/openaffect; where W&B and MLflow write is theirs to configure
    (`WANDB_MODE`, `MLFLOW_TRACKING_URI`).
    """
    if names:
        config = {
            key: ", ".join(map(str, value)) if isinstance(value, tuple) else value
            for key, value in asdict(recipe).items()
        }
        try:
            accelerator.init_trackers("openaffect", config=config)
        except Exception as error:  # each tracker raises its own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"cannot start tracking with {', '.join(names)}: {reason.rstrip('. ')}; set the "
                "tracker up first (wandb login, or WANDB_MODE=offline; MLFLOW_TRACKING_URI), "
                "or train without --track"
            ) from error
    try:
        yield
    finally:
        # Not `end_training`, which would also end the group of processes.
        for tracker in accelerator.trackers:
            tracker.finish()
