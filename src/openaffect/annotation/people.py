"""Each rater: how much, how fast, how unlike the others, and whether that changes over time."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.judgments import Judgments
from openaffect.labels import EXPRESSIONS
from openaffect.metrics import Estimate
from openaffect.metrics.arrays import Floats, ratio

K = len(EXPRESSIONS)

COMMON_FACES = 30
"""Cohen's κ is given for pairs with as many faces that both have rated."""

_PERIODS, _PER_PERIOD = 10, 30  # at most so many, each of so many judgments or more
_NEVER = np.iinfo(np.int64).min
_SHARED, _APART, _CHANCE = 30, 0.1, 0.01  # see `find_apart`
_MANY = 2**22  # numbers of a table by pairs of people that is still made whole


@dataclass(frozen=True, slots=True)
class Bias:
    """How a rater's answers differ from those of the others on the same faces.

    Attributes:
        expression: by name, the rater's share of it less that of the others.
        valence, arousal: the mean difference to the mean of the others; None without any.
    """

    expression: dict[str, float]
    valence: float | None
    arousal: float | None


@dataclass(frozen=True, slots=True)
class Period:
    """One of the equal parts of a rater's judgments, in the order of time.

    Attributes:
        start, end: time of the first and last, ISO 8601 in UTC.
        n: number of judgments.
        seconds: median; None where it is not known.
        agreement: with others on the same faces; None without any.
        valence, arousal: bias; None without any.
    """

    start: str
    end: str
    n: int
    seconds: float | None
    agreement: float | None
    valence: float | None
    arousal: float | None


@dataclass(frozen=True, slots=True)
class SelfAgreement:
    """A rater's second answers beside the first ones.

    Attributes:
        expression: share of equal ones.
        valence, arousal: RMSE of the difference; None without any.
    """

    expression: Estimate
    valence: float | None
    arousal: float | None


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one rater.

    Attributes:
        annotations: that count.
        shared: of them on faces that somebody else has rated.
        seconds: median time of one; None where it is not known.
        agreement: the chance that another rater of the face says the same.
        bias: against the others.
        confusion: shape (11, 11); the rater says i, another one j; in faces.
        drift: 2 to 10 periods, or none where time is not known or judgments are fewer than 60.
        gold: share of right answers on gold faces.
        self_agreement: second answers beside the first ones.
        stands_apart: whether the rater agrees with the others far less than they among each other,
            see `find_apart`.
    """

    annotations: int
    shared: int
    seconds: float | None
    agreement: Estimate
    bias: Bias
    confusion: Floats
    drift: tuple[Period, ...]
    gold: Estimate
    self_agreement: SelfAgreement
    stands_apart: bool = False


@dataclass(frozen=True, slots=True)
class CohenPair:
    """Cohen's κ of two raters on the faces that both have rated; `annotators` are their names."""

    annotators: tuple[str, str]
    kappa: Estimate


def describe_people(
    judged: Judgments,
    rows: NDArray[np.bool_],
    counts: NDArray[np.int64],
    *,
    rounds: int,
    seed: int,
) -> dict[str, Person]:
    """Every rater with a row that counts, or with gold, by name.

    Args:
        judged: the annotations.
        rows: which of them count, (n,).
        counts: ratings of each face, (n_faces, 11).
        rounds, seed: of the bootstrap samples of faces.
    """
    people = len(judged.people)
    own = _OwnRows.of(judged, rows, counts)
    confusion = own.confusion(counts, people)
    seconds = grouped_median(own.person, own.seconds, people)
    drift = _drift(own, people)
    gold_person, gold_right = _gold(judged)
    repeats = _repeats(judged, rows)
    total = np.bincount(own.person, minlength=people)
    shared = np.bincount(own.person[own.shared], minlength=people)
    with_gold = np.bincount(gold_person, minlength=people)
    agreeing = _by_person(own.person[own.shared], own.agreement[own.shared], people)
    right = _by_person(gold_person, gold_right, people)
    bias = [_grouped_mean(own.person, own.difference[:, axis], people) for axis in (0, 1)]
    mean = {"rounds": rounds, "seed": seed}
    found = {}
    for p in sorted(range(people), key=lambda p: judged.people[p]):
        if not total[p] and not with_gold[p]:
            continue
        table = confusion[p]
        faces = table.sum()
        shares = ratio(table.sum(axis=1) - table.sum(axis=0), faces) if faces else [None] * K
        found[judged.people[p]] = Person(
            annotations=int(total[p]),
            shared=int(shared[p]),
            seconds=_known(seconds[p]),
            agreement=metrics.score_mean(agreeing[p], **mean),
            bias=Bias(
                {e.value: share for e, share in zip(EXPRESSIONS, shares, strict=True)},
                *(_known(one[p]) for one in bias),
            ),
            confusion=table,
            drift=drift[p],
            gold=metrics.score_mean(right[p], **mean),
            self_agreement=repeats.of(p, rounds, seed),
        )
    apart = find_apart(found)
    return {name: replace(one, stands_apart=name in apart) for name, one in found.items()}


