"""Splits drawn by chance from a seed: so many a class, a share, or a number, by whole groups.

How a split is drawn (docs/curation.md):

1. The target of every class is fixed: the number that was asked for, or a share of the class.
2. The groups are shuffled, and each is taken in turn if it overfills no class. A row without a
   group is a group of its own, so this alone is exact wherever single rows are left.
3. A class that is still short is chosen anew among the groups that hold this class alone, by
   sizes (a bounded knapsack): it comes as near to its target as whole groups can, from below.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from openaffect.dataset import Dataset, save_dataset
from openaffect.errors import InputError
from openaffect.labels import EXPRESSIONS, parse_labels

ClassName: TypeAlias = str | None
Counts: TypeAlias = Mapping[ClassName, int]

DRAWN = ("test", "validation")
"""The splits that can be drawn, in the order of drawing."""

NOT_COUNTED = "not counted"
"""The class of rows that are not drawn by themselves."""


@dataclass(frozen=True, slots=True)
class SplitSize:
    """How much a split takes: `value` faces of every class, a share in (0, 1), or `value` faces.

    >>> str(parse_amount("12.5%")), str(parse_amount("500-per-class"))
    ('12.5%', '500-per-class')
    """

    kind: Literal["per class", "share", "faces"]
    value: Fraction

    def __str__(self) -> str:
        if self.kind == "share":
            return f"{float(self.value * 100):g}%"
        return f"{self.value}-per-class" if self.kind == "per class" else str(self.value)


def parse_amount(text: str | int) -> SplitSize:
    """The amount that `500-per-class`, `10%` or `1000` stands for.

    Raises:
        InputError: none of these forms, nothing, or a share of 100 % and more.

    >>> parse_amount("10%").value
    Fraction(1, 10)
    """
    plain = str(text).strip().lower()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|-per-class)?", plain)
    if found is None or (found[2] != "%" and "." in found[1]):
        raise InputError(f"expected an amount such as 500-per-class, 10% or 1000, but got '{text}'")
    number = Fraction(found[1])
    if number == 0 or (found[2] == "%" and number >= 100):
        raise InputError(f"a split takes more than nothing and less than all, but got '{text}'")
    if found[2] == "%":
        return SplitSize("share", number / 100)
    return SplitSize("per class" if found[2] else "faces", number)


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
    contents = {name: _count([classes[row] for row in rows]) for name, rows in sorted(free.items())}
    wanted = _targets(amounts, contents.values(), chosen_labels or _occurring(classes), dataset)
    splits = list(old)
    for row in itertools.chain.from_iterable(free.values()):
        splits[row] = "train"
    drawn: dict[str, dict[ClassName, int]] = {}
    random = np.random.default_rng(seed)
    for split in amounts:
        names = list(contents)
        order = [names[i] for i in random.permutation(len(names))]
        drawn[split] = dict.fromkeys(wanted[split], 0)
        for group in draw_groups({name: contents[name] for name in order}, wanted[split]):
            for name, count in contents.pop(group).items():
                drawn[split][name] += count
            for row in free[group]:
                splits[row] = split
    crossing = sorted(
        name for name, rows in groups.items() if len({splits[row] for row in rows} - {None}) > 1
    )
    return SplitPlan(tuple(splits), wanted, drawn, tuple(crossing))


def draw_groups(contents: Mapping[str, Counts], wanted: Counts) -> list[str]:
    """Groups that together hold as many of every class as wanted, or as near from below as found.

    Args:
        contents: the number of faces of each class in each group, groups in shuffled order.
        wanted: the number of faces of each class; a class that is absent is not to be drawn.

    Returns:
        The names of the groups; no class holds more than wanted.

    >>> draw_groups({"a": {"sad": 2}, "b": {"sad": 3}, "c": {"sad": 3}}, {"sad": 6})
    ['b', 'c']
    """
    room = dict(wanted)
    chosen: dict[str, None] = {}
    for group, counts in contents.items():
        if counts and all(room.get(name, 0) >= count for name, count in counts.items()):
            chosen[group] = None
            for name, count in counts.items():
                room[name] -= count
    pure: dict[ClassName, list[tuple[str, int]]] = {name: [] for name in room if room[name]}
    for group, counts in contents.items():
        if len(counts) == 1:
            ((name, count),) = counts.items()
            if name in pure:
                pure[name].append((group, count))
    for name, candidates in pure.items():
        target = room[name] + sum(count for group, count in candidates if group in chosen)
        for group, _ in candidates:
            chosen.pop(group, None)
        chosen.update(dict.fromkeys(_fill(candidates, target)))
    return list(chosen)


def _fill(candidates: Sequence[tuple[str, int]], target: int) -> list[str]:
    """The first groups of each size, sizes chosen so that their sum is the largest ≤ target."""
    by_size: dict[int, list[str]] = {}
    for group, size in candidates:
        by_size.setdefault(size, []).append(group)
    within = (1 << (target + 1)) - 1
    reach = 1  # bit t: the sizes so far can sum to t
    before: list[tuple[int, int]] = []
    for size in sorted(by_size, reverse=True):
        before.append((size, reach))
        for _ in range(min(len(by_size[size]), target // size)):
            grown = (reach | reach << size) & within
            if grown == reach:
                break
            reach = grown
    rest = reach.bit_length() - 1
    chosen: list[str] = []
    for size, reach in reversed(before):
        # The fewest of the small sizes that work: they are the ones that other draws need.
        count = next(k for k in range(len(by_size[size]) + 1) if reach >> (rest - k * size) & 1)
        chosen += by_size[size][:count]
        rest -= count * size
    return chosen


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


def _targets(
    amounts: Mapping[str, SplitSize],
    contents: Iterable[Counts],
    names: tuple[ClassName, ...],
    dataset: Dataset,
) -> dict[str, dict[ClassName, int]]:
    """The number of faces of each class that each split shall get."""
    counts: dict[ClassName, int] = dict.fromkeys(names, 0)
    for group in contents:
        for name, count in group.items():
            counts[name] += count
    asked = " and ".join(f"{amount} for {split}" for split, amount in amounts.items())
    total = sum(counts.values())
    in_all = {"share": total, "faces": 1, "per class": 0}  # the last is judged class by class
    if not total or sum(a.value * in_all[a.kind] for a in amounts.values()) > total:
        raise InputError(
            f"{asked} cannot be drawn from {dataset.path}: it has {total} faces to draw from"
        )
    wanted: dict[str, dict[ClassName, int]] = {}
    left = dict(counts)
    for split, amount in amounts.items():
        wanted[split] = _target(amount, counts, left)
        left = {name: left[name] - wanted[split][name] for name in names}
    for name in names:
        need = sum(target[name] for target in wanted.values())
        if need > counts[name]:
            raise InputError(
                f"{asked} needs {need} faces of class {name or 'null'}, but {dataset.path} has "
                f"{counts[name]} to draw from; ask for less, or leave the class out with --labels"
            )
    return wanted


def _target(amount: SplitSize, counts: Counts, left: Counts) -> dict[ClassName, int]:
    """The number of faces of each class; `left` are those that no other split has asked for."""
    if amount.kind == "per class":
        return dict.fromkeys(counts, int(amount.value))
    total = sum(counts.values())
    share = amount.value if amount.kind == "share" else amount.value / total
    exact = {name: share * count for name, count in counts.items()}
    target = {name: math.floor(value) for name, value in exact.items()}
    # Largest remainders, so that the sum is what was asked for; ties go to the first class.
    by_remainder = sorted(exact, key=lambda name: target[name] - exact[name])
    missing = round(share * total) - sum(target.values())
    while missing > 0:
        able = [name for name in by_remainder if target[name] < left[name]][:missing]
        if not able:
            break
        for name in able:
            target[name] += 1
        missing -= len(able)
    return target
