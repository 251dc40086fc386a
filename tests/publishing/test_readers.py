"""A release as others read it: mlcroissant and webdataset, in an environment of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from environments import make_environment
from openaffect.labels import Expression
from openaffect.publishing import release_dataset
from openaffect.synthetic.dataset import synthesize_dataset

pytestmark = pytest.mark.slow

_CROISSANT = """
import json, sys, mlcroissant
dataset = mlcroissant.Dataset(sys.argv[1] + "/croissant.json")
issues = dataset.metadata.ctx.issues
rows = list(dataset.records("faces"))
print(json.dumps({
    "errors": sorted(map(str, issues.errors)),
    "warnings": sorted(map(str, issues.warnings)),
    "ids": sorted(row["faces/face_id"].decode() for row in rows),
    "landmarks": len(rows[0]["faces/landmarks"]),
}))
"""
_WEBDATASET = """
import glob, json, sys, webdataset
found = []
for shard in sorted(glob.glob(sys.argv[1] + "/webdataset/*.tar")):
    for sample in webdataset.WebDataset(shard, shardshuffle=False):
        parts = sorted(key for key in sample if not key.startswith("__"))
        found.append([parts, json.loads(sample["json"])["face_id"]])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers") / "env"
    wanted = ["mlcroissant[parquet]==1.1.1", "webdataset==1.0.2"]
    why = make_environment(folder, wanted)
    if why is not None:
        pytest.skip(why)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    place = tmp_path_factory.mktemp("released")
    counts = {"train": {Expression.HAPPY: 5}, "test": {Expression.SAD: 3}}
    made = synthesize_dataset(place / "made", counts, size=64, seed=3, workers=1)
    release_dataset(made.path, place / "r")
    return place / "r", sorted(made.ids)


def _run(python: Path, code: str, release: Path) -> object:
    done = subprocess.run(
        [str(python), "-c", code, str(release)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_mlcroissant_validates_and_reads_it(python, released):
    path, ids = released
    found = _run(python, _CROISSANT, path)
    assert isinstance(found, dict)
    assert found["errors"] == []
    # What a release does not know: when it was published, and which paper to cite.
    assert all("recommended" in warning for warning in found["warnings"])
    assert found["ids"] == ids
    assert found["landmarks"] == 136


def test_webdataset_reads_every_face(python, released):
    path, ids = released
    found = _run(python, _WEBDATASET, path)
    assert isinstance(found, list)
    assert sorted(face_id for _, face_id in found) == ids
    assert {tuple(parts) for parts, _ in found} in ({("jpg", "json")}, {("json", "png")})
