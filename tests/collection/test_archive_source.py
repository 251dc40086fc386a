"""Archives as warcio and webdataset write them, and as nobody should."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from collection.source_builders import Crawl, chunk, make_image, measure, write_tar
from openaffect.collection.providers import Item, _warc, _webdataset, load_source
from openaffect.errors import FormatError, InputError

PNG = make_image(0)
HTML = (("Content-Type", "text/html; charset=utf-8"),)


def read(path: Path) -> list[Item]:
    return list(load_source("archive").read_items(path))


def data_of(items: list[Item]) -> list[bytes]:
    return [item.read() for item in items if item.read is not None]


def errors_of(path: Path) -> dict[str, str]:
    return {item.name: item.error for item in read(path) if item.error}


def pack(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data, 1))
    return path


# ---------------------------------------------------------------- WARC


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[Crawl]:
    with Crawl(tmp_path / "crawl.warc.gz") as made:
        yield made


def test_a_record_keeps_its_address_its_id_and_the_headers_of_its_answer(crawl: Crawl) -> None:
    headers = [("Content-Type", "image/png"), ("X-Robots-Tag", "noai"), ("x-robots-tag", "b: c")]
    name = crawl.respond("https://a.example/ä 1.png", PNG, headers=headers)
    [item] = read(crawl.path)
    assert item == Item(name, item.read, "https://a.example/ä 1.png", headers=tuple(headers))
    assert item.read is not None
    assert item.read() == PNG


def test_only_answers_of_status_200_and_resources_are_images(crawl: Crawl) -> None:
    ok = crawl.respond("https://a.example/1.png", PNG)
    for status in ("404 Not Found", "301 Moved", "206 Partial Content", "2000 Odd"):
        crawl.respond("https://a.example/2.png", PNG, status)
    for kind in ("request", "revisit", "metadata", "warcinfo", "conversion", "continuation"):
        crawl.respond("https://a.example/3.png", PNG, kind=kind)
    resource = crawl.respond("file:///c.png", PNG, kind="resource")
    items = read(crawl.path)
    assert [(item.name, item.url) for item in items] == [
        (ok, "https://a.example/1.png"),
        (resource, "file:///c.png"),
    ]
    assert data_of(items) == [PNG, PNG]


@pytest.mark.parametrize(
    ("content_type", "body", "is_found"),
    [
        ("text/html", b"<html>", False),
        ("TEXT/HTML ; charset=x", b"<svg></svg>", False),
        ("application/pdf", b"%PDF-1.7", False),
        ("text/html", PNG, True),
        ("video/mp4", PNG, True),
        ("image/png", b"<html>", True),
        ("IMAGE/PNG", b"", True),
        ("application/octet-stream; charset=binary", b"abc", True),
        ("image/heic", b"\0\0\0\x18ftypheic", True),
        ("application/octet-stream", b"abc", True),
        ("", b"abc", True),
    ],
)
def test_bytes_or_a_type_make_an_image(
    crawl: Crawl, content_type: str, body: bytes, is_found: bool
) -> None:
    crawl.respond("https://a.example/", PNG)
    crawl.respond("https://a.example/x", body, headers=[("Content-Type", content_type)])
    assert data_of(read(crawl.path)) == [PNG, *([body] if is_found else [])]


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Transfer-Encoding": "chunked"}, chunk(PNG)),
        ({"Transfer-Encoding": "chunked"}, PNG),  # unpacked by the crawler
        ({"Content-Encoding": "gzip"}, gzip.compress(PNG, mtime=0)),
        ({"Content-Encoding": "gzip"}, PNG),
        ({"Content-Encoding": "deflate"}, zlib.compress(PNG)),
        ({"Content-Encoding": "deflate"}, deflate(PNG)),
        (
            {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"},
            chunk(gzip.compress(PNG, mtime=0)),
        ),
        ({"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"}, chunk(PNG)),
        ({"Content-Encoding": "identity"}, PNG),
    ],
)
def test_chunks_and_compression_are_taken_off_as_warcio_does(
    crawl: Crawl, headers: dict[str, str], body: bytes
) -> None:
    crawl.respond("https://a.example/", body, headers=[*headers.items()])
    crawl.respond("https://a.example/next", PNG)
    assert data_of(read(crawl.path)) == [PNG, PNG]
    with crawl.path.open("rb") as file:
        theirs = [record.content_stream().read() for record in ArchiveIterator(file)]
    assert theirs == [PNG, PNG]


def test_an_address_and_a_compression_may_be_spelled_in_another_way(crawl: Crawl) -> None:
    crawl.respond(
        "HTTPS://a.example/",
        gzip.compress(PNG, mtime=0),
        headers=[("content-encoding", " X-GZIP ")],
    )
    assert data_of(read(crawl.path)) == [PNG]


def test_a_body_without_chunks_or_ends_of_lines_stays_in_its_record(crawl: Crawl) -> None:
    body = b"BM" + b"x" * 100
    crawl.respond("https://a.example/", body, headers=[("Transfer-Encoding", "chunked")])
    crawl.respond("https://a.example/", PNG)
    assert data_of(read(crawl.path)) == [body, PNG]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": None}, "no WARC-Target-URI"),
        ({"url": "https://a.example/" + "a" * 2_000}, "url: expected at most 2,000 characters"),
        ({"WARC_Truncated": "length"}, "a part of its image only .WARC-Truncated"),
        ({"WARC_Segment_Number": "1"}, "a part of its image only .WARC-Segment-Number"),
        ({"headers": [("Content-Encoding", "br")], "body": b"abc"}, "compression is not read: br"),
        (
            {"headers": [("Content-Encoding", "gzip")], "body": gzip.compress(PNG, mtime=0)[:-9]},
            "compressed body is cut short",
        ),
        (
            {"headers": [("Content-Encoding", "gzip")], "body": b"abc"},
            "body cannot be unpacked",
        ),
        ({"headers": [("A", "b" * 1_000_000)]}, "header of more than 1,000,000 bytes"),
        ({"headers": [("A", "b")] * 200_000}, "header of more than 1,000,000 bytes"),
        (
            {"headers": [("Transfer-Encoding", "chunked")], "body": chunk(bytes(400_000), 1)},
            "header of more than 1,000,000 bytes",
        ),
    ],
)
def test_what_is_wrong_with_a_record_is_its_error(
    crawl: Crawl, change: dict[str, object], reason: str
) -> None:
    given = {"url": "https://a.example/1.png", "body": PNG} | change
    name = crawl.respond(**given)  # type: ignore[arg-type]
    crawl.respond("https://a.example/2.png", PNG)
    broken, whole = read(crawl.path)
    assert broken.name == name
    assert broken.read is None
    with pytest.raises(AssertionError, match=f"record that cannot be used: .*{reason}"):
        raise AssertionError(broken.error)
    assert whole.url == "https://a.example/2.png"
    assert data_of([whole]) == [PNG]


def record(body: bytes, length: object, kind: str = "resource", more: str = "") -> bytes:
    text = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:1>\r\n"
        f"WARC-Target-URI: https://a.example/1.png\r\nContent-Length: {length}\r\n{more}\r\n"
    )
    return text.encode() + body + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PNG, "expected an answer that begins with HTTP/"),
        (b"ICY 200 OK\r\n\r\n" + PNG, "expected an answer that begins with HTTP/"),
        (b"", "it has no answer"),
    ],
)
def test_an_answer_that_is_none_is_an_error(tmp_path: Path, body: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(record(body, len(body), "response") + record(PNG, len(PNG)))
    broken, whole = read(tmp_path / "a")
    assert broken.error == f"record that cannot be used: {reason}"
    assert data_of([whole]) == [PNG]


def test_brackets_around_an_address_a_record_without_an_id_and_the_end(tmp_path: Path) -> None:
    # As wget 1.19 writes it; and no blank lines after the last record.
    data = record(PNG, len(PNG)).replace(b"https://a.example/1.png", b"<https://a.example/1.png>")
    data = data.replace(b"WARC-Record-ID", b"X").removesuffix(b"\r\n\r\n")
    for path in (tmp_path / "a", pack(tmp_path / "b", data)):
        path.write_bytes(data if path.name == "a" else path.read_bytes())
        [item] = read(path)
        assert (item.name, item.url) == ("record 1", "https://a.example/1.png")
        assert data_of([item]) == [PNG]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (record(PNG, 10_000_000_000_000), "record 3: the file ends inside it"),
        (record(PNG, len(PNG) + 5), "record 3: the file ends inside it"),
        (record(PNG, -5), "record 3: expected a number under Content-Length, but got '-5'"),
        (record(PNG, "x" * 900), "record 3: expected a number under Content-Length"),
        (record(PNG, "9" * 5_000), "record 3: expected a number under Content-Length"),
        (record(PNG, "")[:20] + b"\r\n\r\n", "record 3: expected a number under Content-Length"),
        (record(PNG, len(PNG) - 5), "record 4: expected WARC/1.1, but got"),
        (b"x" * 2_000_000, "record 3: header of more than 1,000,000 bytes"),
        (b"WARC/1.0\r\n" + b"a: b\r\n" * 200_000, "record 3: header of more than 1,000,000"),
        (b"\r\n" * 1_000_000, "record 3: header of more than 1,000,000 bytes"),
        (b"GIF89a\r\n", "record 3: expected WARC/1.1, but got 'GIF89a"),
    ],
)
def test_what_makes_the_rest_unreadable_ends_it(
    tmp_path: Path, end: bytes, reason: str, packed: bool
) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(record(PNG, len(PNG)) * 2 + end)
    if packed:
        pack(path, path.read_bytes())
    items = load_source("archive").read_items(path)
    assert data_of([next(items), next(items)]) == [PNG, PNG]
    with pytest.raises(FormatError, match=f"{reason}.*; items before that: [23]"):
        list(items)


def test_gzip_that_is_cut_short_says_how_far_it_came(crawl: Crawl) -> None:
    for number in range(5):
        crawl.respond(f"https://a.example/{number}.png", make_image(number))
    os.truncate(crawl.path, crawl.path.stat().st_size - 30)
    items = load_source("archive").read_items(crawl.path)
    assert [next(items).url for _ in range(4)] == [f"https://a.example/{n}.png" for n in range(4)]
    with pytest.raises(FormatError, match=r"no whole gzip file: .*; items before that: 4"):
        next(items)


def test_a_warc_that_is_one_member_of_gzip_is_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "a", record(PNG, len(PNG)) * 3)
    assert data_of(read(path)) == [PNG] * 3


@pytest.mark.parametrize("packed", [False, True])
def test_a_record_that_is_too_large_is_passed_over(tmp_path: Path, packed: bool) -> None:
    size = _webdataset.MAX_RECORD
    path = tmp_path / "a.warc"
    video = record(b"", size + 1, more="Content-Type: video/mp4\r\n").removesuffix(b"\r\n\r\n")
    image = record(b"", size + 1).removesuffix(b"\r\n\r\n")
    with gzip.open(path, "wb", 1) if packed else path.open("wb") as file:
        for head in (video, image):
            file.write(head)
            for _ in range(size // 1_000_000):
                file.write(bytes(1_000_000))
            file.write(b"\0\r\n\r\n")
        file.write(record(PNG, len(PNG)))
    broken, whole = read(path) if not packed else [*read_unbounded(path)]
    assert broken.error == "record that cannot be used: it has more than 100,000,000 bytes"
    assert data_of([whole]) == [PNG]


def read_unbounded(path: Path) -> list[Item]:
    """As if an honest file unpacked to 200 MB and a little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openaffect.formats._gzip.FREE_BYTES", 300_000_000)
        return read(path)


