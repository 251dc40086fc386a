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

from openaffect.errors import DownloadError, reason

_SCHEMES = ("http", "https")
_CHUNK = 1 << 16


def download(url: str, *, max_bytes: int, seconds: float) -> bytes:
    """The bytes that a web address answers with.

    Args:
        url: http or https; redirects are followed to such addresses only.
        max_bytes: the largest answer that is read.
        seconds: for connections, redirects, headers and body together.

    Raises:
        DownloadError: another scheme, no or a bad answer, too slow, or too large.
    """
    deadline = _Deadline(seconds)
    try:
        _check_scheme(url)
        request = urllib.request.Request(url, headers={"User-Agent": "openaffect"})
        with _opener(deadline).open(request, timeout=seconds) as answer:
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

    def __init__(self, *args: Any, deadline: _Deadline, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline = deadline
        self._create_connection = self._connect_watched

    def _connect_watched(self, *args: Any, **options: Any) -> socket.socket:
        connection = socket.create_connection(*args, **options)
        self._deadline.watch(connection)
        return connection


class _WatchedTLS(_Watched, http.client.HTTPSConnection):
    pass


class _HTTP(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Watched, req, deadline=self._deadline)  # type: ignore[arg-type]


class _HTTPS(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_WatchedTLS, req, deadline=self._deadline)  # type: ignore[arg-type]


class _SameSchemes(urllib.request.HTTPRedirectHandler):
    """Follows a server only to other web addresses, never to files or FTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme not in _SCHEMES:
        raise DownloadError(f"expected an http or https address, but got {scheme}://")


def _opener(deadline: _Deadline) -> urllib.request.OpenerDirector:
    """One that knows the web and nothing else: urllib's own also opens files, FTP and data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler(), _HTTP(deadline), _HTTPS(deadline)),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()),
        _SameSchemes(),
    ):
        opener.add_handler(handler)
    return opener
