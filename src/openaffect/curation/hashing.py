"""What a picture is recognised by, and the search for pictures that are the same.

Every face gives three small things: a digest of its pixels (the same pixels, whatever file they
lie in), a 64-bit difference hash (as it is and mirrored) and a 16 × 16 grey thumbnail. Hashes that differ in a few bits
make candidates, the thumbnails decide: on 48 × 48 faces half of the candidates are other people.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import ImageError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.images import Pixels, read_image, resize_image

Hashes: TypeAlias = NDArray[np.uint64]
Rows: TypeAlias = NDArray[np.int64]

FACE = CropRule(margin=0.15, square=False)
"""How a face with a box is framed before it is hashed."""

THUMB = 16
"""Side of the thumbnail in pixels."""

ALIKE = 0.95
"""The least correlation of two thumbnails that makes them one picture.

On pairs of FER+ pictures whose hashes differ in at most four bits, those above are copies by eye
and those below 0.92 mostly other people (docs/curation.md)."""

BLANK = 2.0
"""A thumbnail with a smaller standard deviation, in grey levels, shows nothing."""

COMPARISONS = 100
"""With how many neighbours a hash is compared in each table, on average, at most.

On FER+ it is less than one (at most 4 bits) or five (8 bits); it grows with the dataset."""

FEW = 10_000_000
"""So many comparisons in a table are always made: a tenth of a second."""

_BATCH = 1024  # pictures in flight, so that memory does not grow with the dataset


@dataclass(frozen=True, slots=True)
class Signature:
    """What one face is recognised by.

    Attributes:
        pixels: 64 bits of the SHA-256 of the face's pixels and their shape.
        picture: the same of the whole picture; equal to `pixels` where there is no box.
        dhash: the difference hash of the face.
        mirrored: the difference hash of the face seen in a mirror.
        thumb: uint8 (256,), the face as 16 × 16 grey pixels.
        leaves: whether the box leaves the picture in part.
    """

    pixels: int
    picture: int
    dhash: int
    mirrored: int
    thumb: NDArray[np.uint8]
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Signatures:
    """What the faces of a dataset are recognised by, in row order; about 300 bytes a face.

    Attributes:
        pixels, picture, dhash, mirrored: uint64 (n,); see `Signature`.
        thumbs: uint8 (n, 256).
        leaves: bool (n,), whether the box leaves the picture in part.
        broken: why a row has no signature, by row; the values of such rows are 0.
    """

    pixels: Hashes
    picture: Hashes
    dhash: Hashes
    mirrored: Hashes
    thumbs: NDArray[np.uint8]
    leaves: NDArray[np.bool_]
    broken: dict[int, str]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Whether a row has a signature, bool (n,)."""
        mask = np.ones(len(self.pixels), dtype=bool)
        mask[list(self.broken)] = False
        return mask

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Whether a row has a picture that shows nothing, bool (n,)."""
        result = np.zeros(len(self.thumbs), dtype=bool)
        for start in range(0, len(result), 65_536):  # the deviations need floats
            result[start : start + 65_536] = self.thumbs[start : start + 65_536].std(axis=1) < BLANK
        return result & self.readable


def dhash(image: Pixels) -> int:
    """The 64-bit difference hash: whether each of 9 × 8 grey cells is brighter than the next.

    Args:
        image: RGB uint8 (h, w, 3).

    Reference: N. Krawetz, "Kind of Like That" (2013).

    >>> dhash(np.full((20, 20, 3), 7, np.uint8))
    0
    """
    return _look(image)[0]


def sign_face(image: Pixels, box: Box | None = None) -> Signature:
    """What a face is recognised by.

    Args:
        image: the whole picture, RGB uint8 (h, w, 3).
        box: of the face; None where the picture already is the crop.

    Raises:
        ImageError: the box lies outside the picture.
    """
    picture = _digest(image)
    if box is None:
        return Signature(picture, picture, *_look(image))
    height, width = image.shape[:2]
    # Clipped first: a box of absurd size would make a crop of absurd size.
    inside = box.clip(width, height)
    if inside is None:
        raise ImageError(f"the box lies outside the picture of {width} × {height} pixels")
    face = np.ascontiguousarray(crop(image, inside, FACE))
    return Signature(_digest(face), picture, *_look(face), leaves=inside != box)


def sign_faces(
    dataset: Dataset,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Signatures:
    """Decode every picture of a dataset once and keep what its faces are recognised by.

    Args:
        dataset: whose pictures are read; a picture that cannot be read is never an error.
        workers: threads that decode; as many as there are processors by default.
        progress: called now and then with the number of pictures done.
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
        return list(zip(rows, _sign_picture(path, boxes[rows]), strict=True))

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(names), _BATCH):
            batch = range(start, min(start + _BATCH, len(names)))
            for row, found in itertools.chain.from_iterable(pool.map(work, batch)):
                if isinstance(found, str):
                    result.broken[row] = found
                else:
                    result.pixels[row], result.picture[row] = found.pixels, found.picture
                    result.dhash[row], result.mirrored[row] = found.dhash, found.mirrored
                    result.thumbs[row], result.leaves[row] = found.thumb, found.leaves
            if progress is not None:
                progress(batch.stop)
    return result


