"""File names, answers of servers and options that would steer the reader's terminal."""

from __future__ import annotations

import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from attacks import measure

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202egpj.\x9b31m"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(f"HTTP/1.0 404 {ESCAPE}\r\n\r\n".encode())

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
texts = []
with tempfile.TemporaryDirectory() as folder:
    Path(folder, f"a{ESCAPE}.jpg").write_text("no image")
    Path(folder, "dataset.json").write_text('{"name": 3, "schema": "\x1b[31m"}')
    for command in (
        ["analyze", folder],
        ["analyze", folder, "--json"],
        ["analyze", f"http://127.0.0.1:{server.server_port}/a.jpg"],
        ["info", folder],
        ["info", f"{folder}/{ESCAPE}"],
        ["analyze", "--every", ESCAPE, "a.jpg"],
        [ESCAPE],
    ):
        done = measure.run(*measure.OPENAFFECT, *command)
        texts.append((command, done))
server.shutdown()
bad = [
    " ".join(command)
    for command, done in texts
    if any(sign in done.stdout + done.stderr for sign in ("\x1b", "\x07", "\x9b", "\u202e"))
    or done.has_traceback
]
measure.finish(not bad, f"{len(bad)} of {len(texts)} commands let escapes through: {bad!a}")
