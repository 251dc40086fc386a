"""The routes: answers, limits, problems, the token. No port is opened here."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import tiny_model, tiny_outputs
from openaffect.analysis import analysis_schema, analyze
from openaffect.errors import FormatError, InputError, MissingWeights, UnknownName
from openaffect.images import encode_image
from openaffect.labels import COLORS, EMOTIONS, Expression
from openaffect.synthetic import synthesize_face
from openaffect.web import Limits, make_app
from web_builders import (
    COLOR,
    animated_gif,
    png_16_bit,
    png_of_30000,
    rotated,
    solid,
    with_alpha,
)

ANALYZE = "/v1/analyze"
CROPS = "/v1/analyze?crops=true"
LIMITS = Limits(
    max_bytes=300_000, max_pixels=1_000_000, max_files=20, max_faces=5, queue=20, batch_wait_ms=0
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def client(model):
    with TestClient(make_app(model, detector="haar", limits=LIMITS)) as client:
        yield client


@pytest.fixture(scope="module")
def face() -> bytes:
    return encode_image(synthesize_face("happy", seed=3, size=256).image, ".png")


def send(client, *files: bytes | tuple[str, bytes], path: str = ANALYZE):
    named = [f if isinstance(f, tuple) else (f"{n}.bin", f) for n, f in enumerate(files)]
    return client.post(path, files=[("images", f) for f in named])


def problem(answer) -> tuple[int, str]:
    body = answer.json()
    assert set(body) <= {"error", "message", "limit"}
    assert body["message"]
    return answer.status_code, body["error"]


def test_the_rows_are_those_of_an_analysis_table(client, model, face, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(face)
    [expected] = analyze(path, model, detector="haar").rows()
    answer = send(client, ("face.png", face)).json()
    [picture] = answer["images"]
    [row] = picture["rows"]
    assert set(row) == {f.name for f in analysis_schema(EMOTIONS)} - {
        *("frame", "time_s", "track_id", "landmarks")
    }
    assert (row["status"], row["source"], row["face_index"]) == ("ok", "face.png", 0)
    assert row["expression"] == expected["expression"]
    numbers = ["score", "confidence", "valence", "arousal", *(f"p_{e}" for e in EMOTIONS)]
    # Each number is the shortest text of a float32; a table gives that float32 back.
    assert [np.float32(row[k]) for k in numbers] == [np.float32(expected[k]) for k in numbers]
    assert np.float32(row["box"]).tolist() == expected["box"]
    assert (picture["width"], picture["height"], picture["faces_found"]) == (256, 256, 1)
    assert answer["model"]["name"] == "tiny"
    assert answer["model"]["labels"] == list(EMOTIONS)
    assert answer["model"]["affect_origins"] == []


def test_pictures_are_answered_in_their_order_and_a_bad_one_is_a_row(client, face):
    answer = send(
        client,
        ("a.png", face),
        ("empty.jpg", b""),
        ("note.txt", b"hello, this is no picture"),
        ("gray.png", solid()),
        ("cut.jpg", solid("JPEG")[:200]),
        ("b.png", face),
    )
    assert answer.status_code == 200
    pictures = answer.json()["images"]
    assert [p["source"] for p in pictures] == [
        *("a.png", "empty.jpg", "note.txt", "gray.png", "cut.jpg", "b.png")
    ]
    statuses = [[row["status"] for row in p["rows"]] for p in pictures]
    assert statuses == [["ok"], ["error"], ["error"], ["no_face_found"], ["error"], ["ok"]]
    assert "0 bytes" in pictures[1]["rows"][0]["error"]
    assert pictures[3]["rows"][0]["detector"] == "haar"
    assert pictures[0]["rows"][0]["p_happy"] == pictures[5]["rows"][0]["p_happy"]


KINDS = {
    "png": (solid(), 0),
    "bmp": (solid("BMP"), 0),
    "tiff": (solid("TIFF"), 0),
    "webp": (solid("WEBP", lossless=True), 0),
    "one pixel": (solid(size=(1, 1)), 0),
    "a line": (solid(size=(300, 1)), 0),
    "16 bits": (png_16_bit(), 0),
    "animated gif": (animated_gif(), 0),
    "jpeg": (solid("JPEG", quality=100, subsampling=0), 2),
    "cmyk": (solid("JPEG", "CMYK", quality=100, subsampling=0), 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_gives_its_color(client, kind):
    """The tiny model's valence and arousal are the means of red and green."""
    data, slack = KINDS[kind]
    [picture] = send(client, data, path=CROPS).json()["images"]
    [row] = picture["rows"]
    assert (row["status"], row["box"], row["detector"]) == ("ok", None, None)
    means = [127.5 * (row[name] + 1) for name in ("valence", "arousal")]
    assert means == pytest.approx(COLOR[:2], abs=slack + 1e-3)
    shares, _ = tiny_outputs(np.full((32, 32, 3), COLOR))
    assert row["expression"] == EMOTIONS[int(np.argmax(shares))]


