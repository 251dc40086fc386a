"""Withdrawn faces taken out of a dataset, in its own folder."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from openaffect import tables
from openaffect.dataset import Dataset, open_dataset, write_info
from openaffect.errors import ImageError, InputError
from openaffect.faces.signatures import sign_face
from openaffect.image_links import list_links
from openaffect.images import read_image, read_image_file
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_file
from openaffect.withdrawals import FILE, Match, Withdrawals, find_withdrawn, write_withdrawn


@dataclass(slots=True)
class WithdrawSummary:
    """What was taken out of a dataset.

    Attributes:
        faces: their face_ids, in row order.
        images: files that were deleted.
        reasons: number of faces by what they were known by.
        linked_to: the folder of another dataset that holds the images still, or None.
        links: datasets that link to the images of this one; they hold the rows still.
        unreadable: images that could not be looked at, and so are known by their names alone.
    """

    faces: list[str] = field(default_factory=list)
    images: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    linked_to: str | None = None
    links: list[str] = field(default_factory=list)
    unreadable: int = 0


def remove_withdrawn(
    path: str | Path,
    *more: str | Path,
    on_progress: OnProgress | None = None,
) -> WithdrawSummary:
    """Delete withdrawn faces of a dataset, their annotations, and their images if they lie inside.

    All faces of a withdrawn image go. The dataset keeps the hashes in its own `withdrawn.csv`. A
    call that was killed is given again.

    Args:
        path: the dataset.
        more: `withdrawn.csv` files beside its own.
        on_progress: called with the number of images looked at so far.

    Raises:
        FormatError: no dataset, or no list of withdrawals.
        InputError: nothing would be left.
    """
    path = Path(path)
    dataset = open_dataset(path)
    withdrawn = find_withdrawn(path, *more)
    summary = WithdrawSummary()
    matches, summary.unreadable = find_matches(dataset, withdrawn, on_progress)
    images = np.array(dataset.column("image").to_pylist(), object)
    gone = {image for image, match in zip(images, matches, strict=True) if match is not None}
    keep = np.array([image not in gone for image in images], bool)
    summary.faces = [face_id for face_id, kept in zip(dataset.ids, keep, strict=True) if not kept]
    summary.reasons.update(match.kind for match in matches if match is not None)
    if not keep.any():
        raise InputError(f"every face of {path} was withdrawn; delete the folder instead")
    if withdrawn.rows:
        write_withdrawn(withdrawn, path / FILE)  # first: whoever reads the rest obeys it
    inside = Path(os.path.realpath(dataset.images_folder)).is_relative_to(os.path.realpath(path))
    if gone and not inside:
        summary.linked_to = str(dataset.images_folder)
    for image in sorted(gone) if inside else ():
        file = dataset.images_folder / image
        if file.exists():
            file.unlink()
            summary.images += 1
    summary.links = list_links(path) if gone else []
    rest = dataset.select(keep)
    if len(rest) != dataset.info.rows:  # also after a kill between the tables and dataset.json
        _rewrite(rest, path)
    return summary


def find_matches(
    dataset: Dataset,
    withdrawn: Withdrawals,
    on_progress: OnProgress | None = None,
) -> tuple[list[Match | None], int]:
    """Why each face of a dataset is withdrawn, None where it is not; and how many images are unreadable.

    Args:
        dataset: what to look through; its images are decoded where hashes of pixels are known.
        withdrawn: what was withdrawn.
        on_progress: called with the number of images looked at so far.
    """
    n = len(dataset)
    if not withdrawn.rows:
        return [None] * n, 0
    names = dataset.faces.column_names
    urls, files = (
        dataset.faces[name].to_pylist() if name in names else [None] * n
        for name in ("url", "sha256")
    )
    found = [
        withdrawn.find(face_id=face_id, url=url, sha256=sha256)
        for face_id, url, sha256 in zip(dataset.ids, urls, files, strict=True)
    ]
    images: list[str] = dataset.column("image").to_pylist()
    look = functools.partial(_look, dataset.images_folder, withdrawn)
    wanted = list(dict.fromkeys(images))
    unreadable = 0
    by_image: dict[str, Match | None] = {}
    for image, result in zip(wanted, map_in_order(look, wanted, ahead=64), strict=True):
        if isinstance(result, str):
            unreadable += 1
        else:
            by_image[image] = result
        if on_progress is not None:
            on_progress(Progress("reading images", len(by_image) + unreadable, len(wanted)))
    matches = [
        match if match is not None else by_image.get(image)
        for match, image in zip(found, images, strict=True)
    ]
    return matches, unreadable


def _look(folder: Path, withdrawn: Withdrawals, image: str) -> Match | str | None:
    """Whether an image is withdrawn by what it is; a text where it cannot be read."""
    try:
        data = read_image_file(folder / image)
        sha256 = hashlib.sha256(data).hexdigest()
        signature = sign_face(read_image(data, where=image)) if withdrawn.by_pixels else None
    except ImageError as error:
        return str(error)
    return withdrawn.find(sha256=sha256, signature=signature)


def _rewrite(rest: Dataset, path: Path) -> None:
    if rest.annotations is not None:  # first: each row must be of a face that is there
        with atomic_file(path / "annotations.parquet") as temporary:
            tables.write_table(rest.annotations, temporary)
    with atomic_file(path / "faces.parquet") as temporary:
        tables.write_table(rest.faces, temporary)
    info = dataclasses.replace(
        rest.info, rows=len(rest), fingerprint=rest.fingerprint(), content=rest.content()
    )
    write_info(info, path, annotations=rest.annotations is not None)
