"""What is known of FER+ is found again: its copies and the leak between its splits."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from openaffect.curation import CheckResult, check_dataset, clean_dataset, plan_split
from openaffect.dataset import Dataset
from openaffect.formats import import_dataset

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def ferplus(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("ferplus")
    dataset, _ = import_dataset("ferplus", test_data / "ferplus.zip", folder / "dataset")
    return dataset


@pytest.fixture(scope="module")
def result(ferplus: Dataset) -> CheckResult:
    return check_dataset(ferplus)


def test_exact_copies_of_ferplus(result: CheckResult) -> None:
    groups: dict[tuple[int, int], list[str | None]] = collections.defaultdict(list)
    for number, cluster in enumerate(result.clusters):
        for picture, split in zip(cluster.pictures, cluster.splits, strict=True):
            groups[number, picture].append(split)
    repeated = [splits for splits in groups.values() if len(splits) > 1]
    crossing = [splits for splits in repeated if len(set(splits)) > 1]
    assert result.exact_copies == 1519
    assert (len(repeated), len(crossing)) == (1270, 269)
    assert sum(splits.count("validation") for splits in crossing) == 279
    assert not result.broken
    assert result.complete


def test_near_copies_do_not_flood(result: CheckResult) -> None:
    # Counted with these settings, pairs looked at by eye (docs/curation.md).
    assert result.near_copies == 925
    assert max(cluster.distinct for cluster in result.clusters) == 13
    assert result.leaked == {"validation": 422, "test": 0}


def test_a_clean_ferplus_leaks_nothing_and_splits_by_copies(
    ferplus: Dataset, result: CheckResult, tmp_path: Path
) -> None:
    clean = clean_dataset(ferplus, result, tmp_path / "clean")
    assert len(clean.where(split="validation")) == len(ferplus.where(split="validation"))
    again = check_dataset(clean)
    assert not again.leaks
    plan = plan_split(clean, validation="50-per-class", labels="8", redo=True)
    assert set(plan.drawn["validation"].values()) == {50}
    assert plan.crossing == ()
    places = dict(zip(clean.ids, plan.splits, strict=True))
    assert again.clusters
    for cluster in again.clusters:
        assert len({places[face_id] for face_id in cluster.face_ids}) == 1
