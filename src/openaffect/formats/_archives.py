"""Archives: unpacked where nothing leaves the folder, and bounded in bytes, entries and depth."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, cast

from openaffect.errors import FormatError, reason
from openaffect.formats._gzip import FREE_BYTES, MAX_RATIO
from openaffect.images import SUFFIXES, check_header
from openaffect.storage import open_file

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""File endings of archives that are unpacked."""

_MAX_ENTRIES = 4_000_000
"""AffectNet's 8-label release has 1.5 million files."""

_MAX_DEPTH = 64  # folders inside each other
_EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
"""Long names and attributes, which tarfile reads into memory whole."""

_MAX_EXTENSION = 1 << 20  # bytes
_COPIED_AT_ONCE = 1 << 16  # bytes; LZMA unpacks as many at once, and makes 7,000 times more of them

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
"""Not bzip2: zipfile unpacks 64 kB of it at once, however many gigabytes they make."""

BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RecursionError,  # long names of long names
    NotImplementedError,  # a zip of several parts, or of a newer version
    ValueError,  # numbers and names in headers, such as UnicodeDecodeError
    OverflowError,
    MemoryError,  # a dictionary of LZMA that is larger than the memory
)
"""What the decoders of archives raise for damaged ones."""


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the ending of an archive."""
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder; nothing may leave it.

    Raises:
        FormatError: broken, encrypted, a bomb, or an entry with an absolute path, with `..`,
            twice, or that is a link or a device.
    """
    with open_file(archive, "an archive") as raw:
        size = os.fstat(raw.fileno()).st_size
        unpacking = _Unpacking(archive, folder, FREE_BYTES + MAX_RATIO * size)
        try:
            with io.BufferedReader(cast(io.FileIO, raw), 1 << 16) as file:
                if archive.name.lower().endswith(".zip"):
                    _unzip(file, unpacking)
                else:
                    _untar(file, unpacking)
        except BROKEN as error:
            raise FormatError(f"{archive} is no whole archive: {reason(error)}") from error
        except OSError as error:
            # Of a decoder, or of a seek to a place that a damaged header names; a full disk has
            # another number.
            if error.errno in (None, errno.EINVAL):
                raise FormatError(f"{archive} is no whole archive: {reason(error)}") from error
            raise


class _Unpacking:
    """Takes the entries of an archive, and counts what they amount to."""

    def __init__(self, archive: Path, folder: Path, most: int) -> None:
        self.archive = archive
        self._folder = folder
        self._most = most
        self._bytes = 0
        self._entries = 0

    def target(self, name: str, size: int) -> Path | None:
        """Where an entry of a size in bytes goes; None for what a Mac adds and nobody needs."""
        self._entries += 1
        self._bytes += size
        if self._entries > _MAX_ENTRIES:
            raise self.refusal(name, f"there are more than {_MAX_ENTRIES:,} entries")
        if self._bytes > self._most:
            raise self.refusal(
                name, f"it would unpack to more than {self._most:,} bytes; unpack it yourself"
            )
        pure = PurePosixPath(name.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts or ":" in (pure.parts or ("",))[0]:
            raise self.refusal(name, "its path leaves the archive")
        if "\0" in name or len(pure.parts) > _MAX_DEPTH:
            raise self.refusal(name, "its path is no path that a disk can hold")
        if "__MACOSX" in pure.parts or pure.name == ".DS_Store":
            return None
        return self._folder / pure

    def store(self, name: str, data: IO[bytes], target: Path, size: int) -> None:
        """Write an entry of a size in bytes to its place."""
        left = size
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as out:
                while left and (part := data.read(min(left, _COPIED_AT_ONCE))):
                    out.write(part)
                    left -= len(part)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise self.refusal(name, "its path is there twice") from None
        # The checksum of a zip entry is compared when its end is read.
        if left or data.read(1):
            raise EOFError(f"entry '{name}' is not as long as it says")

    def refusal(self, name: str, why: str) -> FormatError:
        """The error of an archive that is whole, but not unpacked."""
        shown = name if len(name) <= 100 else name[:100] + "…"
        return FormatError(f"refused to unpack {self.archive}: entry '{shown}': {why}")


def _unzip(archive: io.BufferedReader[io.FileIO], unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise unpacking.refusal(info.filename, "it is a link or a device")
            target = unpacking.target(info.filename, info.file_size)
            if info.is_dir() or target is None:
                continue
            if info.compress_type not in _METHODS:
                raise unpacking.refusal(info.filename, "its compression is not read here")
            if info.flag_bits & 1:
                raise unpacking.refusal(info.filename, "it needs a password; unpack it yourself")
            with file.open(info) as data:
                unpacking.store(info.filename, data, target, info.file_size)


def _untar(archive: io.BufferedReader[io.FileIO], unpacking: _Unpacking) -> None:
    # Not tarfile's own decoder: it fails with a TypeError where the header of gzip is cut short.
    packed = archive.peek(2)[:2] == b"\x1f\x8b"
    data: Any = gzip.GzipFile(fileobj=archive) if packed else archive
    with tarfile.open(fileobj=data, mode="r|", tarinfo=BoundedInfo) as file:
        for member in file:
            vars(file)["members"].clear()  # every member that was seen is kept there
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise unpacking.refusal(member.name, "it is a link, a device or a sparse file")
            target = unpacking.target(member.name, member.size)
            data = file.extractfile(member)
            if data is None or target is None:
                continue
            with data:
                unpacking.store(member.name, data, target, member.size)


class BoundedInfo(tarfile.TarInfo):
    """A member whose header is whole and claims no more than can be."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> BoundedInfo:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):  # else tarfile takes it for the end, and says nothing
                raise tarfile.ReadError(str(error)) from error
            raise
        if info.type in _EXTENSIONS and info.size > _MAX_EXTENSION:
            raise tarfile.ReadError(f"a header claims {info.size:,} bytes")
        if info.type == tarfile.GNUTYPE_SPARSE or info.size < 0:
            raise tarfile.ReadError("it has a sparse file, or a negative size")
        return info

    def _proc_gnusparse_10(self, *_: object) -> NoReturn:
        raise tarfile.ReadError("it has a sparse file")  # its map may fill the memory


def keep_pictures_only(folder: Path) -> None:
    """Remove every file that is no picture by its ending or content, and folders that get empty."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = os.path.join(place, name)
            if not name.lower().endswith(SUFFIXES) and check_header(path) is not None:
                os.unlink(path)
        if place != str(folder) and not os.listdir(place):
            os.rmdir(place)
