"""Runs into a file: killed anywhere, they go on; changed, they refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders import tiny_model
from film_builders import wandering, write_film
from openaffect.analysis import Analysis, analyze, analyze_to_file, resumable
from openaffect.analysis.analyzing import AnalysisOptions, Cursor, iterate_results
from openaffect.analysis.pictures import Photo
from openaffect.cli import main
from openaffect.errors import DestinationExists, FormatError, InputError, MismatchError
from openaffect.images import encode_image
from openaffect.model import open_model
from openaffect.progress import Progress
from openaffect.synthetic import synthesize_face
from openaffect.unfinished import Parts, unfinished_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three photos, a video of 16 frames, and one more photo."""
    path = tmp_path_factory.mktemp("in")
    face = encode_image(synthesize_face("happy", seed=2, size=112).image)
    for name in ("a.png", "b.png", "c.png", "e.png"):
        (path / name).write_bytes(face)
    write_film(path / "d.mp4", wandering(16))
    return path


class Killed(Exception):  # noqa: N818 - not an error of the code
    """Stands for a kill: nothing after it runs."""


def run(folder, model, path, **options):
    return analyze_to_file(folder, model, path, detector="haar", **options)


def kill_after(monkeypatch, pictures, flush=1):
    """Stop the next run hard after so many pictures, with a part for every `flush` rows."""
    monkeypatch.setattr(resumable, "_FLUSH_ROWS", flush)
    whole = resumable.ResumableRun.add
    count = 0

    def add(self, done):
        nonlocal count
        if count == pictures:
            raise Killed
        count += 1
        whole(self, done)

    monkeypatch.setattr(resumable.ResumableRun, "add", add)
    return whole


def without_tracks(table):
    return table.drop_columns(["track_id"]).to_pylist()


def close(rows, expected):
    """The same rows; the model's numbers may differ by how crops were batched."""
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        numbers = {k: v for k, v in wanted.items() if isinstance(v, float)}
        assert {k: row[k] for k in numbers} == pytest.approx(numbers, abs=1e-6)
        assert {k: v for k, v in row.items() if k not in numbers} == {
            k: v for k, v in wanted.items() if k not in numbers
        }
    return True


def test_a_run_that_is_not_disturbed_gives_what_analyze_gives(folder, model, tmp_path):
    out = tmp_path / "out.parquet"
    analysis = run(folder, model, out)
    plain = analyze(folder, model, detector="haar")
    assert close(pq.read_table(out).to_pylist(), plain.table.to_pylist())
    assert analysis.table.equals(pq.read_table(out))
    assert analysis.made_with == plain.made_with
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


_OTHERS = [pytest.param(number, marks=pytest.mark.slow) for number in (0, 1, 3, 19)]


