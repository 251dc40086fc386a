"""Photos analyzed by processes and by Ray: the rows of threads, and videos refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from builders import tiny_model
from film_builders import wandering, write_film
from openaffect.analysis import Camera, analyze, analyze_to_file, resumable, spreading
from openaffect.analysis.analyzing import AnalysisChoices
from openaffect.cli import main
from openaffect.errors import InputError, UnknownName
from openaffect.images import encode_image
from openaffect.model import open_model
from openaffect.progress import Progress
from openaffect.synthetic import synthesize_face

ENGINES = ["processes", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five photos, of which one has no face and one is broken."""
    path = tmp_path_factory.mktemp("in")
    for name in ("a", "b", "e"):
        face = synthesize_face("happy", seed=2, size=112).image
        (path / f"{name}.png").write_bytes(encode_image(face))
    (path / "c.png").write_bytes(encode_image(face * 0))
    (path / "d.png").write_bytes(b"no picture")
    return path


def rows_of(analysis):
    """All but the numbers of the model, which depend on how crops were batched; and these."""
    rows = list(analysis.rows())
    numbers = [[v for k, v in row.items() if k[:2] == "p_"] for row in rows]
    return [
        {k: row[k] for k in ("source", "status", "error", "box", "expression")} for row in rows
    ], numbers


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_find_what_threads_find(folder, model, monkeypatch, engine, workers):
    monkeypatch.setattr(spreading, "_PHOTOS", 2)
    seen: list[Progress] = []
    found = analyze(
        folder, model, detector="haar", engine=engine, workers=workers, on_progress=seen.append
    )
    ours, theirs = rows_of(found), rows_of(analyze(folder, model, detector="haar"))
    assert ours[0] == theirs[0]
    assert [row["status"] for row in ours[0]] == ["ok", "ok", "no_face_found", "error", "ok"]
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert mine == pytest.approx(other, abs=1e-6)
    assert seen[-1].done == 5


def test_a_run_by_processes_goes_on_after_a_kill(folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr(spreading, "_PHOTOS", 2)
    monkeypatch.setattr(resumable, "_FLUSH_ROWS", 1)
    whole = resumable.ResumableRun.add
    count = 0

    def add(self, done):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        whole(self, done)

    out = tmp_path / "a.parquet"
    choices: AnalysisChoices = {"detector": "haar", "engine": "processes", "workers": 2}
    with monkeypatch.context() as patch:
        patch.setattr(resumable.ResumableRun, "add", add)
        with pytest.raises(KeyboardInterrupt):
            analyze_to_file(folder, model, out, **choices)
    assert not out.exists()
    count = -9
    again = analyze_to_file(folder, model, out, resume=True, **choices)
    assert rows_of(again)[0] == rows_of(analyze(folder, model, detector="haar"))[0]


def test_videos_and_cameras_need_threads(folder, model, tmp_path):
    write_film(tmp_path / "d.mp4", wandering(4))
    options: AnalysisChoices = {"detector": "haar", "engine": "processes", "workers": 1}
    for source in (tmp_path, [folder, tmp_path / "d.mp4"], Camera(0)):
        with pytest.raises(InputError, match="photos for the engine processes"):
            analyze(source, model, **options)
    given_once = iter([folder / "a.png", tmp_path / "d.mp4"])
    with pytest.raises(InputError, match="photos for the engine processes"):
        analyze(given_once, model, **options)
    with pytest.raises(UnknownName, match="thread"):
        analyze(folder, model, detector="haar", engine="thread")


def test_the_command_takes_an_engine(folder, model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(folder)  # relative names reach the workers, too
    command = ["analyze", ".", "--model", str(model.path), "--detector", "haar", "--workers", "2"]
    assert main([*command, "--engine", "processes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["ok", "ok", "no_face_found", "error", "ok"]
    assert main([*command, "--engine", "ray", "--json"]) == 1
    assert "needs -o" in capsys.readouterr().err


@pytest.mark.slow
def test_ray_finds_relative_names(folder, model, tmp_path):
    pytest.importorskip("ray", reason='Ray is not installed: the extra "scale" brings it')
    command = ["analyze", ".", "--model", str(model.path), "--detector", "haar", "--workers", "1"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "openaffect",
            *command,
            "--engine",
            "ray",
            "-o",
            str(tmp_path / "a.parquet"),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "network interface" in done.stderr
    assert done.stdout == ""
    statuses = pq.read_table(tmp_path / "a.parquet")["status"].to_pylist()
    assert statuses == ["ok", "ok", "no_face_found", "error", "ok"]
