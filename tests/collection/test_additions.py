"""`add`, on both databases: datasets and folders of images, again and again."""

import csv
import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from openaffect import schemas
from openaffect.collection import add_dataset, add_images
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import ImageError, InputError
from openaffect.face_row import FaceRow
from openaffect.images import encode_image
from openaffect.labels import Expression
from openaffect.project import Project, counters
from openaffect.project.schema import annotations, annotators, faces, images, work
from openaffect.project.store import FolderStore


def read(project: Project, *columns: Any) -> list[tuple[Any, ...]]:
    """Rows of a table, in the order of its key."""
    table = columns[0].table
    statement = sa.select(*columns).order_by(*table.primary_key.columns)
    with project.database.read() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def recount(project: Project) -> dict[str, int]:
    """The counters as the rows have them."""
    with project.database.read() as connection:

        def count(table: sa.Table, *where: Any) -> int:
            counted = sa.select(sa.func.count()).select_from(table).where(*where)
            return connection.execute(counted).scalar() or 0

        found = {
            "images": count(images),
            "images.bytes": int(
                connection.execute(sa.select(sa.func.sum(images.c.bytes))).scalar() or 0
            ),
            "faces": count(faces),
            "annotations": count(annotations),
            "annotations.imported": count(annotations, annotations.c.kind == "imported"),
            "annotations.counted": count(annotations, annotations.c.counted),
            "detect.pending": count(work, work.c.state.in_(["pending", "claimed"])),
            "detect.done": count(work, work.c.state == "done"),
        }
    return {name: value for name, value in found.items() if value}


def kept(project: Project) -> dict[str, int]:
    with project.database.read() as connection:
        return counters.read(connection)


def test_a_face_of_a_dataset_keeps_everything(project: Project, drawn: Dataset) -> None:
    summary = add_dataset(project, drawn)
    assert (summary.images, summary.faces, summary.annotations) == (8, 8, 8)
    rows = drawn.faces.to_pylist()
    found = read(project, faces.c.face_id, faces.c.x, faces.c.w, faces.c.landmarks, faces.c.split)
    assert [row[0] for row in found] == [row["face_id"] for row in rows]
    assert [row[1] for row in found] == [row["box"][0] for row in rows]
    assert [row[2] for row in found] == [row["box"][2] for row in rows]
    for row, stored in zip(rows, found, strict=True):
        assert np.frombuffer(stored[3], "<f4").tolist() == row["landmarks"]
        assert stored[4] == row["split"]
    files = read(project, images.c.sha256, images.c.suffix)
    for path, (sha256, suffix) in zip(drawn.image_paths, files, strict=True):
        assert project.store.read(sha256, suffix) == path.read_bytes()


def test_one_label_is_one_annotation_of_the_dataset(project: Project, drawn: Dataset) -> None:
    add_dataset(project, drawn)
    assert read(project, annotators.c.name) == [("import:drawn",)]
    with project.database.read() as connection:
        joined = sa.select(annotations, faces.c.face_id.label("face")).join(faces)
        found = {row.face: row for row in connection.execute(joined)}
    for row in drawn.faces.to_pylist():
        one = found[row["face_id"]]
        assert (one.kind, one.origin) == ("imported", "synthetic")
        assert one.expression == row["expression"]
        assert (one.valence, one.arousal) == (row["valence"], row["arousal"])
        assert (one.void, one.late, one.counted) == (False, False, False)


def test_adding_again_changes_nothing(project: Project, drawn: Dataset) -> None:
    add_dataset(project, drawn)
    before = kept(project)
    again = add_dataset(project, drawn)
    assert (again.images, again.faces, again.annotations) == (0, 0, 0)
    assert (again.known_images, again.known_faces, again.rejected.total()) == (8, 8, 0)
    assert kept(project) == before == recount(project)


def test_what_an_interrupted_call_left_out_is_added_by_the_next(
    project: Project, drawn: Dataset
) -> None:
    add_dataset(project, drawn.select([0, 1, 2]))
    assert add_dataset(project, drawn).faces == 5
    assert kept(project) == recount(project)


