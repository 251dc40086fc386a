"""How many altered copies `find_near_copies` finds among many images, and what it joins wrongly.

    OPENAFFECT_TEST_DATA=FOLDER python benchmarks/duplicates.py [--images 1800000] [--choose]

reads `photos.zip` in that folder. An image is a window of a photograph, of 48 pixels or more, at a
random place and of a random size and shape. Windows of one photograph overlap by less than .6
(intersection over union), so no two of them are copies: **every two windows that end in one
cluster, with whatever lies between them, are an error**. A window of 48 pixels may show a wall, as
no photograph would; such windows are among the images, but the pairs are drawn from windows with as
much detail as all but one in a hundred of the whole photographs has (`measure_detail`). One image
in 90 is the altered copy of such a window, in equal parts: resized (× .5–2), JPEG (40–95), made
brighter or darker (15 %), cut (0–3 % on each side), with a caption (8–15 % of the height, white or
black, above or below, added or laid over), or all five. Reported besides, each with one image in
1,800: the five at once of windows of less detail; mirrored and JPEG; rotated by 90° and by 5°.

The people of `photos.zip` are split: thresholds are chosen on a quarter of them (`--choose`, with a
quarter of the images), and all other figures are of the rest. Recall counts pairs in one cluster;
precision is the share of true pairs among those that share a cluster. Memory is that of a process
that does nothing but the search, with its thumbnails mapped from a file.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.collection import duplicates
from openaffect.collection.duplicates import find_near_copies
from openaffect.collection.spectra import measure_detail
from openaffect.faces.signatures import Signature, sign_face
from openaffect.images import Pixels, encode_image, read_image, resize_image
from openaffect.parallel import map_in_order

LEAST_PHOTO = 200  # pixels; smaller photographs give few windows
LEAST_WINDOW = 48
OVERLAP = 0.6
TRIES = 30_000
PAIRS, OTHERS = 1 / 90, 1 / 1800  # of the images
HELD = 6  # the first kinds of copies are held to the aim
CHOICES = ((0.98, 0.96), (0.99, 0.95), (0.99, 0.96), (0.99, 0.965), (0.99, 0.97), (0.99, 0.98))

Random = np.random.Generator


@dataclass(frozen=True)
class Photo:
    number: int
    pixels: Pixels
    windows: int
    pairs: int
    others: int
    least_detail: float


@dataclass(frozen=True)
class Images:
    """`origin` is the window of which an image is a copy, or its own row; `kind` is -1 then."""

    pixels: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]
    origin: NDArray[np.int64]
    kind: NDArray[np.int64]
    photo: NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=180_000)
    parser.add_argument("--choose", action="store_true", help="print how thresholds were chosen")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        search(options.search)
        return
    archive = Path(os.environ.get("OPENAFFECT_TEST_DATA", "")) / "photos.zip"
    if not archive.is_file():
        print("duplicates.py: skipped; set OPENAFFECT_TEST_DATA to the folder with photos.zip")
        return
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        images = make(archive, options.images, Path(folder), choosing=options.choose)
        print(
            f"{len(images.kind):,} images made in {time.perf_counter() - start:.0f} s", flush=True
        )
        if options.choose:
            choose(images)
        else:
            command = [sys.executable, __file__, "--search", folder]
            if os.spawnv(os.P_WAIT, sys.executable, command):
                raise SystemExit("the search failed")
            report(images, np.load(Path(folder) / "labels.npy"))


def search(folder: Path) -> None:
    """Search in this process, print what it took, and write the labels."""
    pixels, thumbs = np.load(folder / "pixels.npy"), np.load(folder / "thumbs.npy", mmap_mode="r")
    start = time.perf_counter()
    copies = find_near_copies(pixels, thumbs)
    seconds, processor = time.perf_counter() - start, time.process_time()
    np.save(folder / "labels.npy", copies.labels)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(
        f"searched in {seconds:.0f} s ({processor:.0f} s of processor time), peak {peak:,.0f} MB, "
        f"{'complete' if copies.complete else 'cut off'}"
    )


def choose(images: Images) -> None:
    """One row per choice of thresholds; what is expected among all images grows with pairs."""
    print("  plain   rich   recall   false in a photo   false in two   expected in 4 × as many")
    for plain, rich in CHOICES:
        duplicates.ALIKE_PLAIN, duplicates.ALIKE_RICH = plain, rich
        labels = find_near_copies(images.pixels, images.thumbs).labels
        held = (images.kind >= 0) & (images.kind < HELD)
        recall = (labels[held] == labels[images.origin[held]]).mean()
        inside, across = count_false(labels, images)
        print(
            f"  {plain:5.2f} {rich:6.3f} {recall:8.4f} {inside:18,} {across:14,} "
            f"{4 * inside + 16 * across:25,}",
            flush=True,
        )


def report(images: Images, labels: NDArray[np.int64]) -> None:
    found = labels == labels[images.origin]
    for number, name in enumerate(kinds()):
        of = images.kind == number
        print(f"  {name:36s} {found[of].mean():7.4f}  n = {int(of.sum()):,}")
    held = (images.kind >= 0) & (images.kind < HELD)
    true, (inside, across) = int(found[held].sum()), count_false(labels, images)
    print(f"recall {found[held].mean():.4f}, n = {int(held.sum()):,}")
    print(
        f"precision {true / (true + inside + across):.4f}, n = {true + inside + across:,} pairs in "
        f"one cluster; wrong: {inside:,} of one photograph, {across:,} of two; largest cluster "
        f"{np.bincount(labels).max()}"
    )


def count_false(labels: NDArray[np.int64], images: Images) -> tuple[int, int]:
    """Pairs in one cluster that are not of one window: of one photograph, and of two."""

    def joined(within: NDArray[np.int64]) -> int:
        key = labels * (int(within.max()) + 1) + within
        sizes = np.unique(key, return_counts=True)[1]
        return int((sizes * (sizes - 1) // 2).sum())

    everywhere, in_photo = joined(np.zeros_like(labels)), joined(images.photo)
    return in_photo - joined(images.origin), everywhere - in_photo


def make(archive: Path, count: int, folder: Path, *, choosing: bool) -> Images:
    """The images of the people for choosing or of the others; written to the folder, too."""
    chosen, others = read_photos(archive)
    photos = chosen if choosing else others
    count //= 4 if choosing else 1
    whole = np.stack([sign(pixels).thumb for pixels in chosen])
    least = float(np.quantile(measure_detail(whole), 0.01))
    copies = {share: -(-int(count * share) // len(photos)) for share in (PAIRS, OTHERS)}
    windows = -(-count // len(photos)) - copies[PAIRS] - 4 * copies[OTHERS]
    tasks = (
        Photo(number, pixels, windows, copies[PAIRS], copies[OTHERS], least)
        for number, pixels in enumerate(photos)
    )
    print(f"{len(photos):,} photographs, windows of a detail of {least:.1f} or more are altered")
    parts: list[Images] = []
    rows = 0
    for part in map_in_order(cut, tasks, engine="processes", ahead=4):
        part.origin[:] += rows
        rows += len(part.kind)
        parts.append(part)
    fields = ("pixels", "thumbs", "origin", "kind", "photo")
    for name in fields:
        np.save(folder / f"{name}.npy", np.concatenate([getattr(part, name) for part in parts]))
    return Images(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in fields))


def read_photos(archive: Path) -> tuple[list[Pixels], list[Pixels]]:
    """The gray photographs of a quarter of the people, drawn with a seed, and of the others."""
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith((".jpg", ".png")))
        photos = [to_gray(read_image(files.read(name))) for name in names]
    people = [name.rpartition("_")[0] for name in names]
    drawn = np.random.default_rng(0).permutation(sorted(set(people)))
    quarter = set(drawn[: len(drawn) // 4].tolist())
    large = [min(photo.shape) >= LEAST_PHOTO for photo in photos]
    sides: tuple[list[Pixels], list[Pixels]] = ([], [])
    for person, photo, take in zip(people, photos, large, strict=True):
        if take:
            sides[person not in quarter].append(photo)
    return sides


def to_gray(image: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def sign(gray: Pixels) -> Signature:
    return sign_face(np.repeat(gray[:, :, None], 3, axis=2))


def cut(photo: Photo) -> Images:
    """The windows of one photograph and their altered copies; `origin` counts from 0."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([0, photo.number])
    windows = [
        photo.pixels[top:bottom, left:right]
        for left, top, right, bottom in draw_windows(rng, photo.pixels.shape, photo.windows)
    ]
    signed = [sign(window) for window in windows]
    detail = measure_detail(np.stack([one.thumb for one in signed]))
    rich = rng.permutation(np.flatnonzero(detail >= photo.least_detail))
    plain = rng.permutation(np.flatnonzero(detail < photo.least_detail))[: photo.others]
    origin, kind = list(range(len(signed))), [-1] * len(signed)
    ways = list(kinds().values())
    wanted = [(row, int(rng.integers(HELD))) for row in rich[: photo.pairs]]
    wanted += [(row, HELD) for row in plain]
    for number in range(HELD + 1, len(ways)):
        start = photo.pairs + (number - HELD - 1) * photo.others
        wanted += [(row, number) for row in rich[start : start + photo.others]]
    for row, number in wanted:
        signed.append(sign(np.ascontiguousarray(ways[number](rng, windows[row]))))
        origin.append(int(row))
        kind.append(number)
    return Images(
        np.array([one.pixels for one in signed], np.uint64),
        np.stack([one.thumb for one in signed]),
        np.array(origin),
        np.array(kind),
        np.full(len(signed), photo.number),
    )


