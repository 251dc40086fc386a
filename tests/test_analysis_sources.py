"""Where pictures come from: addresses on a real local server, cameras, lists, odd photos."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from builders import tiny_model
from film_builders import wandering, write_film
from openaffect.addresses import hide_password
from openaffect.analysis import Camera, analyze, analyze_to_file, iterate_rows, pictures
from openaffect.errors import InputError
from openaffect.images import encode_image
from openaffect.model import open_model
from openaffect.synthetic import synthesize_face


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def face():
    return synthesize_face("happy", seed=2, size=112).image


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, picture, *args):
        self.picture = picture
        super().__init__(*args)

    def do_GET(self):
        redirects = {"/file": "file:///etc/hostname", "/ftp": "ftp://127.0.0.1/a", "/to": "/a.png"}
        path = self.path.partition("?")[0]
        if path in redirects:
            self.send_response(302)
            self.send_header("Location", redirects[path])
            self.end_headers()
            return
        if path == "/none":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        if path == "/slow":
            time.sleep(0.5)
        elif path == "/large":
            self.wfile.write(bytes(300_000))
        else:
            self.wfile.write(b"<html>" if path == "/page" else self.picture)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(face):
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, encode_image(face)))
    thread = threading.Thread(target=partial(web.serve_forever, poll_interval=0.02))
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    thread.join()
    web.server_close()


def look(source, model, **choices):
    return analyze(source, model, detector="haar", **choices).table.to_pylist()


def allowed(server):
    """What lets this test, and nobody else, read from the server."""
    host, _, port = server.removeprefix("http://").partition(":")
    return [(host, int(port))]


def test_a_photo_at_an_address_is_a_photo(server, face, model):
    rows = look([face, f"{server}/a.png?size=1", f"{server}/to"], model, allow=allowed(server))
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert rows[1]["source"] == f"{server}/a.png?size=1"
    assert rows[1]["box"] == rows[2]["box"] == rows[0]["box"]
    assert rows[1]["valence"] == rows[0]["valence"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/none", "the address answered 404 Not Found"),
        ("/page", "its first bytes are b'<html>'"),
        ("/large", "gave more than 100,000 bytes"),
        ("/slow", "took more than|timed out"),
        ("/file", "answered 302 Found - Redirection to url 'file:///etc/hostname' is not allowed"),
        ("/ftp", "expected an http or https address, but got ftp://"),
        ("/film.mp4", "download it first"),
    ],
)
def test_what_an_address_does_wrong_is_a_row(path, reason, server, model, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_DOWNLOAD", 100_000)
    monkeypatch.setattr(pictures, "MAX_SECONDS", 0.3)
    row = look(server + path, model, allow=allowed(server))[0]
    assert row["status"] == "error"
    assert any(text in row["error"] for text in reason.split("|"))


@pytest.mark.parametrize("address", ["ftp://a/b.jpg", "file:///etc/hostname", "x://y"])
def test_only_the_web_is_read(address, model):
    row = look(address, model)[0]
    assert row["status"] == "error"
    assert "expected an http or https address" in row["error"]


def test_a_password_is_in_no_row(model):
    row = look("http://me:secret@127.0.0.1:9/a.jpg", model)[0]
    assert row["source"] == "http://127.0.0.1:9/a.jpg"
    assert "secret" not in str(row)
    assert hide_password("rtsp://u:p@host/stream@2") == "rtsp://host/stream@2"


def test_a_list_mixes_paths_and_addresses(server, face, model, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_image(face))
    (tmp_path / "list.txt").write_text(f"a.png\n{server}/b.png\n\ngone.png\n")
    rows = look(tmp_path / "list.txt", model, allow=allowed(server))
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert rows[1]["source"] == f"{server}/b.png"


def test_no_camera_is_one_clear_error(model, capfd):
    with pytest.raises(InputError, match="expected a camera at camera 63, but it cannot be opened"):
        next(iterate_rows(Camera(63), model, detector="haar"))
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """What stands for a camera: OpenCV reads a file as it reads a stream."""
    path = tmp_path_factory.mktemp("stream") / "s.avi"
    return Camera(str(write_film(path, wandering(8), codec="mpeg4")))


def test_a_camera_gives_a_row_for_every_frame_at_once(stream, model):
    rows = iterate_rows(stream, model, detector="haar")
    first = next(rows)
    assert (first["frame"], first["time_s"], first["track_id"]) == (0, 0.0, 0)
    rest = list(rows)
    assert [row["frame"] for row in rest] == list(range(1, 9))
    assert [row["status"] for row in rest] == ["ok"] * 7 + ["error"]
    assert rest[-1]["error"] == "the camera gives no more frames"
    times = [row["time_s"] for row in rest]
    assert times == sorted(times)


def test_ctrl_c_is_the_end_of_a_camera_and_its_rows_are_kept(stream, model, tmp_path):
    def stop(event):
        if event.done == 4:
            raise KeyboardInterrupt

    out = tmp_path / "out.jsonl"
    analysis = analyze_to_file(stream, model, out, detector="haar", on_progress=stop)
    assert len(analysis) in (3, 4)
    assert len(out.read_text().splitlines()) == len(analysis)
    with pytest.raises(InputError, match="cannot be resumed"):
        analyze_to_file(stream, model, out, resume=True, overwrite=True)


def _bomb(path):
    """A PNG whose header promises 30,000 × 30,000 pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_odd_photos(face, model, tmp_path):
    picture = Image.fromarray(face)
    _bomb(tmp_path / "bomb.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=97)
    deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    rows = {row["source"].rsplit("/", 1)[-1]: row for row in look(tmp_path, model)}
    assert rows["bomb.png"]["status"] == "error"
    assert "30000 × 30000 pixels" in rows["bomb.png"]["error"]
    assert rows["one.png"]["status"] == "no_face_found"
    plain = look(face, model)[0]
    for name in ("cmyk.jpg", "deep.png"):
        assert rows[name]["status"] == "ok"
        assert rows[name]["box"] == pytest.approx(plain["box"], abs=6)
    assert rows["cmyk.jpg"]["valence"] == pytest.approx(plain["valence"], abs=0.1)


def test_a_crowd_is_a_row_each(face, model):
    small = np.asarray(Image.fromarray(face).resize((64, 64), Image.Resampling.LANCZOS))
    crowd = np.tile(small, (5, 5, 1))
    rows = look(crowd, model, batch_size=4)
    assert [row["face_index"] for row in rows] == list(range(len(rows)))
    assert 10 < len(rows) <= 25
    assert max(abs(row["valence"] - rows[0]["valence"]) for row in rows) < 0.3
