"""Which images of a project are copies of others: resized, compressed again, cut a little, captioned.

Of each cluster one image stays: one that was searched for faces, or the largest. The others leave
the queue of `detect`; they stay in the project, each with the image of which it is a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.collection.duplicates import find_near_copies
from openaffect.progress import OnProgress
from openaffect.project import Project
from openaffect.project.copies import (
    Looks,
    free_copies,
    mark_copies,
    needs_comparison,
    note_comparison,
    open_looks,
)

_ROWS = 1_000  # of one transaction


@dataclass(frozen=True, slots=True)
class CopySummary:
    """What a search for copies has found.

    Attributes:
        images: that were compared.
        copies: that are copies of others.
        new: of them, those that were not known.
        complete: whether nothing was left out; see `duplicates.Copies`.
    """

    images: int = 0
    copies: int = 0
    new: int = 0
    complete: bool = True


def find_image_copies(project: Project, *, on_progress: OnProgress | None = None) -> CopySummary:
    """Find the copies among all images of a project, and take them out of the queue of `detect`.

    An image whose faces have been found, or came with it, is never made a copy.

    Args:
        project: an open project.
        on_progress: called now and then with how far the search is.

    Raises:
        DatabaseError: the database does not answer.
    """
    with open_looks(project.database) as looks:
        found = find_near_copies(looks.pixels, looks.thumbs, on_progress=on_progress)
        wanted = choose_originals(looks, found.labels)
    before = dict(zip(looks.ids.tolist(), looks.copy_of.tolist(), strict=True))
    changed = {number: of for number, of in wanted.items() if before[number] != of}
    freed = [number for number, of in before.items() if of and number not in wanted]
    for start in range(0, len(changed), _ROWS):
        part = dict(list(changed.items())[start : start + _ROWS])
        with project.database.write() as connection:
            mark_copies(connection, part)
    with project.database.write() as connection:
        free_copies(connection, freed)
        note_comparison(connection, len(before))
    new = sum(before[number] == 0 for number in changed)
    return CopySummary(len(looks.ids), len(wanted), new, found.complete)


def is_compared(project: Project) -> bool:
    """Whether all images were compared since the last of them came or went."""
    with project.database.read() as connection:
        return not needs_comparison(connection)


def choose_originals(looks: Looks, labels: NDArray[np.int64]) -> dict[int, int]:
    """The image that stays for each copy, by the copy's id.

    Args:
        looks: of n images.
        labels: int64 (n,), the cluster of each image.
    """
    # Searched ones first, then the largest, then the oldest.
    order = np.lexsort((looks.ids, -looks.areas, ~looks.searched, labels))
    clusters = labels[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = clusters[1:] != clusters[:-1]
    firsts = order[is_first]
    original = np.empty(len(order), np.int64)
    original[order] = firsts[np.cumsum(is_first) - 1]
    copies = np.flatnonzero((original != np.arange(len(order))) & ~looks.searched)
    return dict(zip(looks.ids[copies].tolist(), looks.ids[original[copies]].tolist(), strict=True))