def test_transparency_is_laid_over_white(client):
    [row] = send(client, with_alpha(), path=CROPS).json()["images"][0]["rows"]
    over = [(128 * c + 127 * 255) / 255 for c in COLOR[:2]]
    assert [127.5 * (row[k] + 1) for k in ("valence", "arousal")] == pytest.approx(over, abs=1)


def test_a_picture_stands_upright(client):
    [picture] = send(client, rotated((60, 30)), path=CROPS).json()["images"]
    assert (picture["width"], picture["height"]) == (30, 60)


def test_a_huge_picture_is_refused_before_it_is_decoded(client):
    data = png_of_30000()
    assert len(data) < LIMITS.max_bytes
    [row] = send(client, data).json()["images"][0]["rows"]
    assert row["status"] == "error"
    assert "30000 × 30000 pixels; the limit is 1,000,000" in row["error"]


def test_one_picture_may_be_the_whole_body(client, face):
    answer = client.post(ANALYZE, content=face, headers={"Content-Type": "image/png"})
    [picture] = answer.json()["images"]
    assert picture["source"] == "image[0]"
    assert picture["rows"][0]["status"] == "ok"
    assert picture["rows"][0]["box"] is not None
    empty = client.post(ANALYZE, content=b"", headers={"Content-Type": "image/png"})
    assert empty.json()["images"][0]["rows"][0]["status"] == "error"


def test_wishes(client, face):
    sure = send(client, solid(), path=f"{CROPS}&min_confidence=1").json()["images"][0]["rows"][0]
    assert sure["expression"] is None
    assert sure["confidence"] > 0.1
    [picture] = send(client, face, path=f"{ANALYZE}?min_score=1").json()["images"]
    assert picture["rows"][0]["status"] == "no_face_found"


@pytest.mark.slow
def test_more_than_two_hundred_faces(model, test_weights):
    face = synthesize_face("happy", seed=5, size=128).image
    crowd = encode_image(np.tile(face, (14, 15, 1)), ".jpg")
    limits = Limits(max_faces=250, max_pixels=10_000_000)
    with TestClient(make_app(model, detector="yunet", limits=limits)) as client:
        [picture] = send(client, crowd).json()["images"]
        assert picture["faces_found"] == 14 * 15
        rows = picture["rows"]
        assert [row["face_index"] for row in rows] == list(range(picture["faces_found"]))
        areas = [row["box"][2] * row["box"][3] for row in rows]
        assert areas == sorted(areas, reverse=True)
        [few] = send(client, crowd, path=f"{ANALYZE}?max_faces=7").json()["images"]
        assert few["rows"] == rows[:7]
        assert few["faces_found"] == picture["faces_found"]


def test_models_of_one_output(tmp_path):
    path = tiny_model(tmp_path / "a.onnx", labels=(), affect=True)
    with TestClient(make_app(path, detector="haar")) as client:
        [row] = send(client, solid(), path=CROPS).json()["images"][0]["rows"]
    assert not any(key.startswith("p_") for key in row)
    assert (row["expression"], row["confidence"]) == (None, None)
    assert row["valence"] == pytest.approx(2 * COLOR[0] / 255 - 1, abs=1e-6)
    two = (Expression.SAD, Expression.HAPPY)
    path = tiny_model(tmp_path / "b.onnx", labels=two, affect=False)
    with TestClient(make_app(path, detector="haar")) as client:
        body = send(client, solid(), path=CROPS).json()
    [row] = body["images"][0]["rows"]
    assert body["model"]["labels"] == ["happy", "sad"]
    assert row["p_happy"] + row["p_sad"] == pytest.approx(1, abs=1e-6)
    assert row["valence"] is None


