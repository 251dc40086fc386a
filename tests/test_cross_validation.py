"""Cross-validation: every face judged by a model that has not seen its group, and resumable."""

from __future__ import annotations

import dataclasses

import pytest

from openaffect.errors import MismatchError
from openaffect.model import open_model
from openaffect.predictions import open_predictions
from openaffect.replication import cross_validation
from openaffect.replication.cross_validation import cross_validate
from openaffect.training import train
from training.faces import fast_recipe, make_faces

pytestmark = pytest.mark.slow


class Stop(Exception):  # noqa: N818
    pass


def test_a_cut_off_cross_validation_goes_on_and_judges_every_face(tmp_path, monkeypatch):
    def pair(number, row) -> None:
        row.group = f"pair-{number // 6}" if number % 6 in (0, 3) else None  # of one class

    dataset = make_faces(tmp_path / "data", 60, change=pair)
    recipe = fast_recipe(epochs=6)
    trained: list[str] = []

    def stop(event) -> None:
        trained.append(event.name)
        if event.name == "fold 2 of 3" and event.phase == "training":
            raise Stop

    with pytest.raises(Stop):
        cross_validate(dataset, tmp_path / "cv", recipe, folds=3, on_progress=stop)
    first = (tmp_path / "cv" / "1" / "model.onnx", tmp_path / "cv" / "1" / "predictions.parquet")
    written = first[1].stat().st_mtime_ns
    seen: dict[int, set[str]] = {}
    real = train

    def spy(divided, run, *arguments, **settings):
        splits = divided.faces["split"].to_pylist()
        ids = {i for i, split in zip(divided.ids, splits, strict=True) if split == "train"}
        seen[int(run.parent.name)] = ids
        return real(divided, run, *arguments, **settings)

    monkeypatch.setattr(cross_validation, "train", spy)
    report = cross_validate(dataset, tmp_path / "cv", recipe, folds=3)
    assert first[1].stat().st_mtime_ns == written  # what was done is not done again
    scored = {
        n: {*open_predictions(tmp_path / "cv" / str(n) / "predictions.parquet").ids}
        for n in (1, 2, 3)
    }
    assert sorted(i for ids in scored.values() for i in ids) == sorted(dataset.ids)
    assert all(not scored[n] & seen[n] for n in (1, 2, 3))
    groups = dict(zip(dataset.ids, dataset.faces["group"].to_pylist(), strict=True))
    assert all(
        not {groups[i] for i in scored[n]} & ({groups[i] for i in seen[n]} - {None})
        for n in (1, 2, 3)
    )
    assert report.protocol.rows == 60
    assert report.categorical.accuracy.orig.n == 60
    assert open_model(tmp_path / "cv" / "3" / "run").card.trained_on["faces"] > 20
    changed = dataclasses.replace(recipe, learning_rate=0.01)
    with pytest.raises(MismatchError, match="learning_rate"):
        cross_validate(dataset, tmp_path / "cv", changed, folds=3)
