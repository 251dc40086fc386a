"""Training: from a dataset and a recipe to a run. Needs the extra `train`, but for reading recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.dataset import Dataset
from openaffect.errors import MissingExtra
from openaffect.training.recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from openaffect.training.loop import Moment

_EXTRA = ("torch", "torchvision", "accelerate", "timm", "onnx", "onnxscript", "filelock")


def train(
    dataset: Dataset,
    run: str | Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    show: Callable[[Moment], None] | None = None,
) -> Path:
    """Train a recipe on a dataset, into a run folder; see `openaffect.training.loop.train`.

    Returns:
        The path of the run's `model.onnx`.

    Raises:
        MissingExtra: the extra `train` is not installed.
    """
    try:
        from openaffect.training import loop
    except ModuleNotFoundError as error:
        if (error.name or "").split(".", maxsplit=1)[0] not in _EXTRA:
            raise
        raise MissingExtra("train", "training") from error
    return loop.train(dataset, run, recipe, resume=resume, overwrite=overwrite, show=show)


__all__ = ["Recipe", "load_recipe", "recipe_names", "train"]