def test_outputs_that_are_not_finite_are_an_error_row(tmp_path):
    path = tiny_model(tmp_path / "a.onnx", nan_for_black=True)
    black = encode_image(np.zeros((20, 20, 3), np.uint8), ".png")
    with TestClient(make_app(path, detector="haar")) as client:
        pictures = send(client, solid(), black, path=CROPS).json()["images"]
    assert [p["rows"][0]["status"] for p in pictures] == ["ok", "error"]
    assert "not finite" in pictures[1]["rows"][0]["error"]
    assert pictures[1]["rows"][0]["p_happy"] is None


def test_too_many_bytes(client):
    said = send(client, bytes(LIMITS.max_bytes + 1))
    assert problem(said) == (413, "too_many_bytes")
    assert said.json()["limit"] == LIMITS.max_bytes
    # A body of unknown length is cut off at the limit.
    pieces = (bytes(10_000) for _ in range(40))
    said = client.post(ANALYZE, content=pieces, headers={"Content-Type": "image/png"})
    assert problem(said) == (413, "too_many_bytes")


@pytest.mark.slow
def test_ten_thousand_files(model):
    with TestClient(make_app(model, detector="haar")) as client:
        said = send(client, *[b"x"] * 10_000)
    assert problem(said) == (413, "too_many_files")
    assert said.json()["limit"] == Limits().max_files


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain", b"hello", (415, "wrong_type")),
        ("application/json", b"{}", (415, "wrong_type")),
        ("", b"x", (415, "wrong_type")),
        ("multipart/form-data", b"x", (400, "bad_request")),
        ("multipart/form-data; boundary=b", b"no form at all", (400, "bad_request")),
        ("multipart/form-data; boundary=b", b"--b--\r\n", (422, "unprocessable")),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\ntext\r\n--b--\r\n',
            (422, "unprocessable"),
        ),
    ],
)
def test_wrong_bodies(client, content_type, body, expected):
    said = client.post(ANALYZE, content=body, headers={"Content-Type": content_type})
    assert problem(said) == expected


def test_a_misspelled_field_is_named(client):
    said = client.post(ANALYZE, files=[("image", ("a.png", solid()))])
    assert problem(said) == (422, "unprocessable")
    assert "'image'" in said.json()["message"]


@pytest.mark.parametrize(
    "query",
    ["crops=maybe", "max_faces=0", "max_faces=6", "min_score=2", "min_confidence=nan"],
)
def test_wrong_parameters(client, query):
    said = send(client, solid(), path=f"{ANALYZE}?{query}")
    assert problem(said) == (422, "unprocessable")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM"]),
    rest=st.binary(max_size=80),
)
def test_any_bytes_are_answered(client, head, rest):
    answer = send(client, head + rest)
    assert answer.status_code == 200
    [picture] = answer.json()["images"]
    assert picture["rows"][0]["status"] in ("error", "no_face_found")


def test_names_from_outside_are_made_harmless(client):
    long = "x" * 1000 + ".png"
    names = [
        p["source"]
        for p in send(client, ("a\x1b[31m\u202eb.png", solid()), (long, solid())).json()["images"]
    ]
    assert all(name.isprintable() and len(name) <= 255 for name in names)


def test_every_place_in_the_queue_is_given_back(client):
    for files in ([solid()] * 3, [b""], [b"x"] * 21):
        send(client, *files, path=CROPS)
    client.post(ANALYZE, content=b"x", headers={"Content-Type": "text/plain"})
    assert client.app.state.service.queue.in_use == 0
    assert send(client, *[solid()] * 20, path=CROPS).status_code == 200