@pytest.mark.parametrize("pictures", [4, 10, *_OTHERS])
def test_a_killed_run_goes_on_where_it_was(pictures, folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        kill_after(patch, pictures)
        with pytest.raises(Killed):
            run(folder, model, out, batch_size=2)
    assert not out.exists()
    seen: list[Progress] = []
    run(folder, model, out, resume=True, on_progress=seen.append)
    table = pq.read_table(out)
    assert close(
        without_tracks(table), without_tracks(analyze(folder, model, detector="haar").table)
    )
    assert seen[-1].done == 20 - pictures  # what was done is not done again
    tracks = [row["track_id"] for row in table.to_pylist() if row["frame"] is not None]
    done = max(0, pictures - 3)
    assert tracks == ([0] * 16 if done in (0, 16) else [0] * done + [1] * (16 - done))
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


def test_rows_that_were_not_flushed_are_made_again(folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        kill_after(patch, 9, flush=4)
        with pytest.raises(Killed):
            run(folder, model, out, batch_size=1)
    parts = sorted(p.name for p in unfinished_folder(out).iterdir())
    assert parts == ["000000.arrow", "000001.arrow", "plan.json", "state.json"]
    run(folder, model, out, resume=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["frame"] for row in rows] == [None] * 3 + list(range(16)) + [None]


def test_a_kill_between_a_part_and_its_state_loses_nothing(folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        kill_after(patch, 6)
        with pytest.raises(Killed):
            run(folder, model, out, batch_size=1)
    inside = unfinished_folder(out)
    (inside / "000006.arrow").write_bytes(b"a part whose state was never written")
    (inside / "part.new").write_bytes(b"half a part")
    run(folder, model, out, resume=True)
    assert len(out.read_text().splitlines()) == 21


def test_an_unfinished_run_is_not_lost_by_a_new_one(folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        kill_after(patch, 4)
        with pytest.raises(Killed):
            run(folder, model, out, batch_size=1)
    with pytest.raises(DestinationExists, match=r"unfinished run.*--resume"):
        run(folder, model, out)
    run(folder, model, out, overwrite=True)
    assert len(out.read_text().splitlines()) == 21
    with pytest.raises(DestinationExists):
        run(folder, model, out, resume=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min_confidence": 0.5}, r"min_confidence was 0\.0, now 0\.5"),
        ({"smooth": 1.0}, "smooth was"),
        ({"model": True}, "model_sha256 was"),
        ({"source": True}, "sources was"),
        ({"listed": True}, "list of sources has changed"),
    ],
)
def test_a_changed_run_is_refused_with_the_reason(
    change, reason, folder, model, tmp_path, monkeypatch
):
    out = tmp_path / "out.csv"
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(str(folder / name) for name in ("a.png", "b.png", "c.png")))
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(listing, model, out, batch_size=1)
    source = listing
    if change.pop("model", False):
        model = open_model(tiny_model(tmp_path / "other.onnx", name="other"))
    if change.pop("source", False):
        source = folder
    if change.pop("listed", False):
        listing.write_text("\n".join(str(folder / name) for name in ("b.png", "a.png", "c.png")))
    with pytest.raises(MismatchError, match=reason):
        run(source, model, out, resume=True, **change)
    assert unfinished_folder(out).exists()


def test_other_threads_and_batches_may_go_on(folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            run(folder, model, out, batch_size=1)
    assert len(run(folder, model, out, resume=True, batch_size=7, workers=1)) == 20


def test_resume_with_nothing_to_resume_starts(folder, model, tmp_path):
    assert len(run(folder / "a.png", model, tmp_path / "x.csv", resume=True)) == 1


def test_a_damaged_state_is_an_error(folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(folder, model, out, batch_size=1)
    (unfinished_folder(out) / "state.json").write_text("{")
    with pytest.raises(FormatError, match="damaged"):
        run(folder, model, out, resume=True)


def test_the_drawing_of_a_finished_run_can_be_resumed(folder, model, tmp_path):
    out = tmp_path / "out.csv"

    def fail(_):
        raise Killed

    with pytest.raises(Killed):
        run(folder, model, out, before_saving=fail)
    assert not out.exists()
    seen: list[Progress] = []
    kept: list[Analysis] = []
    run(folder, model, out, resume=True, before_saving=kept.append, on_progress=seen.append)
    assert [event.done for event in seen] == [0]
    assert len(kept[0]) == 20


def test_ctrl_c_keeps_what_is_done(folder, model, tmp_path):
    out = tmp_path / "out.csv"

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, model, out, batch_size=1, on_progress=stop)
    assert (unfinished_folder(out) / "000000.arrow").exists()
    assert len(run(folder, model, out, resume=True)) == 20


def test_generators_and_arrays_can_be_given(folder, model, tmp_path):
    face = synthesize_face("happy", seed=2, size=112).image
    assert len(run(iter([face, folder / "a.png"]), model, tmp_path / "a.csv")) == 2
    assert len(run(np.stack([face, face]), model, tmp_path / "b.csv")) == 2


def test_nothing_is_made_for_a_source_that_is_none(model, tmp_path):
    with pytest.raises(InputError):
        run(tmp_path / "gone.jpg", model, tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_real_kill_in_the_middle(folder, model, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(200):
        os.link(folder / "a.png", many / f"{number:03}.png")
    out = tmp_path / "out.csv"
    command = [sys.executable, "-m", "openaffect", "analyze", str(many), "-o", str(out)]
    command += ["--model", str(model.path), "--detector", "haar", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not (unfinished_folder(out) / "state.json").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 201


def test_a_resumed_run_does_not_read_again_the_photo_that_is_done(model, monkeypatch):
    read: list[int] = []
    monkeypatch.setattr(Photo, "pictures", _told(Photo.pictures, read))
    plan = AnalysisOptions(detector="haar")
    arrays = [np.zeros((80, 80, 3), np.uint8)] * 3
    done = list(iterate_results(arrays, model, plan, start=Cursor(1, 0)))
    assert [one.picture.place for one in done] == [2]
    assert read == [2]


def _told(pictures, read):
    """`Photo.pictures` that says which places give a picture."""

    def told(self, place, first=0):
        for picture in pictures(self, place, first):
            read.append(place)
            yield picture

    return told


@pytest.fixture(scope="module")
def whole(folder, model, tmp_path_factory):
    return run(folder, model, tmp_path_factory.mktemp("whole") / "whole.parquet")


@pytest.mark.parametrize("emptied", [0, 1, 2])
@pytest.mark.parametrize("keep", [0, 40])
def test_parts_that_a_power_cut_has_damaged_are_made_again(
    folder, model, whole, tmp_path, monkeypatch, emptied, keep
):
    add = kill_after(monkeypatch, 6)
    with pytest.raises(Killed):
        run(folder, model, tmp_path / "cut.parquet")
    monkeypatch.setattr(resumable.ResumableRun, "add", add)
    part = unfinished_folder(tmp_path / "cut.parquet") / f"{emptied:06}.arrow"
    part.write_bytes(part.read_bytes()[:keep])
    told: list[str] = []
    resumed = run(folder, model, tmp_path / "cut.parquet", resume=True, warn=told.append)
    close(without_tracks(resumed.table), without_tracks(whole.table))
    assert len(told) == 1
    assert f"{6 - emptied} parts" in told[0]


def test_a_kill_after_the_table_and_before_the_end_goes_on(folder, model, tmp_path, monkeypatch):
    whole = run(folder, model, tmp_path / "whole.csv")
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", kill)
        with pytest.raises(Killed):
            run(folder, model, out)
    assert out.exists()
    with pytest.raises(DestinationExists):
        run(folder, model, out)
    assert len(run(folder, model, out, resume=True)) == len(whole)
    assert out.read_text() == (tmp_path / "whole.csv").read_text()
    assert not unfinished_folder(out).exists()
    with pytest.raises(DestinationExists):  # nothing is left to go on with
        run(folder, model, out, resume=True)


def kill(*_, **__):
    raise Killed


def test_a_kill_between_the_page_and_the_table_goes_on(folder, tmp_path, monkeypatch, capsys):
    path = tiny_model(tmp_path / "tiny.onnx")
    out, page, drawn = tmp_path / "t.csv", tmp_path / "p.html", tmp_path / "drawn"
    command = ["analyze", str(folder), "--model", str(path), "--detector", "haar", "-o", str(out)]
    command += ["--report", str(page), "--overlay", str(drawn)]
    with monkeypatch.context() as patch:
        patch.setattr(Analysis, "save", kill)
        with pytest.raises(Killed):
            main(command)
    assert page.exists()
    assert main(command) == 1
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert out.exists()
    assert page.exists()


@pytest.mark.parametrize("name", ["-o", "--report", "--overlay"])
def test_destinations_are_checked_before_the_work(folder, tmp_path, name, capsys, monkeypatch):
    monkeypatch.setattr(resumable, "iterate_results", kill)
    places = {"-o": "t.csv", "--report": "p.html", "--overlay": "drawn"}
    path = tmp_path / places[name]
    if name == "--overlay":
        path.mkdir()
        path = path / "kept"
    path.write_text("kept")
    command = ["analyze", str(folder), "--detector", "haar"]
    for option, place in places.items():
        command += [option, str(tmp_path / place)]
    for options in ([], ["--resume"]):  # there is nothing to resume
        assert main([*command, *options]) == 1
        assert "exists" in capsys.readouterr().err
    assert path.read_text() == "kept"


def test_a_report_is_a_page(folder, tmp_path, capsys):
    assert main(["analyze", str(folder), "--report", str(tmp_path / "page.txt")]) == 1
    assert ".html" in capsys.readouterr().err
