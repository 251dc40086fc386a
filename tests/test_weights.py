"""Weights: found, missing, damaged, and fetched from a real server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openaffect import weights
from openaffect.errors import MissingWeights, UnknownName
from openaffect.weights import (
    WEIGHTS,
    download_weights,
    find_weights,
    known_weights,
    require_weights,
    weights_folder,
)

CONTENT = b"the weights of a small net" * 1000


class Server(ThreadingHTTPServer):
    """Serves one file at /good, another at /other, half of it at /cut, and counts requests."""

    requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        assert isinstance(self.server, Server)
        self.server.requests += 1
        body = {"/good": CONTENT, "/cut": CONTENT, "/other": b"<html>moved</html>"}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "not" / "there"))
    return tmp_path / "not" / "there"


@pytest.fixture
def address(monkeypatch, server):
    """Lets a name stand for a file on the server."""

    def use(path):
        entry = dataclasses.replace(
            WEIGHTS["yunet"],
            url=f"http://127.0.0.1:{server.server_port}/{path}",
            sha256=hashlib.sha256(CONTENT).hexdigest(),
        )
        monkeypatch.setitem(WEIGHTS, "yunet", entry)
        return entry

    return use


def fetch(server):
    """The download that a user asks for, from a server that only this test may reach."""
    return download_weights("yunet", allow={("127.0.0.1", server.server_port)})


def test_a_download_is_checked_kept_and_not_fetched_again(server, folder, address):
    entry = address("good")
    path = fetch(server)
    assert path == folder / entry.file
    assert path.read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == [entry.file]
    assert fetch(server) == require_weights("yunet") == find_weights("yunet") == path
    assert server.requests == 1


def test_a_damaged_file_is_not_used_but_fetched_again(server, folder, address):
    entry = address("good")
    folder.mkdir(parents=True)
    (folder / entry.file).write_bytes(CONTENT[:-1])
    assert find_weights("yunet") is None
    with pytest.raises(MissingWeights, match="another SHA-256 than it should"):
        require_weights("yunet")
    assert fetch(server).read_bytes() == CONTENT
    assert server.requests == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("other", "expected .*; nothing was written"),
        ("cut", "could not fetch"),
        ("none", "could not fetch .*Not Found"),
    ],
)
def test_a_wrong_answer_writes_nothing(server, folder, address, path, message):
    address(path)
    with pytest.raises(MissingWeights, match=message) as caught:
        fetch(server)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_a_server_that_is_gone_is_one_line(folder, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}/good"
    entry = dataclasses.replace(WEIGHTS["yunet"], url=url)
    monkeypatch.setitem(WEIGHTS, "yunet", entry)
    with pytest.raises(MissingWeights, match=r"could not fetch .*refused") as caught:
        download_weights("yunet", allow={("127.0.0.1", port)})
    assert entry.url in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_what_is_missing_names_the_command_that_fetches_it(folder):
    assert find_weights("yunet") is None
    with pytest.raises(MissingWeights, match=r"is missing; .*`openaffect weights yunet`"):
        require_weights("yunet")


@pytest.mark.parametrize("act", [known_weights, find_weights, require_weights, download_weights])
def test_an_unknown_name_gets_the_nearest(act):
    with pytest.raises(UnknownName, match="did you mean 'yunet'"):
        act("yunett")


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_entry_is_pinned(name):
    entry = known_weights(name)
    assert entry.url.startswith("https://")
    assert len(bytes.fromhex(entry.sha256)) == 32
    assert entry.file == entry.url.rsplit("/", 1)[1]
    assert entry.license
    assert entry.purpose


@pytest.mark.parametrize(
    ("platform", "variable", "end"),
    [
        ("linux", "XDG_CACHE_HOME", ("openaffect", "weights")),
        ("win32", "LOCALAPPDATA", ("openaffect", "weights")),
    ],
)
def test_the_folder_is_in_the_users_cache(monkeypatch, tmp_path, platform, variable, end):
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert weights_folder() == tmp_path.joinpath(*end)


@pytest.mark.real
def test_the_real_file_is_whole(test_weights):
    assert require_weights("yunet").parent == test_weights
