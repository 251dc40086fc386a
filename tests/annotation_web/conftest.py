"""Faces to annotate, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotation_web.served import Annotator, Served, serve
from openaffect.dataset import Dataset
from openaffect.labels import EMOTIONS
from openaffect.synthetic.dataset import synthesize_dataset


@pytest.fixture(scope="session")
def forty_faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five synthetic faces of each emotion, with boxes and landmarks."""
    place = tmp_path_factory.mktemp("forty") / "forty"
    counts = {None: dict.fromkeys(EMOTIONS, 5)}
    return synthesize_dataset(place, counts, size=128, seed=5, workers=1)


@pytest.fixture
def served(tmp_path: Path, forty_faces: Dataset) -> Iterator[Served]:
    """A project without accounts."""
    with serve(tmp_path / "faces", forty_faces) as one:
        yield one


@pytest.fixture
def with_accounts(tmp_path: Path, forty_faces: Dataset) -> Iterator[Served]:
    """A project of Ada, who owns it, and of Ben."""
    with serve(tmp_path / "faces", forty_faces, people=("Ada", "Ben")) as one:
        yield one


@pytest.fixture(scope="module")
def chromium(launch_chromium: Callable[..., Any]) -> Iterator[Any]:
    """Headless Chromium."""
    browser = launch_chromium()
    yield browser
    browser.close()


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A profile of the browser; its tabs share cookies and what the page keeps."""
    made = chromium.new_context(viewport={"width": 1300, "height": 900}, locale="en-US")
    made.set_default_timeout(8_000)
    yield made
    made.close()


@pytest.fixture
def new_annotator(context: Any) -> Iterator[Callable[[], Annotator]]:
    """Makes people at tabs of one browser; no script of theirs may have failed."""
    made: list[Annotator] = []

    def make() -> Annotator:
        made.append(Annotator(context.new_page()))
        return made[-1]

    yield make
    assert [error for one in made for error in one.errors] == []


@pytest.fixture
def annotator(new_annotator: Callable[[], Annotator]) -> Annotator:
    """A person at a tab of the browser."""
    return new_annotator()
