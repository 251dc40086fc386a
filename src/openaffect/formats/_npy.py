"""Small NumPy files, fast: a header that was seen before costs one look-up.

The 8-label release is more than a million files of one value or 136; opening each with
`numpy.load` takes most of an import.
"""

from __future__ import annotations

import functools
import io
import os
import struct
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

Value: TypeAlias = "str | float | NDArray[np.generic]"

_READ = 1 << 16
"""More than any whole file of this kind holds; a longer one is read in full the slow way."""


def read_npy(path: str) -> Value:
    """A `.npy` file: its only value as text or a float, or a flat array of several.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: empty, truncated, no `.npy`, or Python objects inside (never unpickled).
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        data = os.read(handle, _READ)
    finally:
        os.close(handle)
    end = 10 + int.from_bytes(data[8:10], "little")
    if data[:8] == b"\x93NUMPY\x01\x00" and len(data) < _READ:
        decode, size = _decoder(data[:end])
        if len(data) - end == size:
            return decode(data[end:])
    return _slowly(path)


def _slowly(path: str) -> Value:
    with open(path, "rb") as file:
        return _simple(npy_format.read_array(file, allow_pickle=False))


def _simple(values: NDArray[np.generic]) -> Value:
    if values.dtype.hasobject:
        raise ValueError("it holds Python objects")
    if values.size != 1:
        return values.reshape(-1)
    value = values.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else float(value)


@functools.lru_cache(maxsize=64)
def _decoder(head: bytes) -> tuple[Callable[[bytes], Value], int]:
    """What turns the bytes after a header into a value, and how many bytes that takes."""
    file = io.BytesIO(head)
    npy_format.read_magic(file)
    shape, _, dtype = npy_format.read_array_header_1_0(file)
    size = int(np.prod(shape)) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if size == dtype.itemsize and dtype.kind == "U" and dtype.byteorder in "<=":
        return _text, size
    if size == dtype.itemsize and dtype.str in ("<f8", "<f4"):
        unpack = struct.Struct("<d" if dtype.itemsize == 8 else "<f").unpack
        return lambda data: float(unpack(data)[0]), size
    return lambda data: _simple(np.frombuffer(data, dtype)), size


def _text(data: bytes) -> str:
    return data.decode("utf-32-le").rstrip("\0")
