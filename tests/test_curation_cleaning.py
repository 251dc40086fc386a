"""The clean copy of a dataset: what goes, what is named, and which rows share a group."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.annotation_row import AnnotationRow
from openaffect.curation import CheckResult, check_dataset, clean_dataset
from openaffect.curation.cleaning import join_groups
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import DestinationExists, InputError, MismatchError, UnknownName
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.synthetic import synthesize_face


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [
        encode_image(synthesize_face("happy", seed=seed, size=64).image, ".png")
        for seed in range(4)
    ]


@pytest.fixture
def dataset(tmp_path: Path, pictures: list[bytes]) -> Dataset:
    """Copies 0 in three splits and none, 1 twice in train, 2 twice in validation, 3 alone, one broken."""
    rows = [
        ("a0", 0, "train", None),
        ("b0", 0, "validation", "film"),
        ("c0", 0, "test", None),
        ("d0", 0, None, None),
        ("a1", 1, "train", "zoe"),
        ("b1", 1, "train", "adam"),
        ("c1", 3, "train", "zoe"),
        ("a2", 2, "validation", None),
        ("b2", 2, "validation", None),
        ("bad", None, "train", None),
        ("z0", 0, "train", None),
    ]
    folder = tmp_path / "pictures"
    folder.mkdir()
    with write_dataset(tmp_path / "d", images=folder, check_images=False) as writer:
        for face_id, picture, split, group in rows:
            data = b"" if picture is None else pictures[picture]
            (folder / f"{face_id}.png").write_bytes(data)
            writer.add(FaceRow(face_id, f"{face_id}.png", split=split, group=group))
            writer.add_annotation(AnnotationRow(face_id, "x"))
    return open_dataset(tmp_path / "d")


@pytest.fixture
def result(dataset: Dataset) -> CheckResult:
    return check_dataset(dataset)


def removed(path: Path) -> dict[str, tuple[str, str]]:
    with open(path / "removed.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["face_id"]: (row["reason"], row["kept_face_id"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_by_default_the_scored_splits_stay_whole(
    dataset: Dataset, result: CheckResult, tmp_path: Path
) -> None:
    clean = clean_dataset(dataset, result, tmp_path / "clean")
    gone = removed(clean.path)
    assert set(gone) == {"bad", "a0", "z0"}
    assert gone["a0"] == ("copy of a validation face", "b0")
    assert gone["bad"][0].startswith("broken: ")
    assert gone["bad"][1] == ""
    assert dict(zip(clean.ids, clean.faces["group"].to_pylist(), strict=True)) == {
        "b0": "film",
        "c0": "film",
        "d0": "film",
        "a1": "adam",
        "b1": "adam",
        "c1": "adam",  # of zoe, who is the same as adam by way of a1 and b1
        "a2": "same-as:a2",
        "b2": "same-as:a2",
    }
    assert clean.annotations is not None
    assert set(clean.annotations["face_id"].to_pylist()) == set(clean.ids)
    assert clean.images_folder == dataset.images_folder
    assert check_dataset(clean).leaked == {"validation": 0, "test": 0}


@pytest.mark.parametrize(
    ("policies", "gone"),
    [
        ({"leaks": "keep"}, {"bad": ""}),
        ({"duplicates": "drop"}, {"bad": "", "a0": "b0", "z0": "b0", "b1": "a1", "b2": "a2"}),
        (
            {"duplicates": "drop", "leaks": "keep"},
            {"bad": "", "z0": "a0", "b1": "a1", "b2": "a2"},
        ),
    ],
)
def test_policies(
    dataset: Dataset,
    result: CheckResult,
    tmp_path: Path,
    policies: dict[str, Any],
    gone: dict[str, str],
) -> None:
    clean = clean_dataset(dataset, result, tmp_path / "clean", **policies)
    assert {face_id: kept for face_id, (_, kept) in removed(clean.path).items()} == gone
    assert set(clean.ids) == set(dataset.ids) - set(gone)


def test_cleaning_twice_changes_nothing(
    dataset: Dataset, result: CheckResult, tmp_path: Path
) -> None:
    once = clean_dataset(dataset, result, tmp_path / "once")
    twice = clean_dataset(once, check_dataset(once), tmp_path / "twice")
    assert twice.faces.equals(once.faces)
    assert removed(twice.path) == {}


def test_a_check_of_another_state_is_refused(
    dataset: Dataset, result: CheckResult, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match="check it again"):
        clean_dataset(dataset.select([0, 1]), result, tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_unknown_policy(dataset: Dataset, result: CheckResult, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'drop'"):
        clean_dataset(dataset, result, tmp_path / "clean", duplicates="dropp")


def test_nothing_left(dataset: Dataset, tmp_path: Path) -> None:
    broken = dataset.where(split="train").select([4])
    with pytest.raises(InputError, match=r"nothing of .* would be left"):
        clean_dataset(broken, check_dataset(broken), tmp_path / "clean")


def test_destinations(dataset: Dataset, result: CheckResult, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    with pytest.raises(DestinationExists):
        clean_dataset(dataset, result, tmp_path / "there")
    assert (tmp_path / "there" / "file").read_text() == "mine"
    with pytest.raises(InputError, match="holds the dataset itself, or its pictures"):
        clean_dataset(dataset, result, dataset.path, overwrite=True)


def test_the_folder_of_linked_pictures_is_never_replaced(
    pictures: list[bytes], tmp_path: Path
) -> None:
    with write_dataset(tmp_path / "d") as writer:
        (writer.images_folder / "a.png").write_bytes(pictures[0])
        writer.add(FaceRow("a", "a.png"))
    dataset = open_dataset(tmp_path / "d")
    clean = clean_dataset(dataset, check_dataset(dataset), tmp_path / "clean")
    with pytest.raises(InputError, match="its pictures"):
        clean_dataset(clean, check_dataset(clean), tmp_path / "d", overwrite=True)
    assert clean.image(0).shape == (64, 64, 3)


@settings(deadline=None)
@given(
    groups=st.lists(st.sampled_from([None, "p", "q", "r"]), min_size=8, max_size=8),
    links=st.lists(
        st.lists(st.sampled_from("abcdefgh!"), min_size=2, max_size=3).map(tuple), max_size=4
    ),
)
def test_groups_are_the_components_of_links_and_groups(
    groups: list[str | None], links: list[tuple[str, ...]]
) -> None:
    ids = list("abcdefgh")  # "!" is a row that is gone
    sets = [{i for i in link if i in ids} for link in links]
    sets += [{i for i, g in zip(ids, groups, strict=True) if g == name} for name in ("p", "q", "r")]
    expected = {i: {i} for i in ids}
    for _ in ids:  # the slow, obvious way
        for members in sets:
            together = set().union(*(expected[i] for i in members))
            for i in together:
                expected[i] = together
    joined = dict(zip(ids, join_groups(ids, groups, iter(links)), strict=True))
    old = dict(zip(ids, groups, strict=True))
    for i in ids:
        names = sorted({name for j in expected[i] if (name := old[j]) is not None})
        alone = expected[i] == {i} and old[i] is None
        default = None if alone else f"same-as:{min(expected[i])}"
        assert joined[i] == (names[0] if names else default)
