"""An application on a port, until a signal ends it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from openaffect.errors import InputError
from openaffect.web.connections import BACKLOG, allow_connections, make_protocol
from openaffect.web.hosts import is_loopback

_LONGEST_END_S = 30
_IDLE_S = 30
_WAITING_CONNECTIONS = 2048


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
    config = uvicorn.Config(
        app,
        http=make_protocol(allow_connections(connections), header_s),
        ws="none",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_LONGEST_END_S,
    )
    with _listen(host, port) as listening, contextlib.suppress(KeyboardInterrupt):
        address = _address(host, listening)
        _Server(config, lambda: ready(address) if ready else None).run([listening])


class _Server(uvicorn.Server):
    """Tells when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


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
