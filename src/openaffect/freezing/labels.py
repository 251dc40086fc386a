"""The label of each face of a project, and what it rests on.

A reviewer's answer comes first, then the known answer of a gold face, then the consensus of the
annotators, then a label that came with an imported dataset. Each face has one source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from openaffect.consensus import find_consensus
from openaffect.judgments import COLUMNS, Judgments, count_expressions, read_judgments
from openaffect.labels import EMOTIONS, EXPRESSIONS, parse_expression
from openaffect.metrics.arrays import Floats
from openaffect.project import frozen
from openaffect.project.database import Connection
from openaffect.project.judgments import GIVEN, IMPORTED, read_annotations
from openaffect.schemas import ANNOTATIONS, KINDS

SOURCES = ("review", "gold", "annotators", "import")
"""What a label rests on, the first that there is."""

_NO_AFFECT_FROM = 9  # uncertain and no_face have no point on the circumplex


@dataclass(slots=True, eq=False)
class Labels:
    """The labels of n faces.

    Attributes:
        expression: AffectNet's id, int8 (n,); −1 without.
        affect: valence and arousal, (n, 2); NaN without.
        source: position in `SOURCES`, int8 (n,); −1 without a label.
        expression_origin, affect_origin: of `schemas.ORIGINS` or None, object (n,).
        raters: annotators who say an expression, int64 (n,).
        share: of them who say the label's, (n,); NaN without raters.
        votes: annotators by expression, int64 (n, 11).
        soft_label: of the annotators, (n, 8); NaN where fewer than two say one of the eight.
        by_chance: whether the rule drew the expression among several, bool (n,).
    """

    expression: NDArray[np.int8]
    affect: Floats
    source: NDArray[np.int8]
    expression_origin: NDArray[np.object_]
    affect_origin: NDArray[np.object_]
    raters: NDArray[np.int64]
    share: Floats
    votes: NDArray[np.int64]
    soft_label: Floats
    by_chance: NDArray[np.bool_]


def find_labels(
    connection: Connection,
    face_ids: Sequence[str],
    numbers: Sequence[int],
    intended: Sequence[str | None],
    *,
    rule: str,
    affect_rule: str,
    seed: int,
) -> Labels:
    """The label of each face.

    Args:
        connection: of a transaction that reads.
        face_ids, numbers, intended: of the n faces.
        rule, affect_rule: names of consensus rules; a label from an import is the majority's.
        seed: of what a rule leaves to chance.

    Raises:
        UnknownName: no such rule.
        InputError: the rule cannot take the ratings.
        FormatError: a damaged value in the database.
    """
    n = len(face_ids)
    labels = _unlabeled(n)
    ids = pa.array(face_ids, pa.string())
    hopes = dict(zip(face_ids, intended, strict=True))
    imported = _read(connection, IMPORTED)
    if len(imported):
        _take_others(labels, ids, imported)
        _take_consensus(labels, ids, imported, hopes, "majority", "mean", seed, "import")
    given = _read(connection, GIVEN, as_work=True)
    if len(given):
        _take_consensus(labels, ids, given, hopes, rule, affect_rule, seed, "annotators")
    _take_gold(labels, numbers, frozen.read_gold(connection))
    if len(given):
        _take_reviews(labels, ids, given)
    return labels


def _unlabeled(n: int) -> Labels:
    return Labels(
        expression=np.full(n, -1, np.int8),
        affect=np.full((n, 2), np.nan),
        source=np.full(n, -1, np.int8),
        expression_origin=np.full(n, None, object),
        affect_origin=np.full(n, None, object),
        raters=np.zeros(n, np.int64),
        share=np.full(n, np.nan),
        votes=np.zeros((n, len(EXPRESSIONS)), np.int64),
        soft_label=np.full((n, len(EMOTIONS)), np.nan),
        by_chance=np.zeros(n, bool),
    )


def _read(connection: Connection, which: Any, *, as_work: bool = False) -> Judgments:
    """Judgments of a project; with `as_work`, imported ones are what their raters' work is."""
    schema = pa.schema([ANNOTATIONS.field(name) for name in COLUMNS])
    batches = read_annotations(connection, COLUMNS, where=which)
    table = pa.Table.from_batches(batches, schema)
    if as_work:
        kind = pc.if_else(pc.equal(table["kind"], "imported"), "work", table["kind"])
        table = table.set_column(table.column_names.index("kind"), "kind", kind)
    return read_judgments(table, "the project")


