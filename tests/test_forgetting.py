"""Forgetting: what goes is nowhere any more, the numbers follow, and it does not come back."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from annotation_builders import add_batch, add_person, draw, recount, say, to_json, undo
from freezing_builders import draw_picture, fill, make_dataset, read_rows
from openaffect.collection import add_dataset, add_images, detect_faces
from openaffect.curation import split_dataset
from openaffect.dataset import open_dataset
from openaffect.errors import FormatError, InputError, NotFoundError
from openaffect.exchange import add_annotations
from openaffect.forgetting import forget, keep_image, obey, read_list
from openaffect.freezing import FreezeOptions, freeze_project, has_changed, plan_freeze
from openaffect.images import encode_image
from openaffect.project import Project, counters, forgotten, gold, schema, tasks, tombstones
from openaffect.project.backups import backup_project, restore_project
from openaffect.project.gold import GoldFace
from openaffect.project.rows import record_event
from openaffect.project.urls import Attempt, HitRow, add_hits, claim_urls, finish_urls
from openaffect.withdrawals import describe_withdrawal, hash_text, read_withdrawn
from openaffect.withdrawing import remove_withdrawn

_URL = "https://example.org/Ada_Lovelace.jpg"


def _numbers(project: Project) -> dict[str, int]:
    with project.database.read() as connection:
        return counters.read(connection)


_VOID = sa.select(schema.annotations).where(schema.annotations.c.void).subquery()


def _count(project: Project, table: sa.FromClause) -> int:
    with project.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _sha256(project: Project, face_id: str) -> str:
    with project.database.read() as connection:
        statement = (
            sa.select(schema.images.c.sha256)
            .join(schema.faces, schema.faces.c.image_id == schema.images.c.id)
            .where(schema.faces.c.face_id == face_id)
        )
        return connection.execute(statement).scalar_one()


def _dump(project: Project) -> str:
    """Every value of every table."""
    texts = []
    with project.database.read() as connection:
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)).mappings():
                texts += [str(value) for value in row.values()]
    return "\n".join(texts)


@pytest.fixture
def filled(project, tmp_path):
    """Six faces, of which f00 has an address, and f00 and f01 share a photograph."""
    pictures = {1: encode_image(draw_picture(0))}
    box = {0: [4, 4, 20, 20], 1: [30, 30, 20, 20]}
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"] * 6,
        pictures=pictures,
        box=box,
        url={0: _URL},
        author={0: "Ada Lovelace"},
        title={0: "Ada at work"},
    )
    fill(project, dataset)
    with project.database.write() as connection:
        add_hits(connection, [HitRow("x", _URL, title="Ada at work")])
        (waiting,) = claim_urls(connection, "me", 9)
        refused = Attempt(waiting.id, "refused", "robots.txt: Ada", rules="Disallow: /Ada")
        finish_urls(connection, "me", [refused])
        record_event(connection, "send_back", "f00", {"annotation": "1"})
    return project


@pytest.mark.parametrize("by", ["url", "face_id", "other face_id", "sha256", "other form of url"])
def test_whatever_names_it_the_whole_image_goes(filled, by):
    sha256 = _sha256(filled, "f00")
    text = {
        "url": _URL,
        "face_id": "f00",
        "other face_id": "f01",
        "sha256": sha256,
        "other form of url": "HTTPS://EXAMPLE.ORG:443/Ada_Lovelace.jpg#face",
    }[by]
    done = forget(filled, [text], because="asked")
    assert (done.images, done.faces, done.unknown) == (1, 2, [])
    assert not filled.store.exists(sha256, "png")
    everything = _dump(filled)
    assert "Ada" not in everything
    for trace in ("f00", "f01"):  # whole words: the letters may stand in any hash
        assert re.search(rf"\b{trace}\b", everything) is None
    assert _count(filled, schema.faces) == 4
    status = filled.status()
    assert status["faces"]["total"] == 4
    assert status["images"]["total"] == 4
    assert status["annotations"]["total"] == 4
    assert status["steps"]["detect"]["done"] == 4
    known = read_withdrawn(filled.path / "withdrawn.csv")
    assert known.holds("file", sha256)
    for face_id in ("f00", "f01"):
        assert known.find(face_id=face_id) is not None
    assert known.find(url=_URL) is not None


def test_nothing_stays_in_the_files_of_sqlite(sqlite_project, tmp_path):
    pictures = {0: encode_image(draw_picture(0))}
    names = {0: "Zebedee Quillfeather"}
    dataset = make_dataset(tmp_path / "d", ["sad"] * 40, pictures=pictures, author=names)
    fill(sqlite_project, dataset)
    trace = _sha256(sqlite_project, "f00").encode()
    files = [Path(sqlite_project.database.name + suffix) for suffix in ("", "-wal")]
    before = b"".join(file.read_bytes() for file in files if file.exists())
    assert b"Quillfeather" in before
    assert trace in before
    done = forget(sqlite_project, ["f00"], because="asked")
    assert done.purged
    after = b"".join(file.read_bytes() for file in files if file.exists())
    assert b"Quillfeather" not in after
    # The hash of the file is its tombstone; the rest of its row is gone.
    assert after.count(trace) <= 3


def test_counters_follow_whatever_was_said_of_the_faces(project, tmp_path):
    fill(project, make_dataset(tmp_path / "d", [None] * 8))
    with project.database.read() as connection:
        ids = dict(connection.execute(sa.select(schema.faces.c.face_id, schema.faces.c.id)).all())
    faces = [ids[f"f{number:02}"] for number in range(8)]
    with project.database.write() as connection:
        gold.insert_gold(connection, [GoldFace("f07", "sad")], "csv")
    add_batch(project, faces, wanted=2)
    people = [add_person(project, name) for name in ("Bo", "Cy")]
    said = []
    for person, expression in zip(people, ("happy", "sad"), strict=True):
        for lease in draw(project, person):
            said.append(say(project, person, lease.id, expression, valence=0.1, arousal=0.2))
    assert len(said) == 10
    undo(project, people[0], said[0])
    stored = to_json(recount(project))
    assert to_json({name: _numbers(project).get(name, 0) for name in stored}) == stored
    for number in range(5):
        forget(project, [f"f{number:02}"], because="asked")
        stored = to_json(recount(project))
        assert to_json({name: _numbers(project).get(name, 0) for name in stored}) == stored
    assert _count(project, schema.faces) == 3
    assert {row["faces"] for row in _batches(project)} == {3}
    assert {row["wanted"] for row in _batches(project)} == {6}
    numbers = _numbers(project)
    assert (numbers["faces.in_batches"], numbers["gold"]) == (3, 1)
    assert numbers.get("annotations.void", 0) == _count(project, _VOID)
    forget(project, ["f07"], because="asked")
    numbers = _numbers(project)
    assert (numbers["faces.in_batches"], numbers.get("gold", 0)) == (2, 0)


def test_imported_labels_that_count_are_counted_down(sqlite_project, tmp_path):
    add_dataset(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 4), count_imported=True)
    detect_faces(sqlite_project, workers=1)
    assert _numbers(sqlite_project)["annotations.counted"] == 4
    forget(sqlite_project, ["f00", "f01"], because="asked")
    numbers = _numbers(sqlite_project)
    assert [numbers[f"annotations{name}"] for name in ("", ".imported", ".counted")] == [2, 2, 2]


def _batches(project: Project) -> list[dict[str, Any]]:
    with project.database.read() as connection:
        return tasks.list_batches(connection)


def test_a_face_that_is_leased_can_no_longer_be_answered(project, tmp_path):
    fill(project, make_dataset(tmp_path / "d", [None] * 6))
    with project.database.read() as connection:
        ids = dict(connection.execute(sa.select(schema.faces.c.face_id, schema.faces.c.id)).all())
    add_batch(project, list(ids.values()))
    person = add_person(project, "Bo")
    lease = draw(project, person)[0]
    name = next(name for name, number in ids.items() if number == lease.face)
    forget(project, [name], because="asked")
    with pytest.raises(NotFoundError):
        say(project, person, lease.id)
    assert lease.face not in {one.face for one in draw(project, person)}


def test_a_forgotten_image_cannot_be_added_again(filled, tmp_path):
    forget(filled, ["f00"], because="asked")
    again = add_dataset(filled, open_dataset(tmp_path / "d"))
    assert again.rejected == {"withdrawn": 2}
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "same.png").write_bytes(encode_image(draw_picture(0)))
    (folder / "smaller.jpg").write_bytes(encode_image(draw_picture(0, 96), ".jpg", 70))
    mirrored = np.ascontiguousarray(draw_picture(0)[:, ::-1])
    (folder / "mirrored.png").write_bytes(encode_image(mirrored))
    (folder / "other.png").write_bytes(encode_image(draw_picture(99)))
    added = add_images(filled, folder)
    assert added.images == 1
    assert added.rejected == {"withdrawn": 3}
    with (filled.path / "rejected.csv").open(newline="") as file:
        reasons = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("same.png", "smaller.jpg", "mirrored.png")
    }
    assert "same file" in reasons[hashes["same.png"]]
    assert "looks like" in reasons[hashes["smaller.jpg"]]
    assert hashes["mirrored.png"] in reasons
    # Another picture under a forgotten address or name stays away, too.
    other = make_dataset(tmp_path / "e", ["sad"] * 2, pictures={1: encode_image(draw_picture(50))})
    renamed = add_dataset(filled, other)
    assert renamed.rejected == {"withdrawn": 2}
    assert add_dataset(filled, other, prefix="e/").faces == 1  # f00's picture is forgotten


def test_what_was_forgotten_is_not_written_down_again(filled, tmp_path):
    """Neither names nor addresses of withdrawn faces are in rejected.csv; their hashes are."""
    address = "https://Example.org/Ada-Lovelace.png#top"
    named = make_dataset(tmp_path / "named", ["sad"] * 3, url={1: address, 2: "https://x.org/ok"})
    with filled.database.write() as connection:
        gone = describe_withdrawal(datetime.date(2026, 1, 1), face_ids=["f00"], urls=[address])
        tombstones.add_tombstones(connection, gone, because="asked")
    folder = tmp_path / "Ada Lovelace"
    folder.mkdir()
    forget(filled, ["f05"], because="asked")
    data = encode_image(draw_picture(5))
    (folder / "Ada Lovelace.png").write_bytes(data)
    (folder / "broken.png").write_bytes(b"")
    assert add_dataset(filled, named, name="other").rejected["withdrawn"] == 2
    assert add_images(filled, folder, name="photos").rejected["withdrawn"] == 1
    again = make_dataset(tmp_path / "again", ["sad"], pictures={0: data})
    assert add_dataset(filled, again, prefix="Ada/").rejected == {"withdrawn": 1}
    text = (filled.path / "rejected.csv").read_text()
    assert "Ada" not in text
    assert "f00" not in text
    assert "broken.png" in text  # what is not withdrawn keeps its name
    lines = [line.split(",") for line in text.splitlines()[1:]]
    assert [(one[1], one[2], one[3]) for one in lines if "withdrawn" in one[3]] == [
        ("other", hash_text("f00"), "withdrawn: by face_id"),
        ("other", hash_text("https://example.org/Ada-Lovelace.png"), "withdrawn: by address"),
        ("photos", hashlib.sha256(data).hexdigest(), "withdrawn: the same file"),
        ("source", hashlib.sha256(data).hexdigest(), "withdrawn: the same file"),
    ]


def test_annotations_of_a_forgotten_face_do_not_name_it_again(filled, tmp_path):
    forget(filled, ["f00"], because="asked")
    table = tmp_path / "more.csv"
    table.write_text("face_id,annotator,expression\nf00,ada,sad\nnobody,ada,sad\n")
    found = add_annotations(filled, table, "csv")
    assert found.rejected == {"withdrawn": 1, "unknown face_id": 1}
    text = (filled.path / "rejected.csv").read_text()
    assert "f00" not in text
    assert "unknown face_id: nobody" in text


def test_somebody_may_look_and_let_an_image_in(filled, tmp_path):
    forget(filled, ["f00"], because="asked")
    data = encode_image(draw_picture(0, 96), ".jpg", 70)
    path = tmp_path / "smaller.jpg"
    path.write_bytes(data)
    assert add_images(filled, path).rejected == {"withdrawn": 1}
    keep_image(filled, hashlib.sha256(data).hexdigest(), because="another person")
    assert add_images(filled, path).images == 1
    with pytest.raises(InputError, match="SHA-256"):
        keep_image(filled, "f00", because="x")


def test_copies_go_along_and_what_only_looks_near_is_kept(sqlite_project, tmp_path):
    """A copy, saved again, is forgotten; an image with the same hash and other content is not."""
    pictures = {
        1: encode_image(draw_picture(0, 96), ".jpg", 80),
        2: encode_image(np.clip(draw_picture(0) // 4 + 3 * (draw_picture(9) // 4), 0, 255)),
    }
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 5, pictures=pictures))
    with sqlite_project.database.write() as connection:  # f03 gets the hash of f00
        images = schema.images
        first = connection.execute(
            sa.select(images.c.dhash, images.c.mirrored).where(images.c.id == 1)
        ).one()
        connection.execute(sa.update(images).where(images.c.id == 4).values(**dict(first._mapping)))
    planned = forget(sqlite_project, ["f00"], because="asked", plan=True)
    assert _count(sqlite_project, schema.images) == 5
    done = forget(sqlite_project, ["f00"], because="asked")
    assert dataclasses.replace(done, tombstones=0) == planned
    near = {image.face_ids: image.is_copy for image in done.near}
    assert near == {("f01",): True, ("f03",): False}
    assert done.images == 2
    other = _sha256(sqlite_project, "f03")
    assert read_withdrawn(sqlite_project.path / "withdrawn.csv").is_kept(other)
    plan = plan_freeze(sqlite_project, FreezeOptions(splits="drawn", test="1"))
    assert plan.left_out == {}


def test_datasets_that_hold_it_are_named_and_cleaned(project, tmp_path):
    fill(project, make_dataset(tmp_path / "d", ["sad"] * 8))
    options = FreezeOptions(splits="drawn", test="2")
    done = freeze_project(project, tmp_path / "v1", options)
    freeze_project(project, tmp_path / "gone", options)
    (tmp_path / "gone").rename(tmp_path / "moved")
    before = read_rows(done.dataset)
    assert not has_changed(project, done.dataset)
    found = forget(project, ["f03"], because="asked")
    assert {(Path(one.path).name, one.faces, one.is_there) for one in found.datasets} == {
        ("v1", 1, True),
        ("gone", 1, False),
    }
    assert has_changed(project, open_dataset(tmp_path / "v1"))
    image = tmp_path / "v1" / "images" / before["f03"]["image"]
    assert image.exists()
    removed = remove_withdrawn(tmp_path / "v1")  # forget has left its hashes there
    assert (removed.faces, removed.images) == (["f03"], 1)
    assert not image.exists()
    now = open_dataset(tmp_path / "v1")
    assert sorted(now.ids) == sorted(set(before) - {"f03"})
    assert now.info.rows == 7
    assert now.info.content == now.content()
    assert now.info.fingerprint == now.fingerprint()
    again = remove_withdrawn(tmp_path / "v1")
    assert (again.faces, again.images) == ([], 0)
    moved = remove_withdrawn(tmp_path / "moved", project.path / "withdrawn.csv")
    assert moved.faces == ["f03"]
    fresh = freeze_project(project, tmp_path / "v2", options)
    assert "f03" not in fresh.dataset.ids
    assert read_withdrawn(tmp_path / "v2" / "withdrawn.csv").find(face_id="f03") is not None


def test_a_removal_that_was_cut_off_is_finished_by_the_next(sqlite_project, tmp_path, monkeypatch):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 6))
    freeze_project(sqlite_project, tmp_path / "v1", FreezeOptions(splits="drawn", test="2"))
    forget(sqlite_project, ["f03"], because="asked")

    class Killed(BaseException):
        pass

    def stop(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr("openaffect.withdrawing.write_info", stop)
    with pytest.raises(Killed):
        remove_withdrawn(tmp_path / "v1")
    monkeypatch.undo()
    assert open_dataset(tmp_path / "v1").info.rows == 6
    remove_withdrawn(tmp_path / "v1")
    assert open_dataset(tmp_path / "v1").info.rows == 5


def test_a_dataset_is_cleaned_by_what_its_images_look_like(sqlite_project, tmp_path):
    """Other names, another format, no address: the perceptual hash still tells."""
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 3))
    forget(sqlite_project, ["f01"], because="asked")
    pictures = {0: encode_image(draw_picture(1, 80), ".jpg", 80)}
    pictures |= {number: encode_image(draw_picture(60 + number)) for number in (1, 2)}
    other = make_dataset(tmp_path / "e" / "e", ["sad"] * 3, pictures=pictures)
    with pytest.raises(FormatError, match="nowhere"):
        remove_withdrawn(other.path, tmp_path / "nowhere.csv")
    done = remove_withdrawn(other.path, sqlite_project.path / "withdrawn.csv")
    assert done.reasons == {"dhash": 1, "face_id": 1}
    assert done.faces == ["f00", "f01"]


def test_linked_images_are_named_and_left(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 8))
    done = freeze_project(sqlite_project, tmp_path / "v1", FreezeOptions(splits="drawn", test="2"))
    linked = split_dataset(done.dataset, tmp_path / "linked", validation="2", redo=True)
    forget(sqlite_project, ["f03"], because="asked")
    known = sqlite_project.path / "withdrawn.csv"
    one = remove_withdrawn(linked.path, known)
    assert one.faces == ["f03"]
    assert one.images == 0
    assert one.linked_to == str(tmp_path / "v1" / "images")
    assert remove_withdrawn(tmp_path / "v1").links == [str(tmp_path / "linked")]


def test_a_call_that_was_killed_is_given_again(filled, monkeypatch):
    class Killed(BaseException):
        pass

    real = forgotten.delete_image
    calls = []

    def stop(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        real(*given)

    monkeypatch.setattr(forgotten, "delete_image", stop)
    with pytest.raises(Killed):
        forget(filled, ["f00", "f03", "f04"], because="asked")
    monkeypatch.undo()
    assert 0 < _count(filled, schema.images) < 5
    done = forget(filled, ["f00", "f03", "f04"], because="asked")
    assert sorted(done.known) == ["f00"]
    assert done.images == 2
    assert filled.status()["faces"]["total"] == 2


def test_a_backup_that_was_restored_obeys(filled, tmp_path, second_url):
    backup_project(filled, tmp_path / "b", with_store=True)
    forget(filled, ["f00", "https://example.org/never-seen.jpg"], because="asked")
    other = second_url if filled.database.is_sqlite else None
    with restore_project(tmp_path / "b", tmp_path / "again", database=other) as restored:
        assert restored.status()["faces"]["total"] == 6
        known = read_list(filled.path / "withdrawn.csv")
        assert not isinstance(known, list)
        done = obey(restored, known, because="restored")
        assert (done.images, done.faces) == (1, 2)
        assert "Ada" not in _dump(restored)
        with (restored.path / "withdrawn.csv").open() as file:
            assert file.read() == (filled.path / "withdrawn.csv").read_text()


def test_what_is_not_there_is_withdrawn_for_the_future(filled):
    url = "https://example.org/never-seen.jpg"
    done = forget(filled, [url, "ab" * 32], because="asked")
    assert (done.images, done.unknown) == (0, [url, "ab" * 32])
    with pytest.raises(InputError, match="nobody"):
        forget(filled, ["f02", "nobody"], because="asked")
    assert filled.status()["faces"]["total"] == 6
    with pytest.raises(InputError, match="reason"):
        forget(filled, ["f02"], because="  ")


def test_names_in_rejected_csv_go_too(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 3))
    sqlite_project.reject([("source", "f01", "face_id taken"), ("source", "f02", "other")])
    forget(sqlite_project, ["f01"], because="asked")
    with (sqlite_project.path / "rejected.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["f02"]


def test_images_that_were_not_searched_or_failed_can_be_forgotten(sqlite_project, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode_image(draw_picture(1)))
    (folder / "b.png").write_bytes(encode_image(draw_picture(2))[:200])
    add_images(sqlite_project, folder)
    hashes = [sha256 for sha256, _ in sqlite_project.store.iterate()]
    assert len(hashes) == 2
    assert sqlite_project.status()["steps"]["detect"]["pending"] == 2
    detect_faces(sqlite_project, workers=1)
    assert sum(sqlite_project.status()["steps"]["detect"]["failed"].values()) == 1
    done = forget(sqlite_project, hashes, because="asked")
    assert done.images == 2
    status = sqlite_project.status()
    assert set(status["images"].values()) == {0}
    assert status["steps"]["detect"] == {"pending": 0, "done": 0, "failed": {}, "refused": {}}


def test_a_list_has_one_text_per_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeffhttps://example.org/a\n\n  f01 \n")
    assert read_list(path) == ["https://example.org/a", "f01"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="UTF-8"):
        read_list(path)
    path.write_text("\n")
    with pytest.raises(FormatError, match="per line"):
        read_list(path)


def test_the_database_of_a_reader_is_purged_later(sqlite_project, tmp_path):
    fill(sqlite_project, make_dataset(tmp_path / "d", ["sad"] * 3))
    reader = sqlite3.connect(sqlite_project.database.name)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM images").fetchone()
        done = forget(sqlite_project, ["f01"], because="asked")
        assert not done.purged
    finally:
        reader.close()
    assert sqlite_project.database.purge()
