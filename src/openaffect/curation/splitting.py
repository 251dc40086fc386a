"""Splits of a dataset, drawn by chance from a seed: so many a class, a share, or a number.

See `row_groups` for how, and docs/curation.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openaffect.dataset import Dataset, save_dataset
from openaffect.errors import InputError
from openaffect.labels import EXPRESSIONS, parse_labels
from openaffect.row_groups import ClassName, draw_splits, parse_amount

DRAWN = ("test", "validation")
"""The splits that can be drawn, in the order of drawing."""

NOT_COUNTED = "not counted"
"""The class of rows that are not drawn by themselves."""


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Which split every row goes to.

    Attributes:
        splits: of every row, in row order.
        wanted: faces of each class to draw, by split.
        drawn: faces of each class that were drawn, by split; less than `wanted` only where no
            choice of whole groups gives more.
        crossing: names of groups that lie in several splits which were not to be drawn anew.
    """

    splits: tuple[str | None, ...]
    wanted: dict[str, dict[ClassName, int]]
    drawn: dict[str, dict[ClassName, int]]
    crossing: tuple[str, ...]


def split_dataset(
    dataset: Dataset,
    path: str | Path,
    *,
    validation: str | int | None = None,
    test: str | int | None = None,
    seed: int = 0,
    labels: str | Iterable[str] | None = None,
    redo: bool = False,
    overwrite: bool = False,
) -> Dataset:
    """Write a dataset with new splits, linked to the same pictures; see `plan_split`.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
        InputError: as `plan_split`.
    """
    plan = plan_split(
        dataset, validation=validation, test=test, seed=seed, labels=labels, redo=redo
    )
    return save_dataset(dataset.with_column("split", plan.splits), path, overwrite=overwrite)


def plan_split(
    dataset: Dataset,
    *,
    validation: str | int | None = None,
    test: str | int | None = None,
    seed: int = 0,
    labels: str | Iterable[str] | None = None,
    redo: bool = False,
) -> SplitPlan:
    """Draw validation and/or test from the rows in `train` or in no split; the rest is `train`.

    Rows of one `group` stay together; a group with rows in a split that is not drawn anew is left
    as it is. The result depends on ids, groups, labels and the seed,
    not on the order of the rows. Rows whose expression is null or not in `labels` are not
    counted and stay in `train`, but for those that go along with their group. Where no row of
    a dataset has an expression, all rows count as one class.

    Args:
        dataset: the dataset.
        validation: `500-per-class`, `10%` (of the faces that can be drawn) or `1000` faces; the
            latter two keep the shares of the classes.
        test: likewise; drawn first.
        seed: of the shuffle.
        labels: the classes to draw, as `parse_labels` takes them; all that occur by default.
        redo: pool all rows first, those of existing splits too.

    Raises:
        InputError: neither split is asked for; one that is asked for exists and `redo` is false;
            or a class has too few faces.
    """
    amounts = {
        split: parse_amount(text)
        for split, text in (("test", test), ("validation", validation))
        if text is not None
    }
    if not amounts:
        raise InputError("a split needs an amount for validation or test, such as 500-per-class")
    old: list[str | None] = [None] * len(dataset) if redo else dataset.faces["split"].to_pylist()
    for split in amounts:
        if split in old:
            raise InputError(
                f"{dataset.path} has {old.count(split)} {split} faces already; "
                "pool all rows and draw anew with --redo"
            )
    chosen_labels = None if labels is None else tuple(map(str, parse_labels(labels)))
    classes = _classes(dataset, chosen_labels)
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(dataset.group_keys()):
        groups.setdefault(key, []).append(row)
    free = {name: rows for name, rows in groups.items() if not any(old[r] in DRAWN for r in rows)}
    contents = {name: _count([classes[row] for row in rows]) for name, rows in free.items()}
    names = chosen_labels or _occurring(classes)
    found = draw_splits(contents, amounts, names, seed=seed, where=str(dataset.path))
    splits = list(old)
    for row in itertools.chain.from_iterable(free.values()):
        splits[row] = "train"
    for split, drawn in found.groups.items():
        for row in itertools.chain.from_iterable(free[group] for group in drawn):
            splits[row] = split
    crossing = sorted(
        name for name, rows in groups.items() if len({splits[row] for row in rows} - {None}) > 1
    )
    return SplitPlan(tuple(splits), found.wanted, found.drawn, tuple(crossing))


def _classes(dataset: Dataset, labels: tuple[str, ...] | None) -> list[ClassName]:
    """The class of every row, `NOT_COUNTED` where it is none of those that are drawn."""
    names: list[str | None] = dataset.faces["expression"].to_pylist()
    if labels is None and not any(names):
        return list(names)
    allowed = set(labels or EXPRESSIONS)
    return [name if name in allowed else NOT_COUNTED for name in names]


def _occurring(classes: Iterable[ClassName]) -> tuple[ClassName, ...]:
    found = set(classes)
    return tuple(name for name in (*map(str, EXPRESSIONS), None) if name in found)


def _count(classes: Sequence[ClassName]) -> dict[ClassName, int]:
    # A Counter for each of 300,000 groups would take seconds.
    return {name: classes.count(name) for name in dict.fromkeys(classes) if name != NOT_COUNTED}
