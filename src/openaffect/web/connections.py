"""Connections that send nothing, or never end their headers: bounded in number and in time.

uvicorn closes an idle connection after a while, but waits without end for the rest of a request
head that has begun, and takes as many connections as come.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

BACKLOG = 64
"""Connections that are taken from the system at once; each is open before it is counted."""

_OTHER_FILES = 128  # that the process needs: libraries, temporary files, sockets of its own


def make_protocol(most: int, header_s: float) -> Callable[..., H11Protocol]:
    """The HTTP protocol of a server with limits on its connections; it can be pickled.

    Args:
        most: connections at once. One more closes the one that has waited longest without a
            request in work; where all are at work, the new one is closed.
        header_s: seconds for the head of a request, from its first byte or, on a new connection,
            from its opening.
    """
    return functools.partial(_Bounded, limit=most, seconds=header_s)


def allow_connections(wanted: int) -> int:
    """How many connections this process can hold; raises its limit of open files where it may."""
    if resource is None:
        return wanted
    needed = wanted + BACKLOG + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed and (hard == resource.RLIM_INFINITY or hard > soft):
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - BACKLOG - _OTHER_FILES))


class _Bounded(H11Protocol):
    def __init__(self, *args: Any, limit: int, seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limit = limit
        self._seconds = seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._waiting_since = self.loop.time()

    @property
    def is_waiting(self) -> bool:
        """Whether no request of this connection is in work."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limit:
            others = [c for c in self.connections if isinstance(c, _Bounded) and c is not self]
            waiting = [c for c in others if c.is_waiting]
            oldest = min(waiting, key=lambda c: c._waiting_since, default=self)
            oldest.drop()
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.is_waiting:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection at once; what was not sent is lost."""
        self.connections.discard(self)
        self.transport.abort()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._seconds, self._end_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_head(self) -> None:
        self._head_timer = None
        if self.is_waiting:
            self.drop()
