"""Backups: restored on either database, row for row."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from openaffect.collection import add_dataset, detect_faces
from openaffect.dataset import Dataset
from openaffect.errors import DestinationExists, FormatError, ImageError, InputError, NewerSchema
from openaffect.project import Project, open_project
from openaffect.project.backups import backup_project, restore_project
from openaffect.project.schema import metadata


def rows_of(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but what a restored project has of its own."""
    found = {}
    with project.database.read() as connection:
        for table in metadata.sorted_tables:
            rows = connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            found[table.name] = [tuple(row) for row in rows]
    del found["settings"]
    found["events"] = [row for row in found["events"] if row[2] != "restore"]
    return found


@pytest.fixture
def filled(project: Project, drawn: Dataset) -> Project:
    add_dataset(project, drawn)
    detect_faces(project, workers=1)
    return project


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
@pytest.mark.parametrize("with_store", [True, False])
def test_a_backup_is_restored_on_either_database_row_for_row(
    filled: Project, tmp_path: Path, to: str, with_store: bool, second_url: str
) -> None:
    count = backup_project(filled, tmp_path / "b.zip", with_store=with_store)
    assert count == (8 if with_store else 0)
    database = None if to == "sqlite" else second_url
    with restore_project(tmp_path / "b.zip", tmp_path / "again", database=database) as restored:
        assert rows_of(restored) == rows_of(filled)
        assert len(rows_of(restored)["faces"]) == 8
        assert restored.status() == filled.status() | {"database": to}
        assert (
            Path(restored.store.location) == Path(filled.store.location).absolute()
        ) is not with_store
        for _, sha256, suffix, *_ in rows_of(restored)["images"]:
            assert restored.store.read(sha256, suffix) == filled.store.read(sha256, suffix)
        # It goes on: new rows get numbers of their own.
        with restored.database.write() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO queries (text, language, active, at) VALUES ('a', 'en', true, :at)"
                ),
                {"at": "2026-01-01 00:00:00"},
            )
            images = sa.table("images", sa.column("id"))
            top = connection.execute(sa.select(sa.func.max(images.c.id))).scalar()
            assert top == 8
    with open_project(tmp_path / "again") as opened:
        assert opened.settings.id != filled.settings.id


def test_new_rows_after_a_restore_do_not_collide(
    filled: Project, tmp_path: Path, second_url: str, drawn: Dataset
) -> None:
    backup_project(filled, tmp_path / "b.zip")
    with restore_project(tmp_path / "b.zip", tmp_path / "again", database=second_url) as restored:
        added = add_dataset(restored, drawn, name="other", prefix="other/")
        assert (added.faces, added.annotations, added.known_images) == (8, 8, 8)


def test_a_backup_in_the_middle_of_work_is_of_one_moment(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    add_dataset(project, drawn)
    with project.database.write() as connection:
        connection.execute(sa.text("DELETE FROM annotations"))  # not committed
        backup_project(project, tmp_path / "b.zip")
        connection.rollback()
    with restore_project(tmp_path / "b.zip", tmp_path / "again") as restored:
        assert len(rows_of(restored)["annotations"]) == 8


def test_an_image_that_is_damaged_or_gone_stops_a_backup_with_images(
    filled: Project, tmp_path: Path
) -> None:
    _, sha256, suffix, *_ = rows_of(filled)["images"][3]
    path = Path(filled.store.place(sha256, suffix))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ImageError, match="damaged"):
        backup_project(filled, tmp_path / "b.zip", with_store=True)
    path.unlink()
    with pytest.raises(ImageError, match="missing"):
        backup_project(filled, tmp_path / "b.zip", with_store=True)
    assert list(tmp_path.glob("*b.zip*")) == []
    assert list(tmp_path.glob(".backup*")) == []
    backup_project(filled, tmp_path / "b.zip")
    with pytest.raises(DestinationExists):
        backup_project(filled, tmp_path / "b.zip")


def test_a_store_that_is_gone_is_asked_for(filled: Project, tmp_path: Path) -> None:
    backup_project(filled, tmp_path / "b.zip")
    Path(filled.store.location).rename(tmp_path / "moved")
    with pytest.raises(InputError, match="--store"):
        restore_project(tmp_path / "b.zip", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with restore_project(
        tmp_path / "b.zip", tmp_path / "again", store=tmp_path / "moved"
    ) as restored:
        _, sha256, suffix, *_ = rows_of(restored)["images"][0]
        assert restored.store.read(sha256, suffix)


def rewrite(file: Path, change: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (parts | change).items():
            archive.writestr(name, data)


def test_what_is_no_backup_is_told(filled: Project, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    with pytest.raises(FormatError, match="no such file"):
        restore_project(file, tmp_path / "p")
    file.write_bytes(b"PK nothing")
    with pytest.raises(FormatError, match="damaged or none"):
        restore_project(file, tmp_path / "p")
    backup_project(filled, file, with_store=True, overwrite=True)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="damaged or none"):
        restore_project(file, tmp_path / "p")
    file.write_bytes(whole)
    rewrite(file, {"project.db": b"text"})
    with pytest.raises(FormatError, match="SQLite"):
        restore_project(file, tmp_path / "p")
    file.write_bytes(whole)
    name = next(one for one in zipfile.ZipFile(file).namelist() if one.startswith("store/"))
    other = next(one for one in zipfile.ZipFile(file).namelist()[::-1] if one != name)
    rewrite(file, {name: zipfile.ZipFile(file).read(other)})
    with pytest.raises(FormatError, match="does not fit its name"):
        restore_project(file, tmp_path / "p")
    assert not (tmp_path / "p" / "project.toml").exists()


def test_a_backup_of_a_newer_openaffect_is_refused(filled: Project, tmp_path: Path) -> None:
    with filled.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    backup_project(filled, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        toml = archive.read("project.toml").replace(b"schema = 1", b"schema = 7")
    rewrite(tmp_path / "b.zip", {"project.toml": toml})
    with pytest.raises(NewerSchema):
        restore_project(tmp_path / "b.zip", tmp_path / "p")
