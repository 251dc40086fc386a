"""How long `agreement` takes where a database is large, and its memory: `python benchmarks/agreement.py`.

    python benchmarks/agreement.py [--faces 500000] [--people 200] [--project]

Raters are simulated: two judge each face, drawn from `--people`, with expression, valence, arousal,
seconds and time. Each measurement is a process of its own and prints the seconds of reading and
measuring, with 200 bootstrap samples, and the peak memory of the process. `--project` measures a
SQLite project with the same rows too, which takes minutes to generate.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from openaffect import schemas, tables
from openaffect.annotation import measure_agreement
from openaffect.dataset import Dataset, DatasetInfo, save_dataset
from openaffect.labels import EXPRESSIONS

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=500_000)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--project", action="store_true")
    parser.add_argument("--measure", type=Path, help="measure this folder, in this process")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        dataset = generate(Path(folder) / "dataset", options.faces, options.people)
        places = [dataset.path]
        if options.project:
            places.append(to_project(dataset, Path(folder) / "project"))
        for place in places:
            command = [sys.executable, __file__, "--measure", str(place)]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(
                f"{place.name}, {options.faces:,} faces, {2 * options.faces:,} rows: {text.strip()}"
            )


def measure(place: Path) -> None:
    start = time.perf_counter()
    found = measure_agreement(place)
    seconds = time.perf_counter() - start
    busy = time.process_time()
    print(
        f"{seconds:.1f} s ({busy:.1f} s of processor time with the imports), {peak_mb():.0f} MB, "
        f"{len(found.people or ())} people, {len(found.cohen or ())} pairs"
    )


def peak_mb() -> float:
    """The peak memory of this process; `ru_maxrss` would be at least that of the one that began it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell the peak memory of a process")


def generate(place: Path, faces: int, people: int) -> Dataset:
    """A dataset whose pictures do not exist."""
    rng = np.random.default_rng(0)
    n = 2 * faces
    face = np.repeat(np.arange(faces), 2)
    first = rng.integers(0, people, faces)
    person = np.stack([first, (first + rng.integers(1, people, faces)) % people], axis=1).ravel()
    true = rng.integers(0, 11, faces)[face]
    said = np.where(rng.random(n) < 0.7, true, rng.integers(0, 11, n))
    point = rng.uniform(-0.6, 0.6, (faces, 2))[face] + rng.normal(0, 0.15, (n, 2))
    point = point.clip(-1, 1)
    point[said > 8] = np.nan
    names = [e.value for e in EXPRESSIONS]
    numbers = np.arange(faces)
    ids = pa.array([f"{number:032x}" for number in numbers])
    at = np.datetime64("2026-01-01", "us") + np.sort(rng.integers(0, 10**13, n))
    columns = {
        "face_id": ids.take(pa.array(face)),
        "annotator": pa.array([f"person-{p}" for p in range(people)]).take(pa.array(person)),
        "expression": pa.array(names).take(pa.array(said)),
        "valence": pa.array(point[:, 0], pa.float32(), mask=np.isnan(point[:, 0])),
        "arousal": pa.array(point[:, 1], pa.float32(), mask=np.isnan(point[:, 1])),
        "seconds": pa.array(rng.gamma(4, 1, n), pa.float32()),
        "at": pa.array(at).cast(pa.timestamp("us", tz="UTC")),
        "id": pa.array([f"{row:032x}" for row in range(n)]),
        "kind": pa.array(["work"] * n),
        "origin": pa.array(["simulated"] * n),
        "void": pa.array(np.zeros(n, bool)),
    }
    table = tables.conform(pa.table({"face_id": ids, "image": ids}), schemas.FACES, "here")
    info = DatasetInfo("simulated", images=str(place.with_name("pictures")))
    made = Dataset(place.with_name("generated"), info, table, pa.table(columns))
    return save_dataset(made, place)


def to_project(dataset: Dataset, place: Path) -> Path:
    """A project with the same annotations."""
    import sqlalchemy as sa

    from openaffect.project import create_project, schema

    assert dataset.annotations is not None
    at = START
    with create_project(place) as project, project.database.write() as connection:
        connection.execute(
            sa.insert(schema.images).values(
                id=1, sha256="0" * 64, suffix="jpg", bytes=1, source="s", name="n", at=at
            )
        )
        numbers = {face_id: n + 1 for n, face_id in enumerate(dataset.ids)}
        people = {
            name: n + 1
            for n, name in enumerate(dataset.annotations["annotator"].unique().to_pylist())
        }
        connection.execute(
            sa.insert(schema.faces),
            [
                {"id": n, "face_id": f, "image_id": 1, "source": "s", "at": at}
                for f, n in numbers.items()
            ],
        )
        connection.execute(
            sa.insert(schema.annotators),
            [
                {
                    "id": n,
                    "name": name,
                    "pseudonym": name,
                    "role": "annotator",
                    "state": "active",
                    "at": at,
                }
                for name, n in people.items()
            ],
        )
        for batch in dataset.annotations.to_batches(max_chunksize=20_000):
            rows = batch.to_pylist()
            for row in rows:
                row["face_id"] = numbers[row["face_id"]]
                row["annotator_id"] = people[row.pop("annotator")]
                row.pop("flag", None)
            connection.execute(sa.insert(schema.annotations), rows)
    return place


if __name__ == "__main__":
    main()
