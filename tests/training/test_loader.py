"""The same pixels however they are read: threads, processes, resumes, broken images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.dataset import Dataset
from openaffect.labels import EMOTIONS
from openaffect.progress import Progress
from openaffect.training.loader import Batch, CropReader, iterate_batches, plan_epoch
from openaffect.training.targets import Targets, choose_targets
from training.faces import THREE, fast_recipe, make_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Dataset:
    return make_faces(tmp_path_factory.mktemp("samples") / "data", 50)


CHANGED = {
    "resize": 20,
    "size": 16,
    "crops": "random",
    "rotate": 10.0,
    "zoom": 0.1,
    "shift": 0.1,
    "brightness_contrast": 0.2,
}


def batches_of(
    dataset: Dataset, recipe, *, threads=1, memory=0, keep=False, **place
) -> list[Batch]:
    targets = choose_targets(dataset, recipe)
    reader = CropReader(dataset, recipe, threads=threads, memory=memory)
    if keep:
        reader.keep(targets.rows)
    try:
        return list(iterate_batches(recipe, targets, reader, **({"epoch": 0} | place)))
    finally:
        reader.close()


def as_bytes(batches: list[Batch]) -> list[bytes]:
    return [b.images.tobytes() + b.targets.rows.tobytes() for b in batches]


@pytest.fixture(scope="module")
def plain(faces) -> list[Batch]:
    return batches_of(faces, fast_recipe(**CHANGED))


def test_batches_hold_every_face_once_with_its_own_targets(faces, plain):
    assert [len(b.images) for b in plain] == [16, 16, 16, 2]
    rows = np.concatenate([b.targets.rows for b in plain])
    assert sorted(rows.tolist()) == list(range(50))
    classes = np.concatenate([b.targets.classes for b in plain])
    assert classes.tolist() == (rows % 3).tolist()
    affect = np.concatenate([b.targets.affect for b in plain])
    assert np.allclose(affect, faces.affect[rows])


@pytest.mark.parametrize(
    "way",
    [
        {"threads": 7},
        {"keep": True, "memory": 10**9},
        {"keep": True, "memory": 50 * 20 * 20 * 3},
        {"keep": True, "memory": 50 * 20 * 20 * 3 - 1},
    ],
)
def test_batches_are_the_same_however_they_are_read(faces, plain, way):
    assert as_bytes(batches_of(faces, fast_recipe(**CHANGED), **way)) == as_bytes(plain)


def test_crops_that_fit_into_the_memory_are_read_once(faces, tmp_path):
    recipe = fast_recipe(**CHANGED)
    targets = choose_targets(faces, recipe)
    fits, fits_not = (CropReader(faces, recipe, memory=50 * 20 * 20 * 3 - less) for less in (0, 1))
    told: list[Progress] = []
    fits.keep(targets.rows, told.append)
    assert [(event.done, event.total) for event in told] == [(n, 50) for n in range(1, 51)]
    moved = faces.images_folder.rename(tmp_path / "elsewhere")
    try:
        assert fits.read(targets.rows)[1].all()
        assert not fits_not.read(targets.rows)[1].any()
    finally:
        moved.rename(faces.images_folder)
        fits.close()
        fits_not.close()


@pytest.mark.parametrize("start", [1, 3, 4])
def test_a_resume_in_the_middle_gives_the_batches_that_follow(faces, plain, start):
    found = batches_of(faces, fast_recipe(**CHANGED), start=start)
    assert as_bytes(found) == as_bytes(plain)[start:]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_every_batch(faces, plain, world):
    recipe = fast_recipe(**CHANGED)
    shares = [batches_of(faces, recipe, rank=rank, world=world) for rank in range(world)]
    for number, whole in enumerate(plain):
        joined = np.empty_like(whole.images)
        for rank in range(world):
            joined[rank::world] = shares[rank][number].images
        assert np.array_equal(joined, whole.images)
    assert len(plain) == len(shares[0]) == 4


def test_epochs_and_seeds_differ(faces, plain):
    assert as_bytes(batches_of(faces, fast_recipe(**CHANGED), epoch=1)) != as_bytes(plain)
    assert as_bytes(batches_of(faces, fast_recipe(**CHANGED, seed=1))) != as_bytes(plain)


@pytest.mark.parametrize(
    ("rows", "sizes"), [(33, [16, 17]), (34, [16, 16, 2]), (32, [16, 16]), (17, [17]), (1, [1])]
)
def test_a_last_step_of_one_face_joins_the_one_before(rows, sizes):
    classes = np.zeros(rows, np.int64)
    targets = Targets(
        np.arange(rows), classes, np.ones((rows, 1), np.float32), np.zeros((rows, 2), np.float32)
    )
    steps = plan_epoch(fast_recipe(), targets, 0)
    assert [len(step) for step in steps] == sizes
    assert sorted(np.concatenate(steps).tolist()) == list(range(rows))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 2), min_size=2, max_size=60).map(np.array),
    st.sampled_from(["imbalanced", "down-sampling", "up-sampling"]),
)
def test_every_epoch_has_as_many_steps(classes, strategy):
    """The loop counts on it for its schedule."""
    targets = Targets(
        np.arange(len(classes)),
        classes,
        np.eye(3)[classes],
        np.zeros((len(classes), 2), np.float32),
    )
    recipe = fast_recipe(strategy=strategy, max_per_class=5, batch_size=4)
    assert len({len(plan_epoch(recipe, targets, epoch)) for epoch in range(4)}) == 1


# Pictures that cannot be read.


def test_broken_pictures_are_counted_and_left_out(tmp_path):
    dataset = make_faces(tmp_path / "data", 20)
    paths = dataset.image_paths
    paths[2].unlink()
    paths[5].write_bytes(b"")
    paths[9].write_bytes(paths[9].read_bytes()[:100])
    recipe = fast_recipe()
    reader = CropReader(dataset, recipe, memory=0)
    targets = choose_targets(dataset, recipe)
    found = list(iterate_batches(recipe, targets, reader, epoch=0))
    reader.close()
    rows = np.concatenate([b.targets.rows for b in found]).tolist()
    assert sorted(rows) == [n for n in range(20) if n not in (2, 5, 9)]
    assert sum(len(b.images) for b in found) == 17
    assert sorted(reader.broken) == ["face-002", "face-005", "face-009"]
    assert "no such file" in reader.broken["face-002"]


def test_boxes_that_no_crop_can_be_taken_of_are_broken_pictures(tmp_path):
    def change(number, row):
        row.box = {1: (0, 0, 1e6, 1e6), 2: (1e9, 1e9, 5, 5)}.get(number, (2, 2, 12, 12))

    dataset = make_faces(tmp_path / "data", 4, change=change)
    boxes = dataset.faces["box"].to_pylist()
    boxes[3] = [0, 0, -5, 5]  # tables of other tools may hold any numbers
    dataset = dataset.with_column("box", boxes)
    reader = CropReader(dataset, fast_recipe())
    _, good = reader.read(np.arange(4))
    reader.close()
    assert good.tolist() == [True, False, True, False]
    assert "limit" in reader.broken["face-001"]
    assert "positive width" in reader.broken["face-003"]


def test_crops_are_those_of_the_datasets_crop_rule(tmp_path):
    def change(number, row):
        row.box = (3.0, 4.0, 10.0, 8.0) if number else None

    dataset = make_faces(tmp_path / "data", 2, change=change)
    recipe = fast_recipe(margin=0.3)
    reader = CropReader(dataset, recipe)
    images, good = reader.read(np.arange(2))
    reader.close()
    expected = [dataset.crop(row, recipe.crop_rule, (16, 16)) for row in (0, 1)]
    assert good.all()
    assert np.array_equal(images, expected)


def test_three_classes_are_what_the_builder_makes():
    assert [label.id for label in THREE] == [0, 1, 2]
    assert fast_recipe().label_set == THREE
    assert dataclasses.replace(fast_recipe(), labels="8").label_set == EMOTIONS
