"""What is wrong with a dataset: broken files, copies, leaks, and labels that contradict."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect import schemas
from openaffect.circumplex import REGIONS, inside_disc
from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.faces.near_search import Rows, find_copies
from openaffect.faces.signatures import THUMB, Signature, Signatures, sign_picture
from openaffect.labels import Expression
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress

MAX_NEAR = 8
"""The largest distance of near copies; beyond it most candidates are other faces."""


_AHEAD = 1024  # pictures in flight, so that memory does not grow with the dataset


@dataclass(frozen=True, slots=True)
class BrokenFace:
    """A row whose face cannot be seen."""

    face_id: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Faces that are the same picture, sorted by their ids.

    Attributes:
        face_ids: two or more.
        pictures: a number for each face; faces with equal pixels have equal numbers.
        splits: of each face.
        expressions: of each face.
    """

    face_ids: tuple[str, ...]
    pictures: tuple[int, ...]
    splits: tuple[str | None, ...]
    expressions: tuple[str | None, ...]

    @property
    def distinct(self) -> int:
        """How many pictures remain when equal pixels count once."""
        return len(set(self.pictures))

    @property
    def is_leak(self) -> bool:
        """Whether it lies in more than one split; rows without a split lie in none."""
        return len({split for split in self.splits if split is not None}) > 1

    @property
    def is_conflict(self) -> bool:
        """Whether it has more than one expression; rows without one contradict nobody."""
        return len({name for name in self.expressions if name is not None}) > 1


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `check_dataset` found.

    Attributes:
        dataset: the folder that was checked.
        fingerprint: of its rows.
        rows: number of faces.
        near: the most bits by which the hashes of copies differ.
        complete: whether the search for near copies saw every candidate.
        broken: rows whose picture or box cannot be used.
        blank: ids of faces whose picture shows nothing.
        clusters: faces that are the same picture.
        pictures: ids of faces that lie in one picture without being copies of each other.
        odd: ids of faces whose labels or boxes contradict, by what is odd.
        classes: number of faces by split and expression.
        nulls: number of nulls in each column of the schema.
    """

    dataset: str
    fingerprint: str
    rows: int
    near: int
    complete: bool
    broken: tuple[BrokenFace, ...]
    blank: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    pictures: tuple[tuple[str, ...], ...]
    odd: dict[str, tuple[str, ...]]
    classes: dict[tuple[str | None, str | None], int]
    nulls: dict[str, int]

    @property
    def exact_copies(self) -> int:
        """How many faces have the pixels of another, beyond the first of each."""
        return sum(len(cluster.face_ids) - cluster.distinct for cluster in self.clusters)

    @property
    def near_copies(self) -> int:
        """How many different pictures are copies of another, beyond the first of each cluster."""
        return sum(cluster.distinct - 1 for cluster in self.clusters)

    @property
    def leaks(self) -> tuple[Cluster, ...]:
        """The clusters that lie in more than one split."""
        return tuple(cluster for cluster in self.clusters if cluster.is_leak)

    @property
    def leaked(self) -> dict[str, int]:
        """How many faces of `validation` and `test` have a copy in `train`."""
        splits = itertools.chain.from_iterable(c.splits for c in self.leaks if "train" in c.splits)
        counts = collections.Counter(splits)
        return {split: counts[split] for split in schemas.SPLITS[1:]}

    @property
    def conflicts(self) -> tuple[Cluster, ...]:
        """The clusters with more than one expression."""
        return tuple(cluster for cluster in self.clusters if cluster.is_conflict)

    def summary(self) -> dict[str, int]:
        """How many of each finding, in the order of a table."""
        return {
            "faces": self.rows,
            "broken": len(self.broken),
            "blank pictures": len(self.blank),
            "exact copies": self.exact_copies,
            "near copies": self.near_copies,
            "clusters of copies": len(self.clusters),
            "clusters across splits": len(self.leaks),
            **{f"{split} faces also in train": n for split, n in self.leaked.items()},
            "clusters with several expressions": len(self.conflicts),
            "pictures with several faces": len(self.pictures),
            **{what: len(ids) for what, ids in self.odd.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            **dataclasses.asdict(self),
            "clusters": [
                {**dataclasses.asdict(c), "leak": c.is_leak, "conflict": c.is_conflict}
                for c in self.clusters
            ],
            "classes": [
                {"split": split, "expression": expression, "faces": count}
                for (split, expression), count in self.classes.items()
            ],
            "summary": self.summary(),
        }


def check_dataset(
    dataset: Dataset,
    *,
    near: int = 4,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> CheckResult:
    """Look at every picture and label of a dataset; nothing is changed.

    Args:
        dataset: the dataset.
        near: the most bits, of 64, by which the difference hashes of copies may differ; 0 to 8.
        workers: threads that decode; as many as there are processors by default.
        on_progress: called now and then with the number of pictures done.

    Raises:
        InputError: `near` is out of range, or `workers` is less than 1.
    """
    if not 0 <= near <= MAX_NEAR:
        raise InputError(f"expected near, in bits, from 0 to {MAX_NEAR}, but got {near}")
    if workers is not None and workers < 1:
        raise InputError(f"expected one worker or more, but got {workers}")
    signatures = sign_dataset(dataset, workers=workers, on_progress=on_progress)
    labels, complete = find_copies(signatures, near)
    ids = np.array(dataset.ids, dtype=object)
    images = dataset.faces["image"].to_pylist()
    return CheckResult(
        dataset=str(dataset.path),
        fingerprint=dataset.fingerprint(),
        rows=len(dataset),
        near=near,
        complete=complete,
        broken=tuple(
            sorted(
                (BrokenFace(ids[row], images[row], why) for row, why in signatures.broken.items()),
                key=lambda face: face.face_id,
            )
        ),
        blank=_named(ids, signatures.blank),
        clusters=_clusters(dataset, ids, signatures, labels),
        pictures=_shared_pictures(ids, signatures, labels),
        odd={
            what: _named(ids, mask)
            for what, mask in {
                **odd_labels(dataset),
                "box leaves the picture": signatures.leaves,
            }.items()
        },
        classes=dataset.class_counts(),
        nulls={field.name: dataset.faces[field.name].null_count for field in schemas.FACES},
    )


def odd_labels(dataset: Dataset) -> dict[str, NDArray[np.bool_]]:
    """Which rows have labels that contradict each other, bool (n,), by what is odd.

    The sign of valence is judged where the expected region of an expression lies on one side of
    zero: happy, sad, fear, disgust and anger.
    """
    valence, arousal = dataset.affect.T
    known = ~np.isnan(valence)
    expressions = dataset.expression_ids
    outside = np.zeros(len(dataset), dtype=bool)
    opposite = np.zeros(len(dataset), dtype=bool)
    for expression, region in REGIONS.items():
        rows = known & (expressions == expression.id)
        outside |= rows & ~region.contains(valence, arousal)
        if region.valence[0] >= 0:
            opposite |= rows & (valence < 0)
        elif region.valence[1] <= 0:
            opposite |= rows & (valence > 0)
    uncertain = expressions == Expression.UNCERTAIN.id
    no_face = expressions == Expression.NO_FACE.id
    soft = dataset.faces["soft_label"].is_valid().to_numpy()
    return {
        "valence/arousal outside the region of the expression": outside,
        "valence of the opposite sign": opposite,
        "valence/arousal outside the unit disc": known & ~inside_disc(valence, arousal),
        "uncertain, but with valence/arousal": uncertain & known,
        "no face, but with valence/arousal": no_face & known,
        "no face, but with a soft label": no_face & soft,
    }


def sign_dataset(
    dataset: Dataset,
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Signatures:
    """Decode every picture of a dataset once and keep what its faces are recognized by.

    Args:
        dataset: whose pictures are read; a picture that cannot be read is never an error.
        workers: threads that decode; as many as there are processors by default.
        on_progress: called now and then with the number of pictures done.
    """
    n = len(dataset)
    images = dataset.faces["image"].combine_chunks().dictionary_encode()
    codes = images.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    names = images.dictionary.to_pylist()
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
    boxes = dataset.lists("box")
    result = Signatures(
        pixels=np.zeros(n, np.uint64),
        picture=np.zeros(n, np.uint64),
        dhash=np.zeros(n, np.uint64),
        mirrored=np.zeros(n, np.uint64),
        thumbs=np.zeros((n, THUMB * THUMB), np.uint8),
        leaves=np.zeros(n, dtype=bool),
        broken={},
    )

    def work(number: int) -> list[tuple[int, Signature | str]]:
        rows = order[starts[number] : starts[number + 1]].tolist()
        path = dataset.images_folder / names[number]
        return list(zip(rows, sign_picture(path, boxes[rows]), strict=True))

    signed = map_in_order(work, range(len(names)), workers=workers, ahead=_AHEAD)
    for done, faces in enumerate(signed, 1):
        for row, found in faces:
            if isinstance(found, str):
                result.broken[row] = found
            else:
                result.pixels[row], result.picture[row] = found.pixels, found.picture
                result.dhash[row], result.mirrored[row] = found.dhash, found.mirrored
                result.thumbs[row], result.leaves[row] = found.thumb, found.leaves
        if on_progress is not None and (done % _AHEAD == 0 or done == len(names)):
            on_progress(Progress("reading images", done, len(names)))
    return result


def _named(ids: NDArray[np.object_], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(sorted(ids[mask]))


def _clusters(
    dataset: Dataset, ids: NDArray[np.object_], signatures: Signatures, labels: Rows
) -> tuple[Cluster, ...]:
    splits = dataset.faces["split"].to_pylist()
    expressions = dataset.faces["expression"].to_pylist()
    found = []
    for rows in _members(labels):
        members = sorted(rows.tolist(), key=lambda row: ids[row])
        numbers: dict[int, int] = {}
        pictures = [numbers.setdefault(int(signatures.pixels[r]), len(numbers)) for r in members]
        found.append(
            Cluster(
                face_ids=tuple(ids[row] for row in members),
                pictures=tuple(pictures),
                splits=tuple(splits[row] for row in members),
                expressions=tuple(expressions[row] for row in members),
            )
        )
    return tuple(sorted(found, key=lambda cluster: cluster.face_ids))


def _shared_pictures(
    ids: NDArray[np.object_], signatures: Signatures, labels: Rows
) -> tuple[tuple[str, ...], ...]:
    readable = np.flatnonzero(signatures.readable)
    shared = [
        tuple(sorted(ids[readable[members]]))
        for members in _members(signatures.picture[readable])
        if len(np.unique(labels[readable[members]])) > 1
    ]
    return tuple(sorted(shared))


def _members(keys: NDArray[Any]) -> list[Rows]:
    """The rows of every key that two or more rows have."""
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return [rows for rows in np.split(order, borders) if len(rows) > 1]
