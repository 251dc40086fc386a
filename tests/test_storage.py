"""Whole or not there: real kills, real full disks, and the state that each one leaves behind."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from openaffect import storage
from openaffect.errors import DestinationExists, InputError
from openaffect.storage import (
    atomic_file,
    atomic_folder,
    process_name,
    read_folder,
    recover_folder,
    write_files,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def contents(folder: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in folder.iterdir()}


def run_to_death(code: str, *arguments: object) -> int:
    """Runs a program in a process of its own, which is to kill itself; its exit status."""
    script = "import os, signal, sys\nfrom pathlib import Path\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Error" not in done.stderr, done.stderr
    return done.returncode


def test_a_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def test_a_file_is_replaced_unless_that_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(DestinationExists, match="--overwrite"), atomic_file(path, overwrite=False):
        raise AssertionError("the block must not run")
    assert path.read_text() == "old"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DestinationExists), atomic_file(tmp_path / "a"):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("writer", [atomic_file, atomic_folder])
def test_a_parent_that_is_a_file_is_a_users_error(tmp_path, writer):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="is a file, not a folder"),
        writer(tmp_path / "file" / "a"),
    ):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert contents(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_folder_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    with atomic_folder(path) as temporary:
        (temporary / "f").write_text("old")
    with pytest.raises(type(error)), atomic_folder(path, overwrite=True) as temporary:  # noqa: PT012
        (temporary / "f").write_text("half")
        raise error
    assert names(tmp_path) == ["a"]
    assert contents(path) == {"f": "old"}


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    status = run_to_death(
        """
        import resource
        from openaffect.storage import atomic_file
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_file(sys.argv[1]) as temporary:
                temporary.write_bytes(bytes(5000))
        except OSError as failure:
            sys.exit(failure.errno)
        """,
        path,
    )
    assert status == errno.EFBIG
    assert names(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_a_file_writer_that_is_killed_leaves_the_old_file_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    status = run_to_death(
        """
        from openaffect.storage import atomic_file
        with atomic_file(sys.argv[1]) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert status == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert contents(tmp_path) == {"a.txt": "new"}


def test_many_files_are_written_whole_and_leftovers_of_the_dead_go(tmp_path):
    files = {tmp_path / "a" / "1": b"one", tmp_path / "a" / "2": b"", tmp_path / "b" / "1": b"x"}
    (tmp_path / "a").mkdir()
    dead = tmp_path / "a" / f".1.partial-{process_name().split('.')[0]}.999999.1.0"
    living = tmp_path / "a" / f".1.partial-{process_name()}.x"
    for path in (dead, living):
        path.write_bytes(b"half")
    (tmp_path / "a" / "1").write_bytes(b"old")
    write_files(files)
    write_files({})
    assert {path: path.read_bytes() for path in files} == files
    assert names(tmp_path / "a") == sorted([living.name, "1", "2"])


def test_of_many_files_one_that_cannot_be_written_leaves_the_others_whole(tmp_path):
    (tmp_path / "b").write_text("a file")
    files = {tmp_path / "a": b"one", tmp_path / "b" / "1": b"two"}
    with pytest.raises(OSError, match="b"):
        write_files(files)
    assert contents(tmp_path) == {"a": "one", "b": "a file"}


@pytest.mark.parametrize("has_syncfs", [True, False])
def test_many_files_are_on_disk_when_that_returns(tmp_path, monkeypatch, has_syncfs):
    events: list[object] = []
    real_replace, real_sync = os.replace, os.fsync

    def replace(*args):
        events.append("replace")
        return real_replace(*args)

    def fsync(number):
        events.append(stat.S_IFMT(os.fstat(number).st_mode))
        return real_sync(number)

    def sync_file_system(folder):
        assert folder == tmp_path
        events.append("syncfs")
        return has_syncfs

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(storage, "_sync_file_system", sync_file_system)
    write_files({tmp_path / "1": b"a", tmp_path / "2": b"b"})
    each = [] if has_syncfs else [stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR]
    assert events == ["replace", "replace", "syncfs", *each]


def test_a_file_system_is_synced_where_the_system_can(tmp_path):
    assert storage._sync_file_system(tmp_path) == sys.platform.startswith("linux")
    assert not storage._sync_file_system(tmp_path / "nowhere")


def test_a_folder_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "er"
    with atomic_folder(path) as temporary:
        (temporary / "f").write_text("new")
        assert not path.exists()
    assert contents(path) == {"f": "new"}
    assert names(path.parent) == ["er"]


