"""Judgments: which annotations stand, and how many raters say what of each face.

An annotation table only grows: corrections, repetitions and withdrawn rows are rows as well. What
counts is decided here, for whoever reads such a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from openaffect import tables
from openaffect.dataset import Dataset
from openaffect.errors import FormatError
from openaffect.labels import EXPRESSIONS
from openaffect.schemas import ANNOTATIONS, KINDS

NOT_RATERS = ("model", "derived", "synthetic")
"""Origins of rows that are no judgments of raters; simulated raters are raters."""

COLUMNS = (
    *("id", "face_id", "annotator", "kind", "expression", "valence", "arousal", "seconds"),
    *("region_shown", "prelabel_shown", "batch", "replaces", "void", "origin", "at"),
)
"""The columns of an annotation table that are looked at here; an older one lacks some."""

_SCHEMA = pa.schema([ANNOTATIONS.field(name) for name in COLUMNS])

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Judgments:
    """The rows of an annotation table as arrays, n of them.

    Attributes:
        face: number of the face of each row, 0 to n_faces − 1, int64 (n,).
        n_faces: how many faces have a row.
        face_ids: their names, by number.
        person: number of the annotator of each row, int64 (n,).
        people: their names, by number.
        kind: position in `KINDS`, int8 (n,).
        valid: whether the row stands, see `find_valid`; bool (n,).
        void: whether it was withdrawn, bool (n,).
        from_rater: whether a rater gave it, bool (n,).
        expression: AffectNet's id, int8 (n,); −1 where it is null.
        affect: valence and arousal, float32 (n, 2); NaN where they are null, and where the
            expression says that they have none (uncertain, no_face).
        seconds: that it took, float32 (n,); NaN where it is null.
        at: microseconds since 1970, int64 (n,); the lowest number where it is null.
        batch: number of the batch, int64 (n,); −1 where it is null.
        batches: their names, by number.
        region_shown, prelabel_shown: what the annotator saw, bool (n,).
        origin: of each row, "" where it is null.
    """

    face: NDArray[np.int64]
    n_faces: int
    face_ids: pa.Array
    person: NDArray[np.int64]
    people: list[str]
    kind: NDArray[np.int8]
    valid: NDArray[np.bool_]
    void: NDArray[np.bool_]
    from_rater: NDArray[np.bool_]
    expression: NDArray[np.int8]
    affect: NDArray[np.float32]
    seconds: NDArray[np.float32]
    at: NDArray[np.int64]
    batch: NDArray[np.int64]
    batches: list[str]
    region_shown: NDArray[np.bool_]
    prelabel_shown: NDArray[np.bool_]
    origin: pa.DictionaryArray

    def __len__(self) -> int:
        return len(self.face)

    def is_kind(self, kind: str) -> NDArray[np.bool_]:
        """Which rows stand, are a rater's, and of this kind; (n,)."""
        found: NDArray[np.bool_] = self.valid & self.from_rater & (self.kind == KINDS.index(kind))
        return found

    def counted(self) -> tuple[str, NDArray[np.bool_]]:
        """The kind whose rows count as independent judgments, and which rows these are, (n,).

        `work`; `imported` where no row of a rater is work. Reviews are no independent judgments,
        training is none yet, gold faces are chosen, and a repetition is a person's second answer.
        """
        work = self.is_kind("work")
        if work.any():
            return "work", work
        imported = self.is_kind("imported")
        return ("imported", imported) if imported.any() else ("work", work)


def find_valid(table: pa.Table) -> NDArray[np.bool_]:
    """Which rows of an annotation table stand, (n,).

    Not one that is void; not one that another row replaces, be it a correction or a void row, which
    withdraws it; and of the rest only the last of a person, face and kind, by time and then by
    place. A correction that was withdrawn replaces nothing, so that what it had replaced stands
    again. So a repetition stands beside the first answer, and training, gold and review beside work.
    A column that is missing is null.
    """
    table = tables.conform(table, _SCHEMA, "the annotations")
    face, _ = _numbers(table, "face_id")
    person, people = _numbers(table, "annotator")
    return _valid(table, face, person * len(KINDS) + _kinds(table), len(people) * len(KINDS))


def _valid(
    table: pa.Table, face: NDArray[np.int64], series: NDArray[np.int64], n_series: int
) -> NDArray[np.bool_]:
    """`find_valid` of rows whose face and series, a person's rows of one kind, are numbers."""
    void = _flags(table, "void")
    stands = ~void
    for replacing in (void, stands):  # what was withdrawn no longer replaces
        replaced = table["replaces"].filter(pa.array(replacing)).drop_null()
        if len(replaced):
            gone = pc.is_in(table["id"], value_set=replaced.combine_chunks())
            stands &= ~gone.to_numpy().astype(bool)
    key = face * max(n_series, 1) + series
    rows = np.flatnonzero(stands)
    order = rows[np.lexsort((_times(table)[rows], key[rows]))]  # stable: then by place
    last = np.ones(len(order), dtype=bool)
    last[:-1] = key[order[1:]] != key[order[:-1]]
    valid = np.zeros(len(table), dtype=bool)
    valid[order[last]] = True
    return valid


