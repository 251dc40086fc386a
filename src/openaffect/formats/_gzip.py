"""Files that may be packed with gzip, read as if they were not, and no more of them than can be honest."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from openaffect.errors import FormatError, reason
from openaffect.storage import open_file

FREE_BYTES, MAX_RATIO = 200_000_000, 100
"""What a file may unpack to: so many bytes, and so many times its own size on top.

Pictures hardly shrink, tables by 3 to 10; a bomb grows by a thousand and more."""

_MAGIC = b"\x1f\x8b"
_BUFFER = 1 << 16  # bytes


def open_unpacked(path: Path, what: str) -> io.BufferedReader[Any]:
    """A file opened for reading; one that begins like gzip, whatever its name, gives what is in it.

    Reading it raises a FormatError where gzip is damaged, cut short, or a bomb.

    Args:
        path: the file.
        what: what it should be, for messages.

    Raises:
        InputError: no such file, no right to read it, or not a regular file.
    """
    raw = io.BufferedReader(cast(io.FileIO, open_file(path, what)), _BUFFER)
    try:
        packed = raw.peek(2)[:2] == _MAGIC
    except OSError as error:
        raw.close()
        raise FormatError(f"cannot read {path}: {reason(error)}") from error
    return io.BufferedReader(_Unpacked(path, raw), _BUFFER) if packed else raw


class _Unpacked(io.RawIOBase):
    """What a file of gzip holds; its members are one stream."""

    def __init__(self, path: Path, packed: BinaryIO) -> None:
        self._path = path
        self._packed = packed
        self._most = FREE_BYTES + MAX_RATIO * os.fstat(packed.fileno()).st_size
        self._count = 0
        self._file = gzip.GzipFile(fileobj=packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read1(len(buffer))  # what came before damage is given away
        except (EOFError, OSError, zlib.error) as error:
            raise FormatError(f"{self._path} is no whole gzip file: {reason(error)}") from error
        self._count += len(data)
        if self._count > self._most:
            raise FormatError(
                f"{self._path} would unpack to more than {self._most:,} bytes; unpack it yourself"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._packed.close()
        super().close()