def _sign_picture(path: Path, boxes: NDArray[np.float32]) -> Sequence[Signature | str]:
    """The signatures of the faces in one picture, or why there is none; a null box is NaN."""
    try:
        image = read_image(path, where=path.name)
    except ImageError as error:
        return [str(error)] * len(boxes)
    found: list[Signature | str] = []
    for values in boxes:
        try:
            box = None if np.isnan(values).all() else Box(*values.tolist())
            found.append(sign_face(image, box))
        except (ImageError, ValueError) as error:  # ValueError: a box without a size
            found.append(str(error))
    return found


def _digest(image: Pixels) -> int:
    hashed = hashlib.sha256(repr(image.shape).encode())
    hashed.update(np.ascontiguousarray(image).data)
    return int.from_bytes(hashed.digest()[:8], "big")


def _look(image: Pixels) -> tuple[int, int, NDArray[np.uint8]]:
    """The difference hash as it is and mirrored, and the thumbnail."""
    grey: Pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    cells = resize_image(grey, 9, 8)
    thumb = resize_image(grey, THUMB, THUMB).reshape(-1)
    return _difference(cells), _difference(cells[:, ::-1]), thumb


def _difference(cells: Pixels) -> int:
    return int.from_bytes(np.packbits(cells[:, :-1] > cells[:, 1:]).tobytes(), "big")


class NearSearch:
    """All pairs of hashes that differ in at most `distance` bits, without comparing all pairs.

    The 64 bits are dealt out to `distance` + 3 bands, so at least three bands of such a pair are
    equal. For each three bands the hashes are sorted by those, and equal neighbours compared; a
    pair counts in the table of its first three equal bands only, so that it comes once.
    The bands take every so-manieth bit: neighbouring bits of pictures hang together.

    In each table every hash is compared with its next neighbour, those that share its bands with
    the one after, and so on, until there are none or `budget` comparisons are made: that bounds
    the time whatever the pictures are. `complete` tells whether it left anything out.
    """

    def __init__(self, hashes: Hashes, distance: int, budget: int | None = None) -> None:
        self._hashes = hashes
        self._distance = distance
        self._budget = max(FEW, COMPARISONS * len(hashes)) if budget is None else budget
        self.complete = True

    def pairs(self) -> Iterator[tuple[Rows, Rows]]:
        """Arrays of the lower and the higher index of pairs, a portion at a time."""
        by_value = np.argsort(self._hashes, kind="stable")
        values = self._hashes[by_value]
        bands = self._distance + 3
        masks = [np.uint64(sum(1 << bit for bit in range(b, 64, bands))) for b in range(bands)]
        for chosen in itertools.combinations(range(bands), 3):
            keys = values & (masks[chosen[0]] | masks[chosen[1]] | masks[chosen[2]])
            order = np.argsort(keys, kind="stable")
            earlier = [masks[band] for band in range(chosen[2]) if band not in chosen]
            for left, right in self._table(keys[order], values[order], earlier):
                a, b = by_value[order[left]], by_value[order[right]]
                yield np.minimum(a, b), np.maximum(a, b)

    def _table(
        self, keys: Hashes, values: Hashes, earlier: Sequence[np.uint64]
    ) -> Iterator[tuple[Rows, Rows]]:
        rows = np.arange(len(keys), dtype=np.int64)
        compared = 0
        for step in range(1, len(keys)):
            rows = rows[rows + step < len(keys)]
            rows = rows[keys[rows] == keys[rows + step]]
            if not len(rows):
                return
            compared += len(rows)
            if compared > self._budget:
                self.complete = False
                return
            differing = values[rows] ^ values[rows + step]
            near = count_bits(differing) <= self._distance
            for mask in earlier:
                near &= (differing & mask) != 0
            if near.any():
                yield rows[near], rows[near] + step


