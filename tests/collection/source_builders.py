"""Inputs of every source, made of the same images and what is known of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from openaffect.images import encode_image

Rows = Sequence[Mapping[str, str]]


def make_image(seed: int, suffix: str = ".png") -> bytes:
    """A small image that differs from those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return encode_image(pixels, suffix)


def write_csv(path: Path, rows: Rows, encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_tar(
    path: Path, files: Iterable[tuple[str, bytes]], layout: int = tarfile.GNU_FORMAT
) -> Path:
    """A tar of files in their order; packed where the name says so."""
    with tarfile.open(
        path, "w:gz" if path.suffix in (".gz", ".tgz") else "w", format=layout
    ) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


class Crawl:
    """A WARC that warcio itself writes, a record at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._writer = WARCWriter(self._file, gzip=path.suffix == ".gz")
        self._writer._create_temp_file = io.BytesIO  # its own are left open

    def __enter__(self) -> Crawl:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def respond(
        self,
        url: str | None,
        body: bytes,
        status: str = "200 OK",
        headers: Sequence[tuple[str, str]] = (("Content-Type", "image/png"),),
        kind: str = "response",
        **warc_headers: str,
    ) -> str:
        """Write an answer; its id."""
        http = StatusAndHeaders(status, list(headers), protocol="HTTP/1.1")
        if kind == "request":
            http = StatusAndHeaders("GET / HTTP/1.1", [], is_http_request=True)
        record = self._writer.create_warc_record(
            url or "http://x/",
            kind,
            payload=io.BytesIO(body),
            http_headers=http if kind in ("response", "revisit", "request") else None,
            warc_content_type="" if kind == "response" else "image/png",
            warc_headers_dict={k.replace("_", "-"): v for k, v in warc_headers.items()},
        )
        if url is None:
            record.rec_headers.remove_header("WARC-Target-URI")
        self._writer.write_record(record)
        return record.rec_headers.get_header("WARC-Record-ID")


def chunk(body: bytes, size: int = 100) -> bytes:
    """A body in chunks, by RFC 9112, 7.1."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def make_folder(place: Path, count: int) -> Path:
    folder = place / "photos"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(make_image(number))
    rows = [{"file_name": f"{n:03}.png", "url": f"https://a.example/{n}.png"} for n in range(count)]
    write_csv(folder / "metadata.csv", rows)
    return folder


def make_list(place: Path, count: int) -> Path:
    path = place / "list.txt"
    path.write_text("".join(f"https://a.example/{n}.png\n" for n in range(count)))
    return path


def make_table(place: Path, count: int) -> Path:
    rows = [{"url": f"https://a.example/{n}.png", "author": f"A {n}"} for n in range(count)]
    path = write_csv(place / "table.csv", rows)
    packed = place / "table.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def make_webdataset(place: Path, count: int) -> Path:
    files = []
    for n in range(count):
        files.append((f"{n:03}.png", make_image(n)))
        files.append((f"{n:03}.json", json.dumps({"url": f"https://a.example/{n}.png"}).encode()))
    return write_tar(place / "shard.tar.gz", files)


def make_warc(place: Path, count: int) -> Path:
    with Crawl(place / "crawl.warc.gz") as crawl:
        for n in range(count):
            crawl.respond(f"https://a.example/{n}.png", make_image(n), WARC_Record_ID=f"<urn:{n}>")
    return crawl.path


INPUTS: dict[str, list[Callable[[Path, int], Path]]] = {
    "folder": [make_folder],
    "urls": [make_list, make_table],
    "archive": [make_webdataset, make_warc],
}
"""By the name of the source, functions that make an input with so many images in a folder.

The address of image n is `https://a.example/n.png`, and its bytes are `make_image(n)`."""

_PEAK = """
import sys
from pathlib import Path
from openaffect.collection.providers import load_source
from openaffect.errors import InputError

def peak():
    # Not `getrusage`, which begins with the memory of the process that started this one.
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0])

def count(path):
    images = errors = 0
    try:
        for item in load_source(sys.argv[1]).read_items(Path(path)):
            images += item.error is None
            errors += item.error is not None
    except InputError:
        errors += 1
    return images, errors

count(sys.argv[2])
before = peak()
print(*count(sys.argv[3]), (peak() - before) // 1024)
"""


def measure(name: str, small: Path, large: Path) -> tuple[int, int, int]:
    """Images and errors of a large input, and the megabytes that it takes beyond a small one."""
    command = [sys.executable, "-c", _PEAK, name, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    images, errors, megabytes = map(int, done.stdout.split())
    return images, errors, megabytes
