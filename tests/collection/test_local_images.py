"""Folders and archives into a project, on both databases."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from collection.source_builders import Crawl
from collection.test_collecting import check_whole, count, draw, read
from openaffect.collection.collecting import CollectSummary, collect_images
from openaffect.collection.license_filter import parse_licenses
from openaffect.collection.local_images import LocalSummary, add_local_images
from openaffect.collection.providers import Item
from openaffect.errors import FormatError, ImageError
from openaffect.forgetting import forget
from openaffect.project import Project, schema
from openaffect.project.project import change_settings
from openaffect.project.urls import HitRow, add_hits
from openaffect.withdrawals import hash_text


def make_folder(path: Path, numbers: range, table: str = "") -> Path:
    path.mkdir()
    for number in numbers:
        (path / f"{number:03}.jpg").write_bytes(draw(number))
    if table:
        (path / "metadata.csv").write_text(table)
    return path


def collect(project: Project, provider: str, source: Path, **options: Any) -> LocalSummary:
    done: CollectSummary = collect_images(project, provider, source=source, **options)
    assert done.downloads is None
    assert done.local is not None
    return done.local


def rejected(project: Project) -> list[list[str]]:
    with (project.path / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return [row[1:] for row in csv.reader(file)][1:]


def test_a_folder_comes_with_what_its_table_says(project: Project, tmp_path: Path) -> None:
    table = (
        "file_name,license,author,title,intended,query,url,page_url\n"
        "001.jpg,CC BY 4.0,Ada,A face,happy,happy man,https://a.example/1,https://a.example/\n"
        "nothing.jpg,CC0,,,,,,\n"
    )
    folder = make_folder(tmp_path / "photos", range(3), table)
    (folder / "text.jpg").write_text("no image")
    done = collect(project, "folder", folder)
    assert (done.stored, done.known) == (3, 0)
    assert done.rejected == {"no such image in the folder": 1, "unreadable image": 1}
    assert {name for _, name, _ in rejected(project)} == {"nothing.jpg", "text.jpg"}
    columns = (
        *("name", "provider", "license", "author", "title", "intended", "query", "url"),
        "page_url",
    )
    rows = read(project, *(schema.images.c[name] for name in columns))
    assert rows[1] == (
        *("001.jpg", "folder", "CC-BY-4.0", "Ada", "A face", "happy", "happy man"),
        *("https://a.example/1", "https://a.example/"),
    )
    assert rows[0] == ("000.jpg", "folder", *[None] * 7)
    assert count(project, schema.urls) == count(project, schema.hits) == 1
    assert project.status()["steps"]["download"]["pending"] == 0
    check_whole(project)
    again = collect(project, "folder", folder)
    assert (again.stored, again.known, again.done) == (0, 3, 5)
    check_whole(project)


def test_what_came_with_its_bytes_is_not_downloaded(project: Project, tmp_path: Path) -> None:
    table = "file_name,url\n000.jpg,https://a.example/0\n"
    collect(project, "folder", make_folder(tmp_path / "photos", range(1), table))
    with project.database.write() as connection:
        added = add_hits(connection, [HitRow("openverse", "HTTPS://A.example:443/0")])
    assert (added.urls, added.hits) == (0, 1)
    assert project.status()["steps"]["download"]["pending"] == 0


@pytest.mark.parametrize(
    ("licenses", "stored"), [(None, 3), ("any", 3), ("open", 2), ("CC0-1.0", 1)]
)
def test_what_you_have_is_taken_whatever_its_license_unless_asked(
    licenses: str | None, stored: int, project: Project, tmp_path: Path
) -> None:
    table = "file_name,license\n000.jpg,CC BY 4.0\n001.jpg,CC0 1.0\n"
    folder = make_folder(tmp_path / "photos", range(3), table)
    assert collect(project, "folder", folder, licenses=licenses).stored == stored


def test_the_limits_of_the_project_hold(project: Project, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", range(2))
    (folder / "small.jpg").write_bytes(draw(5, side=63))
    smaller = change_settings(project, {"collect.max_bytes": len(draw(0))})
    large = draw(1) + bytes(max(0, len(draw(0)) + 1 - len(draw(1))))
    (folder / "001.jpg").write_bytes(large)
    done = collect(smaller, "folder", folder)
    assert done.rejected == {"too small": 1, "too large": 1}
    assert collect(project, "folder", folder, limit=1).done == 1


def test_a_warc_brings_its_opt_outs(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "pages.warc.gz"
    with Crawl(path) as crawl:
        for number, tag in enumerate(["all", "noai", "all"]):
            headers = [("Content-Type", "image/jpeg"), ("X-Robots-Tag", tag)]
            crawl.respond(f"https://a.example/{number}.jpg", draw(number), headers=headers)
    done = collect(project, "archive", path)
    assert (done.stored, done.rejected) == (2, {"X-Robots-Tag": 1})
    urls = [url for (url,) in read(project, schema.urls.c.url)]
    assert urls == ["https://a.example/0.jpg", "https://a.example/2.jpg"]
    check_whole(project)


def make_tar(path: Path, numbers: range) -> Path:
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            for suffix, data in (
                ("jpg", draw(number)),
                ("json", json.dumps({"url": f"https://a.example/{number}"}).encode()),
            ):
                info = tarfile.TarInfo(f"{number:04}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def test_what_came_before_an_archive_breaks_is_kept(project: Project, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", range(100))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    with pytest.raises(FormatError):
        collect(project, "archive", path)
    assert 80 <= count(project, schema.images) < 100
    check_whole(project)


def test_what_was_forgotten_does_not_come_back_from_a_folder(
    project: Project, tmp_path: Path
) -> None:
    table = "file_name,url\n002.jpg,https://a.example/2\n"
    folder = make_folder(tmp_path / "Ada Lovelace", range(3), table)
    collect(project, "folder", folder)
    hashes = dict(read(project, schema.images.c.name, schema.images.c.sha256))
    forget(project, [hashes["001.jpg"], "https://a.example/2"], because="asked")
    done = collect(project, "folder", folder)
    assert (done.stored, done.known, done.rejected) == (0, 1, {"withdrawn": 2})
    names = {name for _, name, _ in rejected(project)}
    assert names == {hashes["001.jpg"], hash_text("https://a.example/2")}  # and no file name
    check_whole(project)


def items(count: int, size: int, alive: list[int]) -> Iterator[Item]:
    for number in range(count):
        alive.append(number)
        yield Item(f"{number}", read=lambda: b"\xff\xd8" + bytes(size))


def test_a_batch_holds_no_more_than_its_bytes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openaffect.collection.local_images._BATCH_BYTES", 10_000)
    alive: list[int] = []
    seen: list[int] = []

    def note(done: LocalSummary) -> None:
        seen.append(len(alive))

    done = add_local_images(
        project, "x", items(9, 4_000, alive), parse_licenses("any"), on_batch=note
    )
    assert seen == [3, 6, 9]
    assert done.rejected == {"unreadable image": 9}


def test_an_image_that_cannot_be_read_is_named(project: Project) -> None:
    def fail() -> bytes:
        raise ImageError("a pipe: not read")

    given = [Item("a", read=fail), Item("b", error="line 2: nothing there"), Item("c")]
    done = add_local_images(project, "x", iter(given), parse_licenses("any"))
    assert done.rejected == {"a pipe": 1, "line 2": 1, "no image": 1}
    assert [name for _, name, _ in rejected(project)] == ["a", "b", "c"]
    with project.database.read() as connection:
        assert connection.execute(sa.select(schema.images.c.id)).all() == []
