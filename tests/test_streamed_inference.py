"""`predict` into a file: what `predict_dataset` gives, whatever is killed on the way."""

from __future__ import annotations

import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders import tiny_model
from openaffect import inference, streamed_inference
from openaffect.cli import main
from openaffect.dataset import open_dataset, save_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import DestinationExists, InputError, MismatchError
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.inference import open_worker_model, predict_dataset
from openaffect.model import open_model
from openaffect.predictions import open_predictions
from openaffect.streamed_inference import FaceFilter, predict_to_file
from openaffect.unfinished import unfinished_folder

COUNT = 23
SPLITS = ["train", "test", None]


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """23 faces in 4 portions of 6; the picture of one is broken."""
    monkeypatch.setattr(streamed_inference, "_PORTION", 6)
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 40, 40, 3), np.uint8)
    with write_dataset(tmp_path / "data", check_images=False) as writer:
        for number, one in enumerate(pixels):
            box = (5, 6, 20, 20) if number % 2 else None
            data = b"no picture" if number == 8 else encode_image(one)
            (writer.images_folder / f"{number}.png").write_bytes(data)
            split = SPLITS[number % 3]
            writer.add(FaceRow(f"f{number}", f"{number}.png", box=box, split=split))
    return open_dataset(tmp_path / "data")


@pytest.fixture
def model(tmp_path):
    return open_model(tiny_model(tmp_path / "tiny.onnx"))


def columns(path):
    """The table of a predictions file, and what made it."""
    table = pq.read_table(path)
    return table.replace_schema_metadata(None), table.schema.metadata


def stop_after(monkeypatch, count):
    """Have the work be killed when so many portions are predicted."""
    whole = inference.predict_faces
    seen: list[list[str]] = []

    def predict(model, dataset, **options):
        if len(seen) == count + 1:  # the first has no face: it tells the columns
            raise KeyboardInterrupt
        seen.append(dataset.ids)
        return whole(model, dataset, **options)

    monkeypatch.setattr(streamed_inference, "predict_faces", predict)
    return seen


@pytest.mark.parametrize("split", [None, "test"])
def test_a_file_holds_what_predict_dataset_gives(tmp_path, dataset, model, split):
    seen = []
    out = tmp_path / "p.parquet"
    summary = predict_to_file(
        model,
        dataset.path,
        out,
        split=split,
        batch_size=4,
        on_progress=lambda e: seen.append((e.done, e.total)),
    )
    chosen = dataset if split is None else dataset.where(split=split)
    predict_dataset(model, chosen, batch_size=4).save(tmp_path / "whole.parquet")
    assert columns(out) == columns(tmp_path / "whole.parquet")
    failed = [] if split else ["f8"]
    assert (summary.rows, summary.failed, summary.warning) == (len(chosen), len(failed), None)
    assert (summary.first_failure and summary.first_failure[0]) == (None if split else "f8")
    assert seen[-1] == (len(chosen), len(chosen))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {len(chosen)}
    assert not unfinished_folder(out).exists()
    assert len(open_predictions(out)) == len(chosen)


@pytest.mark.parametrize("split", [None, "train"])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_killed_run_goes_on_where_it_was(tmp_path, dataset, model, monkeypatch, split, done):
    whole, out = tmp_path / "whole.parquet", tmp_path / "p.parquet"
    predict_to_file(model, dataset.path, whole, split=split)
    with monkeypatch.context() as patch:
        stop_after(patch, done)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, dataset.path, out, split=split)
    assert not out.exists()
    with pytest.raises(DestinationExists, match="--resume"):
        predict_to_file(model, dataset.path, out, split=split)
    seen = stop_after(monkeypatch, 99)
    summary = predict_to_file(model, dataset.path, out, split=split, resume=True)
    assert columns(out) == columns(whole)
    assert (summary.first_failure and summary.first_failure[0]) == (None if split else "f8")
    chosen = dataset if split is None else dataset.where(split=split)
    expected = [i for i in dataset.ids[6 * done :] if i in set(chosen.ids)]
    assert [face_id for ids in seen for face_id in ids] == expected


def test_a_damaged_part_is_predicted_again(tmp_path, dataset, model, monkeypatch):
    whole, out = tmp_path / "whole.parquet", tmp_path / "p.parquet"
    predict_to_file(model, dataset.path, whole)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, dataset.path, out)
    (unfinished_folder(out) / "000001.arrow").write_bytes(b"")
    summary = predict_to_file(model, dataset.path, out, resume=True)
    assert summary.lost == 2
    assert columns(out) == columns(whole)


