"""The command behind nginx, with TLS and a path prefix."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.project import create_project

pytestmark = pytest.mark.slow
PASSWORD = "correct horse battery"

_CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location /faces/ {{
      proxy_pass http://127.0.0.1:{behind}{strip};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def nginx(folder: Path, port: int, behind: int, *, strip: bool) -> Iterator[None]:
    """A proxy with TLS for `/faces/`; with `strip` it takes the prefix away."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("nginx is not installed: `apt-get install nginx-light openssl` brings it")
    folder.mkdir()
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    files += ["-subj", "/CN=localhost"]
    subprocess.run([*make, *files], check=True, capture_output=True)
    config = folder / "nginx.conf"
    text = _CONFIG.format(folder=folder, port=port, behind=behind, strip="/" if strip else "")
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(user + text)
    process = subprocess.Popen(["nginx", "-c", config], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens at {port}")


@contextlib.contextmanager
def annotating(project: Path, *options: str) -> Iterator[list[str]]:
    """The command in a process of its own; what it has printed until it took requests."""
    command = [sys.executable, "-m", "openaffect", "annotate", str(project), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            if "annotating at" in line:
                break
        if "--owner" in options:
            lines.append(process.stdout.readline().rstrip())
        yield lines
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture
def filled(tmp_path: Path, drawn: Dataset) -> Path:
    with create_project(tmp_path / "faces") as project:
        add_dataset(project, drawn)
        return project.path


def client(port: int, **more: Any) -> httpx.Client:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return httpx.Client(base_url=f"https://localhost:{port}", verify=context, **more)


@pytest.mark.parametrize("strip", [True, False], ids=["prefix taken away", "prefix left"])
def test_behind_nginx_with_tls_and_a_prefix(tmp_path: Path, filled: Path, *, strip: bool) -> None:
    port, behind = free_port(), free_port()
    origin = f"https://localhost:{port}"
    options = ["--port", str(behind), "--owner", "Ada", "--origin", origin]
    options += ["--root-path", "/faces", "--proxy", "127.0.0.1"]
    with annotating(filled, *options) as lines, nginx(tmp_path / "n", port, behind, strip=strip):
        assert any(f"annotating at {origin}/faces/" in line for line in lines)
        link = next(word for word in lines[-1].split() if "#link=" in word)
        assert link.startswith(f"{origin}/faces/#link=")
        token = link.partition("#link=")[2]
        with client(port) as browser:
            page = browser.get("/faces/")
            assert page.status_code == 200
            assert "text/html" in page.headers["content-type"]
            assert browser.get("/faces/static/api.js").status_code == 200
            own = {"origin": origin, "sec-fetch-site": "same-origin"}
            used = browser.post(
                "/faces/v1/link/use", json={"token": token, "password": PASSWORD}, headers=own
            )
            assert used.status_code == 200, used.text
            cookie = used.headers["set-cookie"].lower()
            assert "secure" in cookie
            assert "path=/faces" in cookie
            me = browser.get("/faces/v1/me", headers=own).json()
            assert (me["name"], me["role"]) == ("Ada", "owner")
            version = {"version": me["instructions"]["version"]}
            assert browser.post("/faces/v1/me/instructions", json=version, headers=own).is_success
            faces = browser.post("/faces/v1/faces/next", json={}, headers=own).json()["faces"]
            assert len(faces) == 5
            assert browser.get(f"/faces/{faces[0]['face_url']}").status_code == 200
            foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
            assert browser.get("/faces/v1/me", headers=foreign).status_code == 403
        # A proxy is believed what address it names: delays are of that address.
        with httpx.Client(base_url=f"http://127.0.0.1:{behind}") as direct:
            wrong = {"name": "Ada", "password": "a wrong password"}
            found = [
                direct.post("/v1/session", json=wrong, headers={"x-forwarded-for": address})
                for address in ("10.0.0.1",) * 6 + ("10.0.0.2",)
            ]
            assert [one.status_code for one in found] == [401] * 5 + [429, 401]
            strange = direct.get("/v1/me", headers={"host": "evil.example"})
            assert strange.status_code == 400


def test_forwarded_headers_of_others_are_not_believed(filled: Path) -> None:
    port = free_port()
    with (
        annotating(filled, "--port", str(port), "--owner", "Ada"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as direct,
    ):
        wrong = {"name": "Ada", "password": "a wrong password"}
        found = [
            direct.post("/v1/session", json=wrong, headers={"x-forwarded-for": f"10.0.0.{n}"})
            for n in range(6)
        ]
        assert [one.status_code for one in found] == [401] * 5 + [429]


def test_without_accounts_nobody_comes_through_a_proxy(tmp_path: Path, filled: Path) -> None:
    port, behind = free_port(), free_port()
    with (
        annotating(filled, "--port", str(behind)),
        nginx(tmp_path / "n", port, behind, strip=True),
        client(port) as browser,
        httpx.Client(base_url=f"http://127.0.0.1:{behind}") as direct,
    ):
        assert direct.get("/v1/me").status_code == 200
        answer = browser.get("/faces/v1/me")
        assert answer.status_code == 403
        assert "without accounts" in answer.json()["message"]
        assert direct.get("/v1/me", headers={"host": "faces.example"}).status_code == 400
