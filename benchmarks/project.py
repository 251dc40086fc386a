"""How fast a project answers when it is large, and how well its detection shares the cores.

    python benchmarks/project.py [--faces 500000] [--database postgresql://…]

Rows are generated: no image of them exists. Prints the seconds that generating took, the median
time of `Project.status()` and of claiming 32 images in a warm process, the time of the command
`openaffect status`; the ratio of detection by two processes to that by one, over synthetic images,
each with one thread; and, where Ray is installed, the time of two workers of Ray to that of two
processes, on a cluster of two cores whose start is printed apart. `--database` takes an empty
PostgreSQL database instead of SQLite.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from openaffect.collection import add_images, detect_faces
from openaffect.images import encode_image
from openaffect.project import Project, counters, create_project, schema, work
from openaffect.synthetic import synthesize_face

BATCH = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=500_000)
    parser.add_argument("--images", type=int, default=600, help="for detection")
    parser.add_argument("--database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with create_project(Path(folder) / "large", database=options.database) as project:
            start = time.perf_counter()
            generate(project, options.faces)
            seconds = time.perf_counter() - start
            kind = project.status()["database"]
            print(
                f"{kind}: {options.faces:,} faces, {2 * options.faces:,} annotations: {seconds:.0f} s"
            )
            print(f"  status   {1000 * median(project.status):8.1f} ms")
            print(f"  claim 32 {1000 * median(lambda: claim(project)):8.1f} ms")
            command = [sys.executable, "-m", "openaffect", "status", str(project.path), "--json"]
            run = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
            print(f"  command  {median(run, 5):8.2f} s")
        if options.database is None:
            photos = draw(Path(folder) / "photos", options.images)
            one, two = (detect(photos, workers, "processes") for workers in (1, 2))
            print(f"  one {one:.1f} s, two {two:.1f} s for {options.images} images of 512 × 512")
            print(f"  two processes / one: {one / two:.2f} ×")
            compare_ray(photos)


def generate(project: Project, count: int) -> None:
    """One image per face, and two annotations."""
    at = datetime.datetime.now(datetime.UTC)
    with project.database.write() as connection:
        people = [
            {
                "name": f"person-{n}",
                "pseudonym": f"p{n}",
                "role": "annotator",
                "state": "active",
                "at": at,
            }
            for n in range(20)
        ]
        connection.execute(sa.insert(schema.annotators), people)
    for first in range(1, count + 1, BATCH):
        numbers = range(first, min(first + BATCH, count + 1))
        images = [
            {"sha256": f"{n:064x}", "suffix": "jpg", "bytes": 1, "source": "s", "name": f"{n}"}
            for n in numbers
        ]
        faces = [{"face_id": f"{n}", "image_id": n, "source": "s", "x": 1.0} for n in numbers]
        judged = [
            {
                "id": f"{n}-{k}",
                "face_id": n,
                "annotator_id": 1 + (n + k) % 20,
                "kind": "work",
                "expression": "happy",
                "valence": 0.5,
                "arousal": 0.1,
            }
            for n in numbers
            for k in range(2)
        ]
        with project.database.write() as connection:
            for table, rows in (
                (schema.images, images),
                (schema.faces, faces),
                (schema.annotations, judged),
            ):
                connection.execute(sa.insert(table), [row | {"at": at} for row in rows])
            work.enqueue(connection, "detect", numbers)
            counts = {"images": len(images), "faces": len(faces), "annotations": len(judged)}
            counters.add(connection, counts)


def claim(project: Project) -> None:
    with project.database.write() as connection:
        assert len(work.claim(connection, "detect", "benchmark", 32)) == 32


def median(function: object, times: int = 21) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()  # type: ignore[operator]
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def draw(folder: Path, count: int) -> Path:
    folder.mkdir()
    shots = [synthesize_face("happy", seed=seed, size=512).image for seed in range(20)]
    for number in range(count):
        image = shots[number % 20].copy()
        image[:8, :8] = number % 256, number // 256, 0
        (folder / f"{number}.png").write_bytes(encode_image(image))
    return folder


def detect(photos: Path, workers: int, engine: str) -> float:
    """Seconds of a detection; the start of the workers is included, that of a cluster is not."""
    with (
        tempfile.TemporaryDirectory(dir=photos.parent) as folder,
        create_project(Path(folder) / "faces") as project,
    ):
        add_images(project, photos)
        start = time.perf_counter()
        done = detect_faces(project, workers=workers, engine=engine)
        assert done.images == len(list(photos.iterdir()))
        return time.perf_counter() - start


def compare_ray(photos: Path) -> None:
    try:
        import ray
    except ModuleNotFoundError:
        print("  Ray is not installed")
        return
    start = time.perf_counter()
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
    )
    print(f"  start of a cluster of Ray {time.perf_counter() - start:.1f} s")
    # Turn and turn about, for the machine may be busier at one time than at another.
    seconds: dict[str, list[float]] = {"processes": [], "ray": []}
    for _ in range(3):
        for engine, taken in seconds.items():
            taken.append(detect(photos, 2, engine))
    ray.shutdown()
    processes, by_ray = (statistics.median(taken) for taken in seconds.values())
    print(f"  two processes {processes:.1f} s, two workers of Ray {by_ray:.1f} s")
    print(f"  Ray / processes: {by_ray / processes:.2f} × the time")


if __name__ == "__main__":
    import cv2

    # In this process one worker works alone: with one thread, as each of several has.
    cv2.setNumThreads(1)
    main()
