"""A project that several processes serve: they are one server, and end as one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from openaffect.project import Project, accounts, schema
from openaffect.web.annotation.service import name_cookie
from web_builders import wait_until

PASSWORD = "correct horse battery"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/task").is_dir(), reason="finds the processes of a server in /proc"
    ),
]


class Server:
    """`openaffect annotate --workers 2` in a process group of its own.

    Attributes:
        process: the one that was started.
        said: all that it and its workers have printed.
    """

    def __init__(self, project: Path, *options: str) -> None:
        command = [sys.executable, "-m", "openaffect", "annotate", str(project), "--port", "0"]
        self.said = ""
        self.process = subprocess.Popen(
            [*command, "--workers", "2", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def ready(self) -> Server:
        wait_until(lambda: "annotating at" in self.said or self.process.poll() is not None, 120)
        assert "annotating at" in self.said, self.said
        return self

    @property
    def port(self) -> int:
        found = re.search(r"annotating at http://127.0.0.1:(\d+)/", self.said)
        assert found is not None
        return int(found[1])

    def workers(self) -> list[int]:
        """The processes that answer."""
        folder = Path(f"/proc/{self.process.pid}/task/{self.process.pid}")
        found = map(int, (folder / "children").read_text().split())
        return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    @contextlib.contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """Let one of the workers answer; for less than the five seconds in which they must."""
        others = [pid for pid in self.workers() if pid != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def ask(
        self, method: str, path: str, body: Any = None, cookie: str = ""
    ) -> tuple[int, dict[str, Any] | str]:
        """Status and answer of a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json", "Cookie": cookie}
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, text if path == "/metrics" else json.loads(text)

    def end(self, how: signal.Signals, *, group: bool = False) -> int:
        """Its exit status after a signal, to it alone or, as the terminal does, to all of them."""
        workers = self.workers()
        (os.killpg if group else os.kill)(self.process.pid, how)
        status = self.process.wait(40)
        wait_until(lambda: not any(is_running(pid) for pid in workers), 20)
        self.close()
        return status

    def close(self) -> None:
        """Read what was printed to the end; all processes have ended."""
        self.process.wait()
        self._reader.join(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def takes_interrupts(pid: int) -> bool:
    ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return ignored is not None and not int(ignored[1], 16) & 1 << signal.SIGINT - 1


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers; none is left in the end."""
    started: list[Server] = []

    def make(*options: Any) -> Server:
        started.append(Server(*options))
        return started[-1]

    yield make
    for server in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.close()


def test_two_processes_are_one_server(
    project: Project, start: Callable[..., Server], tmp_path: Path
) -> None:
    token = accounts.use_link(
        project, accounts.invite(project, "Ada", "owner").token, accounts.hash_password(PASSWORD)
    )
    cookie = f"{name_cookie(project)}={token}"
    server = start(project.path).ready()
    first, second = workers = server.workers()
    for worker in (*workers, *workers):
        with server.only(worker):
            assert server.ask("GET", "/healthz")[0] == 200
    # Settings: what one has changed, the other knows, and leaves as it is.
    for worker, other, key in (
        (first, second, "annotation.overlap"),
        (second, first, "annotation.lease_minutes"),
    ):
        with server.only(worker):
            assert server.ask("PATCH", "/v1/settings", {key: 7}, cookie)[0] == 200
        with server.only(other):
            _, found = server.ask("GET", "/v1/settings", cookie=cookie)
        assert isinstance(found, dict)
        values = {one["key"]: one["value"] for one in found["settings"]}
        assert values[key] == values["annotation.overlap"] == 7
    noted = [one["subject"] for one in project.events() if one["kind"] == "setting"]
    assert sorted(noted) == ["annotation.lease_minutes", "annotation.overlap"]
    # Wrong passwords: all are counted, wherever they come to.
    wrong = {"name": "Ada", "password": "a wrong password"}
    for worker in (first, second, first, second, first):
        with server.only(worker):
            assert server.ask("POST", "/v1/session", wrong)[0] == 401
    with project.database.read() as connection:  # the next one would wait for two seconds only
        assert connection.execute(sa.select(schema.sign_ins.c.failures)).scalar_one() == 5
    # Metrics: of both, wherever they are asked for, and also what a killed process has counted.
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(set(server.workers()) - {first}) == 2, 60)
    for worker in server.workers():
        with server.only(worker):
            _, text = server.ask("GET", "/metrics", cookie=cookie)
        assert isinstance(text, str)
        assert 'openaffect_requests_total{route="/healthz",status="200"} 4.0' in text
        assert "# HELP openaffect_requests_total Requests by route and status." in text
    assert "another one takes its place" in server.said
    assert server.said.count("annotating at") == 1
    # Signing out ends the session for all.
    with server.only(second):
        assert server.ask("DELETE", "/v1/session", {}, cookie)[0] == 200
    for worker in server.workers():
        with server.only(worker):
            assert server.ask("GET", "/v1/me", cookie=cookie)[0] == 401
    project.close()  # who closes a SQLite file last empties its log: now the server does
    assert server.end(signal.SIGTERM) == 0
    if project.database.is_sqlite:
        assert not list(project.path.glob("project.db-wal"))


def test_interrupts_of_the_terminal_end_all_and_leave_nothing_behind(
    sqlite_project: Project, start: Callable[..., Server]
) -> None:
    server = start(sqlite_project.path).ready()
    folders = set(Path(os.environ.get("TMPDIR", "/tmp")).glob("openaffect-metrics-*"))
    assert server.end(signal.SIGINT, group=True) == 0
    assert "Traceback" not in server.said
    assert len(server.said.splitlines()) == 1
    left = set(Path(os.environ.get("TMPDIR", "/tmp")).glob("openaffect-metrics-*"))
    assert folders - left
    early = start(sqlite_project.path)
    wait_until(lambda: len(early.workers()) == 2 and takes_interrupts(early.process.pid), 60)
    time.sleep(0.3)  # they import by now
    assert early.end(signal.SIGINT, group=True) == 0
    assert early.said == ""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_no_process_outlives_the_one_that_was_started(
    sqlite_project: Project, start: Callable[..., Server], how: signal.Signals
) -> None:
    server = start(sqlite_project.path).ready()
    server.end(how)  # waits for the workers


def test_a_process_that_cannot_begin_ends_the_server(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import functools
            from openaffect.project import open_project
            from openaffect.web.server import run_workers
            if __name__ == "__main__":
                make = functools.partial(open_project, "nowhere")
                run_workers(make, 2, host="127.0.0.1", port=0, connections=9, header_s=9)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "cannot begin: expected a project folder at nowhere" in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert "WorkerError: a process of the server could not begin" in done.stderr


@pytest.mark.parametrize("workers", ["0", "-1"])
def test_fewer_than_one_process_is_refused(sqlite_project: Project, workers: str) -> None:
    command = [sys.executable, "-m", "openaffect", "annotate", str(sqlite_project.path)]
    done = subprocess.run(
        [*command, "--workers", workers], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: expected 1 or more processes of the server, but got {workers}"
    ]
