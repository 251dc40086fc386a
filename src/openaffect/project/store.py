"""The images of a project, each under the SHA-256 of its bytes: `ab/cd/<sha256>.<suffix>`.

A file is whole and on disk under its name before a row names it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from openaffect.errors import ImageError, InputError, StoreError, reason
from openaffect.image_headers import sniff_format
from openaffect.images import MAX_BYTES
from openaffect.storage import atomic_file, open_file

_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}


class Store:
    """A folder of images, each named by its content.

    Attributes:
        folder: where they lie.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, sha256: str, suffix: str) -> Path:
        """Where an image lies, or would lie."""
        return self.folder / sha256[:2] / sha256[2:4] / f"{sha256}.{suffix}"

    def put(self, data: bytes) -> tuple[str, str]:
        """Keep the bytes of an image; its SHA-256 in hexadecimal digits and its suffix.

        Raises:
            ImageError: the bytes are of no known image format.
        """
        kind = sniff_format(data[:32])
        if kind is None:
            raise ImageError("not a picture (unknown first bytes)")
        suffix = _SUFFIXES.get(kind, kind)
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256, suffix)
        if not _holds(path, sha256):
            with atomic_file(path) as temporary:
                temporary.write_bytes(data)
        return sha256, suffix

    def read(self, sha256: str, suffix: str) -> bytes:
        """The bytes of an image.

        Raises:
            ImageError: there is no such file, it cannot be read, or it is not what its name says.
            StoreError: there is no store, or an empty one, as where a shared disk is not mounted.
        """
        path = self.path(sha256, suffix)
        try:
            data = read_file(path)
        except ImageError:
            self._check_there()
            raise
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageError(
                f"damaged image in the store: the content of {path} does not fit its name; add the image again"
            )
        return data

    def _check_there(self) -> None:
        if not self.folder.is_dir() or next(self.folder.iterdir(), None) is None:
            what = "is empty" if self.folder.is_dir() else "is not there"
            raise StoreError(
                f"expected the images of the project in {self.folder}, but this folder {what} on "
                "this computer; several computers need a store that all of them see under one path"
            )


def read_file(path: Path) -> bytes:
    """The bytes of an image file, wherever it lies.

    Raises:
        ImageError: no such file, no regular one, or a larger one than is read.
    """
    try:
        with open_file(path, "an image") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise ImageError(
                    f"too large: {path} has {size:,} bytes; the limit is {MAX_BYTES:,}"
                )
            return file.read()
    except ImageError:
        raise
    except InputError as error:
        raise ImageError(f"missing or unreadable image: {error}") from error
    except OSError as error:
        raise ImageError(f"missing or unreadable image: {path}: {reason(error)}") from error


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file is there and whole: a power cut may have left its name with other bytes."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except FileNotFoundError:
        return False
