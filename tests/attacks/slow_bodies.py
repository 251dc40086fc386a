"""300 requests whose bodies stop after two bytes: they must not take the places of others."""

from __future__ import annotations

import contextlib
import socket
import time

from attacks import measure
from attacks.server import serving

SECONDS = 20
HEAD = (
    b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    b"Content-Length: 1000000\r\n\r\nab"
)

with serving() as service, contextlib.ExitStack() as stack:
    for _ in range(300):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 5))
        one.sendall(HEAD)
    with service.watched():
        time.sleep(SECONDS)
    measure.finish(service.held, f"300 bodies of two bytes; {service}")