def test_the_token(model, caplog):
    caplog.set_level(logging.DEBUG)
    with TestClient(make_app(model, detector="haar", token="s3cret-word")) as client:
        for path in ("/v1/models", "/v1/models/model.onnx", "/metrics"):
            said = client.get(path)
            assert problem(said) == (401, "unauthorized")
            assert said.headers["WWW-Authenticate"] == "Bearer"
        assert problem(send(client, solid())) == (401, "unauthorized")
        for wrong in ("Bearer wrong", "Bearer s3cret-wor", "Bearer ünsinn", "Basic s3cret-word"):
            headers = {b"Authorization": wrong.encode("latin-1")}
            assert client.get("/v1/models", headers=headers).status_code == 401
        for path in ("/", "/healthz", "/static/page.js"):
            assert client.get(path).status_code == 200
        client.headers["Authorization"] = "Bearer s3cret-word"
        assert send(client, solid()).status_code == 200
        assert "s3cret" not in client.get("/metrics").text
        assert "s3cret" not in client.get("/openapi.json").text
    assert "s3cret" not in caplog.text


def test_the_page_has_the_colors_of_all_other_pages(model):
    with TestClient(make_app(model, detector="haar")) as client:
        page = client.get("/").text
        css = client.get("/static/colors.css")
        assert client.head("/static/colors.css").status_code == 200
        assert css.headers["content-type"].startswith("text/css")
        linked = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page)
        assert linked == ["/static/colors.css", "/static/page.css"]
        light, dark = css.text.split("prefers-color-scheme: dark")
        for name, (on_light, on_dark) in COLORS.items():
            assert f"--{name}: {on_light};" in light
            assert f"--{name}: {on_dark};" in dark


def test_foreign_host_names_are_refused(model):
    """A page of another site that lets its own name point here gets no answer."""
    hosts = ("localhost", "127.0.0.1", "[::1]")
    with TestClient(make_app(model, detector="haar", hosts=hosts)) as client:
        for good in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
            assert client.get("/healthz", headers={"Host": good}).status_code == 200
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400


def test_the_card_and_the_files(client, model):
    listed = client.get("/v1/models").json()
    [entry] = listed["models"]
    assert entry["card"]["labels"] == list(EMOTIONS)
    assert entry["card"]["crop"]["margin"] == 0.15
    assert str(model.parent) not in json.dumps(listed)
    assert client.get(entry["file"]).content == model.read_bytes()
    assert listed["detector"] == "haar"
    assert listed["circumplex"]["happy"][0] > 0.5


def test_yunet_for_the_browser(model, tmp_path, monkeypatch, test_weights):
    with TestClient(make_app(model, detector="haar")) as client:
        path = client.get("/v1/models").json()["browser_detector"]
        assert client.get(path).content == (test_weights / "yunet_n_320_320.onnx").read_bytes()
        monkeypatch.setenv("OPENAFFECT_WEIGHTS", str(tmp_path))
        assert client.get("/v1/models").json()["browser_detector"] is None
        assert problem(client.get(path)) == (404, "not_found")


def test_health_and_pages(client):
    assert client.get("/healthz").json()["status"] == "ok"
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert problem(client.get("/v1/nothing")) == (404, "not_found")
    assert problem(client.get(ANALYZE)) == (405, "wrong_method")
    for path in ("/static/../app.py", "/static/%2e%2e/app.py"):
        assert client.get(path).status_code == 404


def test_the_open_api_is_complete(client):
    described = client.get("/openapi.json").json()
    paths = described["paths"]
    assert set(paths) == {
        *(ANALYZE, "/v1/models", "/v1/models/model.onnx", "/v1/models/yunet.onnx"),
        *("/metrics", "/healthz"),
    }
    post = paths[ANALYZE]["post"]
    assert set(post["responses"]) == {
        *("200", "400", "401", "403", "408", "413", "415", "422", "503"),
    }
    assert {p["name"] for p in post["parameters"]} == {
        *("crops", "max_faces", "min_score", "min_confidence")
    }
    assert "multipart/form-data" in post["requestBody"]["content"]
    schemas = described["components"]["schemas"]
    assert {f"p_{e}" for e in EMOTIONS} <= set(schemas["Row"]["properties"])
    undescribed = [
        f"{name}.{key}"
        for name in ("Row", "ProblemAnswer")
        for key, value in schemas[name]["properties"].items()
        if not value.get("description")
    ]
    assert undescribed == []


