"""Tars of webdataset: files that follow each other and share a key are one sample."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from openaffect.collection.image_files import is_image
from openaffect.collection.providers import Item
from openaffect.collection.providers._columns import clean_text, read_columns
from openaffect.documents import decode_json
from openaffect.errors import FormatError, InputError, reason
from openaffect.formats._archives import BROKEN, BoundedInfo
from openaffect.images import SUFFIXES

MAX_RECORD = 100_000_000
"""The largest image of an archive that is read, in bytes: it is held in memory."""

_MAX_JSON = 1_000_000  # bytes
_HEAD = 32  # bytes that tell the format of an image


def read_tar(file: IO[bytes], path: Path) -> Iterator[Item]:
    """The images of a tar; names are only names here, nothing is written by them.

    The key of a file is its path up to the first dot of the last part. The image of a key is the
    first file that has the suffix or the first bytes of one; `json` beside it says more. Hidden names
    and those without a dot are left out.

    Args:
        file: the tar, unpacked.
        path: what to call it.

    Raises:
        FormatError: no tar, or one that breaks off.
    """
    sample = _Sample("")
    try:
        # A stream: it is read once, and no header can send it back.
        with tarfile.open(fileobj=file, mode="r|", tarinfo=BoundedInfo) as archive:
            for member in archive:
                vars(archive)["members"].clear()  # every member that was seen is kept there
                key, suffix = _split(member.name)
                if member.isdir() or not key:
                    continue
                if key != sample.key:
                    yield from sample.make_item()
                    sample = _Sample(key)
                if not sample.add(suffix, member, archive):
                    name = clean_text(f"{key}.{suffix}")
                    yield Item(name, error="second image of one key: give it a key of its own")
    except (*BROKEN, OSError) as error:
        raise FormatError(f"{path} is no WARC and no whole tar: {reason(error)}") from error
    yield from sample.make_item()


def _split(name: str) -> tuple[str, str]:
    """The key and the suffix of a file in a tar; an empty key for one that is of no sample."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return f"{folder}{slash}{stem}" if stem and dot else "", suffix.lower()


@dataclass(slots=True)
class _Sample:
    """The files of one key, as far as they have come.

    Attributes:
        key: as the tar has it.
        data: the bytes of its image.
        columns: what its json says.
        error: why its image cannot be used.
    """

    key: str
    data: bytes | None = None
    columns: dict[str, Any] | None = None
    error: str | None = None

    def add(self, suffix: str, member: tarfile.TarInfo, archive: tarfile.TarFile) -> bool:
        """Take a file of the key; False for an image where there is one."""
        named = f".{suffix.rpartition('.')[2]}" in SUFFIXES
        if named and self.data is not None:
            return False
        file = archive.extractfile(member) if member.isfile() and not member.issparse() else None
        if file is None:
            if named:
                self.error = "link, device or sparse file in a tar"
            return True
        if suffix == "json":
            self._add_json(file, member.size)
            return True
        head = file.read(_HEAD)
        if not (named or is_image(head)):
            return True
        if self.data is not None:
            return False
        self.data = head
        if member.size > MAX_RECORD:
            self.error = f"image of more than {MAX_RECORD:,} bytes in an archive"
        else:
            self.data += file.read()
        return True

    def _add_json(self, file: IO[bytes], size: int) -> None:
        try:
            if self.columns is not None:
                raise InputError("there are two of one key")
            if size > _MAX_JSON:
                raise InputError(f"it has more than {_MAX_JSON:,} bytes")
            self.columns = read_columns(decode_json(file.read(), dict[str, Any], "it"))
        except InputError as error:
            self.error = f"json that cannot be used: {error}"

    def make_item(self) -> Iterator[Item]:
        """The image, or why there is none; nothing where there was no file."""
        if not self.key:
            return
        name = clean_text(self.key)
        error = self.error
        if self.data is None and error is None:
            error = "no image of this key"
        if error is not None:
            yield Item(name, error=error)
        else:
            yield Item(name, read=partial(bytes, self.data or b""), **(self.columns or {}))
