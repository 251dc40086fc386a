"""A model for benchmarks that need one: as fast as a trained one, hardly trained."""

from __future__ import annotations

from pathlib import Path

from openaffect.dataset import open_dataset
from openaffect.synthetic.dataset import even_counts, synthesize_dataset
from openaffect.training import load_recipe, train


def make_model(folder: Path) -> Path:
    """One epoch of the small net, expression and affect, on 64 synthetic faces; its model.onnx."""
    synthesize_dataset(folder / "drawn", {"train": even_counts(64)}, size=64)
    recipe = load_recipe(
        "resnet-small-imbalanced", ["epochs=1", "target=both", "early_stopping_fraction=0.2"]
    )
    return train(open_dataset(folder / "drawn"), folder / "run", recipe)