def draw_windows(rng: Random, shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Boxes (left, top, right, bottom) of which no two overlap by `OVERLAP`; int64 (m, 4)."""
    height, width = shape[:2]
    found = np.empty((0, 4))
    for _ in range(TRIES // 256):
        side = np.exp(rng.uniform(np.log(LEAST_WINDOW), np.log(min(width, height)), 256))
        stretch = np.exp(rng.uniform(-np.log(2) / 2, np.log(2) / 2, 256))
        size = np.rint(np.stack([side * stretch, side / stretch], axis=1))
        size = size[(size <= [width, height]).all(axis=1)]
        start = np.floor(rng.random(size.shape) * ([width + 1, height + 1] - size))
        boxes = np.concatenate([start, start + size], axis=1)
        boxes = boxes[(overlap(boxes, found) < OVERLAP).all(axis=1)]
        near = np.triu(overlap(boxes, boxes) >= OVERLAP, 1)
        kept = np.ones(len(boxes), bool)
        for row in range(len(boxes)):
            if kept[row]:
                kept &= ~near[row]
        found = np.concatenate([found, boxes[kept]])[:count]
        if len(found) == count:
            break
    return found.astype(np.int64)


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every two boxes."""
    # One axis after the other: with a third axis it would take four times as long.
    common = np.ones((len(a), len(b)))
    for axis in (0, 1):
        ends = np.minimum(a[:, None, axis + 2], b[:, axis + 2])
        common *= np.maximum(ends - np.maximum(a[:, None, axis], b[:, axis]), 0)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    result: NDArray[np.float64] = common / (areas[0][:, None] + areas[1] - common)
    return result


@functools.cache
def kinds() -> dict[str, Callable[[Random, Pixels], Pixels]]:
    return {
        "resized, × .5–2": resize,
        "JPEG, quality 40–95": compress,
        "brighter or darker, up to 15 %": brighten,
        "cut, up to 3 % on each side": trim,
        "a caption": caption,
        "all five": change_all,
        "all five, windows of less detail": change_all,
        "mirrored, JPEG": lambda rng, gray: compress(rng, gray[:, ::-1]),
        "rotated by 90°": lambda _, gray: np.rot90(gray),
        "rotated by 5°": lambda _, gray: rotate(gray, 5),
    }


def resize(rng: Random, gray: Pixels) -> Pixels:
    height, width = gray.shape[:2]
    factor = 2 ** rng.uniform(-1, 1)
    return resize_image(gray, round(width * factor), round(height * factor))


def compress(rng: Random, gray: Pixels) -> Pixels:
    color = np.repeat(gray[:, :, None], 3, axis=2)
    return to_gray(read_image(encode_image(color, ".jpg", int(rng.integers(40, 96)))))


def brighten(rng: Random, gray: Pixels) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(gray, alpha=rng.uniform(0.85, 1.15)), np.uint8)


