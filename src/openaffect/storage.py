"""Files: writes that are whole or not there, and a door for reading that only files pass.

A write goes to a temporary name beside the destination, then one rename. Temporary names carry the
computer, the process, and when it started: what a dead writer left is told from the work of a
living one, also in a container, where process numbers begin again.

A kill at any moment leaves the old result or the new one. What a killed writer left behind is
recovered or removed by the next call for the same destination.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import platform
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

from openaffect.errors import DestinationExists, InputError, reason

_Value = TypeVar("_Value")
_PARTIAL, _OLD = "partial-", "old-"
_READS = 20  # of a folder that is swapped again and again
_WAITS, _WAIT_S = 100, 0.01  # for a swap of two renames to end
_numbers = itertools.count()  # threads of one process may write to the same place


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
        InputError: nothing can be written there.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise DestinationExists(path)
    temporary = _begin(path)
    try:
        with _naming(path, temporary):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`; when the block ends without an error it becomes `path`.

    The files directly in it are on disk then, also after a power cut; those in its subfolders,
    which may be a million pictures, are left to the system.

    Raises:
        DestinationExists: `path` exists (other than as an empty folder) and `overwrite` is false.
        InputError: nothing can be written there.
    """
    path = _named(path)
    recover_folder(path)
    if path.exists() and not overwrite and not _is_empty_folder(path):
        raise DestinationExists(path)
    temporary = _begin(path)
    try:
        with _naming(path, temporary):
            temporary.mkdir()
            yield temporary
            for entry in os.scandir(temporary):
                if entry.is_file(follow_symlinks=False):
                    sync(entry.path)
            sync(temporary)
            _swap(temporary, path)
            sync(path.parent)
    finally:
        if temporary.exists():
            _remove(temporary)


def read_folder(path: str | Path, read: Callable[[], _Value]) -> _Value:
    """What `read` makes of a folder that another process may replace meanwhile.

    It is called again where the folder was swapped while it ran, so that its result is of the old
    or of the new folder and never of both.

    Raises:
        InputError: the folder is replaced faster than it can be read; and what `read` raises.
    """
    path = _named(path)
    failure: OSError | InputError | None = None
    for _ in range(_READS):
        recover_folder(path)
        before = _identity(path)
        try:
            result = read()
        except (OSError, InputError) as error:
            if before is not None and _identity(path) == before:
                raise
            failure = error
            continue
        if _identity(path) == before:
            return result
        failure = None
    if failure is not None:  # there is no such folder
        raise failure
    raise InputError(f"{path} is replaced again and again; read it when its writer has ended")


def recover_folder(path: str | Path) -> None:
    """Finish or undo what a killed writer of this folder left behind; nothing to do costs nothing.

    Where the system cannot exchange two folders at once, a swap is two renames. A kill between
    them leaves the old result under another name: it gets its name back here. The swap of a
    writer that lives is waited for.
    """
    path = _named(path)
    if not path.parent.is_dir():
        return
    for _ in range(_WAITS):
        alive = False
        for old, owner in _leftovers(path, _OLD):
            if not is_dead(owner):
                alive = True
            elif path.exists():
                _remove(old)
            else:
                os.rename(old, path)
        if path.exists() or not alive:
            break
        time.sleep(_WAIT_S)
    _remove_leftovers(path)


def is_temporary(path: str | Path) -> bool:
    """Whether a path is the temporary one of a writer, which a kill may have left behind.

    >>> is_temporary("tables/.affectnet2017.html.partial-host.7.1.0"), is_temporary("tables/.hidden")
    (True, False)
    """
    return re.fullmatch(rf"\..+\.({_PARTIAL}|{_OLD}).+", Path(path).name) is not None