def test_a_body_that_unpacks_to_too_much_is_refused(crawl: Crawl) -> None:
    bomb = gzip.compress(bytes(_webdataset.MAX_RECORD + 1), 9)
    assert len(bomb) < 200_000
    crawl.respond("https://a.example/", bomb, headers=[("Content-Encoding", "gzip")])
    assert list(errors_of(crawl.path).values()) == [
        "record that cannot be used: it unpacks to more than 100,000,000 bytes"
    ]


def test_nothing_is_said_on_stderr(crawl: Crawl, capfd: pytest.CaptureFixture[str]) -> None:
    crawl.respond("https://me:secret@a.example/a b.png", PNG)
    [item] = read(crawl.path)
    assert item.url == "https://a.example/a b.png"
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- webdataset


def test_a_tar_that_webdataset_wrote() -> None:
    """Written by `webdataset.TarWriter` of webdataset 1.0.2: png, json, txt and cls of three keys."""
    items = read(Path(__file__).parent / "webdataset-1.0.2.tar.gz")
    assert [(item.name, item.url, item.title, item.error) for item in items] == [
        (f"train/000{n}", f"https://a.example/{n}.png", f"face {n}", None) for n in range(3)
    ]
    assert [len(data) for data in data_of(items)] == [69, 72, 72]


