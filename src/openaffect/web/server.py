"""An application on a port, until a signal ends it."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess

from openaffect.errors import InputError, OpenAffectError, WorkerError
from openaffect.web.connections import BACKLOG, allow_connections, make_protocol
from openaffect.web.hosts import is_loopback

_LONGEST_END_S = 30
_IDLE_S = 30
_WAITING_CONNECTIONS = 2048
_LOOK_S = 0.5  # after which signals are looked at while processes begin

_log = logging.getLogger("uvicorn.error")


def hosts_of(host: str) -> tuple[str, ...] | None:
    """The names of an application at an address: those of this computer at a loopback address."""
    return ("localhost", "127.0.0.1", "[::1]", "::1", host) if is_loopback(host) else None


def run(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    connections: int,
    header_s: float,
    proxies: tuple[str, ...] = (),
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run an application until SIGINT or SIGTERM; requests in work are finished then.

    Args:
        app: to run.
        host: the address to listen at.
        port: 0 for any free one.
        connections: at once.
        header_s: seconds in which the head of a request must arrive.
        proxies: addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        ready: called with the address of the page when requests are taken.

    Raises:
        InputError: the host is unknown or the port taken.
    """
    config = _configure(app, connections, header_s, proxies)
    with _listen(host, port) as listening, contextlib.suppress(KeyboardInterrupt):
        address = _address(host, listening)
        _Server(config, lambda: ready(address) if ready else None).run([listening])


def run_workers(
    make_app: Callable[[], ASGIApp],
    workers: int,
    *,
    host: str,
    port: int,
    connections: int,
    header_s: float,
    proxies: tuple[str, ...] = (),
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run an application in several processes on one port; a process that ends is replaced.

    They begin afresh (`spawn`): a program that calls this does so below `if __name__ ==
    "__main__":`, and in its main thread. They end with this process, even where that is killed.

    Args:
        make_app: makes the application in a process; it is pickled.
        workers: processes.
        host, port, proxies, ready: see `run`; `ready` is called once, when all take requests.
        connections: at once, of each process.
        header_s: see `run`.

    Raises:
        InputError: the host is unknown or the port taken.
        WorkerError: a process could not begin; why stands in the log.
    """
    config = _configure(
        _Worker(make_app), connections, header_s, proxies, factory=True, workers=workers
    )
    with _listen(host, port) as listening, _signals_of_before():
        address = _address(host, listening)
        supervisor = _Supervisor(config, listening, lambda: ready(address) if ready else None)
        supervisor.run()
        if supervisor.has_failed:
            raise WorkerError("a process of the server could not begin; why stands above")


def _configure(
    app: Any, connections: int, header_s: float, proxies: tuple[str, ...], **more: Any
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # uvicorn says that it wants a class, and only calls it.
        http=cast(Any, make_protocol(allow_connections(connections), header_s)),
        ws="none",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_LONGEST_END_S,
        **more,
    )


class _Server(uvicorn.Server):
    """Tells when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Supervisor(Multiprocess):
    """uvicorn's, which tells when all processes take requests, and ends where one cannot begin."""

    def __init__(
        self, config: uvicorn.Config, listening: socket.socket, ready: Callable[[], None]
    ) -> None:
        super().__init__(config, [listening])
        self.has_failed = False
        self._ready = ready

    def init_processes(self) -> None:
        # Until a process handles Ctrl-C itself, it leaves it to this one, and shows no traceback.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        super().init_processes()
        signal.signal(signal.SIGINT, before)
        for one in self.processes:
            while not one.wait_until_ready(_LOOK_S, self.should_exit):
                self.handle_signals()
                if self.should_exit.is_set():
                    return
                if not one.process.is_alive():
                    self.has_failed = True
                    self.should_exit.set()
                    return
        self._ready()

    def keep_subprocess_alive(self) -> None:
        before = [one.pid for one in self.processes]
        super().keep_subprocess_alive()
        if [one.pid for one in self.processes] != before:
            _log.warning("a process of the server has ended; another one takes its place")

    def handle_hup(self) -> None:
        """End with the terminal, as one process does."""
        self.handle_term()


@dataclass(frozen=True, slots=True)
class _Worker:
    """Makes the application in a process of its own, which ends when its parent does."""

    make_app: Callable[[], ASGIApp]

    def __call__(self) -> ASGIApp:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            return self.make_app()
        except OpenAffectError as error:
            _log.error("a process of the server cannot begin: %s", error)
            sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _signals_of_before() -> Iterator[None]:
    """Give the signals back that uvicorn's supervisor takes for itself."""
    before = {one: signal.getsignal(one) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot listen at {host}: {error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING_CONNECTIONS)
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(f"cannot listen at {host}, port {port}: {error}") from error
    return listening


def _address(host: str, listening: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
