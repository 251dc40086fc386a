"""Which web addresses may be opened, and that a download asks at every step."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import address_corpus as corpus
from openaffect.addresses import MAX_REDIRECTS, check_number, check_url
from openaffect.download import download
from openaffect.errors import DownloadError


@pytest.mark.parametrize("number", corpus.REFUSED_NUMBERS)
def test_a_number_that_is_not_public_is_refused(number: str) -> None:
    with pytest.raises(DownloadError, match="not on the public internet"):
        check_number(number, 443)


@pytest.mark.parametrize("number", corpus.PUBLIC_NUMBERS)
def test_a_public_number_may_be_opened(number: str) -> None:
    for port in (80, 443, 1024, 8080, 65535):
        check_number(number, port)
    for port in (0, 22, 25, 81, 1023):
        with pytest.raises(DownloadError, match="another service"):
            check_number(number, port)


@pytest.mark.parametrize("text", ["", "example.org", "127.1", "1.2.3.4.5", "12345", ":::"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(DownloadError, match="number of a computer"):
        check_number(text, 80)


@pytest.mark.parametrize("url", corpus.REFUSED_URLS)
def test_an_address_that_may_not_be_opened_is_refused_before_anything_is_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        pytest.fail("a connection was made")

    monkeypatch.setattr(socket, "create_connection", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(DownloadError) as caught:
        download(url, max_bytes=100, seconds=5)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", corpus.PUBLIC_URLS)
def test_a_public_address_may_be_opened(url: str) -> None:
    check_url(url)


def test_exactly_one_number_and_port_is_allowed() -> None:
    allow = {("127.0.0.1", 8000)}
    check_number("127.0.0.1", 8000, allow)
    check_url("http://127.0.0.1:8000/a.jpg", allow)
    for number, port in (("127.0.0.1", 8001), ("127.0.0.2", 8000), ("::ffff:127.0.0.1", 8000)):
        with pytest.raises(DownloadError):
            check_number(number, port, allow)


class Answers(BaseHTTPRequestHandler):
    """`/to?URL` leads on to URL, `/more/N` to itself N times, anything else is a file."""

    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            target = self.path.removeprefix("/to?")
        elif self.path.startswith("/more/") and self.path != "/more/0":
            target = f"/more/{int(self.path.rpartition('/')[2]) - 1}"
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"content")
            return
        self.send_response(302)
        self.send_header("Location", target)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


def fetch(url: str, *ports: int) -> bytes:
    allow = {("127.0.0.1", port) for port in ports}
    return download(url, max_bytes=100, seconds=5, allow=allow)


def test_an_allowed_number_is_opened_and_no_other(port: int) -> None:
    assert fetch(f"http://127.0.0.1:{port}/a", port) == b"content"
    with pytest.raises(DownloadError, match=r"leads to 127\.0\.0\.1"):
        fetch(f"http://127.0.0.1:{port}/a")
    with pytest.raises(DownloadError, match=r"leads to 127\.0\.0\.1"):
        fetch(f"http://127.0.0.1:{port}/a", port + 1)


@pytest.mark.parametrize("host", corpus.LOOPBACK_SPELLINGS)
def test_a_name_is_judged_by_what_it_stands_for(host: str, port: int) -> None:
    with pytest.raises(DownloadError, match="not on the public internet"):
        fetch(f"http://{host}:{port}/a")


def test_the_number_that_was_checked_is_the_one_that_is_connected_to(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that stands for another number at each look-up gains nothing."""
    answers = iter(["127.0.0.1", "10.0.0.1"])

    def look_up(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    real, asked = socket.create_connection, []

    def connect(address: tuple[str, int], *more: Any, **options: Any) -> socket.socket:
        asked.append(address)
        monkeypatch.undo()  # what is a number is not looked up
        return real(address, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert fetch(f"http://changing.example:{port}/a", port) == b"content"
    assert asked == [("127.0.0.1", port)]


def test_one_number_of_a_name_that_is_not_public_refuses_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (n, 80)) for n in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(DownloadError, match=r"10\.0\.0\.1"):
        fetch("http://two.example/a")


def test_a_redirect_is_judged_like_an_address(port: int) -> None:
    here = f"http://127.0.0.1:{port}"
    assert fetch(f"{here}/to?{here}/a", port) == b"content"
    for target in ("ftp://example.org/a", "file:///etc/hostname", "http://10.0.0.1/a"):
        with pytest.raises(DownloadError):
            fetch(f"{here}/to?{target}", port)
    with serving() as other, pytest.raises(DownloadError, match=r"leads to 127\.0\.0\.1"):
        fetch(f"{here}/to?http://localhost:{other}/a", port)


def test_redirects_come_to_an_end(port: int) -> None:
    assert fetch(f"http://127.0.0.1:{port}/more/{MAX_REDIRECTS}", port) == b"content"
    with pytest.raises(DownloadError, match="302"):
        fetch(f"http://127.0.0.1:{port}/more/{MAX_REDIRECTS + 1}", port)


def test_a_proxy_of_the_environment_is_used_and_the_address_still_judged(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert fetch("http://example.org/a") == b"content"  # the proxy's answer
    with pytest.raises(DownloadError, match="not on the public internet"):
        fetch("http://10.0.0.1/a")
