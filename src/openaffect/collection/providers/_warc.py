"""WARC, the archives of crawls: the images among the answers that they hold.

warcio reads headers and takes chunks apart. Its iterator is not used: it takes gzip that is cut short for
the end, reads lines and unpacks bodies without a bound, and writes what it thinks of a file to stderr.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from openaffect.collection.providers import Item
from openaffect.collection.providers._columns import clean_text, read_columns
from openaffect.collection.providers._webdataset import MAX_RECORD
from openaffect.errors import FormatError, InputError, reason, shorten
from openaffect.extras import needs
from openaffect.image_headers import sniff_format

_MAX_HEADER = 1_000_000  # bytes of a header, and of the lines between the chunks of a body
_AT_ONCE = 1 << 16  # bytes that are passed over
_UNKNOWN_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_GZIP, _ZLIB, _DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ENCODINGS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _DEFLATE)}


def read_warc(file: io.BufferedReader[Any], path: Path) -> Iterator[Item]:
    """The images of a WARC: answers of status 200 and resources, told by their bytes or their type.

    Args:
        file: the WARC, unpacked.
        path: what to call it.

    Raises:
        FormatError: a record whose end cannot be told, or a file that ends inside one.
        MissingExtra: warcio is not installed.
    """
    with needs("collect", "reading a WARC"):
        from warcio.limitreader import LimitReader
        from warcio.recordloader import ArcWarcRecordLoader
        from warcio.statusandheaders import StatusAndHeadersParser, StatusAndHeadersParserException
    parser = StatusAndHeadersParser(ArcWarcRecordLoader.WARC_TYPES)
    stream = _Stream(file)
    number = 0
    while True:
        number += 1
        place = f"{path} is no whole WARC: record {number:,}"
        try:
            first = stream.find_header()
            if not first:
                return
            headers = parser.parse(stream, first)
        except StatusAndHeadersParserException as error:
            text = shorten(repr(error.statusline), 50)
            raise FormatError(f"{place}: expected WARC/1.1, but got {text}") from error
        except _TooLong as error:
            raise FormatError(f"{place}: {error}") from error
        length = _read_length(headers, place)
        end = stream.position + length
        item = _read_record(headers, LimitReader(stream, length), stream, number)
        if not stream.skip_to(end):  # before an image is given away that is not whole
            raise FormatError(f"{place}: the file ends inside it")
        if item is not None:
            yield item


class _TooLong(Exception):  # noqa: N818 - named after what is wrong
    """A header that nobody would send."""


class _Stream:
    """What warcio reads from; the lines of a header are counted, and cannot fill the memory.

    Attributes:
        position: number of bytes before.
    """

    def __init__(self, file: io.BufferedReader[Any]) -> None:
        self.position = 0
        self._file = file
        self._left = 0

    def find_header(self) -> bytes:
        """The first line of the next record, behind blank ones; nothing at the end."""
        self.begin_lines()
        while (line := self.readline()) and not line.strip():
            pass
        return line

    def begin_lines(self) -> None:
        """Count the lines from here on."""
        self._left = _MAX_HEADER

    def readline(self, length: int | None = None) -> bytes:
        most = self._left + 1
        line = self._file.readline(most if length is None else min(length, most))
        self.position += len(line)
        self._left -= len(line)
        if self._left < 0:
            raise _TooLong(f"header of more than {_MAX_HEADER:,} bytes")
        return line

    def read(self, length: int) -> bytes:
        data = self._file.read(length)
        self.position += len(data)
        return data

    def skip_to(self, end: int) -> bool:
        """Pass over the bytes up to a position; whether there are as many."""
        if self._file.seekable():
            self.position = self._file.seek(end)
            return end <= os.fstat(self._file.fileno()).st_size
        while self.position < end and self.read(min(end - self.position, _AT_ONCE)):
            pass
        return self.position == end


def _read_length(headers: Any, place: str) -> int:
    text = (headers.get_header("Content-Length") or "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise FormatError(
            f"{place}: expected a number under Content-Length, but got '{shorten(text, 50)}'"
        )
    return int(text)


def _read_record(headers: Any, body: Any, stream: _Stream, number: int) -> Item | None:
    """The image of a record, or why it cannot be used; None for a record of something else."""
    kind = headers.get_header("WARC-Type")
    if kind not in ("response", "resource"):
        return None
    name = clean_text(headers.get_header("WARC-Record-ID") or f"record {number}")
    try:
        stream.begin_lines()
        return _read_image(name, headers, body, is_answer=kind == "response")
    except (InputError, _TooLong) as error:
        return Item(name, error=f"record that cannot be used: {error}")


def _read_image(name: str, headers: Any, body: Any, *, is_answer: bool) -> Item | None:
    # wget 1.19 writes the address in brackets.
    url = (headers.get_header("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
    if not url:
        raise InputError("it has no WARC-Target-URI")
    http = None
    if is_answer and url.lower().startswith(("http:", "https:")):
        http = _read_http(body)
        if http.get_statuscode() != "200":
            return None
    told = http or headers
    content_type = (told.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    may_be_image = content_type in _UNKNOWN_TYPES or content_type.startswith("image/")
    if body.limit > MAX_RECORD:
        if not may_be_image:
            return None
        raise InputError(f"it has more than {MAX_RECORD:,} bytes")
    data = body.read() if http is None else _read_body(http, body)
    if not may_be_image and sniff_format(data[:32]) is None:
        return None
    for sign in ("WARC-Truncated", "WARC-Segment-Number"):
        if headers.get_header(sign):
            raise InputError(f"it holds a part of its image only ({sign})")
    return Item(
        name,
        read=partial(bytes, data),
        headers=tuple((clean_text(key), clean_text(value)) for key, value in http.headers)
        if http
        else (),
        **read_columns({"url": url}),
    )


def _read_http(body: Any) -> Any:
    """Status and headers of an HTTP answer; the body follows."""
    from warcio.recordloader import ArcWarcRecordLoader
    from warcio.statusandheaders import StatusAndHeadersParser

    try:
        http = StatusAndHeadersParser(ArcWarcRecordLoader.HTTP_TYPES, verify=False).parse(body)
    except EOFError:
        raise InputError("it has no answer") from None
    if not http.protocol.upper().startswith("HTTP/"):
        raise InputError("expected an answer that begins with HTTP/")
    return http


def _read_body(http: Any, body: Any) -> bytes:
    """The body of an answer without chunks and compression, as `content_stream` of warcio gives it."""
    from warcio.bufferedreaders import ChunkedDataReader

    chunked = (http.get_header("Transfer-Encoding") or "").strip().lower() == "chunked"
    data: bytes = (ChunkedDataReader(body) if chunked else body).read()
    encoding = (http.get_header("Content-Encoding") or "").strip().lower()
    # Many crawlers keep this header beside a body that they have unpacked.
    if encoding in ("", "identity") or sniff_format(data[:32]):
        return data
    if encoding not in _ENCODINGS:
        raise InputError(f"its compression is not read: {shorten(clean_text(encoding), 50)}")
    return _unpack(data, _ENCODINGS[encoding])


def _unpack(data: bytes, ways: tuple[int, ...]) -> bytes:
    for way in ways:
        decoder = zlib.decompressobj(way)
        try:
            plain = decoder.decompress(data, MAX_RECORD + 1)
        except zlib.error as error:
            why = reason(error)
            continue
        if len(plain) > MAX_RECORD:
            raise InputError(f"it unpacks to more than {MAX_RECORD:,} bytes")
        if not decoder.eof:
            raise InputError("its compressed body is cut short")
        return plain
    raise InputError(f"its body cannot be unpacked: {why}")
