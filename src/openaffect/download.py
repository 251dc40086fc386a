"""One file from a web address, with limits on its size and on the time it takes in all.

Timeouts of sockets bound one silence, not the sum of many: a server that sends one byte per
second, or answers `100 Continue` for ever, would never end. So a timer shuts the connection at
the deadline, whatever the download is doing then: connecting, TLS, headers or body.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from openaffect.addresses import MAX_REDIRECTS, Allowed, check_number, check_url
from openaffect.errors import DownloadError, reason

_CHUNK = 1 << 16


def download(url: str, *, max_bytes: int, seconds: float, allow: Allowed = ()) -> bytes:
    """The bytes that a web address answers with.

    Where the environment names a proxy (`https_proxy`), it makes the connections and looks names
    up; addresses and redirects are checked as they are written then.

    Args:
        url: http or https, on the public internet; redirects are followed to such addresses only.
        max_bytes: the largest answer that is read.
        seconds: for connections, redirects, headers and body together.
        allow: numbers and ports that may be opened although they are not public.

    Raises:
        DownloadError: an address that `addresses` refuses, no or a bad answer, too slow, or too
            large.
    """
    deadline = _Deadline(seconds)
    try:
        check_url(url, allow)
        request = urllib.request.Request(url, headers={"User-Agent": "openaffect"})
        with _opener(deadline, allow).open(request, timeout=seconds) as answer:
            parts: list[bytes] = []
            size = 0
            while part := answer.read1(_CHUNK):
                size += len(part)
                parts.append(part)
                if size > max_bytes:
                    raise DownloadError(f"the address gave more than {max_bytes:,} bytes")
            if answer.length:  # what it promised and did not send
                raise http.client.IncompleteRead(b"", answer.length)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"the address answered {error.code} {error.reason}") from None
    # ValueError: addresses that are no addresses, such as `http://[::1`
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline.passed:
            raise DownloadError(f"the address took more than {seconds:g} s") from None
        cause = getattr(error, "reason", None) or error
        text = reason(cause) if isinstance(cause, Exception) else str(cause)
        raise DownloadError(f"no answer from the address: {text}") from None
    finally:
        deadline.end()
    if deadline.passed:
        raise DownloadError(f"the address took more than {seconds:g} s")
    return b"".join(parts)


class _Deadline:
    """Shuts the connections of a download when its time is over.

    Attributes:
        passed: whether it did.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection too. TLS takes its socket away, so a copy of it is kept."""
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(connection.fileno())))
            if self.passed:
                self._shut()

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        with self._lock:
            for one in self._sockets:
                one.close()
            self._sockets = []

    def _pass(self) -> None:
        with self._lock:
            self.passed = True
            self._shut()

    def _shut(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):  # it has gone already
                one.shutdown(socket.SHUT_RDWR)


class _Watched(http.client.HTTPConnection):
    """A connection whose socket the deadline knows from its first moment on."""

    def __init__(
        self, *args: Any, deadline: _Deadline, allow: Allowed, proxied: bool, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._deadline, self._allow, self._proxied = deadline, allow, proxied
        self._create_connection = self._connect_watched

    def _connect_watched(
        self, address: tuple[str, int], *args: Any, **options: Any
    ) -> socket.socket:
        found = [address] if self._proxied else self._look_up(*address)
        for place, number in enumerate(found, 1):
            try:
                connection = socket.create_connection(number, *args, **options)
            except OSError:
                if place == len(found):
                    raise
            else:
                self._deadline.watch(connection)
                return connection
        raise OSError(f"the name {address[0]} stands for no computer")

    def _look_up(self, host: str, port: int) -> list[tuple[str, int]]:
        """The numbers that a name stands for, each of them checked; these are connected to."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        numbers = dict.fromkeys(str(entry[4][0]) for entry in found)
        for number in numbers:
            check_number(number, port, self._allow)
        return [(number, port) for number in numbers]


class _WatchedTLS(_Watched, http.client.HTTPSConnection):
    pass


class _Web(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens http and https by watched connections."""

    def __init__(self, deadline: _Deadline, allow: Allowed) -> None:
        super().__init__()
        self._options: dict[str, Any] = {"deadline": deadline, "allow": allow}

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        proxied = req.has_proxy()
        return self.do_open(_Watched, req, proxied=proxied, **self._options)  # type: ignore[arg-type]

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        # urllib keeps a tunnel through a proxy where only it looks.
        proxied = req.has_proxy() or getattr(req, "_tunnel_host", None) is not None
        return self.do_open(_WatchedTLS, req, proxied=proxied, **self._options)  # type: ignore[arg-type]


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server only to addresses that may be opened, and not far."""

    max_redirections = MAX_REDIRECTS

    def __init__(self, allow: Allowed) -> None:
        self._allow = allow

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl, self._allow)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(deadline: _Deadline, allow: Allowed) -> urllib.request.OpenerDirector:
    """One that knows the web and nothing else: urllib's own also opens files, FTP and data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler(), _Web(deadline, allow)),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()),
        _CheckedRedirects(allow),
    ):
        opener.add_handler(handler)
    return opener
