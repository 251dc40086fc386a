"""The images of a project, each under the SHA-256 of its bytes: `ab/cd/<sha256>.<suffix>`.

They lie in a folder, or in a bucket of S3 or of a server that speaks its protocol. An image is
whole under its name before a row names it.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from openaffect.errors import ImageError, InputError, StoreError, reason
from openaffect.image_headers import content_path, suffix_of_format
from openaffect.images import MAX_BYTES
from openaffect.parallel import map_in_order
from openaffect.storage import atomic_file, open_file, write_files

parse_name = re.compile(r"([0-9a-f]{64})\.([a-z]{3,4})").fullmatch
"""The name of an image in a store: its SHA-256 and its suffix."""


class Store(ABC):
    """Images, each named by its content; made by `open_store`.

    Attributes:
        location: where they lie, for `open_store` in another process, and for messages.
        workers: threads that are worth while for reading and writing; None for one per CPU core.
    """

    location: str
    workers: int | None

    def put(self, data: bytes) -> tuple[str, str]:
        """Keep the bytes of an image; its SHA-256 in hexadecimal digits and its suffix.

        One that is there already is left alone; a damaged one is replaced.

        Raises:
            ImageError: the bytes are of no known image format.
            StoreError: the store cannot be reached, or takes nothing.
        """
        suffix = suffix_of_format(data[:32])
        sha256 = hashlib.sha256(data).hexdigest()
        self._put_named((sha256, suffix), data)
        return sha256, suffix

    def put_all(self, images: Mapping[tuple[str, str], bytes]) -> None:
        """Keep many images, on disk when this returns; see `put`.

        Args:
            images: the bytes by SHA-256 and suffix, which are taken as they are.
        """
        list(map_in_order(lambda one: self._put_named(*one), images.items(), workers=self.workers))

    def read(self, sha256: str, suffix: str) -> bytes:
        """The bytes of an image.

        Raises:
            ImageError: there is no such image, it cannot be read, or it is not what its name says.
            StoreError: the store cannot be reached, or is empty.
        """
        data = self._read(sha256, suffix)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageError(
                "damaged image in the store: the content of "
                f"{self.place(sha256, suffix)} does not fit its name; add the image again"
            )
        return data

    def exists(self, sha256: str, suffix: str) -> bool:
        """Whether an image is there, whole or not.

        Raises:
            StoreError: the store cannot be reached.
        """
        return self.size(sha256, suffix) is not None

    @abstractmethod
    def place(self, sha256: str, suffix: str) -> str:
        """Where an image lies, or would lie, for messages."""

    @abstractmethod
    def size(self, sha256: str, suffix: str) -> int | None:
        """The number of bytes of an image, or None where there is none.

        Raises:
            StoreError: the store cannot be reached.
        """

    @abstractmethod
    def delete(self, sha256: str, suffix: str) -> bool:
        """Remove an image; whether there was one.

        Raises:
            StoreError: the store cannot be reached, or lets nobody delete.
        """

    @abstractmethod
    def iterate(self) -> Iterator[tuple[str, str]]:
        """SHA-256 and suffix of every image, sorted; other files are passed over.

        Raises:
            StoreError: the store cannot be reached.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Make the store of a new project.

        Raises:
            StoreError: it cannot be reached.
        """

    @abstractmethod
    def _read(self, sha256: str, suffix: str) -> bytes:
        """The bytes, whatever they are; errors as of `read`."""

    @abstractmethod
    def _write(self, sha256: str, suffix: str, data: bytes) -> None:
        """Put the bytes there in one step, over whatever is there; errors as of `put`."""

    def _put_named(self, name: tuple[str, str], data: bytes) -> None:
        if not self._has(*name, len(data)):
            self._write(*name, data)

    def _has(self, sha256: str, suffix: str, size: int) -> bool:
        """Whether an image is there, whole."""
        return self.size(sha256, suffix) == size and self._holds(sha256, suffix)

    def _holds(self, sha256: str, suffix: str) -> bool:
        """Whether an image is whole: a power cut may have left its name with other bytes."""
        try:
            return hashlib.sha256(self._read(sha256, suffix)).hexdigest() == sha256
        except ImageError:
            return False


def open_store(location: str | Path, base: Path = Path()) -> Store:
    """The store at a place; nothing is asked of a server yet.

    Args:
        location: a folder, or `s3://bucket/prefix` as `s3_store.parse_address` reads it.
        base: what a relative folder is relative to.

    Raises:
        InputError: an address of another kind, or one that holds a key or a password. The message
            does not repeat the address.
    """
    if not is_address(location):
        return FolderStore(base / location)
    from openaffect.project.s3_store import S3Store

    return S3Store(str(location))


def is_address(location: str | Path) -> bool:
    """Whether a place is no folder but an address such as `s3://bucket`."""
    return isinstance(location, str) and "://" in location


class FolderStore(Store):
    """A store in a folder.

    Attributes:
        folder: where the images lie.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.location = str(self.folder.absolute())
        self.workers = None

    def path(self, sha256: str, suffix: str) -> Path:
        """Where an image lies, or would lie."""
        return self.folder / content_path(sha256, suffix)

    def place(self, sha256: str, suffix: str) -> str:
        """The path of an image."""
        return str(self.path(sha256, suffix))

    def size(self, sha256: str, suffix: str) -> int | None:
        """As the system has it."""
        try:
            return self.path(sha256, suffix).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, sha256: str, suffix: str) -> bool:
        """Its folders stay."""
        try:
            self.path(sha256, suffix).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def iterate(self) -> Iterator[tuple[str, str]]:
        """One folder after the other."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]")):
            for entry in sorted(folder.iterdir()):
                if found := parse_name(entry.name):
                    yield found[1], found[2]

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def put_all(self, images: Mapping[tuple[str, str], bytes]) -> None:
        """They are put on disk together, which takes a fraction of the time."""
        new = {
            self.path(*name): data
            for name, data in images.items()
            if not self._has(*name, len(data))
        }
        write_files(new)

    def _read(self, sha256: str, suffix: str) -> bytes:
        try:
            return read_file(self.path(sha256, suffix))
        except ImageError:
            self._check_there()
            raise

    def _write(self, sha256: str, suffix: str, data: bytes) -> None:
        with atomic_file(self.path(sha256, suffix)) as temporary:
            temporary.write_bytes(data)

    def _check_there(self) -> None:
        if not self.folder.is_dir() or next(self.folder.iterdir(), None) is None:
            what = "is empty" if self.folder.is_dir() else "is not there"
            raise StoreError(
                f"expected the images of the project in {self.folder}, but this folder {what} on "
                "this computer; several computers need a store that all of them see under one "
                "path, or one in s3://"
            )


def read_file(path: Path) -> bytes:
    """The bytes of an image file, wherever it lies.

    Raises:
        ImageError: no such file, no regular one, or a larger one than is read.
    """
    try:
        with open_file(path, "an image") as file:
            check_size(os.fstat(file.fileno()).st_size, path)
            return file.read()
    except ImageError:
        raise
    except InputError as error:
        raise ImageError(f"missing or unreadable image: {error}") from error
    except OSError as error:
        raise ImageError(f"missing or unreadable image: {path}: {reason(error)}") from error


def check_size(size: int, place: object) -> None:
    """Refuse an image of more bytes than are read.

    Raises:
        ImageError: it has more than `images.MAX_BYTES`.
    """
    if size > MAX_BYTES:
        raise ImageError(f"too large: {place} has {size:,} bytes; the limit is {MAX_BYTES:,}")