def sync(path: str | Path) -> None:
    """Have the system put a file, or the names in a folder, on disk."""
    if os.name == "nt" and os.path.isdir(path):
        return  # cannot be opened there
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write many files, each of them whole or not there, and all on disk when this returns.

    They are put on disk together where the system can do that, which takes a fraction of the time.
    """
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = f".{path.name}.{_PARTIAL}"
        for name in os.listdir(path.parent):
            if name.startswith(start) and is_dead(name.removeprefix(start)):
                _remove(path.with_name(name))
        temporary = f"{path.parent}/{start}{process_name()}.{next(_numbers)}"
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    if files and not _sync_file_system(next(iter(files)).parent):
        for path in files:
            sync(path)
        for folder in {path.parent for path in files}:
            sync(folder)


def _sync_file_system(folder: Path) -> bool:
    """Put all of a file system on disk: for many files much faster than one by one."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        number = os.open(folder, os.O_RDONLY)
        try:
            return bool(libc.syncfs(number) == 0)
        finally:
            os.close(number)
    except (OSError, AttributeError, TypeError):  # no such function on this system
        return False


def _swap(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.rename(temporary, path)
        return
    if _exchange(temporary, path):
        return  # what was at `path` is at `temporary` now, and goes with it
    old = path.with_name(f".{path.name}.{_OLD}{process_name()}")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once, so that no reader finds neither; False where that is impossible."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return bool(libc.renamex_np(*names, 2) == 0)  # RENAME_SWAP
        here = -100  # AT_FDCWD
        return bool(libc.renameat2(here, names[0], here, names[1], 2) == 0)  # RENAME_EXCHANGE
    except (OSError, AttributeError, TypeError):  # no such library, or no such function in it
        return False


def _named(path: str | Path) -> Path:
    """The path with a last part that temporary names can be made from: not `.` or `..`."""
    path = Path(path)
    return path if path.name not in ("", "..") else path.resolve()


def _begin(path: Path) -> Path:
    """The temporary path of a new writer; its parent is made, and what dead ones left is removed."""
    parent = path.absolute().parent
    if parent.exists() and not parent.is_dir():
        raise InputError(f"cannot write {path}: {parent} is a file, not a folder")
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {reason(error)} ({error.filename})") from error
    _remove_leftovers(path)
    return path.with_name(f".{path.name}.{_PARTIAL}{process_name()}.{next(_numbers)}")


@contextlib.contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """An error of the system is about `path`; nobody has heard of the temporary name."""
    try:
        yield
    except PermissionError as error:
        if str(error.filename or "").startswith(str(temporary)):
            raise InputError(f"cannot write {path}: {reason(error)}") from error
        raise


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What a folder has alone, also among those that had its number before and are gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _leftovers(path: Path, kind: str) -> list[tuple[Path, str]]:
    """What writers of `path` have under temporary names, and who they are."""
    prefix = f".{path.name}.{kind}"
    found = [entry for entry in path.parent.iterdir() if entry.name.startswith(prefix)]
    return [(entry, entry.name.removeprefix(prefix)) for entry in found]


def _remove_leftovers(path: Path) -> None:
    if path.parent.is_dir():
        for entry, owner in _leftovers(path, _PARTIAL):
            if is_dead(owner):
                _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def process_name() -> str:
    """This process, as temporary names and claims have it: its computer, its number, its start."""
    return _name_process(os.getpid())


@functools.lru_cache(1)  # a child that was forked has another number
def _name_process(pid: int) -> str:
    return f"{_computer()}.{pid}.{_started(pid)}"


def _computer() -> str:
    return re.sub(r"[^\w-]", "-", platform.node()) or "unknown"


def _started(pid: int) -> str:
    """When a process started, in ticks since the start of the system; "0" where nothing tells."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    return text.rpartition(")")[2].split()[19]  # field 22; the name before it may hold spaces


def is_dead(owner: str) -> bool:
    """Whether the process of a `process_name` runs no more; one on another computer may."""
    computer, pid, started = (*owner.split(".")[:3], "", "", "")[:3]
    if not pid.isdigit():
        return True  # no writer of ours makes such names
    if computer != _computer():
        return False
    if _started(int(pid)) != started:
        return True  # gone, or another process has its number now
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user
        return False
    return False
