"""Which faces no split may separate: one photograph, one address, copies, or a group from outside."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect.errors import ImageError
from openaffect.faces.near_search import Components, NearSearch, find_copies
from openaffect.faces.signatures import HASH_VERSION, THUMB, Signatures, sign_face
from openaffect.images import read_image
from openaffect.parallel import map_in_order
from openaffect.project.store import Store
from openaffect.withdrawals import normalize_url

NEAR = 4
"""The largest distance of near copies, as in `check`."""


def group_faces(
    outline: Mapping[str, Sequence[Any]], store: Store
) -> tuple[list[str | None], bool]:
    """The group of each face, None for a face that is alone; and whether all copies were sought.

    A group that has one name from outside keeps it; others are called after their first face.

    Args:
        outline: of `read_outline`.
        store: in which the images of near hashes are compared by their thumbnails.
    """
    n = len(outline["face_id"])
    faces = Components(n)
    images = np.asarray(outline["image_id"], np.int64)
    faces.join_equal(images, np.arange(n))
    for name in ("url", "group"):
        _join_texts(faces, outline[name], as_url=name == "url")
    # Copies are sought among images, each by its first face.
    _, first = np.unique(images, return_index=True)
    known = np.array([version == HASH_VERSION for version in outline["hash_version"]], bool)
    rows = first[known[first]]
    pixels, dhash, mirrored = (
        np.array([outline[name][row] for row in rows], np.int64).view(np.uint64)
        for name in ("pixels", "dhash", "mirrored")
    )
    faces.join_equal(pixels, rows)
    near, complete = _near(dhash, mirrored)
    if len(near):
        kept = [(outline["sha256"][rows[i]], outline["suffix"][rows[i]]) for i in near]
        thumbs = map_in_order(functools.partial(_thumb, store), kept, workers=store.workers)
        signatures = Signatures(
            pixels=pixels[near],
            picture=pixels[near],
            dhash=dhash[near],
            mirrored=mirrored[near],
            thumbs=np.stack(list(thumbs)),
            leaves=np.zeros(len(near), bool),
            broken={},
        )
        copies, searched = find_copies(signatures, NEAR)
        complete &= searched
        faces.join(rows[near], rows[near][copies])
    return _name(faces.labels, outline["face_id"], outline["group"]), complete


def _join_texts(faces: Components, texts: Sequence[str | None], *, as_url: bool) -> None:
    rows = np.array([row for row, text in enumerate(texts) if text is not None], np.int64)
    if len(rows):
        values = [texts[row] or "" for row in rows]
        names = pa.array([normalize_url(text) if as_url else text for text in values])
        faces.join_equal(names.dictionary_encode().indices.to_numpy(), rows)


def _near(
    dhash: NDArray[np.uint64], mirrored: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], bool]:
    """The images whose hash is near to that of another one, and whether the search was complete."""
    n = len(dhash)
    search = NearSearch(np.concatenate([dhash, mirrored]), NEAR)
    found = np.zeros(n, bool)
    for left, right in search.pairs():
        apart = left % n != right % n  # an image may be near to its own mirror
        found[left[apart] % n] = True
        found[right[apart] % n] = True
    return np.flatnonzero(found), search.complete


def _thumb(store: Store, name: tuple[str, str]) -> NDArray[np.uint8]:
    try:
        return sign_face(read_image(store.read(*name), where=name[0])).thumb
    except ImageError:  # it shows nothing, and so is like nothing
        return np.zeros(THUMB * THUMB, np.uint8)


def _name(
    labels: NDArray[np.int64], face_ids: Sequence[str], groups: Sequence[str | None]
) -> list[str | None]:
    members = np.bincount(labels, minlength=len(labels))
    given: dict[int, set[str]] = {}
    for row, group in enumerate(groups):
        if group is not None:
            given.setdefault(int(labels[row]), set()).add(group)
    taken = set(groups)
    named: dict[int, str | None] = {}
    for label in np.unique(labels).tolist():
        names = given.get(label, set())
        name = next(iter(names)) if len(names) == 1 else face_ids[label]
        while len(names) != 1 and name in taken:  # by a group from outside
            name += "'"
        named[label] = name if names or members[label] > 1 else None
    return [named[label] for label in labels.tolist()]