def find_apart(people: Mapping[str, Person]) -> set[str]:
    """The raters who agree with the others far less than the rest do.

    Each is held against the median of the others who have 30 or more judgments on shared faces, of
    whom there must be two or more: named is who lies below it by .1 or more, and by more than chance
    explains (a binomial of that median, one-sided, p < .01 over all raters together).
    """
    known = {
        name: (float(one.agreement.value), one.shared)
        for name, one in people.items()
        if one.shared >= _SHARED and one.agreement.value is not None
    }
    found = set()
    for name, (value, shared) in known.items():
        others = [other for key, (other, _) in known.items() if key != name]
        if len(others) < 2:
            continue
        usual = statistics.median(others)
        error = math.sqrt(usual * (1 - usual) / shared)
        chance = statistics.NormalDist(usual, error).cdf(value) if error else float(value >= usual)
        if value < usual - _APART and chance < _CHANCE / len(known):
            found.add(name)
    return found


def compare_people(
    judged: Judgments, rows: NDArray[np.bool_], *, rounds: int, seed: int
) -> tuple[CohenPair, ...]:
    """Cohen's κ of all pairs with `COMMON_FACES` or more, sorted by name.

    Pairs are counted first, and tables made for those alone that have enough faces.
    """
    order = np.flatnonzero(rows)
    names = np.argsort(np.argsort(judged.people))  # so that the first of a pair comes first by name
    order = order[np.lexsort((names[judged.person[order]], judged.face[order]))]
    face, said = judged.face[order], judged.expression[order].astype(np.int64)
    person, people = names[judged.person[order]], len(names)

    def pairs() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The number of each pair, and the cell of its table, one distance of rows at a time."""
        for distance in range(1, len(order)):
            same = np.flatnonzero(face[distance:] == face[:-distance])
            if not same.size:
                return
            other = same + distance
            yield person[same] * people + person[other], said[same] * K + said[other]

    numbers, faces = _count((pair for pair, _ in pairs()), people * people)
    kept = numbers[faces >= COMMON_FACES]
    tables = np.zeros((len(kept), K * K), np.int64)
    for pair, cell in pairs():
        place = np.searchsorted(kept, pair)
        inside = place < len(kept)
        inside[inside] = kept[place[inside]] == pair[inside]
        cells = place[inside] * (K * K) + cell[inside]
        tables += np.bincount(cells, minlength=tables.size).reshape(tables.shape)
    ordered = sorted(judged.people)
    kappas = metrics.score_kappas(tables.reshape(-1, K, K), rounds=rounds, seed=seed)
    return tuple(
        CohenPair((ordered[number // people], ordered[number % people]), kappa)
        for number, kappa in zip(kept.tolist(), kappas, strict=True)
    )


def _count(
    chunks: Iterator[NDArray[np.int64]], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers that occur in any chunk, sorted, and how often."""
    if most <= _MANY:
        total = np.zeros(most, np.int64)
        for chunk in chunks:
            total += np.bincount(chunk, minlength=most)
        found = np.flatnonzero(total)
        return found, total[found]
    numbers, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for chunk in chunks:
        new, times = np.unique(chunk, return_counts=True)
        numbers, place = np.unique(np.concatenate([numbers, new]), return_inverse=True)
        weights = np.concatenate([counts, times])
        counts = np.bincount(place, weights=weights, minlength=len(numbers)).astype(np.int64)
    return numbers, counts