def test_the_metrics(model):
    with TestClient(make_app(model, detector="haar")) as client:
        send(client, solid(), solid(), b"", path=CROPS)
        send(client, solid())
        client.get("/made/up")
        client.get("/static/page.js")
        lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    values = {name: float(value) for name, value in pairs}
    assert values['openaffect_requests_total{route="/v1/analyze",status="200"}'] == 2
    assert values['openaffect_requests_total{route="other",status="404"}'] == 1
    assert values['openaffect_requests_total{route="/static",status="200"}'] == 1
    assert values['openaffect_pictures_total{status="ok"}'] == 2
    assert values['openaffect_pictures_total{status="error"}'] == 1
    assert values['openaffect_pictures_total{status="no_face_found"}'] == 1
    assert values["openaffect_faces_total"] == values["openaffect_batch_crops_total"] == 2
    assert values["openaffect_queue_pictures"] == 0
    assert values['openaffect_analyze_seconds_bucket{le="+Inf"}'] == 2
    assert values["openaffect_analyze_seconds_sum"] > 0


def test_what_is_wrong_shows_at_the_start(model, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAFFECT_WEIGHTS", str(tmp_path))
    with pytest.raises(UnknownName, match="did you mean 'haar'"):
        make_app(model, detector="har")
    with pytest.raises(MissingWeights):
        make_app(model, detector="yunet")
    with pytest.raises(FormatError):
        make_app(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="queue"):
        Limits(max_files=10, queue=5)
    with pytest.raises(InputError, match="pixels of 1 or more"):
        Limits(max_pixels=0)


# Who asks, and for what.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "https://localhost"}, 200),  # a proxy in front of it speaks TLS
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
    ],
)
def test_pages_of_other_origins_are_refused(client, headers, status):
    headers = {"Host": "localhost", **headers}
    assert client.get("/v1/models", headers=headers).status_code == status
    found = client.post(ANALYZE, content=solid(), headers={"Content-Type": "image/png", **headers})
    assert found.status_code == status
    if status == 403:
        assert found.json()["error"] == "forbidden"
    assert client.get("/", headers=headers).status_code == 200  # a link leads there


def test_an_origin_may_be_allowed(model):
    lab = {"Origin": "https://lab.example", "Sec-Fetch-Site": "cross-site"}
    other = {**lab, "Origin": "https://other.example"}
    with TestClient(make_app(model, detector="haar", origins=("https://Lab.example/",))) as client:
        found = client.get("/v1/models", headers=lab)
        assert found.status_code == 200
        assert found.headers["access-control-allow-origin"] == "https://lab.example"
        assert client.get("/v1/models", headers=other).status_code == 403
        asks = {"Access-Control-Request-Method": "POST"}
        assert client.options(ANALYZE, headers={**lab, **asks}).status_code == 200
        assert client.options(ANALYZE, headers={**other, **asks}).status_code in (400, 403)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("?max_face=3", ("max_face", "max_faces")),
        ("?crops=true&crops=false", ("crops", "2 times")),
        ("?%00=1", ("parameter",)),
        ("?x" * 3000, ("parameter",)),
    ],
)
def test_a_parameter_that_is_unknown_or_given_twice_is_refused(client, path, words):
    found = client.post(ANALYZE + path, content=solid(), headers={"Content-Type": "image/png"})
    assert found.status_code == 422
    assert all(word in found.json()["message"] for word in words)
    assert len(found.json()["message"]) < 400


def test_other_routes_take_no_parameter(client):
    assert client.get("/v1/models?crops=true").status_code == 422
    assert client.get("/metrics?name=x").status_code == 422
    assert client.get("/metrics").status_code == 200


def test_an_unknown_field_of_a_form_is_refused(client):
    files = {"images": ("a.png", solid()), "image": ("b.png", solid())}
    found = client.post(ANALYZE, files=files)
    assert found.status_code == 422
    assert "'images'" in found.json()["message"]
