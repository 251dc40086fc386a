"""Fixtures that every test may use, all nouns."""

from __future__ import annotations

import os
from pathlib import Path

# Workers of pytest-xdist share the cores: each takes one for its sums. Torch reads this once, when
# it is first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# A shared or busy machine must not turn a slow example into a failure.
settings.register_profile("openaffect", deadline=None, derandomize=True)
settings.load_profile("openaffect")


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it names the folder with {what}")
    folder = Path(value)
    assert folder.is_dir(), f"{variable}={value} is not a folder"
    return folder


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with `ferplus.zip` and `photos.zip`, or a skip that says how to set it."""
    return _folder("OPENAFFECT_TEST_DATA", "ferplus.zip and photos.zip")


@pytest.fixture(scope="session")
def test_weights() -> Path:
    """The folder with downloaded weights such as YuNet's, or a skip that says how to set it."""
    return _folder("OPENAFFECT_WEIGHTS", "downloaded weights")
