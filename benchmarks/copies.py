"""The tables of docs/curation.md: which FER+ pictures are copies of each other.

    OPENAFFECT_TEST_DATA=FOLDER python benchmarks/copies.py

reads `ferplus.zip` in that folder. Prints pairs of different pictures with near hashes by the
correlation of their thumbnails, what `check --near N` finds for each N, and how many changed
copies are found again.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from openaffect.curation.checking import sign_dataset
from openaffect.dataset import Dataset
from openaffect.faces.near_search import (
    ALIKE,
    Components,
    NearSearch,
    Rows,
    count_bits,
    find_copies,
)
from openaffect.faces.signatures import Signatures, correlate, mirror, sign_face
from openaffect.formats import import_dataset
from openaffect.images import Pixels, encode_image, read_image, resize_image

NEAR = 4
BORDERS = (1.01, 0.985, 0.97, 0.955, 0.94, 0.92, 0.90, -1.01)
CHANGED = 1000


def main() -> None:
    archive = Path(os.environ.get("OPENAFFECT_TEST_DATA", "")) / "ferplus.zip"
    if not archive.is_file():
        print("copies.py: skipped; set OPENAFFECT_TEST_DATA to the folder with ferplus.zip")
        return
    with tempfile.TemporaryDirectory() as folder:
        dataset, _ = import_dataset("ferplus", archive, Path(folder) / "dataset")
        start = time.perf_counter()
        signatures = sign_dataset(dataset)
        print(f"{len(dataset):,} faces, signed in {time.perf_counter() - start:.0f} s")
        print_correlations(signatures)
        print_distances(dataset, signatures)
        print_changes(dataset)


def first_rows(signatures: Signatures) -> Rows:
    """One row of each different picture that shows something."""
    exact = exact_copies(signatures)
    return np.flatnonzero((exact == np.arange(len(exact))) & ~signatures.blank)


def exact_copies(signatures: Signatures) -> Rows:
    components = Components(len(signatures.pixels))
    components.join_equal(signatures.pixels, np.arange(len(signatures.pixels)))
    return components.labels


def print_correlations(signatures: Signatures) -> None:
    rows = first_rows(signatures)
    portions = [
        correlate(signatures.thumbs[rows[left]], signatures.thumbs[rows[right]])
        for left, right in NearSearch(signatures.dhash[rows], NEAR).pairs()
    ]
    values = np.concatenate(portions)
    print(
        f"{len(rows):,} different pictures; {len(values):,} pairs within {NEAR} bits, "
        "by the correlation of their thumbnails"
    )
    for high, low in itertools.pairwise(BORDERS):
        count = int(((values >= low) & (values < high)).sum())
        print(f"  {max(low, -1):6.3f} to {min(high, 1):5.3f}  {count:6,}")


def print_distances(dataset: Dataset, signatures: Signatures) -> None:
    splits = np.array(dataset.faces["split"].to_pylist())
    exact = exact_copies(signatures)
    repeated = np.unique(exact, return_counts=True)[1]
    print(
        f"{len(exact) - len(repeated):,} exact copies in {int((repeated > 1).sum()):,} groups; "
        f"{int((splits == 'validation').sum()):,} validation faces"
    )
    print("  near   near copies   clusters across splits   validation also in train   largest")
    print_row("exact", exact, exact, splits)
    for near in (0, 2, 4, 6, 8):
        labels, complete = find_copies(signatures, near)
        print_row(f"{near}" if complete else f"{near} (cut off)", labels, exact, splits)


def print_row(name: str, labels: Rows, exact: Rows, splits: np.ndarray) -> None:
    different = len(np.unique(exact))
    held = {split: np.unique(labels[splits == split]) for split in np.unique(splits)}
    several = np.unique(np.concatenate([*held.values()]), return_counts=True)[1]
    leaked = np.isin(labels[splits == "validation"], held["train"]).sum()
    largest = np.unique(labels[np.unique(exact)], return_counts=True)[1].max()
    print(
        f"  {name:6s} {different - len(np.unique(labels)):9,} {int((several > 1).sum()):20,} "
        f"{int(leaked):24,} {int(largest):15,}"
    )


def changes() -> Iterator[tuple[str, Callable[[Pixels], Pixels]]]:
    yield "saved as JPEG, quality 75", lambda p: read_image(encode_image(p, ".jpg", 75))
    yield "resized to 96 × 96 and back", lambda p: resize_image(resize_image(p, 96, 96), 48, 48)
    yield "resized to 40 × 40", lambda p: resize_image(p, 40, 40)
    yield "darker by 30 %", lambda p: brighten(p, 0.7)
    yield "brighter by 10 %", lambda p: brighten(p, 1.1)
    yield "brighter by 30 %", lambda p: brighten(p, 1.3)
    yield "cut by 2 % on one side", lambda p: p[:, 1:]
    yield "cut by 2 % all around", lambda p: p[1:-1, 1:-1]
    yield "mirrored", lambda p: p[:, ::-1]
    yield "mirrored, JPEG, quality 75", lambda p: read_image(encode_image(p[:, ::-1], ".jpg", 75))
    yield "enlarged by 5 %", lambda p: warp(p, zoom=1.05)
    yield "enlarged by 10 %", lambda p: warp(p, zoom=1.10)
    yield "enlarged by 20 %", lambda p: warp(p, zoom=1.20)
    yield "rotated by 2°", lambda p: warp(p, degrees=2)
    yield "rotated by 5°", lambda p: warp(p, degrees=5)
    yield "rotated by 10°", lambda p: warp(p, degrees=10)
    yield "shifted by 2 % to the right", lambda p: warp(p, shift=1)
    yield "shifted by 4 % to the right", lambda p: warp(p, shift=2)
    yield "shifted by 8 % to the right", lambda p: warp(p, shift=4)


def warp(image: Pixels, degrees: float = 0, zoom: float = 1, shift: float = 0) -> Pixels:
    """The picture turned and enlarged about its middle, then shifted by pixels; the edge repeats."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, zoom)
    matrix[0, 2] += shift
    turned = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def brighten(image: Pixels, factor: float) -> Pixels:
    """The picture with each value multiplied, cut off at 255."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), np.uint8)


def print_changes(dataset: Dataset) -> None:
    chosen = np.random.default_rng(0).choice(len(dataset), CHANGED, replace=False)
    pictures = [dataset.image(int(row)) for row in chosen]
    before = [sign_face(picture) for picture in pictures]
    shown = np.array([one.thumb.std() >= 2 for one in before])
    print(f"{int(shown.sum()):,} pictures changed: copies found at 4, 6 and 8 bits; bits, median")
    for name, change in changes():
        after = [sign_face(np.ascontiguousarray(change(picture))) for picture in pictures]
        hashes = np.array([a.dhash for a in before], np.uint64)
        thumbs = [np.stack([one.thumb for one in side]) for side in (before, after)]
        ways = (
            (np.array([b.dhash for b in after], np.uint64), thumbs[1]),
            (np.array([b.mirrored for b in after], np.uint64), mirror(thumbs[1])),
        )
        bits = [count_bits(hashes ^ others) for others, _ in ways]
        alike = [correlate(thumbs[0], others) >= ALIKE for _, others in ways]
        shares = [
            float(((bits[0] <= near) & alike[0] | (bits[1] <= near) & alike[1])[shown].mean())
            for near in (4, 6, 8)
        ]
        median = min(np.median(found[shown]) for found in bits)
        print(f"  {name:30s} " + "  ".join(f"{s:6.1%}" for s in shares) + f"   {median:.0f}")


if __name__ == "__main__":
    main()
