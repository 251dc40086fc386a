"""Servers on this computer that give images, rules, and every kind of trouble."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Headers = tuple[tuple[str, str], ...]


@dataclass
class Page:
    """What a path answers.

    Attributes:
        body: all of it.
        status, headers: of HTTP; there is a Content-Length unless `length` is "".
        length: another Content-Length than the true one.
        pause: seconds before each of the body's bytes, or before the answer if there is no body.
        endless: whether the body is sent again and again.
    """

    body: bytes = b""
    status: int = 200
    headers: Headers = ()
    length: str | None = None
    pause: float = 0.0
    endless: bool = False


@dataclass
class Site:
    """A server that answers by path; unknown paths are 404.

    Attributes:
        pages: by path, or a function that makes one for the n-th request of the path.
        answer: makes the page of a path that is not in `pages`, or None.
        asked: every path that was asked for, in order, with the time.
        agents: the user agents.
        most: the most requests that were answered at the same time.
    """

    pages: dict[str, Page | Callable[[int], Page]] = field(default_factory=dict)
    answer: Callable[[str], Page | None] | None = None
    asked: list[tuple[str, float]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    cookies: set[str] = field(default_factory=set)
    most: int = 0
    port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def allow(self) -> set[tuple[str, int]]:
        return {("127.0.0.1", self.port)}

    def count(self, path: str) -> int:
        return sum(one == path for one, _ in self.asked)

    def images(self) -> Counter[str]:
        """How often each path was asked for that is no file of rules."""
        rules = ("/robots.txt", "/.well-known/tdmrep.json")
        return Counter(path for path, _ in self.asked if path not in rules)


@contextmanager
def open_site(pages: dict[str, Page | Callable[[int], Page]] | None = None) -> Iterator[Site]:
    """A site that answers as long as the block runs."""
    site = Site(dict(pages or {}))
    lock = threading.Lock()
    closing = threading.Event()
    current = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            nonlocal current
            with lock:
                before = site.count(self.path)
                site.asked.append((self.path, time.monotonic()))
                site.agents.add(self.headers["User-Agent"])
                site.cookies.update(self.headers.get_all("Cookie", []))
                current += 1
                site.most = max(site.most, current)
            try:
                found = site.pages.get(self.path)
                if found is None:
                    made = site.answer(self.path) if site.answer is not None else None
                    found = made or Page(status=404)
                self._answer(found if isinstance(found, Page) else found(before + 1))
            except OSError:  # the client has had enough
                self.close_connection = True
            finally:
                with lock:
                    current -= 1

        def _answer(self, page: Page) -> None:
            if page.pause and not page.body:
                closing.wait(page.pause)
            self.send_response(page.status)
            for name, value in page.headers:
                self.send_header(name, value)
            length = str(len(page.body)) if page.length is None else page.length
            if length:
                self.send_header("Content-Length", length)
            self.end_headers()
            if page.endless:
                while not closing.is_set():
                    self.wfile.write(page.body)
            elif page.pause:
                for start in range(len(page.body)):
                    if closing.wait(page.pause):
                        return
                    self.wfile.write(page.body[start : start + 1])
            else:
                self.wfile.write(page.body)
            if not length or page.length is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
