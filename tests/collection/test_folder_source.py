"""Folders of images, and the tables in them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from collection.source_builders import make_image, write_csv
from openaffect.collection.image_files import walk_images
from openaffect.collection.providers import Item, load_source
from openaffect.errors import FormatError, ImageError, InputError
from openaffect.project import store

PNG = make_image(0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images that come, and what does not."""
    folder = tmp_path / "photos"
    for name in ("b.png", "a.png", "c/d/e.jpg", "c/a", ".hidden.png", ".h/f.png", "c/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PNG if name != "c/notes.txt" else b"text")
    (folder / "broken.JPG").write_bytes(b"no image")
    return folder


NAMES = ["a.png", "b.png", "broken.JPG", "c/a", "c/d/e.jpg"]


def read(folder: Path) -> list[Item]:
    return list(load_source("folder").read_items(folder))


def describe(items: list[Item]) -> Mapping[str, str | None]:
    return {item.name: item.error for item in items}


def test_images_come_by_suffix_or_content_in_the_order_of_names(photos: Path) -> None:
    items = read(photos)
    assert [item.name for item in items] == NAMES
    assert [item.read() for item in items if item.read] == [PNG, PNG, b"no image", PNG, PNG]
    assert items[0] == Item("a.png", items[0].read)


def test_links_pipes_and_devices_never_hang(photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    os.mkfifo(photos / "pipe")
    (photos / "zero.png").symlink_to("/dev/zero")
    (photos / "gone.png").symlink_to(tmp_path / "nothing")
    (photos / "loop").symlink_to(photos)
    (photos / "link.png").symlink_to(photos / "a.png")
    items = {item.name: item for item in read(photos)}
    assert [*items] == [*NAMES[:3], "gone.png", "link.png", "pipe.png", "zero.png", *NAMES[3:]]
    assert items["link.png"].read() == PNG
    for name in ("pipe.png", "zero.png", "gone.png"):
        with pytest.raises(ImageError, match="missing or unreadable image: "):
            items[name].read()


def test_an_image_that_is_too_large_is_not_read(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_BYTES", len(PNG) - 1)
    item = read(photos)[0]
    with pytest.raises(ImageError, match="too large: "):
        item.read()


def test_a_folder_that_cannot_be_listed_is_told(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("/c"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    for name in ("d", "e"):
        (photos / name).mkdir()
        (photos / name / "a.png").write_bytes(PNG)
    (photos / "e" / "c").mkdir()
    monkeypatch.setattr(os, "scandir", scandir)
    names = [*NAMES[:3], "c", "d/a.png", "e/a.png", "e/c"]
    assert [*walk_images(photos)] == [photos / name for name in names]
    item = read(photos)[-1]
    assert item.name == "e/c"
    with pytest.raises(ImageError, match="missing or unreadable image: "):
        item.read()


def test_a_name_that_is_not_utf8_can_be_written_down(photos: Path) -> None:
    with open(os.fsencode(photos) + b"/\xe4.png", "wb") as file:
        file.write(PNG)
    item = read(photos)[3]
    assert item.name == ".png"
    assert item.read() == PNG


ROW = {
    "file_name": "c/d/e.jpg",
    "url": "https://me:secret@a.example/e.jpg",
    "query": "happy man",
    "intended": "Happiness",
    "page_url": "https://a.example/",
    "title": "A\n B",
    "author": "Ada",
    "license": "CC BY 4.0",
    "license_url": "https://creativecommons.org/licenses/by/4.0/",
    "restrictions": "personality",
    "label": "3",
}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_table_of_a_folder(photos: Path, kind: str) -> None:
    if kind == "csv":
        write_csv(photos / "metadata.csv", [ROW, {"file_name": "./b.png", "author": "Ben"}])
    else:
        lines = [json.dumps(ROW), json.dumps({"file_name": "./b.png", "author": "Ben"})]
        (photos / "metadata.jsonl").write_text("\n".join(lines))
    items = read(photos)
    assert describe(items) == dict.fromkeys(NAMES)
    assert items[4] == Item(
        "c/d/e.jpg",
        items[4].read,
        "https://a.example/e.jpg",
        "happy man",
        "happy",
        "https://a.example/",
        "A B",
        "Ada",
        "CC BY 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "personality",
    )
    assert items[1] == Item("b.png", items[1].read, author="Ben")
    assert items[0] == Item("a.png", items[0].read)
    assert items[4].read() == PNG


def test_what_is_wrong_with_a_row_is_an_error(photos: Path) -> None:
    names = ("a.png", "b.png", "missing.png", "b.png", "broken.JPG", "c/notes.txt", ".hidden.png")
    outside = ("../x.png", "/etc/passwd", "c/../../x", "C:/x.png", "c\\a", "", ".")
    rows = [{"file_name": name, "intended": "happy"} for name in (*names, *outside)]
    rows[0]["intended"] = "hapy"
    path = write_csv(photos / "metadata.csv", rows)
    path.write_bytes(path.read_bytes() + b"c/\xe4,happy\r\nx,y,z\r\n")
    items = read(photos)
    outside_error = "file_name that is no path inside the folder: "
    assert describe(items) == {
        "a.png": "row that cannot be used: metadata.csv:2: unknown expression 'hapy' in intended; "
        "did you mean 'happy'? Known: neutral, happy, sad, surprise, fear, disgust, anger, "
        "contempt, none, uncertain, no_face",
        "b.png": "image with two rows in metadata.csv: leave the right one",
        "broken.JPG": None,
        "c/a": None,
        "c/d/e.jpg": None,
        **{f"metadata.csv:{n}": f"{outside_error}'{x}'" for n, x in enumerate(outside, 9)},
        "metadata.csv:16": "line that is not UTF-8; save the file as UTF-8",
        "metadata.csv:17": "more fields than the header: 3, not 2",
        "missing.png": "no such image in the folder",
        "c/notes.txt": "no such image in the folder",
        ".hidden.png": "no such image in the folder",
    }
    assert [item.intended for item in items if item.error is None] == ["happy", None, None]
    assert [item.read is None for item in items] == [bool(item.error) for item in items]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected a column file_name in .*metadata.csv, but got $"),
        (b"image,url\na.png,b\n", "expected a column file_name in .*, but got image, url"),
        (b"file_name,a,A\na.png,1,2\n", "two columns of one name: a"),
        (b"f\xe4,file_name\n", "expected UTF-8 in .*metadata.csv"),
        (b"x" * 3_000_000, "expected a header in .*metadata.csv"),
        (b"\xff\xfe\x00\xd8", "expected UTF-16 in .*metadata.csv"),
        (b"\x1f\x8b\x08", "metadata.csv is no whole gzip file"),
    ],
)
def test_a_table_that_is_none_is_refused(photos: Path, data: bytes, reason: str) -> None:
    (photos / "metadata.csv").write_bytes(data)
    with pytest.raises(FormatError, match=reason):
        read(photos)


def test_two_tables_and_a_pipe_are_refused(photos: Path) -> None:
    os.mkfifo(photos / "metadata.csv")
    with pytest.raises(InputError, match="it is a pipe or a device"):
        read(photos)
    write_csv(photos / "metadata.jsonl", [ROW])
    with pytest.raises(FormatError, match=r"one table in .* metadata.csv and metadata.jsonl"):
        read(photos)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "table alone"])
def test_what_holds_no_image_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "x"
    if kind == "file":
        folder.write_bytes(PNG)
    elif kind != "missing":
        folder.mkdir()
    if kind == "table alone":
        write_csv(folder / "metadata.csv", [ROW])
    reason = {"missing": "there is none", "file": "it is a file"}.get(kind, "it holds none")
    with pytest.raises(InputError, match=f"expected .*images .*, but {reason}"):
        read(folder)


@pytest.mark.slow
def test_a_table_of_100_000_rows_takes_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    rows = [
        {"file_name": f"{n}.png", "url": f"https://a.example/{n}.png", "license": "CC BY 4.0"}
        for n in range(100_000)
    ]
    write_csv(tmp_path / "metadata.csv", rows)
    (tmp_path / "0.png").write_bytes(PNG)
    del rows
    tracemalloc.start()
    items = load_source("folder").read_items(tmp_path)
    assert next(items).license == "CC BY 4.0"
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000 * 700  # bytes
