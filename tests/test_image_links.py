"""A dataset whose images others link to is not replaced without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

from format_builders import make_dataset
from openaffect.cli import main
from openaffect.dataset import open_dataset, save_dataset
from openaffect.formats import import_dataset


def make_folders(path: Path) -> Path:
    """A folder of images by class."""
    dataset = make_dataset(path / "source")
    for number, image in enumerate(dataset.image_paths):
        target = path / "in" / ("happy", "sad")[number % 2] / f"{number}{image.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    return path / "in"


def test_images_that_another_dataset_shows_are_not_deleted(tmp_path, capsys):
    folder = make_folders(tmp_path)
    first = ["import", "folders", str(folder), str(tmp_path / "d"), "--images", "copy"]
    assert main(first) == 0
    assert main(["split", str(tmp_path / "d"), str(tmp_path / "s"), "--test", "50%"]) == 0
    capsys.readouterr()
    assert main([*first, "--overwrite"]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / "s") in said
    assert all(path.is_file() for path in open_dataset(tmp_path / "s").image_paths)
    shutil.rmtree(tmp_path / "s")
    assert main([*first, "--overwrite"]) == 0
    assert main([*first, "--overwrite"]) == 0


def test_a_link_to_a_link_is_one_to_the_images(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "a")
    second = save_dataset(dataset, tmp_path / "b")
    save_dataset(second, tmp_path / "c")
    save_dataset(dataset, tmp_path / "b", overwrite=True)  # it has no images of its own
    shutil.rmtree(tmp_path / "b")
    again = ["synthesize", "2", str(tmp_path / "a"), "--size", "64", "--overwrite"]
    assert main(again) == 1
    assert str(tmp_path / "c") in capsys.readouterr().err
    (tmp_path / "c" / "dataset.json").write_text("damaged")
    assert main(again) == 0


def test_images_that_no_dataset_holds_are_left_as_they_are(tmp_path):
    folder = make_folders(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    import_dataset("folders", folder, tmp_path / "linked", images="link")
    after = [path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "linked")]
    assert sorted(after) == before
    import_dataset("folders", folder, tmp_path / "linked", images="link", overwrite=True)
