"""Whole groups of rows: how splits are drawn from them, by amounts, classes and a seed.

1. The target of every class is fixed: the number that was asked for, or a share of the class.
2. The groups are shuffled, and each is taken in turn if it overfills no class. A row without a
   group is a group of its own, so this alone is exact wherever single rows are left.
3. A class that is still short is chosen anew among the groups that hold this class alone, by
   sizes (a bounded knapsack): it comes as near to its target as whole groups can, from below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

from openaffect.errors import InputError

ClassName: TypeAlias = str | None
Counts: TypeAlias = Mapping[ClassName, int]


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
class DrawnSplits:
    """Groups that were drawn for splits.

    Attributes:
        groups: names of the groups of each split.
        wanted: faces of each class to draw, by split.
        drawn: faces of each class that were drawn, by split; less than `wanted` only where no
            choice of whole groups gives more.
    """

    groups: dict[str, list[str]]
    wanted: dict[str, dict[ClassName, int]]
    drawn: dict[str, dict[ClassName, int]]


def draw_splits(
    contents: Mapping[str, Counts],
    amounts: Mapping[str, SplitSize],
    classes: Sequence[ClassName],
    *,
    seed: int,
    where: str,
) -> DrawnSplits:
    """Draw splits, one after the other, from groups.

    Args:
        contents: the number of faces of each class in each group. The order changes nothing.
        amounts: of each split, in the order of drawing.
        classes: that are drawn.
        seed: of the shuffle.
        where: the groups come from, for messages.

    Raises:
        InputError: a class, or all together, has too few faces.
    """
    left = dict(sorted(contents.items()))
    wanted = _targets(amounts, left.values(), classes, where)
    drawn: dict[str, dict[ClassName, int]] = {}
    groups: dict[str, list[str]] = {}
    random = np.random.default_rng(seed)
    for split in amounts:
        names = list(left)
        order = [names[i] for i in random.permutation(len(names))]
        drawn[split] = dict.fromkeys(wanted[split], 0)
        groups[split] = draw_groups({name: left[name] for name in order}, wanted[split])
        for group in groups[split]:
            for name, count in left.pop(group).items():
                drawn[split][name] += count
    return DrawnSplits(groups, wanted, drawn)


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


def _targets(
    amounts: Mapping[str, SplitSize],
    contents: Iterable[Counts],
    names: Sequence[ClassName],
    where: str,
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
        raise InputError(f"{asked} cannot be drawn from {where}: it has {total} faces to draw from")
    wanted: dict[str, dict[ClassName, int]] = {}
    left = dict(counts)
    for split, amount in amounts.items():
        wanted[split] = _target(amount, counts, left)
        left = {name: left[name] - wanted[split][name] for name in names}
    for name in names:
        need = sum(target[name] for target in wanted.values())
        if need > counts[name]:
            raise InputError(
                f"{asked} needs {need} faces of class {name or 'null'}, but {where} has "
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
