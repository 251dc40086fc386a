"""Whole or not there: real kills, real full disks, and the state that each one leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from openaffect.errors import DestinationExists, InputError
from openaffect.storage import atomic_file, atomic_folder, recover_folder


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
    from openaffect.storage import atomic_folder
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


@pytest.mark.parametrize("existing", ["folder", "file"])
def test_a_kill_after_the_swap_leaves_the_new_folder(tmp_path, existing):
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
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        shutil.rmtree = Path.unlink = die
        with atomic_folder(sys.argv[1], overwrite=True) as temporary:
            (temporary / "f").write_text("new")
        """,
        path,
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
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_folder(path, overwrite=True) as temporary,
    ):
        (temporary / "f").write_text("new")
    assert names(tmp_path) == ["a"]
    assert contents(path) == {"f": "old"}


def test_the_unfinished_work_of_a_living_process_is_left_alone(tmp_path):
    path = tmp_path / "a"
    living = tmp_path / f".a.partial-{os.getppid()}"
    living.mkdir()
    stray = tmp_path / ".a.partial-notes"
    stray.write_text("of no process")
    with atomic_folder(path) as temporary:
        (temporary / "f").write_text("new")
    assert names(tmp_path) == [living.name, "a"]


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
