"""Fixtures that every test may use, all nouns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Workers of pytest-xdist share the cores: each takes one for its sums. Torch reads this once, when
# it is first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

import moto
import postgres

pytest_plugins = ["project_fixtures"]


def pytest_configure() -> None:
    """Nothing waits for the disk in the processes of pytest: no test pulls the plug.

    That a file is on disk before it has its name is shown by `test_storage`, which sees the calls;
    the processes that tests start, to kill them, wait as a user's.
    """

    def accept(number: int) -> None:
        os.fstat(number)  # an error where nothing is open, as the real one

    pytest.MonkeyPatch().setattr(os, "fsync", accept)


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


def _shared(config: pytest.Config) -> Path:
    """A folder that all workers of a run have."""
    # There is no public name for it outside of a fixture.
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    folder = factory.getbasetemp()
    return folder.parent if hasattr(config, "workerinput") else folder


@pytest.fixture(scope="session")
def postgresql_server(pytestconfig: pytest.Config) -> str:
    """The folder of a server's socket, or a skip that says how to get the server."""
    return postgres.server(_shared(pytestconfig))


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    url = postgres.make_database(postgresql_server)
    yield url
    postgres.drop_database(postgresql_server, url)


@pytest.fixture(scope="session")
def s3_server(pytestconfig: pytest.Config) -> str:
    """The address of a server that speaks the protocol of S3, or a skip that says what is missing."""
    return moto.server(_shared(pytestconfig))


@pytest.fixture(scope="module")
def launch_chromium() -> Iterator[Callable[..., Any]]:
    """Starts headless Chromium with more arguments.

    A process can have one driver at a time; while it is there, an event loop runs in the main
    thread, which tests of other modules may need for themselves.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    with playwright.sync_playwright() as driver:
        yield lambda *more: driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", *more]
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop what the workers have started."""
    if not hasattr(session.config, "workerinput") and hasattr(session.config, "_tmp_path_factory"):
        postgres.stop(_shared(session.config))
        moto.stop(_shared(session.config))
