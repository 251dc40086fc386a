"""`openaffect analyze` as a user meets it."""

from __future__ import annotations

import csv
import json

import pytest

from builders import tiny_model
from film_builders import wandering, write_film
from openaffect.analysis.cameras import Camera
from openaffect.cli import _analyze_output, main
from openaffect.images import encode_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photo, a video of 6 frames and an empty video; and a model."""
    path = tmp_path_factory.mktemp("cli")
    frames = wandering(6)
    (path / "in").mkdir()
    (path / "in" / "a.png").write_bytes(encode_image(frames[0]))
    write_film(path / "in" / "b.mp4", frames)
    (path / "in" / "c.mp4").write_bytes(b"")
    tiny_model(path / "m.onnx")
    return path


def run(folder, capsys, *arguments, status=0):
    options = ["--model", str(folder / "m.onnx"), "--detector", "haar"]
    assert main(["analyze", *map(str, arguments), *options]) == status
    return capsys.readouterr()


def test_photos_are_lines_videos_are_tracks_and_errors_are_named(folder, capsys):
    lines = run(folder, capsys, folder / "in").out.splitlines()
    assert len(lines) == 6
    assert lines[0].split() == ["source", "expression", "confidence", "valence", "arousal", "box"]
    assert "a.png" in lines[1]
    track = lines[3].split()
    assert track[0].endswith("b.mp4")
    assert track[1:4] == ["#0", "6", "0.00–0.20"]
    assert "empty video (0 bytes)" in lines[5]


def test_json_has_every_row(folder, capsys):
    rows = json.loads(run(folder, capsys, folder / "in", "--json").out)
    assert [row["frame"] for row in rows] == [None, 0, 1, 2, 3, 4, 5, 0]
    assert "landmarks" not in rows[0]


def test_everything_at_once(folder, capsys, tmp_path):
    out, drawn, page = tmp_path / "o.csv", tmp_path / "drawn", tmp_path / "p.html"
    options = ["-o", out, "--overlay", drawn, "--report", page, "--every", 2, "--smooth", 0.1]
    streams = run(folder, capsys, folder / "in", *options)
    assert streams.out == ""
    assert "5 rows in" in streams.err
    assert "2 overlays in" in streams.err
    with open(out, encoding="utf-8", newline="") as file:
        assert [row["frame"] for row in csv.DictReader(file)] == ["", "0", "2", "4", "0"]
    assert sorted(p.name for p in drawn.iterdir()) == ["a.png", "b.mp4"]
    assert "<svg" in page.read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drawn", "o.csv", "p.html"]


def test_a_page_and_drawings_need_no_output_file(folder, capsys, tmp_path):
    page = tmp_path / "p.html"
    out = run(folder, capsys, folder / "in" / "b.mp4", "--report", page).out
    assert "#0" in out
    assert page.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a photo, a video, a folder or the like, or --camera 0"),
        (["a.png", "--camera", "0"], "either sources or --camera"),
        (["--camera", "front"], "expected --camera 0, 1, … or an address, but got 'front'"),
        (["--camera", "63"], "expected a camera at camera 63"),
        (["--camera", "63", "-o", "x.csv"], "expected a camera at camera 63"),
        (["--camera", "0", "--overlay", "d"], "--overlay reads its pictures again"),
        (["--camera", "0", "--report", "p.html"], "needs -o"),
        (["a.png", "--resume"], "--resume needs the -o"),
        (["a.png", "-o", "x.xlsx"], "expected a file ending in"),
        (["gone.mp4"], "there is no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, folder, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    errors = run(folder, capsys, *arguments, status=1).err.splitlines()
    assert [line for line in errors if line.startswith("error: ") and message in line]
    assert list(tmp_path.iterdir()) == []


def test_a_camera_prints_a_line_a_face_as_it_comes(folder, capsys, monkeypatch):
    # OpenCV reads a file as it reads a camera.
    stream = Camera(str(folder / "in" / "b.mp4"))
    monkeypatch.setattr(_analyze_output, "choose_source", lambda *_: stream)
    lines = run(folder, capsys, "--camera", "0").out.splitlines()
    assert len(lines) == 7
    assert "#0" in lines[0]
    assert "no more frames" in lines[6]
    rows = [
        json.loads(line) for line in run(folder, capsys, "--camera", "0", "--json").out.splitlines()
    ]
    assert [row["frame"] for row in rows] == list(range(7))