def test_the_columns_of_json(tmp_path: Path) -> None:
    columns = {
        "url": "https://me:secret@a.example/1.png",
        "query": "happy  man",
        "intended": "Happiness",
        "page_url": "https://a.example/",
        "title": "A\u0301\n\x1b[31m" + "x" * 2_000,
        "author": 7,
        "license": None,
        "license_url": "",
        "restrictions": "personality",
        "exif": {"a": 1},
    }
    path = write_tar(tmp_path / "a.tar", [("a.json", json.dumps(columns).encode()), ("a.jpg", PNG)])
    [item] = read(path)
    assert item == Item(
        "a",
        item.read,
        "https://a.example/1.png",
        "happy man",
        "happy",
        "https://a.example/",
        "Á [31m" + "x" * 994,
        "7",
        restrictions="personality",
    )
    assert data_of([item]) == [PNG]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[1]", "it does not hold what it should"),
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b'{"url": "\\ud800"}', "it is not JSON"),
        (b'{"a":' + b"[" * 100_000, "it is nested too deeply"),
        (b'{"intended": "hapy"}', "unknown expression 'hapy' in intended; did you"),
        (b'{"license": ["a"]}', "license: expected a text, but got list"),
        (b'{"license": true}', "license: expected a text, but got bool"),
        (b'{"url": "https://a.example/' + b"a" * 2_000 + b'"}', "url: expected at most 2,000"),
        (b" " * 1_000_001, "it has more than 1,000,000 bytes"),
    ],
)
def test_json_that_cannot_be_used_is_an_error_of_its_image(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    files = [("a.png", PNG), ("a.json", text), ("b.png", PNG)]
    broken, whole = read(write_tar(tmp_path / "a.tar", files))
    assert broken.name == "a"
    assert broken.error is not None
    assert broken.error.startswith(f"json that cannot be used: {reason}")
    assert broken.read is None
    assert (whole.name, whole.error) == ("b", None)


def test_the_largest_json(tmp_path: Path) -> None:
    files = [("a.json", b'{"title": "A"}'.ljust(1_000_000)), ("a.png", PNG)]
    assert [item.title for item in read(write_tar(tmp_path / "a.tar", files))] == ["A"]


def test_keys_end_at_the_first_dot_of_the_last_part(tmp_path: Path) -> None:
    files = [
        ("v1.0/a.left.PNG", PNG),
        ("v1.0/a.json", b'{"title": "A"}'),
        ("./b.bin", PNG),
        ("README", PNG),
        (".hidden.png", PNG),
        ("c/._d.png", PNG),
        ("/e.jpg", b"abc"),
        ("../f.webp", PNG),
        ("g.left.JPG", b"abc"),
        ("a.png", make_image(1)),
    ]
    items = read(write_tar(tmp_path / "a.tar", files))
    assert [(item.name, item.title, item.error) for item in items] == [
        ("v1.0/a", "A", None),
        ("./b", None, None),
        ("/e", None, None),
        ("../f", None, None),
        ("g", None, None),
        ("a", None, None),
    ]
    assert data_of(items) == [PNG, PNG, b"abc", PNG, b"abc", make_image(1)]


def test_what_has_no_image_or_two_is_named(tmp_path: Path) -> None:
    files = [
        ("a.json", b"{}"),
        ("a.tar", write_tar(tmp_path / "in.tar", [("x.png", PNG)]).read_bytes()),
        ("b.png", PNG),
        ("b.mask.png", make_image(1)),
        ("c.json", b"{}"),
        ("c.json", b"{}"),
        ("c.png", PNG),
    ]
    path = write_tar(tmp_path / "a.tar", files)
    assert errors_of(path) == {
        "a": "no image of this key",
        "b.mask.png": "second image of one key: give it a key of its own",
        "c": "json that cannot be used: there are two of one key",
    }
    assert data_of(read(path)) == [PNG]


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_errors(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, member_kind in (
            ("a.png", kind),
            ("b.txt", kind),
            ("b.png", tarfile.REGTYPE),
            ("b.mask.png", kind),
            ("c.d", tarfile.DIRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = member_kind, "/etc/passwd"
            info.size = len(PNG) if member_kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(PNG) if info.size else None)
    assert errors_of(path) == {
        "a": "link, device or sparse file in a tar",
        "b.mask.png": "second image of one key: give it a key of its own",
    }
    assert data_of(read(path)) == [PNG]


def test_a_sparse_file_is_an_error(tmp_path: Path) -> None:
    """Of version 0.1, whose map is in the header: 512 bytes that stand for a terabyte."""
    info = tarfile.TarInfo("a.png")
    info.size = 512
    info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": "1000000000000"}
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.PAX_FORMAT) + PNG.ljust(512, b"\0") + bytes(1024))
    assert errors_of(path) == {"a": "link, device or sparse file in a tar"}


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_layout_of_tar_and_long_names(tmp_path: Path, layout: int) -> None:
    long = "x" * (90 if layout == tarfile.USTAR_FORMAT else 400)
    files = [(f"{long}.png", PNG), ("ä.png", PNG), (f"{'d/' * 60}a.png", make_image(1))]
    items = read(write_tar(tmp_path / "a", files, layout))
    assert [item.name for item in items] == [long, "ä", f"{'d/' * 60}a"]
    assert data_of(items) == [PNG, PNG, make_image(1)]


def test_a_name_that_is_not_utf8_can_be_written_down(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.png", PNG)])
    data = bytearray(path.read_bytes())
    data[0] = 0xE4
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    [item] = read(path)
    assert item.name.encode("utf-8") == b""
    assert data_of([item]) == [PNG]


def sparse_by_pax() -> bytes:
    """A sparse file of version 1.0 whose map goes on for as long as the archive does."""
    info = tarfile.TarInfo("a.png")
    info.size = 512
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a.png",
        "GNU.sparse.realsize": "99",
    }
    return info.tobuf(tarfile.PAX_FORMAT) + b"99999999\n" * 100_000


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (sparse_by_pax(), "sparse"),
        (b"x" * 512, "invalid header|bad checksum"),
        (b"x" * 100, "truncated header"),
    ],
)
def test_a_damaged_header_does_not_pass_for_the_end(
    tmp_path: Path, end: bytes, reason: str
) -> None:
    info = tarfile.TarInfo("a.png")
    info.size = len(PNG)
    start = info.tobuf() + PNG + bytes(-len(PNG) % 512)
    path = tmp_path / "a.tar"
    path.write_bytes(start + end)
    with pytest.raises(FormatError, match=reason):
        read(path)
    path.write_bytes(start + bytes(1024))
    assert data_of(read(path)) == [PNG]


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_tar_that_is_cut_short_says_how_far_it_came(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / name, [(f"{n}.png", os.urandom(40_000)) for n in range(4)])
    os.truncate(path, int(path.stat().st_size * 0.8))
    with pytest.raises(FormatError, match=r"no whole .*; items before that: [23]"):
        read(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04" + bytes(600), "it is a zip; unpack it, and give the folder to --provider f"),
        (b"BZh9" + bytes(600), "it is bzip2"),
        (b"\xfd7zXZ\0" + bytes(600), "it is xz"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "it is Zstandard"),
        (PNG * 20, "is no WARC and no whole tar"),
        (b"", "is no WARC and no whole tar: empty file"),
        (b"\x1f\x8b", "no whole gzip file"),
        (gzip.compress(bytes(99), mtime=0)[:10] + b"\xff" * 99, "no whole gzip file: Error -3"),
        (b"\x1f\x8b\x07" + bytes(99), "no whole gzip file: Unknown compression"),
        (gzip.compress(b"", mtime=0), "is no WARC and no whole tar: empty file"),
        (bytes(10_240), "expected images in .*, but it holds none"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason):
        read(path)


def test_an_archive_of_pages_holds_no_image(crawl: Crawl) -> None:
    crawl.respond("https://a.example/", b"<html>", headers=HTML)
    with pytest.raises(InputError, match=r"expected images in .*, but it holds none"):
        read(crawl.path)


# ---------------------------------------------------------------- bounds


def test_the_limit_of_a_record_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_webdataset, "MAX_RECORD", len(PNG))
    monkeypatch.setattr(_warc, "MAX_RECORD", len(PNG))
    path = write_tar(tmp_path / "a.tar", [("a.png", PNG), ("b.png", PNG + b"x")])
    assert errors_of(path) == {"b": f"image of more than {len(PNG)} bytes in an archive"}
    path.write_bytes(record(PNG, len(PNG)) + record(PNG + b"x", len(PNG) + 1))
    assert [item.error for item in read(path)] == [
        None,
        f"record that cannot be used: it has more than {len(PNG)} bytes",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "warc"])