def trim(rng: Random, gray: Pixels) -> Pixels:
    height, width = gray.shape[:2]
    top, bottom = np.rint(rng.uniform(0, 0.03, 2) * height).astype(int)
    left, right = np.rint(rng.uniform(0, 0.03, 2) * width).astype(int)
    return gray[top : height - bottom, left : width - right]


def caption(rng: Random, gray: Pixels) -> Pixels:
    height, width = gray.shape[:2]
    tall = round(height * rng.uniform(0.08, 0.15))
    paper, ink = (0, 255) if rng.random() < 0.5 else (255, 0)
    strip = np.full((tall, width), paper, np.uint8)
    text = "".join(rng.choice(list("abcdefghijklm nopqrst"), 14))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, text, (2, round(tall * 0.75)), font, tall / 40, ink, 1, cv2.LINE_AA)
    above, over = rng.random(2) < 0.5
    rest = gray if not over else gray[tall:] if above else gray[:-tall]
    return np.concatenate([strip, rest] if above else [rest, strip])


def change_all(rng: Random, gray: Pixels) -> Pixels:
    for change in (trim, brighten, caption, resize, compress):
        gray = change(rng, gray)
    return gray


def rotate(gray: Pixels, degrees: float) -> Pixels:
    height, width = gray.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    turned = cv2.warpAffine(gray, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


if __name__ == "__main__":
    main()
