"""1,100 connections whose request heads never end, and that never leave."""

from __future__ import annotations

import contextlib
import socket
import time

from attacks import measure
from attacks.server import serving

SECONDS = 25

with serving() as service, contextlib.ExitStack() as stack:
    with service.watched():
        connections = []
        for _ in range(1100):
            with contextlib.suppress(OSError):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 5))
                one.sendall(b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
                connections.append(one)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for one in connections:
                with contextlib.suppress(OSError):
                    one.send(b"a")
            time.sleep(2)
    measure.finish(service.held, f"{len(connections)} half-sent heads; {service}")
