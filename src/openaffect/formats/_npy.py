"""Small NumPy files, fast and without trust: a header that was seen before costs one look-up.

The 8-label release is more than a million files of one value or 136; opening each with
`numpy.load` takes most of an import. `numpy.load` also believes the header: a file of 128 bytes
that claims terabytes makes it ask for them. Here the size of the file must be what the header says.
"""

from __future__ import annotations

import functools
import math
import os
import re
import struct
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import reason
from openaffect.storage import open_file

Value: TypeAlias = "str | float | NDArray[np.generic]"

MAX_BYTES = 1 << 16
"""More than any whole file of this kind holds."""

_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[iufSUO]\d*)', 'fortran_order': (False|True), "
    # A comma ends each number but the last: with all optional, many digits take for ever.
    rb"'shape': \(((?:\d{1,9}L?, ?)*(?:\d{1,9}L?)?)\),? ?\}\s*"
)
"""What every writer of plain arrays writes; those of several fields have no value for us."""


def read_npy(path: str) -> Value:
    """A `.npy` file: its only value as text or a float, or an array without axes of length one.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it cannot be read, or is not a regular file.
        ValueError: empty, truncated, too large, not such a file, or of Python objects (which
            are never unpickled).
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(path)
    with open_file(path, "a .npy file") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    if data[:7] != b"\x93NUMPY\x01" and data[:7] != b"\x93NUMPY\x02":
        raise ValueError("it is not a .npy file")
    start, kind = (10, "<H") if data[6] == 1 else (12, "<I")
    if len(data) < start:
        raise ValueError("it is truncated")
    end = start + struct.unpack(kind, data[8:start])[0]
    decode, size = _decoder(data[start:end])
    if len(data) - end != size:
        raise ValueError(f"it has {len(data) - end} bytes of values, but its header says {size}")
    return decode(data[end:])


@functools.lru_cache(maxsize=64)
def _decoder(header: bytes) -> tuple[Callable[[bytes], Value], int]:
    """What turns the bytes after a header into a value, and how many bytes that takes."""
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError("its header is damaged, or of a kind that is not read")
    try:
        dtype = np.dtype(match.group(1).decode())
    except TypeError as error:  # such as a float of three bytes
        raise ValueError(reason(error)) from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    shape = tuple(int(side) for side in re.findall(rb"\d+", match.group(3)))
    count = math.prod(shape)
    if count == 1 and dtype.kind == "U" and dtype.byteorder in "<=":
        return _text, dtype.itemsize
    if count == 1 and dtype.str in ("<f8", "<f4"):
        unpack = struct.Struct("<d" if dtype.itemsize == 8 else "<f").unpack
        return lambda data: float(unpack(data)[0]), dtype.itemsize
    order: Literal["F", "C"] = "F" if match.group(2) == b"True" else "C"

    def decode(data: bytes) -> Value:
        return _simple(np.ndarray(shape, dtype, data, order=order))

    return decode, count * dtype.itemsize


def _simple(values: NDArray[np.generic]) -> Value:
    if values.size != 1:
        return values.squeeze()
    value = values.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else float(value)


def _text(data: bytes) -> str:
    return data.decode("utf-32-le").rstrip("\0")