def _take_consensus(
    labels: Labels,
    ids: pa.Array,
    judged: Judgments,
    intended: Mapping[str, str | None],
    rule: str,
    affect_rule: str,
    seed: int,
    source: str,
) -> None:
    found = find_consensus(judged, rule=rule, affect_rule=affect_rule, intended=intended, seed=seed)
    place = _places(ids, found.face_ids)
    labeled = (place >= 0) & ((found.expression >= 0) | ~np.isnan(found.affect[:, 0]))
    at = place[labeled]
    _set(labels, at, found.expression[labeled], found.affect[labeled], source)
    labels.raters[at] = found.raters[labeled]
    labels.share[at] = found.share[labeled]
    labels.by_chance[at] = found.by_chance[labeled]
    _, rows = judged.counted()
    if source == "annotators":
        counts = count_expressions(judged.face[rows], judged.expression[rows], judged.n_faces)
        labels.votes[at] = counts[labeled]
        several = labeled & (counts[:, : len(EMOTIONS)].sum(axis=1) >= 2)
        labels.soft_label[place[several]] = found.soft_label[several]
    origin = np.full(judged.n_faces, "human", object)
    names = np.array([*judged.origin.dictionary.to_pylist(), None], object)
    numbers = judged.origin.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    origin[judged.face[rows & (names[numbers] == "simulated")]] = "simulated"
    _set_origins(labels, at, origin[labeled])


def _take_others(labels: Labels, ids: pa.Array, judged: Judgments) -> None:
    """Labels that no rater gave: of models, derived or synthetic; the last one of a face."""
    rows = np.flatnonzero(
        judged.valid & ~judged.from_rater & (judged.kind == KINDS.index("imported"))
    )
    rows = rows[np.lexsort((judged.person[rows], judged.at[rows]))]
    place = _places(ids, judged.face_ids)[judged.face[rows]]
    rows, place = rows[place >= 0], place[place >= 0]
    _set(labels, place, judged.expression[rows], judged.affect[rows].astype(np.float64), "import")
    names = np.array([*judged.origin.dictionary.to_pylist(), None], object)
    numbers = judged.origin.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    _set_origins(labels, place, names[numbers[rows]])


def _take_gold(
    labels: Labels,
    numbers: Sequence[int],
    known: Mapping[int, tuple[str, float | None, float | None]],
) -> None:
    for place, number in enumerate(numbers) if known else ():
        if number in known:
            name, valence, arousal = known[number]
            point = (np.nan, np.nan) if valence is None or arousal is None else (valence, arousal)
            expression = parse_expression(name, "gold").id
            _overrule(labels, place, expression, point, "gold", "human")


def _take_reviews(labels: Labels, ids: pa.Array, judged: Judgments) -> None:
    """The last reviewer's answer of each face."""
    rows = np.flatnonzero(judged.is_kind("review"))
    rows = rows[np.lexsort((judged.person[rows], judged.at[rows]))]
    place = _places(ids, judged.face_ids)[judged.face[rows]]
    names = np.array([*judged.origin.dictionary.to_pylist(), None], object)
    numbers = judged.origin.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    for row, at in zip(rows[place >= 0], place[place >= 0], strict=True):
        valence, arousal = judged.affect[row].astype(np.float64)
        origin = names[numbers[row]] or "human"
        _overrule(labels, at, int(judged.expression[row]), (valence, arousal), "review", origin)


def _overrule(
    labels: Labels,
    place: int,
    expression: int,
    point: tuple[float, float],
    source: str,
    origin: str,
) -> None:
    """One answer over what the annotators say; without a point theirs stays, if there can be one."""
    if expression < 0:
        return
    if np.isnan(point[0]) and expression < _NO_AFFECT_FROM:
        point = (labels.affect[place, 0], labels.affect[place, 1])
    at = np.array([place])
    _set(labels, at, np.array([expression], np.int8), np.array([point]), source)
    votes = labels.votes[place]
    if votes.sum():
        labels.share[place] = votes[expression] / votes.sum()
    labels.by_chance[place] = False
    _set_origins(labels, at, np.array([origin], object))


def _set(
    labels: Labels,
    at: NDArray[np.int64],
    expression: NDArray[np.int8],
    affect: Floats,
    source: str,
) -> None:
    labels.expression[at] = expression
    labels.affect[at] = affect
    labels.source[at] = SOURCES.index(source)


def _set_origins(labels: Labels, at: NDArray[np.int64], origin: NDArray[np.object_]) -> None:
    said, placed = labels.expression[at] >= 0, ~np.isnan(labels.affect[at, 0])
    for column, given in ((labels.expression_origin, said), (labels.affect_origin, placed)):
        column[at] = None
        column[at[given]] = origin[given]


def _places(ids: pa.Array, names: pa.Array) -> NDArray[np.int64]:
    """Where each of the names stands among the ids; −1 for none."""
    found = pc.index_in(names, value_set=ids).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)
