"""How good consensus rules are with bad raters among them, and how long they take.

    python benchmarks/consensus.py [--votes DATASET] [--crowd-kit PYTHON] [--faces 500000]

Raters are simulated from the votes of FER+ (`--votes`: a dataset that `openaffect import ferplus` has made; by
default its import from OPENAFFECT_TEST_DATA): twelve honest ones, each of whom answers with one of the face's
ten votes, drawn without replacement, and two more: one who answers anything, and one who swaps happy and sad.
A label is right where it is the plurality of the ten votes; faces with a tie there are left out. `--crowd-kit`
names a Python in which crowd-kit is installed, whose Dawid–Skene then labels the same rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect import find_consensus, import_dataset, open_dataset
from openaffect.errors import InputError
from openaffect.judgments import count_votes, read_judgments
from openaffect.labels import EXPRESSIONS

HONEST, SEEDS = 12, 3
NAMES = np.array([e.value for e in EXPRESSIONS])
THEIRS = """
import json, sys
import pandas as pd
from crowdkit.aggregation import DawidSkene
rows = pd.read_csv(sys.argv[1], keep_default_na=False)
print(json.dumps(DawidSkene(n_iter=100).fit_predict(rows).to_dict()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=Path)
    parser.add_argument("--crowd-kit", metavar="PYTHON")
    parser.add_argument("--faces", type=int, default=500_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.votes or Path(folder) / "fer"
        if options.votes is None:
            source = Path(os.environ["OPENAFFECT_TEST_DATA"]) / "ferplus.zip"
            import_dataset("ferplus", source, place)
        votes = count_votes(open_dataset(place))
        compare(votes, options.crowd_kit, Path(folder) / "rows.csv")
    measure_time(options.faces)


def compare(votes: NDArray[np.int64], crowd_kit: str | None, file: Path) -> None:
    """Accuracy of each rule, by the number of raters and of bad ones."""
    votes = votes[votes.sum(axis=1) == 10]
    best = np.sort(votes, axis=1)
    votes = votes[best[:, -1] > best[:, -2]]
    truth = votes.argmax(axis=1)
    print(f"{len(votes):,} faces of FER+, mean of {SEEDS} seeds")
    for each in (3, 5):
        for bad in (0, 2):
            found: dict[str, list[float]] = {}
            for seed in range(SEEDS):
                table = simulate(votes, each, bad, seed)
                judged = read_judgments(table, "the benchmark")
                for rule in ("majority", "dawid-skene"):
                    labels = find_consensus(judged, rule=rule, seed=seed).expression
                    found.setdefault(rule, []).append(float((labels == truth).mean()))
                if crowd_kit:
                    theirs = ask_crowd_kit(table, crowd_kit, file)
                    found.setdefault("crowd-kit", []).append(float((theirs == truth).mean()))
            text = ", ".join(f"{rule} {np.mean(values):.3f}" for rule, values in found.items())
            print(f"{each} raters a face, {bad} bad ones of {HONEST + bad}: {text}", flush=True)


def simulate(votes: NDArray[np.int64], each: int, bad: int, seed: int) -> pa.Table:
    """Annotations of every face by `each` people."""
    rng = np.random.default_rng(seed)
    n, people = len(votes), HONEST + bad
    pool = np.repeat(np.tile(np.arange(11), n), votes.ravel()).reshape(n, 10)
    said = rng.permuted(pool, axis=1)[:, :each]
    who = rng.permuted(np.tile(np.arange(people), (n, 1)), axis=1)[:, :each]
    said = np.where(who == HONEST, rng.integers(0, 11, said.shape), said)
    swapped = np.where(said == 1, 2, np.where(said == 2, 1, said))
    said = np.where(who == HONEST + 1, swapped, said)
    ids = np.char.add("f", np.char.zfill(np.arange(n).astype(str), 6))
    return pa.table(
        {
            "face_id": np.repeat(ids, each),
            "annotator": np.char.add("p", who.ravel().astype(str)),
            "expression": NAMES[said.ravel()],
        }
    )


def ask_crowd_kit(table: pa.Table, python: str, file: Path) -> NDArray[np.int64]:
    """The labels of crowd-kit, in the order of the faces."""
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["task", "worker", "label"])
        rows.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    done = subprocess.run(
        [python, "-c", THEIRS, str(file)], check=True, capture_output=True, text=True
    )
    labels = json.loads(done.stdout)
    return np.array([NAMES.tolist().index(labels[face]) for face in sorted(labels)])


def measure_time(faces: int) -> None:
    """Seconds of processor time of each rule for many faces with two raters each, and for dawid-skene with three."""
    for each, rules in ((2, ("majority", "intended")), (3, ("dawid-skene",))):
        rng = np.random.default_rng(0)
        n = faces * each
        true = rng.integers(0, 11, faces)
        said = np.where(rng.random(n) < 0.6, np.repeat(true, each), rng.integers(0, 11, n))
        who = np.argsort(rng.random((faces, 20)), axis=1)[:, :each]
        point = rng.uniform(-0.6, 0.6, (n, 2)).astype(np.float32)
        ids = pa.array([f"{number:032x}" for number in range(faces)])
        table = pa.table(
            {
                "face_id": ids.take(pa.array(np.repeat(np.arange(faces), each))),
                "annotator": pa.array([f"p{p}" for p in range(20)]).take(pa.array(who.ravel())),
                "expression": pa.array(NAMES.tolist()).take(pa.array(said)),
                "valence": point[:, 0],
                "arousal": point[:, 1],
            }
        )
        start = time.process_time()
        judged = read_judgments(table, "the benchmark")
        print(f"{faces:,} faces, {n:,} rows: reading {time.process_time() - start:.1f} s")
        intended = dict.fromkeys(ids.to_pylist(), "happy")
        for rule in rules:
            start = time.process_time()
            try:
                find_consensus(judged, rule=rule, affect_rule="median", intended=intended)
            except InputError as error:
                print(error)
            print(f"    {rule}, median: {time.process_time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