def test_a_face_id_of_another_source_is_rejected_and_named(
    project: Project, drawn: Dataset
) -> None:
    add_dataset(project, drawn)
    other = add_dataset(project, drawn, name="other")
    assert other.rejected == {"face_id taken": 8}
    assert (other.faces, other.annotations) == (0, 0)
    with (project.path / "rejected.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == drawn.ids
    assert "--prefix" in rows[0]["reason"]
    moved = add_dataset(project, drawn, name="other", prefix="other/")
    assert (moved.faces, moved.annotations, moved.known_images) == (8, 8, 8)
    assert kept(project) == recount(project)


@pytest.fixture
def labeled(tmp_path: Path) -> Dataset:
    """Five faces whose labels are of several origins, two of them of one photograph."""
    pixels = np.random.default_rng(0).integers(0, 255, (4, 40, 40, 3), dtype=np.uint8)
    (tmp_path / "pictures").mkdir()
    for number, one in enumerate(pixels):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(encode_image(one))
    votes = [0, 7, 1, 0, 0, 0, 0, 0, 2, 0, 0]
    human: dict[str, Any] = {"expression": Expression.HAPPY, "expression_origin": "human"}
    with write_dataset(tmp_path / "labeled", images=tmp_path / "pictures", license="CC0-1.0") as w:
        w.add(FaceRow("a", "0.png", **human, votes=votes, group="ada", url="https://e.org/0"))
        w.add(FaceRow("b", "1.png", **human, valence=0.5, arousal=0.1, affect_origin="human"))
        w.add(FaceRow("c", "1.png", **human, valence=0.5, arousal=0.1, affect_origin="derived"))
        w.add(FaceRow("d", "2.png", valence=-0.5, arousal=0.25, affect_origin="human"))
        w.add(FaceRow("e", "3.png", extra={"k": [1]}))
    return open_dataset(tmp_path / "labeled")


def test_votes_are_no_annotations_and_origins_stay_apart(
    project: Project, labeled: Dataset
) -> None:
    summary = add_dataset(project, labeled, count_imported=True)
    assert (summary.images, summary.faces, summary.annotations) == (4, 5, 4)
    assert kept(project)["annotations.counted"] == 4
    assert kept(project) == recount(project)
    stored = dict(read(project, faces.c.face_id, faces.c.votes))
    assert stored["a"] == [0, 7, 1, 0, 0, 0, 0, 0, 2, 0, 0]
    assert stored["b"] is None
    extra = dict(read(project, faces.c.face_id, faces.c.extra))
    affect = extra["c"]["affect"]
    assert (affect["valence"], affect["affect_origin"]) == (0.5, "derived")
    assert extra["e"] == {"k": [1]}
    with project.database.read() as connection:
        joined = sa.select(faces.c.face_id, annotations.c.expression, annotations.c.valence)
        found = connection.execute(joined.select_from(annotations).join(faces)).all()
    assert {face: (expression, valence) for face, expression, valence in found} == {
        "a": ("happy", None),
        "b": ("happy", 0.5),
        "c": ("happy", None),
        "d": (None, -0.5),
    }
    assert read(project, images.c.url)[0] == ("https://e.org/0",)
    assert dict(read(project, faces.c.face_id, faces.c.group))["a"] == "ada"


def test_model_labels_never_count(project: Project, drawn: Dataset) -> None:
    add_dataset(project, drawn, count_imported=True)  # synthetic labels are not human ones
    assert "annotations.counted" not in kept(project)


def test_an_image_that_is_missing_rejects_its_faces(project: Project, labeled: Dataset) -> None:
    (labeled.images_folder / "1.png").unlink()
    (labeled.images_folder / "2.png").write_bytes(b"")
    summary = add_dataset(project, labeled)
    assert (summary.faces, summary.images) == (2, 2)
    assert summary.rejected == {"missing or unreadable image": 2, "empty picture (0 bytes)": 1}
    assert kept(project) == recount(project)


def test_judgments_of_known_raters_are_added_one_by_one(project: Project, labeled: Dataset) -> None:
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)
    judged = [
        {"face_id": "a", "annotator": "ada", "expression": "happy", "at": at, "seconds": 2.5},
        {"face_id": "a", "annotator": "bo", "expression": "sad", "at": at, "flag": "odd"},
        {"face_id": "nobody", "annotator": "bo", "expression": "sad"},
    ]
    table = pa.Table.from_pylist(judged, schema=schemas.ANNOTATIONS)
    known = dataclasses.replace(labeled, annotations=table)
    for expected in (2, 0):
        assert add_dataset(project, known).annotations == expected
    assert read(project, annotators.c.name) == [("import:labeled/ada",), ("import:labeled/bo",)]
    found = read(project, annotations.c.expression, annotations.c.at, annotations.c.flag)
    assert sorted(found) == [("happy", at, None), ("sad", at, "odd")]
    assert kept(project) == recount(project)