@dataclass(frozen=True, slots=True, eq=False)
class _OwnRows:
    """The rows that count, n of them, each beside the others of its face.

    Attributes:
        person, face, said, at: of the row, (n,).
        seconds: (n,), NaN where it is not known.
        shared: whether somebody else has rated the face, (n,).
        agreement: share of the others who say the same, (n,); 0 where not shared.
        difference: valence and arousal less the mean of the others, (n, 2); NaN where not known.
    """

    person: NDArray[np.int64]
    face: NDArray[np.int64]
    said: NDArray[np.int64]
    at: NDArray[np.int64]
    seconds: Floats
    shared: NDArray[np.bool_]
    agreement: Floats
    difference: Floats

    @classmethod
    def of(cls, judged: Judgments, rows: NDArray[np.bool_], counts: NDArray[np.int64]) -> _OwnRows:
        face, said = judged.face[rows], judged.expression[rows].astype(np.int64)
        others = counts.sum(axis=1)[face] - 1
        shared = others >= 1
        agreement = np.where(shared, (counts[face, said] - 1) / np.maximum(others, 1), 0.0)
        affect = judged.affect[rows].astype(np.float64)
        given = ~np.isnan(affect[:, 0])
        n = np.bincount(face[given], minlength=judged.n_faces)
        difference = np.full(affect.shape, np.nan)
        both = given & (n[face] >= 2)
        for axis in (0, 1):
            x = affect[:, axis]
            total = np.bincount(face[given], weights=x[given], minlength=judged.n_faces)
            mine, home = x[both], face[both]
            difference[both, axis] = mine - (total[home] - mine) / (n[home] - 1)
        return cls(
            judged.person[rows],
            face,
            said,
            judged.at[rows],
            judged.seconds[rows].astype(np.float64),
            shared,
            agreement,
            difference,
        )

    def confusion(self, counts: NDArray[np.int64], people: int) -> Floats:
        """The rater says i, another one j, in faces; shape (people, 11, 11)."""
        shared = self.shared
        own, face = self.person[shared] * K + self.said[shared], self.face[shared]
        others = counts.sum(axis=1)[face] - 1.0
        table = np.empty((people * K, K))
        for c in range(K):
            weight = (counts[face, c] - (self.said[shared] == c)) / others
            table[:, c] = np.bincount(own, weights=weight, minlength=people * K)
        return table.reshape(people, K, K)


