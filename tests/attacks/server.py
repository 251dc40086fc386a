"""`openaffect serve` in a process of its own, and an honest client that measures its answers."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attacks.measure import OPENAFFECT
from openaffect.images import encode_image
from openaffect.synthetic import synthesize_face


@dataclass
class Service:
    """A running service.

    Attributes:
        port: on 127.0.0.1.
        slowest: seconds of the slowest answer that the honest client had.
        answers: how many it had.
        failures: what went wrong for it.
    """

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    slowest: float = 0.0
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _ends: threading.Event = field(default_factory=threading.Event)

    @property
    def peak_mb(self) -> float:
        """The most memory that it has used so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, method: str, path: str, body: bytes | None = None) -> int:
        """The status of one request by a client of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Meanwhile an honest client asks again and again."""
        face = encode_image(synthesize_face("happy", seed=4).image, ".jpg")

        def client() -> None:
            while not self._ends.is_set():
                for asked in (("GET", "/healthz"), ("POST", "/v1/analyze", face)):
                    start = time.monotonic()
                    try:
                        status = self.ask(*asked)
                    except (OSError, http.client.HTTPException) as error:
                        self.failures.append(f"{asked[1]}: {type(error).__name__}")
                    else:
                        if status != 200:
                            self.failures.append(f"{asked[1]}: {status}")
                    self.slowest = max(self.slowest, time.monotonic() - start)
                    self.answers += 1
                time.sleep(0.2)

        thread = threading.Thread(target=client)
        self._ends.clear()
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()

    @property
    def held(self) -> bool:
        """Whether it is alive, in bounds, and answered the honest client in time."""
        return (
            self.is_alive
            and self.answers > 4
            and not self.failures
            and self.slowest < 2
            and self.peak_mb < 1000
            and self.log.stat().st_size < 100_000
        )

    def __str__(self) -> str:
        return (
            f"others: {self.answers} answers, slowest {self.slowest:.2f} s, "
            f"{len(self.failures)} failures {sorted(set(self.failures))[:3]}; "
            f"{self.peak_mb:.0f} MB, log {self.log.stat().st_size:,} bytes"
        )


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Service]:
    """A service with these options on a free port, with as many files as most systems allow."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    "bash",
                    "-c",
                    'ulimit -n 1024; exec "$@"',
                    "-",
                    *OPENAFFECT,
                    "serve",
                    "--port",
                    "0",
                    *options,
                ],
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            try:
                assert process.stdout is not None
                line = process.stdout.readline().decode()
                port = int(line.partition("127.0.0.1:")[2].split()[0])
                service = Service(process, log, port)
                assert service.ask("GET", "/healthz") == 200
                yield service
            finally:
                process.kill()
                process.wait()