def read_judgments(table: pa.Table, where: str) -> Judgments:
    """The rows of an annotation table as arrays.

    Args:
        table: columns of `COLUMNS`, as far as it has them; `face_id` and `annotator` are needed.
        where: it comes from, for messages.

    Raises:
        FormatError: a kind or an expression that is none, or a column of the wrong type.
    """
    table = tables.conform(table, _SCHEMA, where)
    face, face_ids = _numbers(table, "face_id")
    person, people = _numbers(table, "annotator")
    kind = _kinds(table, where)
    batch, batches = _numbers(table, "batch")
    expression = _places(table, "expression", [*map(str, EXPRESSIONS)], where)
    affect = np.stack([_floats(table, name) for name in ("valence", "arousal")], axis=1)
    affect[(expression > 8) | np.isnan(affect).any(axis=1)] = np.nan
    origin = _encoded(table, "origin")
    rated = ~np.isin(np.array([*origin.dictionary.to_pylist(), ""]), NOT_RATERS)  # null is last
    return Judgments(
        face=face,
        n_faces=len(face_ids),
        face_ids=face_ids,
        person=person,
        people=people.to_pylist(),
        kind=kind,
        valid=_valid(table, face, person * len(KINDS) + kind, len(people) * len(KINDS)),
        void=_flags(table, "void"),
        from_rater=rated[_indices(origin)],
        expression=expression,
        affect=affect,
        seconds=_floats(table, "seconds"),
        at=_times(table),
        batch=batch,
        batches=batches.to_pylist(),
        region_shown=_flags(table, "region_shown"),
        prelabel_shown=_flags(table, "prelabel_shown"),
        origin=origin,
    )


def count_expressions(
    face: NDArray[np.int64], expression: NDArray[np.int8], n_faces: int
) -> NDArray[np.int64]:
    """How many of the rows put each face into each expression, (n_faces, 11); −1 is left out."""
    k = len(EXPRESSIONS)
    said = expression >= 0
    cells = face[said] * k + expression[said]
    return np.bincount(cells, minlength=n_faces * k).reshape(n_faces, k)


def read_counts(votes: pa.ChunkedArray) -> NDArray[np.int64]:
    """The column `votes` as an array, (n, 11); zeros where it is null."""
    k = len(EXPRESSIONS)
    counts = np.zeros((len(votes), k), np.int64)
    column = votes.combine_chunks()
    known = column.is_valid().to_numpy(zero_copy_only=False)
    flat = column.drop_null().flatten().fill_null(0)
    counts[known] = flat.to_numpy(zero_copy_only=False).reshape(-1, k)
    return counts


def count_votes(dataset: Dataset) -> NDArray[np.int64]:
    """How many raters chose each expression of each face, (n, 11); zeros where nobody is known.

    The column `votes` where a face has it, else the judgments that count in `annotations`.
    """
    column = dataset.faces["votes"]
    counts = read_counts(column)
    known = column.is_valid().to_numpy().astype(bool)
    if dataset.annotations is None or known.all():
        return counts
    judged = read_judgments(dataset.annotations, str(dataset.path / "annotations.parquet"))
    _, rows = judged.counted()
    found = count_expressions(judged.face[rows], judged.expression[rows], judged.n_faces)
    place = pc.index_in(dataset.faces["face_id"], value_set=judged.face_ids)
    place = place.fill_null(-1).to_numpy().astype(np.int64)
    from_rows = ~known & (place >= 0)
    counts[from_rows] = found[place[from_rows]]
    return counts


def _kinds(table: pa.Table, where: str = "the annotations") -> NDArray[np.int8]:
    found = _places(table, "kind", KINDS, where)
    return np.where(found < 0, np.int8(0), found)


def _places(table: pa.Table, name: str, known: Any, where: str) -> NDArray[np.int8]:
    """The position of each value among those that are known; −1 where it is null."""
    encoded = _encoded(table, name)
    names = encoded.dictionary.to_pylist()
    strange = [value for value in names if value not in known]
    if strange:
        raise FormatError(
            f"expected {name} in {where} to be one of {', '.join(known)}, but got {strange[0]}"
        )
    places = np.array([*(known.index(value) for value in names), -1], np.int8)
    return places[_indices(encoded)]


def _encoded(table: pa.Table, name: str) -> pa.DictionaryArray:
    # One array first: to unify the dictionaries of many chunks takes longer than all the rest.
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # no chunk at all
        column = pa.array([], pa.string())
    return column.dictionary_encode()


def _indices(encoded: pa.DictionaryArray) -> NDArray[np.int64]:
    """The number of each value, (n,); −1 where it is null."""
    found = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.int64)


def _numbers(table: pa.Table, name: str) -> tuple[NDArray[np.int64], pa.Array]:
    """Each row's number of its value, −1 where it is null, and the values, sorted.

    Sorted, so that the order of the rows, which a database does not promise, changes no number.
    """
    encoded = _encoded(table, name)
    order = pc.sort_indices(encoded.dictionary).to_numpy().astype(np.int64)
    place = np.full(len(order) + 1, -1, np.int64)  # the last one is for null
    place[order] = np.arange(len(order))
    return place[_indices(encoded)], encoded.dictionary.take(pa.array(order))


def _flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(table[name].fill_null(False).to_numpy(), dtype=bool)


def _floats(table: pa.Table, name: str) -> NDArray[np.float32]:
    return table[name].to_numpy().astype(np.float32)  # type: ignore[no-any-return]


def _times(table: pa.Table) -> NDArray[np.int64]:
    numbers = table["at"].cast(pa.int64()).fill_null(int(_NEVER))
    return np.asarray(numbers.to_numpy(), dtype=np.int64)
