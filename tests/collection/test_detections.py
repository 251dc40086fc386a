"""`detect`, on both databases: every image once, whoever is killed."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from openaffect.collection import add_dataset, add_images, detect_faces, detections
from openaffect.collection.detections import DetectSummary, Task, search_image
from openaffect.collection.examination import to_signed
from openaffect.dataset import Dataset
from openaffect.errors import StoreError, UnknownName
from openaffect.faces import Box, Face, find_faces
from openaffect.faces.measures import find_pose, measure_light
from openaffect.faces.signatures import HASH_VERSION, dhash
from openaffect.images import encode_image, read_image
from openaffect.parallel import ENGINES
from openaffect.project import Project, counters, create_project, open_project
from openaffect.project import work as queue
from openaffect.project.rows import find_images as read_images
from openaffect.project.schema import faces, images, work
from openaffect.project.settings import DetectSettings
from openaffect.project.store import FolderStore
from openaffect.synthetic import synthesize_face


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen photographs: one face each, but one with two and one with none; one is broken."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    folder.mkdir()
    shots = [synthesize_face("happy", seed=seed, size=224).image for seed in range(9)]
    (folder / "two.png").write_bytes(encode_image(np.hstack(shots[:2])))
    (folder / "none.png").write_bytes(encode_image(np.full((90, 90, 3), 128, np.uint8)))
    (folder / "cut.jpg").write_bytes(encode_image(shots[8], ".jpg")[:2_000])
    for number, shot in enumerate(shots):
        (folder / f"{number}.png").write_bytes(encode_image(shot))
    return folder


def rows(project: Project, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    with project.database.read() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))


def check_counters(project: Project) -> None:
    status = project.status()
    assert status["faces"]["total"] == len(rows(project, faces))
    states = [row.state for row in rows(project, work)]
    detect = status["steps"]["detect"]
    assert detect["done"] == states.count("done")
    assert detect["pending"] == states.count("pending")
    assert sum(detect["failed"].values()) == states.count("failed")


def test_what_is_found_is_what_find_faces_finds(project: Project, photos: Path) -> None:
    add_images(project, photos)
    summary = detect_faces(project, workers=1)
    assert summary.failed == {"unreadable image": 1}
    assert summary.images == 11
    found = rows(project, faces)
    assert summary.faces == len(found) >= 5
    for image in rows(project, images):
        if image.name == "cut.jpg":
            assert image.width is None
            continue
        pixels = read_image(photos / image.name)
        assert (image.height, image.width) == pixels.shape[:2]
        assert image.dhash % 2**64 == dhash(pixels)
        assert image.hash_version == HASH_VERSION
        mine = [face for face in found if face.image_id == image.id]
        expected = find_faces(pixels)
        assert [(face.x, face.y, face.w, face.h) for face in mine] == [
            (one.box.x, one.box.y, one.box.w, one.box.h) for one in expected
        ]
        for number, (face, one) in enumerate(zip(mine, expected, strict=True)):
            assert face.face_id == f"{image.sha256[:32]}-{number}"
            assert (face.detector, face.score) == (one.detector, one.score)
            assert (face.sharpness, face.brightness) == measure_light(pixels, one.box)
    empty = {row.id for row in rows(project, images) if row.width} - {row.image_id for row in found}
    assert project.status()["images"]["without_faces"] == summary.without_faces == len(empty) >= 1
    check_counters(project)
    assert detect_faces(project, workers=1).images == 0
    assert detect_faces(project, workers=1, retry_failed=True).failed.total() == 1
    check_counters(project)


def test_faces_of_a_dataset_are_measured_and_keep_their_boxes(
    project: Project, drawn: Dataset
) -> None:
    add_dataset(project, drawn)
    before = [(row.face_id, row.x, row.landmarks) for row in rows(project, faces)]
    summary = detect_faces(project, workers=1)
    assert (summary.measured, summary.faces, summary.without_faces) == (8, 0, 0)
    found = rows(project, faces)
    assert [(row.face_id, row.x, row.landmarks) for row in found] == before
    for number, row in enumerate(found):
        points = drawn.lists("landmarks")[number].reshape(68, 2)
        assert (row.yaw, row.pitch, row.roll) == pytest.approx(find_pose(points), abs=1e-4)
        assert row.sharpness == measure_light(drawn.image(number), drawn.box(number))[0]


def test_the_keys_of_detect_decide_what_is_kept(project: Project, photos: Path) -> None:
    toml = project.path / "project.toml"
    text = toml.read_text().replace("max_faces = 100", "max_faces = 1")
    toml.write_text(text.replace('detector = "auto"', 'detector = "haar"'))
    with open_project(project.path) as opened:
        add_images(opened, photos / "two.png")
        assert detect_faces(opened, workers=1).faces == 1
        assert {row.detector for row in rows(opened, faces)} == {"haar"}
    toml.write_text(toml.read_text().replace("min_size = 32", "min_size = 5000"))
    with open_project(project.path) as opened:
        add_images(opened, photos / "3.png")
        summary = detect_faces(opened, workers=1)
        assert (summary.faces, summary.small, summary.without_faces) == (0, 1, 1)
    toml.write_text(toml.read_text().replace('"haar"', '"haarr"'))
    with open_project(project.path) as opened, pytest.raises(UnknownName, match="haar"):
        detect_faces(opened)


def test_the_largest_faces_are_kept(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces_found = tuple(Face(Box(5, 5, 60 - k, 60), 0.9, "haar") for k in range(4))
    monkeypatch.setattr(detections, "find_faces", lambda *_, **__: faces_found)
    store = FolderStore(photos.parent / "store")
    sha256, suffix = store.put((photos / "0.png").read_bytes())
    settings = DetectSettings(max_faces=3)
    found = search_image(Task(7, str(store.folder), sha256, suffix, (), settings))
    assert [face.w for face in found.faces] == [60, 59, 58]
    assert {face.image_id for face in found.faces} == {7}


def test_hashes_are_the_signed_numbers_that_databases_have() -> None:
    numbers = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    assert [to_signed(n) for n in numbers] == [0, 1, 2**63 - 1, -(2**63), -1]


def test_what_a_claim_that_has_ended_brought_is_not_written(
    project: Project, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_images(project, photos / "two.png")
    with project.database.write() as connection:
        ids = queue.claim(connection, "detect", "late", 1)
        image = read_images(connection, ids)[0]
    task = Task(image["id"], project.store.location, image["sha256"], "png", (), DetectSettings())
    late = search_image(task)
    assert late.faces
    after = datetime.datetime.now(datetime.UTC) + 2 * queue.LEASE
    monkeypatch.setattr(queue, "current_time", lambda: after)
    assert detect_faces(project, workers=1).images == 1
    before = rows(project, faces)
    summary = DetectSummary()
    detections._write(project, "late", [late], summary)
    assert rows(project, faces) == before
    assert (summary.images, summary.faces) == (0, 0)
    check_counters(project)


def test_processes_find_what_one_finds(project: Project, photos: Path) -> None:
    find_faces(read_image(photos / "0.png"))  # OpenCV has run here: a fork would wait for ever
    add_images(project, photos)
    summary = detect_faces(project, workers=2, engine="processes")
    assert (summary.images, summary.failed.total()) == (11, 1)
    check_counters(project)


@pytest.mark.slow
def test_every_engine_finds_the_same_rows(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: the extra "scale" brings it')
    monkeypatch.chdir(tmp_path)  # a worker of Ray has a folder of its own
    found = {}
    for engine in ENGINES:
        with create_project(engine) as made:
            add_images(made, photos)
            summary = detect_faces(made, workers=2, engine=engine)
            assert (summary.images, summary.failed.total()) == (11, 1)
            check_counters(made)
            found[engine] = [
                [
                    tuple(value for key, value in row._asdict().items() if key != "at")
                    for row in table
                ]
                for table in (rows(made, images), rows(made, faces))
            ]
    assert len(found["threads"][1]) >= 5
    assert found["ray"] == found["threads"] == found["processes"]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def find_ray_workers() -> list[int]:
    """The actors of the cluster that this process has started, busy or not."""
    titles = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            titles[int(path.parent.name)] = path.read_bytes()
    return [
        pid
        for pid, title in titles.items()
        if title.startswith(b"ray::_Worker") and parent_of(parent_of(pid)) == os.getpid()
    ]


@pytest.mark.slow
def test_the_command_joins_a_cluster_and_survives_a_killed_worker(
    photos: Path, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason='Ray is not installed: the extra "scale" brings it')
    many = tmp_path / "many"
    many.mkdir()
    image = read_image(photos / "two.png")
    for number in range(200):
        image[0, 0] = number
        (many / f"{number}.png").write_bytes(encode_image(image))
    with create_project(tmp_path / "faces") as project:
        add_images(project, many)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            address = ray.get_runtime_context().gcs_address
            command = [sys.executable, "-m", "openaffect", "detect", str(project.path), "--json"]
            process = subprocess.Popen(
                [*command, "--engine", "ray", "--ray-address", address],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"RAY_AUTH_MODE": "token"},
                text=True,
            )
            deadline = time.monotonic() + 120
            while project.status()["steps"]["detect"]["done"] < 32:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.kill(find_ray_workers()[0], signal.SIGKILL)
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert "network interface" in err
            found = json.loads(out)  # what Ray says of the killed worker is not among it
            assert (found["images"], found["failed"]) == (200, {})
            assert found["faces"] == len(rows(project, faces)) >= 200
            check_counters(project)
            assert ray.is_initialized()
        finally:
            ray.shutdown()


def test_a_store_that_is_not_there_fails_no_image(project: Project, photos: Path) -> None:
    add_images(project, photos)
    away = project.path / "away"
    Path(project.store.location).rename(away)
    for make in (lambda: None, Path(project.store.location).mkdir):  # an unmounted disk is empty
        make()
        with pytest.raises(StoreError, match="images of the project"):
            detect_faces(project, workers=1)
        assert project.status()["steps"]["detect"] == {
            "pending": 12,
            "done": 0,
            "failed": {},
            "refused": {},
        }
        check_counters(project)
    Path(project.store.location).rmdir()
    away.rename(Path(project.store.location))
    assert detect_faces(project, workers=1).images == 11


def test_two_calls_share_the_work(project: Project, photos: Path) -> None:
    add_images(project, photos)
    summaries = []

    def search() -> None:
        with open_project(project.path) as mine:
            summaries.append(detect_faces(mine, workers=1))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.images for one in summaries) == 11
    check_counters(project)
    with open_project(project.path) as alone:
        assert detect_faces(alone, workers=1).images == 0


@pytest.mark.slow
def test_a_killed_call_is_given_again(project: Project, photos: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    image = read_image(photos / "two.png")
    for number in range(200):
        image[0, 0] = number
        (many / f"{number}.png").write_bytes(encode_image(image))
    add_images(project, many)
    command = [sys.executable, "-m", "openaffect", "detect", str(project.path), "--workers", "1"]
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done = project.status()["steps"]["detect"]["done"]
        deadline = time.monotonic() + 60
        while project.status()["steps"]["detect"]["done"] <= done:
            assert process.poll() is None or done, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert project.status()["steps"]["detect"]["pending"] > 0
    check = subprocess.run(command, check=False, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr
    assert project.status()["steps"]["detect"] == {
        "pending": 0,
        "done": 200,
        "failed": {},
        "refused": {},
    }
    found = rows(project, faces)
    assert len(found) > 0
    assert len(found) == 200 * len(find_faces(read_image(many / "0.png")))
    assert len({row.face_id for row in found}) == len(found)
    with project.database.read() as connection:
        assert counters.read(connection)["faces"] == len(found)


def test_an_object_of_the_store_that_does_not_fit_its_name_fails(
    project: Project, photos: Path
) -> None:
    add_images(project, photos / "0.png")
    add_images(project, photos / "1.png")
    first, second = rows(project, images)
    Path(project.store.place(first.sha256, "png")).write_bytes((photos / "2.png").read_bytes())
    Path(project.store.place(second.sha256, "png")).unlink()
    failed = detect_faces(project, workers=1).failed
    assert failed == {"damaged image in the store": 1, "missing or unreadable image": 1}
    add_images(project, photos / "0.png")  # adding it again mends the store
    assert detect_faces(project, workers=1, retry_failed=True).images == 1


def test_a_face_that_lies_outside_its_image_is_not_measured(
    project: Project, drawn: Dataset
) -> None:
    moved = drawn.with_column("box", [[900.0, 900.0, 10.0, 10.0]] * len(drawn))
    add_dataset(project, moved)
    assert detect_faces(project, workers=1).measured == 8
    assert {row.sharpness for row in rows(project, faces)} == {None}


def test_light_is_measured_on_the_face_alone() -> None:
    image = np.full((200, 200, 3), 255, np.uint8)
    noise = np.random.default_rng(1).integers(0, 100, (80, 80, 3), dtype=np.uint8)
    image[50:130, 60:140] = noise
    sharp, bright = measure_light(image, Box(60, 50, 80, 80))
    assert bright == pytest.approx(49.5, abs=2)
    assert measure_light(image[:40, :40], None) == (0.0, 255.0)
    smooth = np.full_like(image, 120)
    assert measure_light(smooth, Box(60, 50, 80, 80))[0] == 0
    assert sharp > 50


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"),
    [(0, 0, 0), (25, 0, 0), (0, -20, 0), (0, 0, 40), (20, 10, -15), (-30, -12, 100)],
)
def test_a_pose_is_found_again(yaw: float, pitch: float, roll: float) -> None:
    from openaffect.synthetic.anatomy import Identity, face_points
    from openaffect.synthetic.scene import Camera, Scene

    camera = Camera.of(Scene(yaw=yaw, pitch=pitch, roll=roll), 256)
    # A face of other proportions than the mean one.
    points = face_points(Identity(nose_length=0.5, eye_gap=0.5, width=0.5))
    found = find_pose(camera.place(camera.flat(points)))
    assert found == pytest.approx((yaw, pitch, roll), abs=4)
    mean = find_pose(camera.place(camera.flat(face_points(Identity()))))
    assert mean == pytest.approx((yaw, pitch, roll), abs=0.1)
