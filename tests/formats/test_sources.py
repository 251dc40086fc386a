"""Archives that must not be trusted, links, and the endings of pictures."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from format_builders import make_dataset, picture, put_picture
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
    archive = make_zip(tmp_path / "a.zip", entries)
    dataset, summary = import_dataset("folders", archive, tmp_path / "d")
    assert (dataset.ids, summary.rejected.total()) == (["happy/a"], 0)
    (tmp_path / "out").mkdir()
    unpack(archive, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["happy", "a.png"]


def test_messages_name_the_archive_not_the_place_where_it_was_unpacked(tmp_path):
    archive = make_zip(tmp_path / "cats.zip", {"cats/a.png": picture(0)})
    with pytest.raises(FormatError) as caught:
        import_dataset("folders", archive, tmp_path / "d")
    assert "cats.zip" in str(caught.value)
    assert "partial" not in str(caught.value)


def test_so_do_messages_about_a_row_inside(tmp_path):
    entries = {"in/a.png": picture(0), "in/t.csv": "image,label,emotion\na.png,sad,happy\n"}
    with pytest.raises(FormatError, match=r"a\.zip/t\.csv both mean") as caught:
        import_dataset("csv", make_zip(tmp_path / "a.zip", entries), tmp_path / "d")
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


# ---------------------------------------------------------------- archives that mean harm


def refuse(archive, match):
    """The archive is refused in one line, quickly, and leaves nothing."""
    target = archive.parent / "target"
    target.mkdir(exist_ok=True)
    with pytest.raises(FormatError, match=match) as caught:
        import_dataset("folders", archive, target / "d")
    assert "\n" not in str(caught.value)
    assert os.listdir(target) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, method):
    monkeypatch.setattr("openaffect.formats._archives.FREE_BYTES", 1_000_000)
    with (
        zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file,
        file.open("happy/a.png", "w", force_zip64=True) as entry,
    ):
        for _ in range(20):
            entry.write(bytes(1_000_000))
    refuse(tmp_path / "a.zip", r"happy/a\.png.*would unpack to more than \d,\d\d\d,\d\d\d bytes")


def test_entries_that_nobody_wants_are_counted_too(tmp_path, monkeypatch):
    monkeypatch.setattr("openaffect.formats._archives.FREE_BYTES", 1_000_000)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        for number in range(4):
            info = tarfile.TarInfo(f"__MACOSX/{number}.png")
            info.size = 5_000_000
            file.addfile(info, Zeros(info.size))
    refuse(tmp_path / "a.tar.gz", "would unpack to more than")


def test_entries_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("openaffect.formats._archives._MAX_ENTRIES", 3)
    names = [f"happy/{number}.png" for number in range(4)]
    archive = make_zip(tmp_path / "a.zip", {name: picture(0) for name in names})
    refuse(archive, r"happy/3\.png.*more than 3 entries")
    archive = make_zip(tmp_path / "b.zip", {name: picture(0) for name in names[:3]})
    assert import_dataset("folders", archive, tmp_path / "d")[1].rows == 3


class Zeros(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def test_a_whole_archive_may_unpack_to_more_than_itself(tmp_path):
    # A table shrinks by far more than pictures do.
    entries = {"happy/a.png": picture(0), "happy/notes.txt": bytes(20_000_000)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    assert import_dataset("folders", tmp_path / "a.zip", tmp_path / "d")[0].ids == ["happy/a"]


def test_bzip2_and_passwords_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("happy/a.png", picture(0))
    refuse(tmp_path / "a.zip", "its compression is not read here")
    data = bytearray(make_zip(tmp_path / "b.zip", {"happy/a.png": picture(0)}).read_bytes())
    data[6] |= 1  # the flag of an encrypted entry, in both of its headers
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    refuse(tmp_path / "b.zip", "it needs a password")


@pytest.mark.parametrize("longer", [-1, 1])
def test_a_zip_that_lies_about_the_length_of_an_entry_is_broken(tmp_path, longer):
    data = bytearray(make_zip(tmp_path / "a.zip", {"happy/a.png": picture(0)}).read_bytes())
    place = data.index(b"PK\x01\x02") + 24  # the length in the list at the end
    length = int.from_bytes(data[place : place + 4], "little") + longer
    data[place : place + 4] = length.to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    refuse(tmp_path / "a.zip", "no whole archive")


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["happy/a.png", "happy/a.png"], "its path is there twice"),
        (["happy/a.png", "happy/a.png/b.png"], "its path is there twice"),
        (["happy/a.png/b.png", "happy/a.png"], "its path is there twice"),
        (["/".join("a" * 100)], "no path that a disk can hold"),
    ],
)
def test_entries_that_cannot_lie_in_one_folder(tmp_path, names, why):
    with (
        pytest.warns(UserWarning, match="Duplicate")
        if len({*names}) < len(names)
        else contextlib.nullcontext(),
        zipfile.ZipFile(tmp_path / "a.zip", "w") as file,
    ):
        for number, name in enumerate(names):
            file.writestr(name, picture(number))
    refuse(tmp_path / "a.zip", why)
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 3
            file.addfile(info, io.BytesIO(b"abc"))
    refuse(tmp_path / "a.tar", why)


def test_headers_of_a_tar_that_claim_too_much_are_not_read(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
            info = tarfile.TarInfo("happy/a.png")
            info.type, info.size = kind, 3_000_000_000
            file.write(info.tobuf(tarfile.GNU_FORMAT))
            file.write(bytes(3_000_000))
        refuse(tmp_path / "a.tar.gz", "a header claims 3,000,000,000 bytes")
    info = tarfile.TarInfo("happy/a.png")
    info.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2_000))
    refuse(tmp_path / "a.tar", "sparse")
    info.type = tarfile.REGTYPE
    data = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    data[124:136] = (-512).to_bytes(12, "big", signed=True)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    (tmp_path / "a.tar").write_bytes(data + bytes(2_000))
    refuse(tmp_path / "a.tar", "negative size")


def test_long_names_of_long_names_end(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "a.tar").write_bytes((info.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 3_000)
    refuse(tmp_path / "a.tar", "no whole archive")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kind", ["stored.zip", "lzma.zip", "deflated.zip", "a.tar", "a.tar.gz"])
def test_a_damaged_archive_is_nothing_but_a_format_error(tmp_path_factory, kind, data):
    folder = tmp_path_factory.mktemp("damaged")
    good = whole_archive(folder, kind)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    (folder / kind).write_bytes(damaged[: data.draw(st.integers(0, len(good)))] or damaged)
    (folder / "out").mkdir()
    with contextlib.suppress(FormatError):  # damage may also be where nothing is read
        unpack(folder / kind, folder / "out")


def whole_archive(folder, kind):
    """The bytes of a small archive with two files."""
    files = {"happy/a.png": b"abc" * 30, "sad/b.png": b"xyz" * 30}
    if kind.endswith("zip"):
        method = {"stored": 0, "deflated": 8, "lzma": 14}[kind.removesuffix(".zip")]
        with zipfile.ZipFile(folder / kind, "w", method) as file:
            for name, content in files.items():
                file.writestr(name, content)
    else:
        with tarfile.open(folder / kind, "w:gz" if kind.endswith("gz") else "w") as file:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return (folder / kind).read_bytes()


# ---------------------------------------------------------------- pictures that leave a dataset


def foreign_dataset(tmp_path, image):
    """A dataset whose table names a file that is not a picture of its own."""
    dataset = make_dataset(tmp_path / "d", 2)
    put_picture(tmp_path / "private.png", 9)
    (tmp_path / "secret.txt").write_text("secret")
    return dataset.with_column("image", [image, image])


@pytest.mark.parametrize("name", ["csv", "folders", "affectnet", "affectnet8"])
@pytest.mark.parametrize("image", ["../../private.png", "{}/private.png", "../../secret.txt"])
def test_an_export_takes_no_file_outside_the_images_folder(tmp_path, name, image):
    dataset = foreign_dataset(tmp_path, image.format(tmp_path))
    for images in ("copy", "link"):
        options: dict[str, Any] = {} if name == "affectnet8" else {"images": images}
        with pytest.raises(InputError, match="leaves its images folder"):
            export_dataset(name, dataset, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_an_export_takes_no_link_that_leaves_and_nothing_but_pictures(tmp_path):
    dataset = foreign_dataset(tmp_path, "x.png").with_column("face_id", ["1", "2"])
    place = dataset.images_folder / "x.png"
    for make, match in (
        (lambda: place.symlink_to(tmp_path / "private.png"), "leaves its images folder"),
        (lambda: os.mkfifo(place), "expected a picture"),
        (lambda: place.write_text("root:x:0:0"), "not a picture"),
    ):
        make()
        with pytest.raises(InputError, match=match):
            export_dataset("folders", dataset, tmp_path / "out")
        place.unlink()


def test_links_in_a_folder_of_this_machine_are_pictures_like_any_other(tmp_path):
    dataset = make_dataset(tmp_path / "d", 6)
    export_dataset("folders", dataset, tmp_path / "links", images="link")
    linked, _ = import_dataset("folders", tmp_path / "links", tmp_path / "linked")
    assert export_dataset("folders", linked, tmp_path / "out").rows == 6


def test_a_damaged_header_does_not_pass_for_the_end_of_a_tar(tmp_path):
    info = tarfile.TarInfo("happy/a.png")
    info.size = 512
    whole = info.tobuf() + bytes(512)
    (tmp_path / "a.tar").write_bytes(whole + b"x" * 512 + whole)
    refuse(tmp_path / "a.tar", "no whole archive: ")
