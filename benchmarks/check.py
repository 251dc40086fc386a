"""How fast `check` decodes pictures and finds near copies.

    python benchmarks/check.py [--pictures 2000] [--hashes 300000]

Prints pictures a second of a whole check (reading, decoding, hashing, searching), for one thread
and for all processors, and the time of the search for near hashes by itself, beside the time
that comparing all pairs would take (measured on a part, scaled by the number of pairs).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from openaffect.curation import check_dataset
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.faces.near_search import NearSearch, count_bits


def make_dataset(folder: Path, n: int) -> Dataset:
    rng = np.random.default_rng(0)
    with write_dataset(folder, check_images=False) as writer:
        for number in range(n):
            patches = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            picture = cv2.resize(patches, (224, 224), interpolation=cv2.INTER_CUBIC)
            writer.write_image(f"{number}.jpg", np.asarray(picture, np.uint8))
            writer.add(FaceRow(f"{number}", f"{number}.jpg"))
    return open_dataset(folder)


def time_check(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder) / "dataset", n)
        check_dataset(dataset.select(range(min(n, 100))))  # reads code and files once
        for workers in sorted({1, os.cpu_count() or 1}):
            start = time.perf_counter()
            check_dataset(dataset, workers=workers)
            rate = n / (time.perf_counter() - start)
            print(f"check, 224 × 224 JPEG, {workers} threads: {rate:,.0f} pictures/s")


def time_search(n: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    copies = rng.choice(n, n // 10, replace=False)
    bits = rng.integers(0, 64, len(copies), dtype=np.uint64)
    hashes[copies] = hashes[(copies + 1) % n] ^ (np.uint64(1) << bits)
    both = np.concatenate([hashes, rng.integers(0, 2**64, n, dtype=np.uint64)])  # and mirrored
    part = hashes[:2000]
    start = time.perf_counter()
    for row in range(len(part)):
        _ = count_bits(part[row] ^ part[row + 1 :]) <= 4
    all_pairs = (time.perf_counter() - start) * (n / len(part)) ** 2
    for distance in (0, 4, 8):
        start = time.perf_counter()
        pairs = sum(len(left) for left, _ in NearSearch(both, distance).pairs())
        seconds = time.perf_counter() - start
        print(
            f"search, {n:,} faces, at most {distance} bits: {seconds:.1f} s, {pairs:,} pairs "
            f"(all pairs: about {all_pairs:,.0f} s, {all_pairs / seconds:,.0f} ×)"
        )
    flat = np.zeros(2 * n, np.uint64)
    start = time.perf_counter()
    for _ in NearSearch(flat, 4).pairs():
        pass
    print(f"search, {n:,} equal faces (the worst case): {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--hashes", type=int, default=300_000)
    options = parser.parse_args()
    time_check(options.pictures)
    time_search(options.hashes)