def test_judgments_keep_all_that_is_known_of_them(project: Project, labeled: Dataset) -> None:
    """Ids are those of the source: two sources may use the same ones."""
    first = {"id": "1", "face_id": "a", "annotator": "ada", "expression": "happy", "round": 2}
    first |= {"occluded": True, "comment": "hm", "region_shown": True, "tool": "t1", "kind": "gold"}
    first |= {"origin": "simulated"}
    second = {"id": "2", "face_id": "a", "annotator": "ada", "replaces": "1", "void": True}
    table = pa.Table.from_pylist([first, second], schema=schemas.ANNOTATIONS)
    known = dataclasses.replace(labeled, annotations=table)
    assert add_dataset(project, known, count_imported=True).annotations == 2
    other = add_dataset(project, known, name="other", prefix="o/", count_imported=True)
    assert other.annotations == 2
    names = [*("id", "kind", "expression", "occluded", "comment", "region_shown", "tool"), "round"]
    names += ["replaces", "void", "origin", "counted"]
    columns = [annotations.c[name] for name in names]
    found = [dict(zip(names, row, strict=True)) for row in read(project, *columns)]
    assert len({row["id"] for row in found}) == 4
    given = [row for row in found if row["expression"] == "happy"]
    corrected = [row for row in found if row["expression"] is None]
    assert {row["replaces"] for row in corrected} == {row["id"] for row in given}
    for row in given:
        del row["id"]
        assert row == {
            **{name: first[name] for name in names[1:] if name in first},
            "kind": "imported",
            "replaces": None,
            "void": False,
            "counted": False,
        }
    assert [(row["void"], row["counted"], row["origin"]) for row in corrected] == [
        (True, False, "human")
    ] * 2
    assert kept(project) == recount(project)


def test_columns_of_others_stay_with_the_face(project: Project, labeled: Dataset) -> None:
    day = datetime.date(2026, 1, 2)
    more = labeled.with_column("age", [31, None, None, None, None])
    more = more.with_column("day", pa.array([None, day, None, None, None]))
    add_dataset(project, more)
    extra = dict(read(project, faces.c.face_id, faces.c.extra))
    assert (extra["a"], extra["b"]) == ({"age": 31}, {"day": "2026-01-02"})


def test_a_folder_gives_its_images_in_order(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    image = encode_image(np.zeros((8, 8, 3), np.uint8))
    (folder / "b.png").write_bytes(image)
    (folder / "sub" / "same.png").write_bytes(image)
    (folder / "a.jpg").write_bytes(encode_image(np.full((8, 8, 3), 9, np.uint8), ".jpg"))
    (folder / "no_suffix").write_bytes(encode_image(np.full((8, 8, 3), 7, np.uint8)))
    (folder / "notes.txt").write_text("mine")
    (folder / "broken.png").write_bytes(b"text")
    (folder / ".hidden" / "c.png").write_bytes(encode_image(np.ones((8, 8, 3), np.uint8)))
    summary = add_images(project, folder)
    assert (summary.images, summary.known_images) == (3, 0)
    assert summary.rejected == {"not a picture (unknown first bytes)": 1}
    assert read(project, images.c.name, images.c.source, images.c.suffix) == [
        ("a.jpg", "photos", "jpg"),
        ("b.png", "photos", "png"),
        ("no_suffix", "photos", "png"),
    ]
    assert kept(project) == recount(project)
    assert kept(project)["detect.pending"] == 3
    assert add_images(project, folder / "b.png").known_images == 1


def test_nothing_to_add_is_told(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is none"):
        add_images(project, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds none"):
        add_images(project, tmp_path / "empty")


def test_the_store_keeps_each_image_once_and_whole(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    data = encode_image(np.zeros((8, 8, 3), np.uint8))
    sha256, suffix = store.put(data)
    path = store.path(sha256, suffix)
    assert path.relative_to(tmp_path).parts == (sha256[:2], sha256[2:4], f"{sha256}.png")
    path.write_bytes(data[:10])  # as a power cut may leave it
    assert store.put(data) == (sha256, suffix)
    assert store.read(sha256, suffix) == data
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]
    with pytest.raises(ImageError, match="not a picture"):
        store.put(b"text")
