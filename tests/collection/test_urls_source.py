"""Lists of addresses: text and CSV, and what strangers put in them."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest

from collection.source_builders import measure, write_csv
from openaffect.collection.providers import Item, load_source
from openaffect.errors import FormatError, InputError

GOOD = "https://a.example/1.png"


def read(path: Path) -> list[Item]:
    return list(load_source("urls").read_items(path))


def read_text(folder: Path, data: bytes, name: str = "list.txt") -> list[Item]:
    (folder / name).write_bytes(data)
    return read(folder / name)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_one_address_per_line(tmp_path: Path, end: bytes, start: bytes, pack: type[bytes]) -> None:
    lines = [
        b"# mine",
        b"",
        b"  http://a.example/?a=1,2&b='\"  ",
        b"# url",
        b"https://\xc3\xa4.example",
    ]
    assert read_text(tmp_path, pack(start + end.join(lines)), "l.x") == [
        Item("l.x:3", url="http://a.example/?a=1,2&b='\""),
        Item("l.x:5", url="https://ä.example"),
    ]


def test_an_address_with_commas_is_no_header(tmp_path: Path) -> None:
    line = "https://a.example/?by=name,url"
    assert [item.url for item in read_text(tmp_path, f"{line}\n{GOOD}\n".encode())] == [line, GOOD]


def test_an_address_stays_as_it_is_written(tmp_path: Path) -> None:
    line = "https://a.example/A\u0301.png"  # two characters, which other texts have as one
    assert [item.url for item in read_text(tmp_path, line.encode())] == [line]


def test_utf_16_is_read_by_its_mark(tmp_path: Path) -> None:
    items = read_text(tmp_path, f"{GOOD}\nhttps://ä.example\n".encode("utf-16"))
    assert [item.url for item in items] == [GOOD, "https://ä.example"]
    with pytest.raises(FormatError, match=r"expected UTF-16 in .*; addresses before that: \d+"):
        read_text(tmp_path, f"{GOOD}\n".encode("utf-16") * 9_000 + b"\x00\xd8\x00" * 9)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"ftp://a.example/1.png", "expected an http or https address, but got ftp://"),
        (b"file:///etc/passwd", "expected an http or https address, but got file://"),
        (b"a.example/1.png", "expected an http or https address, but got ://"),
        (b"x" * 50 + b":y", "but got " + "x" * 20 + "…://"),
        (b"https://", "expected an address such as"),
        (b"https://[::1", "expected an address such as"),
        (b"https://a.example:99999/", "expected an address such as"),
        (b"https://a.example/a b.png", "expected an address such as"),
        (b"https://a.example/\0.png", "expected an address such as"),
        (b"https://a.example/\x1b[31m", "expected an address such as"),
        (b"https://me:secret@a.example/", "an address with a name or a password in it"),
        (b"https://secret@a.example/", "an address with a name or a password in it"),
        (b"https://a.example/\xe4.png", "line that is not UTF-8; save the file as UTF-8"),
        (b"https://a.example/" + b"a" * 2_000, "address of more than 2,000 characters"),
        (b"https://a.example/" + b"a" * 10_000_000, "line that is too long: more than 2,000,000"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_line_is_an_error_and_the_next_follows(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    first, bad, last = read_text(tmp_path, b"\n".join([GOOD.encode(), line, GOOD.encode()]))
    assert (first.name, first.url) == ("list.txt:1", GOOD)
    assert (bad.name, bad.url) == ("list.txt:2", None)
    assert bad.error is not None
    assert reason in bad.error
    assert "secret" not in repr(bad)
    assert (last.name, last.url) == ("list.txt:3", GOOD)


@pytest.mark.parametrize("port", ["", ":8000", ":25"])
def test_where_an_address_leads_is_judged_when_it_is_opened(tmp_path: Path, port: str) -> None:
    [item] = read_text(tmp_path, f"http://127.0.0.1{port}/a.png".encode())
    assert item.error is None


def test_the_longest_address(tmp_path: Path) -> None:
    longest = "https://a.example/".ljust(2_000, "a")
    assert [item.url for item in read_text(tmp_path, longest.encode())] == [longest]


ROW = {
    "url": GOOD,
    "query": "happy  man",
    "Intended": "Happiness",
    "page_url": "https://me:secret@a.example/p",
    "title": 'A, "B"\nC\x1b[31m',
    "author": "Ada",
    "license": "CC BY 4.0",
    "license_url": "https://creativecommons.org/licenses/by/4.0/",
    "restrictions": "personality",
    "similarity": "0.3",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_columns_of_a_table(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = write_csv(tmp_path / "t.csv", [ROW], encoding, delimiter)
    assert read(path) == [
        Item(
            "t.csv:3",
            url=GOOD,
            query="happy man",
            intended="happy",
            page_url="https://a.example/p",
            title='A, "B" C [31m',
            author="Ada",
            license="CC BY 4.0",
            license_url="https://creativecommons.org/licenses/by/4.0/",
            restrictions="personality",
        )
    ]


def test_a_column_of_the_names_that_others_use(tmp_path: Path) -> None:
    [item] = read_text(tmp_path, f'"TEXT","URL","Caption",title\nx,{GOOD},c,\n'.encode())
    assert (item.url, item.title) == (GOOD, "c")


def test_bad_rows_of_a_table_are_errors(tmp_path: Path) -> None:
    rows = [
        f"{GOOD},hapy",
        ",happy",
        f"{GOOD},happy,more",
        f'"{GOOD}"x,happy',
        f"{GOOD}",
        "https://me:secret@a.example/,happy",
        f"{GOOD},h\xe4ppy",
        f"{GOOD},6",
    ]
    items = read_text(tmp_path, "\n".join(["url,intended", *rows]).encode("latin-1"), "t.csv")
    assert [item.name for item in items] == [f"t.csv:{n}" for n in range(2, 10)]
    assert [(item.error or "")[:30] for item in items] == [
        "unknown expression 'hapy' in i",
        "expected an address, but got n",
        "more fields than the header: 3",
        "line that is no CSV: ',' expec",
        "",
        "an address with a name or a pa",
        "line that is not UTF-8; save t",
        "",
    ]
    assert [item.intended for item in items if item.error is None] == [None, "anger"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="has two columns of one name: url"):
        read_text(tmp_path, f"url,URL\n{GOOD},{GOOD}\n".encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"# only\n# comments\n",
        b"url,title\n",
        b"\xef\xbb\xbf",
        gzip.compress(b"", mtime=0),
    ],
)
def test_a_list_without_a_line_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"expected addresses in .*, but it has none"):
        read_text(tmp_path, data)


def test_gzip_that_is_cut_short_says_how_far_it_came(tmp_path: Path) -> None:
    packed = gzip.compress(
        b"".join(b"https://%s.example/\n" % os.urandom(9).hex().encode() for _ in range(900))
    )
    items: list[Item] = []
    (tmp_path / "l.gz").write_bytes(packed[:-20])
    found = load_source("urls").read_items(tmp_path / "l.gz")
    with pytest.raises(FormatError, match="no whole gzip file") as caught:
        items.extend(iter(lambda: next(found), None))
    [told] = re.findall(r"; addresses before that: (\d+)$", str(caught.value))
    assert int(told) == len(items)
    assert len(items) > 500


@pytest.mark.parametrize("factor", [1, 40])
def test_a_bomb_ends(tmp_path: Path, factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred times its own size is more than any list shrinks; blank lines shrink more."""
    monkeypatch.setattr("openaffect.formats._gzip.FREE_BYTES", 100_000 * factor)
    data = gzip.compress(GOOD.encode() + b"\n" * 1_000_000)
    (tmp_path / "l.gz").write_bytes(data)
    if factor == 1:
        with pytest.raises(FormatError, match=r"would unpack to more than [\d,]+ bytes"):
            read(tmp_path / "l.gz")
    else:
        assert len(read(tmp_path / "l.gz")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("header", ["", "url,title\n"])
def test_memory_is_flat_over_1_800_000_addresses(tmp_path: Path, header: str) -> None:
    """As many as AffectNet had."""
    more = ",a face" if header else ""
    for name, count in (("small", 1_000), ("large", 1_800_000)):
        with gzip.open(tmp_path / name, "wt", 1, encoding="utf-8") as file:
            file.write(header)
            file.writelines(f"https://a.example/pictures/{n}.jpg{more}\n" for n in range(count))
    number, errors, megabytes = measure("urls", tmp_path / "small", tmp_path / "large")
    assert (number, errors) == (1_800_000, 0)
    assert megabytes < 20  # the addresses alone are 70 MB
