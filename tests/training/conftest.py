"""Fixtures of the training's tests: faces, a finished run, and a loop that does not export."""

from __future__ import annotations

from pathlib import Path

import pytest

from openaffect.dataset import Dataset
from openaffect.training import loop
from training.faces import fast_recipe, make_faces, save_weights

BOTH = {
    "target": "both",
    "resize": 20,
    "size": 16,
    "crops": "random",
    "epochs": 3,
    "brightness_contrast": 0.1,
}


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Dataset:
    """64 faces of three classes."""
    return make_faces(tmp_path_factory.mktemp("faces") / "data", license="CC0-1.0")


@pytest.fixture(scope="session")
def finished(faces, tmp_path_factory) -> Path:
    """A whole run, exported."""
    run = tmp_path_factory.mktemp("finished") / "run"
    model = loop.train(faces, run, fast_recipe(**BOTH))
    assert model == run / "model.onnx"
    return run


@pytest.fixture
def without_export(monkeypatch) -> None:
    """The loop without its last act; `model.onnx` then holds what `torch.save` wrote."""
    monkeypatch.setattr(loop, "export_model", save_weights)