def test_memory_is_flat_over_50_000_images(tmp_path: Path, kind: str) -> None:
    body = PNG + bytes(20_000)
    if kind == "tar":
        files = ((f"{n:06}.png", body) for n in range(50_000))
        small = write_tar(tmp_path / "small", [("a.png", body)])
        large = write_tar(tmp_path / "large", files)
    else:
        small, large = tmp_path / "small", tmp_path / "large"
        small.write_bytes(record(body, len(body)))
        with large.open("wb") as file:
            for _ in range(50_000):
                file.write(record(body, len(body)))
    items, errors, megabytes = measure("archive", small, large)
    assert (items, errors) == (50_000, 0)
    assert megabytes < 20  # they are 1,000 MB


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["header", "line", "body", "names", "json"])
def test_a_bomb_takes_little_memory(tmp_path: Path, kind: str) -> None:
    """A gigabyte that 5 MB of gzip unpack to, in the places where it would be held."""
    small = tmp_path / "small"
    small.write_bytes(record(PNG, len(PNG)))
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1_000_000_000
    member = tarfile.TarInfo("a.json")
    member.size = 1_000_000_000
    head, piece = {
        "header": (b"WARC/1.0\r\n", b"a: b\r\n" * 200_000),
        "line": (b"WARC/1.0\r\nA: ", b"x" * 1_000_000),
        "body": (record(b"", 10_000_000_000).removesuffix(b"\r\n\r\n"), bytes(1_000_000)),
        "names": (long.tobuf(), bytes(1_000_000)),
        "json": (member.tobuf(), bytes(1_000_000)),
    }[kind]
    with gzip.open(tmp_path / "bomb", "wb", 1) as file:
        file.write(head)
        for _ in range(1_000):
            file.write(piece)
    start = time.monotonic()
    images, errors, megabytes = measure("archive", small, tmp_path / "bomb")
    assert (images, errors) == (0, 1)
    assert megabytes < 20
    assert time.monotonic() - start < 30
