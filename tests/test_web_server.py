"""A real server on a port of this computer: many clients, overload, clients that leave, the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from builders import tiny_model
from openaffect.cli import main
from openaffect.web import Limits, make_app
from openaffect.web.analysis import preprocessing, service, uploads
from openaffect.web.connections import make_protocol
from web_builders import COLOR, running, solid, wait_until

PICTURE = solid()
CROPS = "/v1/analyze?crops=true"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def ask(port: int, body: bytes = PICTURE, path: str = CROPS, connection=None):
    """Status, headers and JSON of one request."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    own.request("POST", path, body, {"Content-Type": "image/png"})
    answer = own.getresponse()
    status, headers, data = answer.status, answer.headers, json.loads(answer.read())
    if connection is None:
        own.close()
    return status, headers, data


def metrics(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {k: float(v) for k, v in (one.rsplit(" ", 1) for one in lines if one[0] != "#")}


def raw_request(port: int, body: bytes, length: int | None = None) -> socket.socket:
    """A connection on which a request has been sent, and no answer read."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"POST {CROPS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    connection.sendall(f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body)
    return connection


def is_closed(connection: socket.socket, seconds: float = 10) -> bool:
    """Whether the server closes a connection within some time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(10_000):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_request_head_that_never_ends_is_closed(model):
    options = {"http": make_protocol(10, 0.5), "timeout_keep_alive": 1}
    with running(make_app(model, detector="haar"), **options) as port:
        silent = socket.create_connection(("127.0.0.1", port), 5)
        dripping = socket.create_connection(("127.0.0.1", port), 5)
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        again = socket.create_connection(("127.0.0.1", port), 5)
        again.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
        again.settimeout(5)
        assert again.recv(10_000).startswith(b"HTTP/1.1 200")
        assert all(is_closed(one, 5) for one in (silent, dripping, again))
        for one in (silent, dripping, again):
            one.close()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(3):  # one that is used again in time
            assert ask(port, connection=connection)[0] == 200
        connection.close()


def test_work_that_takes_longer_than_a_head_may_is_finished(model):
    app = make_app(model, detector="haar", limits=Limits(batch_wait_ms=1500))
    with running(app, http=make_protocol(10, 0.5)) as port:
        assert ask(port)[0] == 200


def test_one_connection_more_closes_the_one_that_has_waited_longest(model):
    app = make_app(model, detector="haar", limits=Limits(batch_wait_ms=1000, max_files=2, batch=8))
    with running(app, http=make_protocol(3, 30)) as port, ThreadPoolExecutor(1) as pool:
        at_work = pool.submit(ask, port)
        wait_until(lambda: app.state.service.queue.in_use == 1)
        first, second, third = (socket.create_connection(("127.0.0.1", port), 5) for _ in range(3))
        assert is_closed(first)
        assert not is_closed(second, 0.1)
        assert not is_closed(third, 0.1)
        assert at_work.result()[0] == 200
        for one in (first, second, third):
            one.close()


def test_a_slow_body_is_given_up_and_takes_no_place(model, monkeypatch):
    monkeypatch.setattr(uploads, "_WINDOW_S", 0.3)
    app = make_app(model, detector="haar", limits=Limits(max_files=1, queue=1, upload_rate=1000))
    with running(app) as port:
        slow = [raw_request(port, PICTURE[:2], len(PICTURE)) for _ in range(5)]
        assert ask(port)[0] == 200  # the only place is free
        for one in slow:
            one.settimeout(10)
            assert one.recv(10_000).startswith(b"HTTP/1.1 408")
            one.close()
        assert app.state.service.held.count == 0


def test_bodies_have_a_budget_between_them(model):
    limits = Limits(max_bytes=1000, held_bytes=1500)
    app = make_app(model, detector="haar", limits=limits)
    with running(app) as port:
        waiting = raw_request(port, bytes(900), 1000)
        wait_until(lambda: app.state.service.held.count == 900)
        status, headers, body = ask(port, bytes(700))
        assert (status, body["limit"], headers["Retry-After"]) == (503, 1500, "1")
        assert ask(port, PICTURE[:600])[0] == 200
        waiting.close()
        wait_until(lambda: app.state.service.held.count == 0)


def test_a_small_picture_does_not_wait_for_large_ones(model, monkeypatch):
    """The large ones block their thread until the small one has its answer."""
    done = threading.Event()
    detect_and_crop = preprocessing.detect_and_crop

    def wait_and_detect(upload, *rest):
        if upload.name == "large.png":
            assert done.wait(20)
        return detect_and_crop(upload, *rest)

    monkeypatch.setattr(service, "detect_and_crop", wait_and_detect)
    monkeypatch.setattr(preprocessing, "_HUGE", 40 * 40)
    large = solid(size=(41, 40))
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="large.png"\r\n\r\n'
    body = b"".join(part + large + b"\r\n" for _ in range(6)) + b"--b--\r\n"
    app = make_app(model, detector="haar", limits=Limits(workers=1))
    with running(app) as port, ThreadPoolExecutor(2) as pool:
        head = {"Content-Type": "multipart/form-data; boundary=b"}
        first = pool.submit(ask_form, port, body, head)
        wait_until(lambda: app.state.service.queue.in_use == 6)
        assert ask(port)[0] == 200
        done.set()
        status, images = first.result()
        assert status == 200
        assert [image["width"] for image in images] == [41] * 6


def ask_form(port: int, body: bytes, headers: dict[str, str]):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", CROPS, body, headers)
    answer = connection.getresponse()
    images = json.loads(answer.read())["images"]
    connection.close()
    return answer.status, images


@pytest.mark.parametrize(
    "request_",
    [
        *(b"\0\xff" * 50 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n"),
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /%00%ff%2e%2e/static/%2e%2e/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
        b"HEAD /healthz HTTP/1.0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_odd_requests_have_an_answer_or_are_closed_and_no_traceback(model, request_, caplog):
    app = make_app(model, detector="haar")
    with running(app, http=make_protocol(10, 0.5), ws="none") as port:
        connection = socket.create_connection(("127.0.0.1", port), 5)
        connection.sendall(request_)
        connection.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1000)[:9] in (b"", b"HTTP/1.1 ")
        connection.close()
        assert ask(port)[0] == 200
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.slow
def test_many_clients_lose_nothing_and_share_batches(model):
    app = make_app(model, detector="haar", limits=Limits(batch_wait_ms=5))

    def client(number: int) -> list[tuple[int, float]]:
        answers = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for _ in range(10):
            status, _, body = ask(port, connection=connection)
            answers.append((status, body["images"][0]["rows"][0]["valence"]))
        connection.close()
        return answers

    with running(app) as port, ThreadPoolExecutor(32) as pool:
        answers = [one for part in pool.map(client, range(32)) for one in part]
        seen = metrics(port)
    valence: Any = pytest.approx(2 * COLOR[0] / 255 - 1, abs=1e-6)
    assert len(answers) == 320
    assert answers == [(200, valence)] * 320
    assert seen["openaffect_batch_crops_total"] == 320
    assert seen["openaffect_batches_total"] < 240  # several crops a batch
    assert seen["openaffect_queue_pictures"] == 0


@pytest.mark.slow
def test_a_full_queue_answers_503_and_says_when_to_come_back(model):
    """Crops wait a second for company here, so two requests fill the queue for that long."""
    app = make_app(model, detector="haar", limits=Limits(max_files=2, queue=2, batch_wait_ms=1000))
    with running(app) as port, ThreadPoolExecutor(2) as pool:
        inside = [pool.submit(ask, port) for _ in range(2)]
        wait_until(lambda: metrics(port)["openaffect_queue_pictures"] == 2)
        # A large body is taken in before the answer, or the client might never read it.
        status, headers, body = ask(port, bytes(5_000_000))
        assert (status, body["error"], body["limit"]) == (503, "busy", 2)
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert [one.result()[0] for one in inside] == [200, 200]
        assert ask(port)[0] == 200
        assert metrics(port)['openaffect_requests_total{route="/v1/analyze",status="503"}'] == 1


def test_a_client_that_leaves_is_dropped_at_once(model):
    app = make_app(model, detector="haar", limits=Limits(batch_wait_ms=20_000, batch=2))
    with running(app) as port:
        raw_request(port, PICTURE).close()
        wait_until(
            lambda: (
                metrics(port).get('openaffect_requests_total{route="/v1/analyze",status="499"}')
                == 1
            )
        )
        assert metrics(port)["openaffect_queue_pictures"] == 0
        with ThreadPoolExecutor(2) as pool:  # two crops are a batch: nobody waits
            assert [s for s, *_ in pool.map(ask, [port] * 2)] == [200, 200]
        assert metrics(port)["openaffect_batch_crops_total"] == 2


def test_a_client_that_leaves_while_it_sends(model):
    with running(make_app(model, detector="haar")) as port:
        raw_request(port, PICTURE[:20], len(PICTURE)).close()
        wait_until(
            lambda: (
                metrics(port).get('openaffect_requests_total{route="/v1/analyze",status="499"}')
                == 1
            )
        )
        assert metrics(port)["openaffect_queue_pictures"] == 0


@pytest.mark.slow
def test_a_body_that_does_not_arrive(model):
    app = make_app(model, detector="haar", limits=Limits(upload_s=1))
    with running(app) as port:
        with raw_request(port, PICTURE[:20], len(PICTURE)) as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 408")
        wait_until(lambda: metrics(port)["openaffect_queue_pictures"] == 0)


def test_too_much_is_said_to_a_client_that_is_still_sending(model):
    app = make_app(model, detector="haar", limits=Limits(max_bytes=1_000_000))
    with running(app) as port:
        status, _, body = ask(port, bytes(1_900_000))
        assert (status, body["error"], body["limit"]) == (413, "too_many_bytes", 1_000_000)


@pytest.fixture
def served(model):
    """`openaffect serve` as a process; gives a function that starts it."""
    started = []

    def start(*options: str, **environment: str) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-m", "openaffect", "serve", "--model", str(model)]
        process = subprocess.Popen(
            [*command, "--detector", "haar", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        return process, int(line.split()[2].rpartition(":")[2])

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_end_finishes_what_is_in_work(served, sign):
    process, port = served("--batch-wait", "1500")
    with ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(ask, port) for _ in range(3)]
        wait_until(lambda: metrics(port)["openaffect_queue_pictures"] == 3)
        process.send_signal(sign)
        assert [one.result()[0] for one in inside] == [200] * 3
    out, err = process.communicate(timeout=20)
    assert process.returncode in (0, -signal.SIGTERM)
    assert (out, err) == ("", "")
    with pytest.raises(ConnectionRefusedError):
        ask(port)


@pytest.mark.slow
def test_the_token_of_the_command_line_is_never_printed(served, tmp_path):
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    for options, environment, token in (
        ((), {"OPENAFFECT_TOKEN": "from-outside"}, "from-outside"),
        (("--token-file", str(file)), {}, "from-a-file"),
    ):
        process, port = served(*options, **environment)
        assert ask(port)[0] == 401
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {token}"})
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "from-" not in out + err


def test_wrong_usage(model, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAFFECT_TOKEN", raising=False)

    def said(*options: str) -> str:
        assert main(["serve", "--model", str(model), "--detector", "haar", *options]) == 1
        return capsys.readouterr().err

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot listen at 127.0.0.1" in said("--port", str(taken.getsockname()[1]))
    assert "cannot listen at no.such.host.invalid" in said("--host", "no.such.host.invalid")
    assert "expected a queue" in said("--queue", "5")
    assert "No such file" in said("--token-file", str(tmp_path / "none"))
    (tmp_path / "empty").write_text("\n")
    assert "expected a token" in said("--token-file", str(tmp_path / "empty"))
    monkeypatch.setenv("OPENAFFECT_TOKEN", "two words")
    assert "$OPENAFFECT_TOKEN" in said()


def test_an_open_door_is_warned_of(model, capsys, monkeypatch):
    """The port is taken, so the command ends after its warning."""
    monkeypatch.delenv("OPENAFFECT_TOKEN", raising=False)
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = ["serve", "--model", str(model), "--detector", "haar", "--port", port]
        assert main([*command, "--host", "0.0.0.0"]) == 1
        assert "everybody who can reach 0.0.0.0" in capsys.readouterr().err
        monkeypatch.setenv("OPENAFFECT_TOKEN", "word")
        assert main([*command, "--host", "0.0.0.0"]) == 1
        assert main([*command, "--host", "127.0.0.1"]) == 1
        assert "warning" not in capsys.readouterr().err


@pytest.mark.slow
def test_the_extra_is_named_when_it_is_missing(model):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'fastapi', 'starlette', 'uvicorn', 'python_multipart'}}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Missing())
from openaffect.cli import main
assert main(['serve', '--model', r'{model}']) == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '[web]"' in done.stderr