def count_bits(values: Hashes) -> NDArray[np.uint64]:
    """How many bits of each uint64 are set; shape of the input.

    >>> count_bits(np.array([0, 7, 2**64 - 1], np.uint64)).tolist()
    [0, 3, 64]
    """
    # Sums of neighbouring bits, pairs and nibbles; numpy has bitwise_count only since version 2.
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    pairs, nibbles = np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    values = values - ((values >> one) & np.uint64(0x5555555555555555))
    values = (values & pairs) + ((values >> two) & pairs)
    values = (values + (values >> four)) & nibbles
    result: Hashes = (values * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return result


class Components:
    """Union-find over n things, many pairs at a time.

    Attributes:
        labels: int64 (n,), the smallest member of each thing's component.
    """

    def __init__(self, n: int) -> None:
        self.labels: Rows = np.arange(n, dtype=np.int64)

    def join(self, left: Rows, right: Rows) -> None:
        """Put the two things of every pair into one component."""
        while True:
            a, b = self.labels[left], self.labels[right]
            apart = a != b
            if not apart.any():
                return
            left, right, a, b = left[apart], right[apart], a[apart], b[apart]
            np.minimum.at(self.labels, np.maximum(a, b), np.minimum(a, b))
            while not np.array_equal(upper := self.labels[self.labels], self.labels):
                self.labels = upper

    def join_equal(self, keys: NDArray[np.generic], rows: Rows) -> None:
        """Join those of the rows that have equal keys; `keys` is (len(rows),)."""
        order = np.argsort(keys, kind="stable")
        equal = keys[order][:-1] == keys[order][1:]
        self.join(rows[order][:-1][equal], rows[order][1:][equal])


def find_copies(signatures: Signatures, near: int) -> tuple[Rows, bool]:
    """Which faces are the same picture, as it is or mirrored.

    Args:
        signatures: of n faces.
        near: the most bits by which the hashes of copies may differ; 0 needs equal hashes.

    Returns:
        int64 (n,), the first row of each row's cluster; and whether the search was complete.
        Rows that are broken are alone; rows that are blank are joined only by equal pixels.
    """
    components = Components(len(signatures.pixels))
    rows = np.flatnonzero(signatures.readable)
    components.join_equal(signatures.pixels[rows], rows)
    firsts = components.labels == np.arange(len(components.labels))
    rows = np.flatnonzero(firsts & signatures.readable & ~signatures.blank)
    n = len(rows)
    both = np.concatenate([signatures.dhash[rows], signatures.mirrored[rows]])
    search = NearSearch(both, near)
    for pairs in search.pairs():
        new = pairs[0] < n  # what is near in two mirrors is near without them
        left, right = pairs[0][new], pairs[1][new]
        for start in range(0, len(left), 32_768):  # bounds the floats of the thumbnails
            part = slice(start, start + 32_768)
            a, b, in_mirror = rows[left[part]], rows[right[part] % n], right[part] >= n
            apart = components.labels[a] != components.labels[b]
            a, b, in_mirror = a[apart], b[apart], in_mirror[apart]
            others = signatures.thumbs[b]
            others[in_mirror] = mirror(others[in_mirror])
            alike = correlate(signatures.thumbs[a], others) >= ALIKE
            components.join(a[alike], b[alike])
    return components.labels, search.complete


def mirror(thumbs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Thumbnails (m, 256) with left and right exchanged."""
    return thumbs.reshape(-1, THUMB, THUMB)[:, :, ::-1].reshape(-1, THUMB * THUMB)


def correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pearson's correlation of each row of `a` with the same row of `b`; (m, k), (m, k) → (m,).

    NaN where a row is constant.
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float32] = (x * y).sum(axis=1) / scale
    return result
