"""A store in a bucket of S3, or of another server that speaks its protocol, by pyarrow."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from openaffect.errors import ImageError, InputError, StoreError, UnknownName, reason
from openaffect.image_headers import content_path
from openaffect.project.store import Store, check_size, parse_name

_KEYS = ("region", "endpoint_override", "scheme")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_SECRET = re.compile("key|secret|token|password|credential", re.IGNORECASE)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_CONNECT_S, _ANSWER_S = 10, 60
_THREADS = 16  # an image takes some 20 ms to come, in which a core has nothing to do


@dataclass(frozen=True, slots=True)
class Address:
    """What `s3://bucket/prefix?region=…` says.

    Attributes:
        root: bucket and prefix, as pyarrow's paths begin.
        options: of `pyarrow.fs.S3FileSystem`.
    """

    root: str
    options: dict[str, str]


def parse_address(text: str) -> Address:
    """The parts of the address of a bucket.

    Args:
        text: `s3://bucket/prefix`; after `?` the keys `region`, `endpoint_override` (`host:port`)
            and `scheme` (`https` or `http`), as pyarrow has them. Where the address has no
            endpoint, that of AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is taken.

    Raises:
        InputError: another kind of address, or one that holds a key or a password. The message
            does not repeat the address.
    """
    if not text.startswith("s3://"):
        raise InputError(
            "expected the store as a folder or as s3://bucket/prefix, but got another kind of address"
        )
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise InputError(f"expected the store as s3://bucket/prefix?{_KEYS[0]}=…") from None
    if "@" in text or ":" in parts.netloc or any(_SECRET.search(name) for name, _ in pairs):
        raise InputError(
            "the address of a store must not hold a key or a password: it would be stored in "
            "project.toml; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the "
            "role of the machine"
        )
    options = dict(pairs)
    for name in options:
        if name not in _KEYS:
            raise UnknownName("key", name, _KEYS, "the address of the store")
    prefix = parts.path.strip("/")
    if parts.fragment or (prefix and {"", ".", ".."} & set(prefix.split("/"))):
        raise InputError("expected the prefix of the store as names between single slashes")
    if not _BUCKET.fullmatch(parts.netloc):
        raise InputError(
            "expected the name of a bucket after s3://, of 3 to 63 letters, digits, dots, hyphens"
        )
    if options.get("scheme", "https") not in ("http", "https"):
        raise UnknownName(
            "scheme", options["scheme"], ("https", "http"), "the address of the store"
        )
    if "endpoint_override" in options and not _HOST.fullmatch(options["endpoint_override"]):
        raise InputError("expected endpoint_override in the address of the store as host:port")
    root = f"{parts.netloc}/{prefix}" if prefix else parts.netloc
    return Address(root, _endpoint_of_environment() | options)


def _endpoint_of_environment() -> dict[str, str]:
    text = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    if not text:
        return {}
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        raise InputError("expected AWS_ENDPOINT_URL as https://host:port")
    return {"endpoint_override": parts.netloc, "scheme": parts.scheme}


class S3Store(Store):
    """A store in a bucket. Credentials are those that AWS's own tools would find here."""

    def __init__(self, location: str) -> None:
        address = parse_address(location)
        self.location = location
        self.workers = _THREADS
        self._root = address.root
        self._bucket = address.root.partition("/")[0]
        with self._naming():
            self._fs = fs.S3FileSystem(
                connect_timeout=_CONNECT_S,
                request_timeout=_ANSWER_S,
                allow_delayed_open=True,  # one request for an image, not three
                **address.options,
            )

    def place(self, sha256: str, suffix: str) -> str:
        """Where an image lies, with its bucket."""
        return f"s3://{self._path(sha256, suffix)}"

    def size(self, sha256: str, suffix: str) -> int | None:
        """One request to the server."""
        try:
            with self._naming(), self._fs.open_input_file(self._path(sha256, suffix)) as file:
                return int(file.size())
        except FileNotFoundError:
            return None

    def delete(self, sha256: str, suffix: str) -> bool:
        """What pyarrow leaves is an empty object that stands for the folder."""
        try:
            with self._naming():
                self._fs.delete_file(self._path(sha256, suffix))
        except FileNotFoundError:
            self._check_bucket()
            return False
        return True

    def iterate(self) -> Iterator[tuple[str, str]]:
        """A listing of each of the 256 first folders."""
        self._check_bucket()
        for number in range(256):  # a part at a time: a listing is held in memory
            part = fs.FileSelector(
                f"{self._root}/{number:02x}", recursive=True, allow_not_found=True
            )
            with self._naming():
                entries = self._fs.get_file_info(part)
            for name in sorted(entry.base_name for entry in entries if entry.is_file):
                if found := parse_name(name):
                    yield found[1], found[2]

    def prepare(self) -> None:
        """Ask for the bucket; it is not made."""
        self._check_bucket()

    def _path(self, sha256: str, suffix: str) -> str:
        return f"{self._root}/{content_path(sha256, suffix)}"

    def _read(self, sha256: str, suffix: str) -> bytes:
        try:
            with self._naming(), self._fs.open_input_file(self._path(sha256, suffix)) as file:
                check_size(file.size(), self.place(sha256, suffix))
                return bytes(file.read())
        except FileNotFoundError:
            self._check_bucket()
            raise ImageError(
                f"missing or unreadable image: there is no {self.place(sha256, suffix)}; add the "
                "image again"
            ) from None

    def _write(self, sha256: str, suffix: str, data: bytes) -> None:
        with (
            self._naming(),
            self._fs.open_output_stream(self._path(sha256, suffix)) as stream,
        ):
            stream.write(data)

    def _check_bucket(self) -> None:
        """A server says of a missing bucket, too, that the image is missing."""
        with self._naming():
            found: Any = self._fs.get_file_info(self._bucket)
        if found.type == fs.FileType.NotFound:
            raise StoreError(self._explain("NO_SUCH_BUCKET"))

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """What the server or the network says, as an error of ours; a missing file stays one."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            said = reason(error).rpartition("AWS Error ")[
                2
            ]  # before it: which key, of which bucket
            raise StoreError(self._explain(said)) from error

    def _explain(self, text: str) -> str:
        place = f"s3://{self._bucket}"
        if "NO_SUCH_BUCKET" in text:
            return f"expected the bucket {place}, but there is none; make it, or change the store"
        if re.search("ACCESS_DENIED|ACCESS_KEY|SIGNATURE|TOKEN|CREDENTIALS|status 40[13]", text):
            return (
                f"{place} refuses these credentials, or none were found: set AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, with the right to the bucket ({text})"
            )
        if "NETWORK_CONNECTION" in text:
            return (
                f"no connection to {place}: see to the network, and to endpoint_override and scheme "
                f"in the address of the store, or AWS_ENDPOINT_URL ({text})"
            )
        return f"{place} does not do what it is asked for; is its region right? ({text})"