def test_an_existing_folder_is_refused_or_replaced_whole(tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    with atomic_folder(path) as temporary:  # an empty folder holds no result
        (temporary / "old").write_text("old")
    with pytest.raises(DestinationExists, match="--overwrite"), atomic_folder(path):
        raise AssertionError("the block must not run")
    assert contents(path) == {"old": "old"}
    with atomic_folder(path, overwrite=True) as temporary:
        (temporary / "new").write_text("new")
    assert contents(path) == {"new": "new"}
    assert names(tmp_path) == ["a"]


def test_a_folder_replaces_a_file_only_when_asked(tmp_path):
    path = tmp_path / "a"
    path.write_text("a file")
    with pytest.raises(DestinationExists), atomic_folder(path):
        raise AssertionError("the block must not run")
    with atomic_folder(path, overwrite=True) as temporary:
        (temporary / "f").write_text("new")
    assert contents(path) == {"f": "new"}
    assert names(tmp_path) == ["a"]


def test_a_folder_writer_that_is_killed_leaves_the_old_folder(tmp_path):
    path = tmp_path / "a"
    with atomic_folder(path) as temporary:
        (temporary / "f").write_text("old")
    status = run_to_death(
        """
        from openaffect.storage import atomic_folder
        with atomic_folder(sys.argv[1], overwrite=True) as temporary:
            (temporary / "f").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert status == -signal.SIGKILL
    assert contents(path) == {"f": "old"}
    assert len(names(tmp_path)) == 2
    recover_folder(path)
    assert names(tmp_path) == ["a"]
    assert contents(path) == {"f": "old"}


KILL_AT_RENAME = """
    from openaffect import storage
    from openaffect.storage import atomic_folder
    storage._exchange = lambda *_: False  # as on a system without it
    rename, count = os.rename, 0
    def rename_then_die(source, destination):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, destination)
    os.rename = rename_then_die
    with atomic_folder(sys.argv[1], overwrite=True) as temporary:
        (temporary / "f").write_text("new")
        (temporary / "g").write_text("new")
"""


@pytest.mark.parametrize("existing", ["folder", "file"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_at_either_rename_of_a_swap_loses_nothing(tmp_path, at, existing):
    path = tmp_path / "a"
    if existing == "folder":
        path.mkdir()
        (path / "f").write_text("old")
    else:
        path.write_text("old")
    assert run_to_death(KILL_AT_RENAME, path, at) == -signal.SIGKILL
    assert path.exists() == (at == 1)
    recover_folder(path)
    assert names(tmp_path) == ["a"]
    assert (path / "f" if existing == "folder" else path).read_text() == "old"
    with atomic_folder(path, overwrite=True) as temporary:
        (temporary / "f").write_text("newer")
    assert names(tmp_path) == ["a"]
    assert contents(path) == {"f": "newer"}


@pytest.mark.parametrize("exchange", ["with", "without"])
@pytest.mark.parametrize("existing", ["folder", "file"])
def test_a_kill_after_the_swap_leaves_the_new_folder(tmp_path, existing, exchange):
    path = tmp_path / "a"
    if existing == "folder":
        path.mkdir()
        (path / "f").write_text("old")
    else:
        path.write_text("old")
    status = run_to_death(
        """
        import shutil
        from openaffect.storage import atomic_folder
        from openaffect import storage
        if sys.argv[2] == "without":
            storage._exchange = lambda *_: False
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        shutil.rmtree = Path.unlink = die
        with atomic_folder(sys.argv[1], overwrite=True) as temporary:
            (temporary / "f").write_text("new")
        """,
        path,
        exchange,
    )
    assert status == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    recover_folder(path)
    assert names(tmp_path) == ["a"]
    assert contents(path) == {"f": "new"}


def test_an_interrupted_swap_is_undone_at_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.mkdir()
    (path / "f").write_text("old")
    rename = os.rename
    calls = []

    def fail_second(source, destination):
        calls.append(destination)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fail_second)
    monkeypatch.setattr(storage, "_exchange", lambda *_: False)
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_folder(path, overwrite=True) as temporary,
    ):
        (temporary / "f").write_text("new")
    assert names(tmp_path) == ["a"]
    assert contents(path) == {"f": "old"}


def owner(pid: int, *, computer: str | None = None, started: str | None = None) -> str:
    """A writer as temporary names have it."""
    return f"{computer or storage._computer()}.{pid}.{started or storage._started(pid)}"


def test_the_unfinished_work_of_a_living_process_is_left_alone(tmp_path):
    path = tmp_path / "a"
    parent = os.getppid()
    kept = [
        f".a.partial-{owner(parent)}.0",
        f".a.partial-{owner(os.getpid())}.999",  # of another thread
        f".a.partial-{owner(1)}.0",  # of another user, where we are not root
        f".a.partial-{owner(2**22 + 1, computer='elsewhere')}.0",
    ]
    gone = [
        f".a.partial-{owner(2**22 + 1)}.0",
        f".a.partial-{owner(parent, started='1')}.0",  # its number is another process's now
        f".a.partial-{owner(os.getpid(), started='1')}.0",
        ".a.partial-notes",
    ]
    for name in kept + gone:
        (tmp_path / name).mkdir()
    with atomic_folder(path) as temporary:
        (temporary / "f").write_text("new")
    assert names(tmp_path) == sorted([*kept, "a"])


def test_a_writer_of_another_user_lives(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not storage.is_dead(owner(os.getppid()))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may have no such call")
def test_two_names_are_exchanged_at_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("file")
    assert storage._exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "file"
    assert (tmp_path / "b").is_dir()
    assert not storage._exchange(tmp_path / "a", tmp_path / "missing")


def test_a_folder_is_told_from_one_that_had_its_number(tmp_path):
    """File systems give the number of a removed folder to the next one."""
    seen = []
    for _ in range(20):
        (tmp_path / "a").mkdir()
        seen.append(storage._identity(tmp_path / "a"))
        (tmp_path / "a").rmdir()
    assert len({*seen}) == 20


def test_a_folder_that_is_always_replaced_is_refused_and_never_mixed(tmp_path):
    def read() -> str:
        with atomic_folder(tmp_path / "a", overwrite=True) as temporary:
            (temporary / "one").write_text("new")
        return "old"

    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="replaced"):
        read_folder(tmp_path / "a", read)
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path / "none", (tmp_path / "none" / "one").read_text)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_reader_beside_a_writer_gets_the_old_or_the_new_whole(tmp_path, monkeypatch, exchange):
    path = tmp_path / "a"
    if not exchange:
        monkeypatch.setattr(storage, "_exchange", lambda *_: False)
    ends = threading.Event()

    def write(number: int) -> None:
        with atomic_folder(path, overwrite=True) as temporary:
            for name in ("one", "two"):
                (temporary / name).write_text(str(number))

    def keep_writing() -> None:
        for number in itertools.count(1):
            if ends.is_set():
                return
            write(number)
            time.sleep(0.002)  # what a disk takes, for which tests do not wait

    def read() -> tuple[int, int]:
        one = int((path / "one").read_text())
        time.sleep(0.0005)
        return one, int((path / "two").read_text())

    write(0)
    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        seen = [read_folder(path, read) for _ in range(150)]
    finally:
        ends.set()
        writer.join()
    assert all(one == two for one, two in seen)
    assert [one for one, _ in seen] == sorted(one for one, _ in seen)
    assert seen[-1][0] > 5
    assert names(tmp_path) == ["a"]


def test_what_is_written_is_on_disk_before_its_name_is(tmp_path, monkeypatch):
    events = []
    for name in ("fsync", "rename", "replace"):
        real = getattr(os, name)

        def record(*args, name=name, real=real):
            events.append(name if name != "fsync" else stat.S_IFMT(os.fstat(*args).st_mode))
            return real(*args)

        monkeypatch.setattr(os, name, record)
    with atomic_file(tmp_path / "f") as temporary:
        temporary.write_text("new")
    assert events == [stat.S_IFREG, "replace", stat.S_IFDIR]
    events.clear()
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "f").write_text("new")
    assert events == [stat.S_IFREG, stat.S_IFDIR, "rename", stat.S_IFDIR]


@pytest.mark.parametrize("writer", [atomic_file, atomic_folder])
def test_an_error_names_what_the_user_named(tmp_path, writer, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError) as caught, writer(tmp_path / "new" / "a"):
        raise AssertionError("the block must not run")
    assert str(tmp_path / "new" / "a") in str(caught.value)
    assert "partial" not in str(caught.value)


def test_the_folder_one_is_in_can_be_the_destination(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with atomic_folder(".") as temporary:
        (temporary / "f").write_text("new")
    assert names(tmp_path) == ["here"]
    assert contents(tmp_path / "here") == {"f": "new"}


def test_nothing_to_recover_does_nothing(tmp_path):
    recover_folder(tmp_path / "nowhere" / "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("kept")
    recover_folder(tmp_path / "a")
    assert contents(tmp_path / "a") == {"f": "kept"}
