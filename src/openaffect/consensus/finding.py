"""`find_consensus`: one label per face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from openaffect import lookup
from openaffect.consensus.ratings import AffectRule, ExpressionRule, Points, Ratings, draw
from openaffect.errors import InputError
from openaffect.judgments import Judgments, count_expressions
from openaffect.labels import EMOTIONS, parse_expression
from openaffect.metrics.arrays import Floats, ratio

EXPRESSION_RULES = "openaffect.consensus.expressions"
AFFECT_RULES = "openaffect.consensus.affects"


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """One label per face, of n faces.

    Attributes:
        face_ids: which faces, in the order of `Judgments`.
        expression: AffectNet's id, int8 (n,); −1 where no rater says one.
        shares: the soft label of all eleven expressions, (n, 11): shares of raters, or what the
            rule makes of them; NaN without an expression.
        soft_label: the same of the eight emotions alone, (n, 8); NaN where they have no share.
        share: of the raters who say the expression, (n,); NaN without.
        raters: who say an expression, int64 (n,).
        disagreement: chance that two of them say different ones, (n,); NaN with fewer than two.
        by_chance: whether the expression was drawn among several, bool (n,).
        affect: valence and arousal, (n, 2); NaN where no rater gives them, and where the expression
            is uncertain or no_face.
    """

    face_ids: pa.Array
    expression: NDArray[np.int8]
    shares: Floats
    soft_label: Floats
    share: Floats
    raters: NDArray[np.int64]
    disagreement: Floats
    by_chance: NDArray[np.bool_]
    affect: Floats

    def __len__(self) -> int:
        return len(self.expression)


def expression_rules() -> tuple[str, ...]:
    """The names of the rules for expressions, sorted."""
    return lookup.names(EXPRESSION_RULES)


def affect_rules() -> tuple[str, ...]:
    """The names of the rules for valence and arousal, sorted."""
    return lookup.names(AFFECT_RULES)


def find_consensus(
    judgments: Judgments,
    *,
    rule: str = "majority",
    affect_rule: str = "mean",
    intended: Mapping[str, str | None] | None = None,
    seed: int = 0,
) -> Consensus:
    """One label per face, from the judgments that count (`Judgments.counted`).

    What is left to chance depends on the seed and the face's id alone, never on other rows.

    Args:
        judgments: the annotations.
        rule: for the expression: majority, intended or dawid-skene.
        affect_rule: for valence and arousal: mean, median or one-at-random.
        intended: for the rule of that name: the expression that each face was searched for, by
            face_id; faces may be missing or None.
        seed: of the draws.

    Raises:
        UnknownName: no such rule or expression.
        InputError: the rule `intended` without `intended`; or ratings that dawid-skene cannot take.
    """
    expressions: ExpressionRule = lookup.load(EXPRESSION_RULES, rule, "consensus rule")
    affects: AffectRule = lookup.load(AFFECT_RULES, affect_rule, "rule for valence and arousal")
    if rule == "intended" and intended is None:
        raise InputError("the rule intended needs the intended expression of each face")
    _, rows = judgments.counted()
    ratings = _ratings(judgments, rows & (judgments.expression >= 0), intended or {}, seed)
    counts = ratings.counts
    n = counts.sum(axis=1)
    choice = expressions.choose(ratings)
    expression = np.where(n > 0, choice.expression, -1).astype(np.int8)
    shares = ratio(choice.weights, choice.weights.sum(axis=1, keepdims=True))
    eight = shares[:, : len(EMOTIONS)]
    chosen = counts[np.arange(len(n)), expression]
    affect = affects.combine(_points(judgments, rows, seed)).astype(np.float64)
    affect[_pointless(judgments, rows, expression)] = np.nan
    return Consensus(
        face_ids=judgments.face_ids,
        expression=expression,
        shares=shares,
        soft_label=ratio(eight, eight.sum(axis=1, keepdims=True)),
        share=ratio(chosen, n),
        raters=n,
        disagreement=1 - ratio((counts * (counts - 1)).sum(axis=1), n * (n - 1)),
        by_chance=choice.by_chance & (n > 0),
        affect=affect,
    )


def _ratings(
    judged: Judgments, rows: NDArray[np.bool_], intended: Mapping[str, str | None], seed: int
) -> Ratings:
    return Ratings(
        face=judged.face[rows],
        person=judged.person[rows],
        said=judged.expression[rows].astype(np.int64),
        counts=count_expressions(judged.face[rows], judged.expression[rows], judged.n_faces),
        people=judged.people,
        intended=_places(intended, judged.face_ids),
        chance=draw(judged.face_ids, f"{seed} expression "),
    )


def _points(judged: Judgments, rows: NDArray[np.bool_], seed: int) -> Points:
    found = np.flatnonzero(rows & ~np.isnan(judged.affect[:, 0]))
    found = found[np.lexsort((judged.person[found], judged.face[found]))]
    size = np.bincount(judged.face[found], minlength=judged.n_faces)
    return Points(
        face=judged.face[found],
        affect=judged.affect[found].astype(np.float64),
        start=np.cumsum(size) - size,
        size=size,
        chance=draw(judged.face_ids, f"{seed} affect "),
    )


def _pointless(
    judged: Judgments, rows: NDArray[np.bool_], expression: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Which faces have no valence and arousal: nobody gives them, or the expression has none."""
    given = rows & ~np.isnan(judged.affect[:, 0])
    some = np.bincount(judged.face[given], minlength=judged.n_faces) > 0
    return ~some | (expression > 8)


def _places(intended: Mapping[str, str | None], face_ids: pa.Array) -> NDArray[np.int64]:
    """The intended expression of each face as AffectNet's id, (n,); −1 where it is not known."""
    names = pa.array(intended.values(), pa.string()).dictionary_encode()
    ids = [parse_expression(name, "intended").id for name in names.dictionary.to_pylist()]
    numbers = pa.array([*ids, -1], pa.int64()).take(names.indices.fill_null(len(ids)))
    place = pc.index_in(face_ids, value_set=pa.array(intended.keys(), pa.string()))
    return np.asarray(numbers.take(place).fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
