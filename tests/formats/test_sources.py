"""Archives that must not be trusted, links, and the endings of pictures."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import pytest

from format_builders import picture, put_picture
from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.formats import export_dataset, import_dataset
from openaffect.formats._archives import keep_pictures_only, unpack
from openaffect.formats._exports import safe_path
from openaffect.formats._sources import find_picture


def make_zip(path, entries, link=None):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            file.writestr(info, "/etc/passwd")
    return path


def make_tar(path, name, kind=tarfile.REGTYPE, target=""):
    with tarfile.open(path, "w") as file:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, target, 0 if target else 3
        file.addfile(info, io.BytesIO(b"abc"))
    return path


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "C:/evil.png", "..\\evil.png"]
)
def test_an_entry_that_leaves_the_archive_is_refused(tmp_path, name):
    (tmp_path / "out").mkdir()
    with pytest.raises(FormatError, match="leaves the archive"):
        unpack(make_zip(tmp_path / "a.zip", {name: b"x"}), tmp_path / "out")
    with pytest.raises(FormatError, match="leaves the archive"):
        unpack(make_tar(tmp_path / "a.tar", name), tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "a.zip", "out"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    (tmp_path / "out").mkdir()
    with pytest.raises(FormatError, match="it is a link, a device"):
        unpack(make_tar(tmp_path / "a.tar", "x.png", kind, "/etc/passwd"), tmp_path / "out")
    with pytest.raises(FormatError, match="it is a link"):
        unpack(make_zip(tmp_path / "a.zip", {}, link="x.png"), tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_a_refused_archive_leaves_no_dataset(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"happy/a.png": picture(0), "../b.png": picture(1)})
    (tmp_path / "target").mkdir()
    with pytest.raises(FormatError):
        import_dataset("folders", archive, tmp_path / "target" / "d")
    assert os.listdir(tmp_path / "target") == []


def test_a_truncated_archive_is_named(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {f"happy/{n}.png": picture(n) for n in range(4)})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(FormatError, match=r"a\.zip is no whole archive"):
        import_dataset("folders", archive, tmp_path / "d")
    packed = tmp_path / "b.tar.gz"
    with tarfile.open(packed, "w:gz") as file:
        file.add(put_picture(tmp_path / "happy/a.png"), "happy/a.png")
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(FormatError, match=r"b\.tar\.gz is no whole archive"):
        import_dataset("folders", packed, tmp_path / "d")


def test_what_a_mac_adds_is_not_unpacked(tmp_path):
    entries = {"happy/a.png": picture(0), "__MACOSX/happy/._a.png": b"x", "happy/.DS_Store": b"x"}
    dataset, summary = import_dataset(
        "folders", make_zip(tmp_path / "a.zip", entries), tmp_path / "d"
    )
    assert (dataset.ids, summary.rejected.total()) == (["happy/a"], 0)


def test_messages_name_the_archive_not_the_place_where_it_was_unpacked(tmp_path):
    archive = make_zip(tmp_path / "cats.zip", {"cats/a.png": picture(0)})
    with pytest.raises(FormatError) as caught:
        import_dataset("folders", archive, tmp_path / "d")
    assert "cats.zip" in str(caught.value)
    assert "partial" not in str(caught.value)


def test_an_archive_cannot_be_linked(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"happy/a.png": picture(0)})
    with pytest.raises(InputError, match="cannot link"):
        import_dataset("folders", archive, tmp_path / "d", images="link")
    with pytest.raises(UnknownName, match="move"):
        import_dataset("folders", archive, tmp_path / "d", images="move")


def test_neither_direction_may_destroy_its_own_source(tmp_path):
    put_picture(tmp_path / "in/happy/a.png")
    with pytest.raises(InputError, match="onto itself"):
        import_dataset("folders", tmp_path / "in", tmp_path / "in", overwrite=True)
    with pytest.raises(InputError, match="onto itself"):
        import_dataset("folders", tmp_path / "in/happy", tmp_path / "in", overwrite=True)
    dataset, _ = import_dataset("folders", tmp_path / "in", tmp_path / "d")
    for place in ("in", "d"):
        with pytest.raises(InputError, match="lie in it"):
            export_dataset("folders", dataset, tmp_path / place, overwrite=True)
    assert (tmp_path / "in/happy/a.png").exists()


@pytest.mark.parametrize(
    ("listed", "on_disk"),
    [
        ("a/x.JPG", "a/x.jpg"),
        ("a/x.jpg", "a/x.JPEG"),
        ("a/x.jpg", "a/x.png"),
        ("a/x.tif", "a/x.TIF"),
        ("a/x", "a/x.bmp"),
        ("a/x.y", "a/x.y.png"),
        ("a/x.jpg", "a/x.jpg"),
        ("a/x.png", "a/x.png.JPG"),
    ],
)
def test_a_picture_is_found_under_another_ending(tmp_path, listed, on_disk):
    (tmp_path / "a").mkdir()
    (tmp_path / on_disk).touch()
    assert find_picture(f"{tmp_path}/", listed) == on_disk
    assert find_picture(f"{tmp_path}/", "a/other.jpg") is None


def test_only_pictures_stay(tmp_path):
    for name in ("a/x.jpg", "a/x_exp.npy", "b/list.csv", "c/Y.TIF"):
        put_picture(tmp_path / name) if name[-3:] in ("jpg", "TIF") else (
            (tmp_path / name).parent.mkdir(exist_ok=True),
            (tmp_path / name).touch(),
        )
    keep_pictures_only(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["a", "a/x.jpg", "c", "c/Y.TIF"]


@pytest.mark.parametrize(
    ("face_id", "path"),
    [("a/b", "a/b"), ("../x", "_/x"), ("/etc/x", "etc/x"), ("a\\..\\b", "a/_/b"), ("//", "_")],
)
def test_an_id_never_leaves_the_export(face_id, path):
    assert safe_path(face_id) == path
