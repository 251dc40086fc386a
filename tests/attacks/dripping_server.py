"""Servers that never come to an end, asked by `analyze`: each answer must end in 30 s."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable

from attacks import measure

SECONDS = 60  # after which a server gives up by itself


def dripping_header(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        client.sendall(b"a")
        time.sleep(0.5)


def endless_continue(client: socket.socket) -> None:
    while True:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 20)
        time.sleep(0.05)


def dripping_body(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        client.sendall(b"a")
        time.sleep(0.5)


def silence(client: socket.socket) -> None:
    client.settimeout(SECONDS)
    client.recv(1)
    time.sleep(SECONDS)


def serve(answer: Callable[[socket.socket], None], listener: socket.socket) -> None:
    end = time.monotonic() + SECONDS
    try:
        client, _ = listener.accept()
        client.settimeout(5)
        threading.Timer(max(0.0, end - time.monotonic()), client.close).start()
        answer(client)
    except OSError:  # the other side has had enough
        pass


# As `analyze` on the command line, but with leave to read from this computer.
COMMAND = """
import sys
from openaffect.analysis import analyze
allow = [("127.0.0.1", int(port)) for port in sys.argv[1:]]
urls = [f"http://127.0.0.1:{port}/a.jpg" for _, port in allow]
for row in analyze(urls, workers=4, allow=allow).rows():
    print(row["source"], row["status"], row["error"])
"""
ports = []
for answer in (dripping_header, endless_continue, dripping_body, silence):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(SECONDS)
    threading.Thread(target=serve, args=(answer, listener), daemon=True).start()
    ports.append(str(listener.getsockname()[1]))
done = measure.run(sys.executable, "-c", COMMAND, *ports, timeout=50)
print(done.stdout)
slow = done.stdout.count("took more than 30 s")
measure.finish(done.status == 0 and done.seconds < 45 and slow == len(ports), done)
