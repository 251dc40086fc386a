"""Somebody else's computer: the wheel in an empty environment, a release fetched, a model trained."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments import build_wheel, make_environment
from openaffect.dataset import open_dataset, save_dataset
from openaffect.labels import Expression
from openaffect.predictions import open_predictions
from openaffect.publishing import ReleaseOptions, release_dataset
from openaffect.synthetic.dataset import synthesize_dataset

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[2]
_FETCH = """
import sys, openaffect
from openaffect.publishing import fetch_release
assert openaffect.__file__.startswith(sys.prefix), openaffect.__file__
done = fetch_release(sys.argv[1], sys.argv[2], allow={("127.0.0.1", int(sys.argv[3]))})
print(done.faces)
"""
_SMALL = ("epochs=1", "batch_size=8", "size=32", "early_stopping_fraction=0.2")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The commands of an environment that holds the wheel, its extra `train`, and nothing else."""
    place = tmp_path_factory.mktemp("installed")
    wheel, why = build_wheel(_ROOT, place / "wheel")
    if wheel is not None:
        named = f"openaffect[train] @ {wheel.as_uri()}"
        why = make_environment(place / "env", [named, "--constraint", f"{_ROOT}/constraints.txt"])
    if why is not None:
        pytest.skip(why)
    yield place / "env" / "bin"
    shutil.rmtree(place / "env")  # gigabytes, where files cannot be shared with a cache


@pytest.fixture
def release(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A release without pictures of 24 drawn faces, and the port of the server that has them."""
    counts = {
        "train": {Expression.HAPPY: 10, Expression.SAD: 10},
        "validation": {Expression.HAPPY: 2, Expression.SAD: 2},
    }
    made = synthesize_dataset(tmp_path / "made", counts, size=64, seed=3, workers=1)
    handler = functools.partial(_Quiet, directory=str(made.images_folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    urls = [base + image for image in made.column("image").to_pylist()]
    named = save_dataset(made.with_column("url", urls), tmp_path / "named")
    release_dataset(named.path, tmp_path / "r", ReleaseOptions(pixels="none"))
    yield tmp_path / "r", server.server_port
    server.shutdown()
    server.server_close()


def _run(tmp_path: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [str(one) for one in command],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_release_is_fetched_and_learned_from_with_the_wheel_alone(binaries, release, tmp_path):
    folder, port = release
    fetched = _run(tmp_path, binaries / "python", "-I", "-c", _FETCH, folder, "faces", str(port))
    assert fetched.split() == ["24"]
    before, after = open_dataset(tmp_path / "made"), open_dataset(tmp_path / "faces")
    assert after.ids == before.ids
    assert [path.read_bytes() for path in after.image_paths] == [
        path.read_bytes() for path in before.image_paths
    ]
    sets = [word for one in _SMALL for word in ("--set", one)]
    _run(tmp_path, binaries / "openaffect", "train", "faces", "run", *sets)
    _run(tmp_path, binaries / "openaffect", "predict", "run", "faces", "-o", "p.parquet")
    predicted = open_predictions(tmp_path / "p.parquet")
    assert sorted(predicted.ids) == sorted(before.ids)
    missing = subprocess.run(
        [str(binaries / "openaffect"), "freeze", "nowhere", "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 1
    assert '[project]"' in missing.stderr  # there is nothing here but what was asked for