def _drift(own: _OwnRows, people: int) -> list[tuple[Period, ...]]:
    """The periods of each rater, by number."""
    timed = np.flatnonzero(own.at != _NEVER)
    order = timed[np.lexsort((own.at[timed], own.person[timed]))]
    person, at = own.person[order], own.at[order]
    n = np.bincount(person, minlength=people)
    first = np.cumsum(n) - n
    parts = np.minimum(n // _PER_PERIOD, _PERIODS)
    rank = np.arange(len(order)) - first[person]
    period = person * _PERIODS + rank * parts[person] // np.maximum(n[person], 1)
    slots = people * _PERIODS
    size = np.bincount(period, minlength=slots)
    start = np.searchsorted(period, np.arange(slots))
    seconds = grouped_median(period, own.seconds[order], slots)
    said = np.where(own.shared, own.agreement, np.nan)[order]
    agreement = _grouped_mean(period, said, slots)
    valence, arousal = (
        _grouped_mean(period, own.difference[order, axis], slots) for axis in (0, 1)
    )
    found: list[tuple[Period, ...]] = []
    for p in range(people):
        here = range(p * _PERIODS, p * _PERIODS + int(parts[p])) if parts[p] >= 2 else range(0)
        found.append(
            tuple(
                Period(
                    _time(at[start[i]]),
                    _time(at[start[i] + size[i] - 1]),
                    int(size[i]),
                    *(_known(one[i]) for one in (seconds, agreement, valence, arousal)),
                )
                for i in here
            )
        )
    return found


def _gold(judged: Judgments) -> tuple[NDArray[np.int64], Floats]:
    """The rater of each gold row with a known answer, and whether it is right (0 or 1).

    The answer of a face is its last review, else its last imported label.
    """
    answer = np.full(judged.n_faces, -1, np.int64)
    for kind in ("imported", "review"):
        rows = np.flatnonzero(judged.is_kind(kind) & (judged.expression >= 0))
        rows = rows[np.argsort(judged.at[rows], kind="stable")]
        answer[judged.face[rows]] = judged.expression[rows]
    rows = np.flatnonzero(judged.is_kind("gold") & (judged.expression >= 0))
    rows = rows[answer[judged.face[rows]] >= 0]
    right = judged.expression[rows] == answer[judged.face[rows]]
    return judged.person[rows], right.astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Repeats:
    """Second answers that have a first one: of whom, whether equal, and the difference of affect."""

    person: NDArray[np.int64]
    equal: Floats
    difference: Floats

    def of(self, person: int, rounds: int, seed: int) -> SelfAgreement:
        mine = self.person == person
        known = self.difference[mine]
        known = known[~np.isnan(known[:, 0])]
        rmse = np.sqrt(np.square(known).mean(axis=0)).tolist() if len(known) else [None, None]
        return SelfAgreement(
            metrics.score_mean(self.equal[mine], rounds=rounds, seed=seed), rmse[0], rmse[1]
        )


def _repeats(judged: Judgments, rows: NDArray[np.bool_]) -> _Repeats:
    people = max(len(judged.people), 1)
    key = judged.face * people + judged.person
    first = np.flatnonzero(rows)
    first = first[np.argsort(key[first])]
    again = np.flatnonzero(judged.is_kind("repeat") & (judged.expression >= 0))
    place = np.searchsorted(key[first], key[again])
    inside = place < len(first)
    inside[inside] = key[first[place[inside]]] == key[again[inside]]
    again, first = again[inside], first[place[inside]]
    return _Repeats(
        judged.person[again],
        (judged.expression[again] == judged.expression[first]).astype(np.float64),
        (judged.affect[again] - judged.affect[first]).astype(np.float64),
    )


def grouped_median(group: NDArray[np.int64], values: Floats, n: int) -> Floats:
    """The median of the values of each group that are not NaN, (n,); NaN where there is none."""
    known = ~np.isnan(values)
    group, values = group[known], values[known]
    order = np.argsort(values)
    # Numbers of 16 bits are sorted by their digits, many times faster.
    kind = np.int16 if n <= np.iinfo(np.int16).max else np.int64
    order = order[np.argsort(group[order].astype(kind), kind="stable")]
    values = values[order]
    size = np.bincount(group, minlength=n)
    start = np.cumsum(size) - size
    found = np.full(n, np.nan)
    some = size > 0
    low, high = start[some] + (size[some] - 1) // 2, start[some] + size[some] // 2
    found[some] = (values[low] + values[high]) / 2
    return found


def _grouped_mean(group: NDArray[np.int64], values: Floats, n: int) -> Floats:
    known = ~np.isnan(values)
    total = np.bincount(group[known], weights=values[known], minlength=n)
    return ratio(total, np.bincount(group[known], minlength=n))


def _by_person(person: NDArray[np.int64], values: Floats, people: int) -> list[Floats]:
    order = np.argsort(person, kind="stable")
    ends = np.cumsum(np.bincount(person, minlength=people))
    return np.split(values[order], ends[:-1]) if people else []


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _time(microseconds: int) -> str:
    at = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return (at + datetime.timedelta(microseconds=int(microseconds))).isoformat()
