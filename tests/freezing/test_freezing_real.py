"""Real photographs of people with several photos, and FER+'s copies: no split separates them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from freezing_builders import fill
from openaffect.dataset import open_dataset, save_dataset
from openaffect.formats import import_dataset
from openaffect.freezing import FreezeOptions, freeze_project
from openaffect.images import pixel_hash, read_image
from openaffect.project import create_project

pytestmark = [pytest.mark.slow, pytest.mark.real]


def _person(image: str) -> str:
    return re.sub(r"_\d+(\.\w+)?$", "", Path(image).name)


def test_no_person_of_the_photos_is_in_two_splits(test_data: Path, tmp_path: Path) -> None:
    photos, _ = import_dataset("csv", test_data / "photos.zip", tmp_path / "photos")
    people = [_person(image) for image in photos.column("image").to_pylist()]
    several = {name for name, count in Counter(people).items() if count > 1}
    assert len(several) == 261
    named = save_dataset(photos.with_column("group", people), tmp_path / "named")
    with create_project(tmp_path / "p") as project:
        fill(project, named)
        options = FreezeOptions(splits="drawn", test="20%", validation="10%", seed=1)
        done = freeze_project(project, tmp_path / "frozen", options)
    splits: dict[str, set[str]] = defaultdict(set)
    for face_id, split in zip(
        done.dataset.ids, done.dataset.column("split").to_pylist(), strict=True
    ):
        splits[_person(face_id)].add(split)
    assert len(splits) == 1344
    assert {name for name, found in splits.items() if len(found) > 1} == set()
    counts = Counter(done.dataset.column("split").to_pylist())
    wanted = {split: sum(found.values()) for split, found in done.plan.wanted.items()}
    assert wanted == {"test": round(0.2 * 2094), "validation": round(0.1 * 2094)}
    short = sum(wanted.values()) - counts["test"] - counts["validation"]
    # Of the rare classes most faces are of people with photographs of other classes.
    assert short == 3
    assert any("short" in note for note in done.plan.notes)


def test_no_copy_of_ferplus_is_in_two_splits(test_data: Path, tmp_path: Path) -> None:
    fer, _ = import_dataset("ferplus", test_data / "ferplus.zip", tmp_path / "fer")
    with create_project(tmp_path / "p") as project:
        fill(project, fer)
        options = FreezeOptions(splits="drawn", test="20%", validation="10%")
        freeze_project(project, tmp_path / "frozen", options)
    dataset = open_dataset(tmp_path / "frozen")
    assert len(dataset) == 32_137
    hashes = [pixel_hash(read_image(path)) for path in dataset.image_paths]
    splits: dict[int, set[str]] = defaultdict(set)
    for digest, split in zip(hashes, dataset.column("split").to_pylist(), strict=True):
        splits[digest].add(split)
    sizes = np.array([*Counter(hashes).values()])
    assert (int((sizes > 1).sum()), int((sizes - 1).sum())) == (1270, 1519)
    assert all(len(found) == 1 for found in splits.values())