def test_a_run_for_something_else_is_not_resumed(tmp_path, dataset, model, monkeypatch):
    out = tmp_path / "p.parquet"
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, dataset.path, out)
    other = open_model(tiny_model(tmp_path / "other.onnx", size=(40, 40)))
    turned = save_dataset(dataset.select(range(COUNT - 1, -1, -1)), tmp_path / "turned")
    fewer = save_dataset(dataset.select(range(COUNT - 1)), tmp_path / "fewer")
    for what, path, split, named in (
        (other, dataset.path, None, "model_sha256"),
        (model, turned.path, None, "order"),
        (model, fewer.path, None, "dataset_fingerprint"),
        (model, dataset.path, "test", "split"),
    ):
        with pytest.raises(MismatchError, match=named):
            predict_to_file(what, path, out, split=split, resume=True)
    assert predict_to_file(other, dataset.path, out, overwrite=True).rows == COUNT


def test_an_existing_file_is_not_replaced_unasked(tmp_path, dataset, model):
    out = tmp_path / "p.parquet"
    out.write_bytes(b"mine")
    for resume in (False, True):
        with pytest.raises(DestinationExists):
            predict_to_file(model, dataset.path, out, resume=resume)
    assert out.read_bytes() == b"mine"
    assert predict_to_file(model, dataset.path, out, overwrite=True).rows == COUNT


def test_nothing_is_written_where_every_face_fails(tmp_path, dataset, model):
    for path in dataset.image_paths:
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"all 23 faces failed.*f0"):
        predict_to_file(model, dataset.path, tmp_path / "p.parquet")
    assert sorted(os.listdir(tmp_path)) == ["data", "tiny.onnx"]


def test_a_split_without_a_face_is_refused(tmp_path, dataset, model):
    with pytest.raises(InputError, match="no face in the split 'validation'"):
        predict_to_file(model, dataset.path, tmp_path / "p.parquet", split="validation")
    assert sorted(os.listdir(tmp_path)) == ["data", "tiny.onnx"]


def test_the_command_resumes(tmp_path, dataset, monkeypatch, capsys):
    tiny = tiny_model(tmp_path / "tiny.onnx")
    arguments = ["predict", str(tiny), str(dataset.path), "-o", str(tmp_path / "p.parquet")]
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert main(arguments) == 130
    assert "--resume" in capsys.readouterr().err
    assert main(arguments) == 1
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    said = capsys.readouterr()
    assert "23 predictions in" in said.out
    assert "1 face failed, first f8" in said.err


@pytest.mark.parametrize("engine", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_predict_the_same(tmp_path, dataset, model, monkeypatch, engine, workers):
    """In pieces of four of portions of six, also after a kill by another engine."""
    monkeypatch.setattr(streamed_inference, "_PIECE", 4)
    whole, out = tmp_path / "whole.parquet", tmp_path / "p.parquet"
    predict_to_file(model, dataset.path, whole, split="train", batch_size=3)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, dataset.path, out, split="train")
    seen = []
    summary = predict_to_file(
        model,
        dataset.path,
        out,
        split="train",
        resume=True,
        batch_size=3,
        engine=engine,
        workers=workers,
        on_progress=lambda e: seen.append((e.done, e.total)),
    )
    assert columns(out)[1] == columns(whole)[1]
    ours, theirs = open_predictions(out), open_predictions(whole)
    assert ours.ids == theirs.ids
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
    np.testing.assert_allclose(ours.affect, theirs.affect, atol=1e-6)
    assert ours.errors == theirs.errors
    assert summary.rows == len(ours)
    assert seen[-1] == (len(ours), len(ours))
    assert seen[0][0] > 2  # what was done before the kill counts


def test_a_failed_face_has_its_reason_also_from_a_worker(tmp_path, dataset, model):
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    predict_to_file(model, dataset.path, here)
    predict_to_file(model, dataset.path, there, engine="processes", workers=2)
    assert open_predictions(there).errors == open_predictions(here).errors
    assert sum(error is not None for error in open_predictions(there).errors) == 1


def test_only_the_faces_that_a_filter_keeps_are_predicted(tmp_path, dataset, model):
    even = FaceFilter(lambda portion: portion.where(split=["train", None]), ("split",))
    out = tmp_path / "p.parquet"
    predict_to_file(model, dataset.path, out, faces=even)
    assert open_predictions(out).ids == dataset.where(split=["train", None]).ids
    none = FaceFilter(lambda portion: portion.select([]), ())
    with pytest.raises(InputError, match="no face"):
        predict_to_file(model, dataset.path, tmp_path / "q.parquet", faces=none)


def test_a_worker_refuses_another_model_under_the_same_name(tmp_path, model):
    with pytest.raises(MismatchError, match="same file"):
        open_worker_model(str(model.path), "0" * 64, "cpu")
    with pytest.raises(InputError, match="ray"):
        predict_to_file(model, tmp_path, tmp_path / "p", engine="threads", ray_address="auto")
