"""Projects on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres
from openaffect.dataset import Dataset
from openaffect.labels import Expression
from openaffect.project import Project, create_project
from openaffect.synthetic.dataset import synthesize_dataset


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """The `database` of `create_project`: None for SQLite."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def project(tmp_path: Path, database_url: str | None) -> Iterator[Project]:
    """An empty project on either database."""
    with create_project(tmp_path / "faces", database=database_url) as made:
        yield made


@pytest.fixture
def sqlite_project(tmp_path: Path) -> Iterator[Project]:
    """An empty project in a file, for tests that do not depend on the database."""
    with create_project(tmp_path / "faces") as made:
        yield made


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight synthetic faces as a dataset, with labels, boxes and landmarks."""
    counts = {"train": {Expression.HAPPY: 5}, "test": {Expression.SAD: 3}}
    place = tmp_path_factory.mktemp("drawn") / "drawn"
    return synthesize_dataset(place, counts, size=128, seed=3, workers=1)


@pytest.fixture
def second_url(postgresql_server: str) -> Iterator[str]:
    """The address of another empty PostgreSQL database."""
    url = postgres.make_database(postgresql_server)
    yield url
    postgres.drop_database(postgresql_server, url)
