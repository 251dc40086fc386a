"""Files: writes that are whole or not there, and a door for reading that only files pass.

A write goes to a temporary name beside the destination, then one rename.

A kill at any moment leaves the old result or the new one. What a killed writer left behind is
recovered or removed by the next call for the same destination.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from openaffect.errors import DestinationExists, InputError, reason


def open_file(path: str | Path, what: str = "a file") -> BinaryIO:
    """A file opened for reading bytes, without a buffer; pipes, devices and folders are refused.

    Opening a pipe would wait for its writer, and a device may never end. Every file that other
    people may have made, or that their data names, is opened here.

    Args:
        path: the file.
        what: what it should be, for messages, such as `a picture`.

    Raises:
        InputError: no such file, no right to read it, or not a regular file.
    """
    try:
        # O_NONBLOCK: a pipe without a writer must not hold the call until one comes.
        number = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except FileNotFoundError:
        raise InputError(f"expected {what} at {path}, but there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        kind = "a folder" if os.path.isdir(path) else "a pipe or a device"
        os.close(number)
        raise InputError(f"expected {what} at {path}, but it is {kind}")
    return open(number, "rb", buffering=0)


@contextlib.contextmanager
def atomic_file(path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends without an error it becomes `path`.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise DestinationExists(path)
    _need_parent(path)
    _remove_leftovers(path)
    temporary = _temporary(path)
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`; when the block ends without an error it becomes `path`.

    Raises:
        DestinationExists: `path` exists (other than as an empty folder) and `overwrite` is false.
    """
    path = _named(path)
    _need_parent(path)
    recover_folder(path)
    if path.exists() and not overwrite and not _is_empty_folder(path):
        raise DestinationExists(path)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        _swap(temporary, path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def recover_folder(path: str | Path) -> None:
    """Finish or undo what a killed writer of this folder left behind; nothing to do costs nothing.

    The swap of a folder is two renames. A kill between them leaves the old result under
    another name: it gets its name back here.
    """
    path = _named(path)
    old = _old(path)
    if old.exists():
        if path.exists():
            _remove(old)
        else:
            os.rename(old, path)
    _remove_leftovers(path)


def _swap(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.rename(temporary, path)
        return
    old = _old(path)
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    _remove(old)


def _named(path: str | Path) -> Path:
    """The path with a last part that temporary names can be made from: not `.` or `..`."""
    path = Path(path)
    return path if path.name not in ("", "..") else path.resolve()


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{os.getpid()}")


def _need_parent(path: Path) -> None:
    parent = path.absolute().parent
    if parent.exists() and not parent.is_dir():
        raise InputError(f"cannot write {path}: {parent} is a file, not a folder")
    parent.mkdir(parents=True, exist_ok=True)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


def _remove_leftovers(path: Path) -> None:
    if not path.parent.is_dir():
        return
    prefix = f".{path.name}.partial-"
    for entry in path.parent.iterdir():
        if entry.name.startswith(prefix) and not _is_alive(entry.name.removeprefix(prefix)):
            _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_alive(pid: str) -> bool:
    """Whether another process with this number runs; a writer of our own number left it behind."""
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
