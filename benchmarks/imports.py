"""What imports cost: the 8-label reader beside a plain NumPy loop, reopening, and memory.

    python benchmarks/imports.py [--quartets 6000]

Everything is made in a temporary folder; every ratio is of two measurements of this run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from openaffect.dataset import open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.formats import import_dataset
from openaffect.images import check_header, encode_image
from openaffect.labels import EMOTIONS, parse_expression

ROWS = 287_651


def make_quartets(root: Path, count: int) -> None:
    """A folder as the 8-label release has it, with values as text."""
    rng = np.random.default_rng(0)
    images, notes = root / "train_set" / "images", root / "train_set" / "annotations"
    images.mkdir(parents=True)
    notes.mkdir()
    picture = encode_image(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8), ".jpg", 60)
    for number in range(count):
        (images / f"{number}.jpg").write_bytes(picture)
        valence, arousal = rng.uniform(-0.7, 0.7, 2)
        np.save(notes / f"{number}_exp.npy", np.array(str(number % 8)))
        np.save(notes / f"{number}_val.npy", np.array(f"{valence:.6g}"))
        np.save(notes / f"{number}_aro.npy", np.array(f"{arousal:.6g}"))
        np.save(notes / f"{number}_lnd.npy", rng.uniform(0, 224, 136))


def multiply(small: Path, large: Path, times: int) -> None:
    """The same release several times as large, by hard links under higher numbers."""
    for place in ("images", "annotations"):
        (large / "train_set" / place).mkdir(parents=True)
        files = [path.name.partition("_") for path in (small / "train_set" / place).iterdir()]
        count = len(list((small / "train_set" / "images").iterdir()))
        for stem, dash, rest in files:
            number, dot, ending = stem.partition(".")
            tail = dash + rest + dot + ending
            for turn in range(times):
                os.link(
                    small / "train_set" / place / f"{number}{tail}",
                    large / "train_set" / place / f"{int(number) + turn * count}{tail}",
                )


def plain_loop(root: Path) -> int:
    """A loop of `numpy.load` with the same look at each picture's first bytes; number of rows."""
    folder = root / "train_set"
    rows = []
    for path in sorted((folder / "annotations").glob("*_exp.npy")):
        stem = path.name.removesuffix("_exp.npy")
        value = {
            kind: np.load(folder / "annotations" / f"{stem}_{kind}.npy")
            for kind in ("exp", "val", "aro", "lnd")
        }
        if check_header(folder / "images" / f"{stem}.jpg") is None:
            rows.append(
                (
                    parse_expression(str(value["exp"])),
                    float(value["val"]),
                    float(value["aro"]),
                    value["lnd"].astype(np.float32),
                )
            )
    return len(rows)


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    clock, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - busy


def measure_quartets(work: Path, count: int) -> None:
    root = work / "release"
    make_quartets(root, count)
    plain_loop(root)  # both find the files in the page cache
    turns = range(3)
    loops = [measure(lambda: plain_loop(root)) for _ in turns]
    imports = [
        measure(partial(import_dataset, "affectnet8", root, work / f"dataset{turn}"))
        for turn in turns
    ]
    print(f"8-label release, {count:,} quartets, rows a second (best of 3)")
    print("                                      clock   processor")
    slow, fast = (
        [count / min(times) for times in zip(*runs, strict=True)] for runs in (loops, imports)
    )
    print(f"  numpy.load loop                 {slow[0]:9,.0f}   {slow[1]:9,.0f}")
    print(f"  import affectnet8, all of it    {fast[0]:9,.0f}   {fast[1]:9,.0f}")
    print(f"  ratio                           {fast[0] / slow[0]:9.2f}   {fast[1] / slow[1]:9.2f}")


def write_rows(path: Path, count: int) -> None:
    """A dataset with labels and landmarks whose pictures are nowhere."""
    rng = np.random.default_rng(0)
    with write_dataset(path, check_images=False) as writer:
        for number in range(count):
            valence, arousal = rng.uniform(-0.7, 0.7, 2)
            writer.add(
                FaceRow(
                    f"train/{number}",
                    f"train_set/images/{number}.jpg",
                    landmarks=rng.uniform(0, 224, 136).astype(np.float32),
                    expression=EMOTIONS[number % 8],
                    valence=float(valence),
                    arousal=float(arousal),
                    expression_origin="human",
                    affect_origin="human",
                    split="train",
                )
            )


def in_child(*arguments: object) -> list[float]:
    """The numbers that this script prints in a process of its own."""
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def peak() -> float:
    """The largest resident memory of this process so far, in MB.

    `getrusage` would count what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def child(job: str, *paths: str) -> None:
    before = peak()
    busy = time.process_time()
    start = time.perf_counter()
    if job == "open":
        dataset = open_dataset(paths[0])
        landmarks = dataset.lists("landmarks")
        labels, affect = dataset.expression_ids, dataset.affect
        assert len(landmarks) == len(labels) == len(affect) == ROWS
    elif job == "import":
        # The last look is before the written dataset is opened as a table.
        looks: list[float] = []
        import_dataset("affectnet8", paths[0], paths[1], on_progress=lambda _: looks.append(peak()))
        print(time.perf_counter() - start, time.process_time() - busy, looks[-1], before)
        return
    else:
        write_rows(Path(paths[0]), int(paths[1]))
    print(time.perf_counter() - start, time.process_time() - busy, peak(), before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quartets", type=int, default=6_000)
    parser.add_argument("--child", nargs="+")
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        measure_quartets(work, given.quartets)
        print("peak memory of import affectnet8 while rows stream")
        # Arrow's allocator takes its memory in the first five row groups, some 20,000 rows. What
        # grows from there is the set that finds repeated ids: some 60 to 140 bytes a row.
        for times in (1, 4, 8):
            release = work / f"release{times}"
            multiply(work / "release", release, times)
            one = in_child("import", release, work / f"dataset_of{times}")
            print(
                f"  {times * given.quartets:9,} rows    {one[2]:9.0f} MB"
                f"  ({one[3]:.0f} MB before the first row)"
            )
        written = in_child("write", work / "large", ROWS)
        fewer = in_child("write", work / "quarter", ROWS // 4)
        print("peak memory of the writer alone")
        print(f"  {ROWS // 4:9,} rows    {fewer[2]:9.0f} MB, {fewer[0]:6.1f} s")
        print(f"  {ROWS:9,} rows    {written[2]:9.0f} MB, {written[0]:6.1f} s")
        print(f"reopening {ROWS:,} rows with labels and landmarks as arrays")
        opened = [in_child("open", work / "large") for _ in range(6)]
        again = sorted(opened[1:])[len(opened[1:]) // 2]
        for when, (seconds, cpu, memory, _) in (("first", opened[0]), ("again", again)):
            print(f"  {when}  {seconds:.2f} s ({cpu:.2f} s of processor), peak {memory:.0f} MB")


if __name__ == "__main__":
    main()
