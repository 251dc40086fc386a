"""Training: from a dataset and a recipe to a run. Needs the extra `train`, but for reading recipes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.extras import needs
from openaffect.progress import OnProgress
from openaffect.training.recipe import RESUMABLE_OVERRIDES, Recipe, load_recipe, recipe_names


def train(
    dataset: Dataset,
    run: str | Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    overrides: Collection[str] = (),
    track: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a recipe on a dataset, into a run folder.

    See `openaffect.training.loop.train` and, for HOG, `openaffect.training.hog.run.train`.

    Returns:
        The path of the run's `model.onnx`.

    Raises:
        MissingExtra: the extra `train` is not installed.
    """
    with needs("train", "training"):
        if recipe.method == "hog":
            from openaffect.training.hog.run import train as train_machine
        else:
            from openaffect.training.loop import train as train_network
    if recipe.method == "hog":
        if track:
            raise InputError(
                f"trackers follow the steps of networks, and recipe {recipe.name} has none; "
                "its results are in the run's log.csv"
            )
        return train_machine(
            dataset, run, recipe, resume=resume, overwrite=overwrite, on_progress=on_progress
        )
    return train_network(
        dataset,
        run,
        recipe,
        resume=resume,
        overwrite=overwrite,
        overrides=overrides,
        track=track,
        on_progress=on_progress,
    )


def require_training() -> None:
    """Load what trains networks, before work is done that only a training makes sense of.

    Raises:
        MissingExtra: the extra `train` is not installed.
    """
    with needs("train", "training"):
        import openaffect.training.loop  # noqa: F401


__all__ = [
    "RESUMABLE_OVERRIDES",
    "Recipe",
    "load_recipe",
    "recipe_names",
    "require_training",
    "train",
]
