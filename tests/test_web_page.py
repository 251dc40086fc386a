"""The page: its arithmetic against Python's, and the whole of it in headless Chromium."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from builders import tiny_model
from narrowing import known
from openaffect.faces import Box, CropRule, crop, crop_window, find_faces
from openaffect.images import encode_image
from openaffect.model import open_model
from openaffect.synthetic import synthesize_face
from openaffect.web import Limits, make_app
from openaffect.web.browser import API_PAGE, RUNTIME, STATIC, is_installed
from web_builders import running

SIDE = 320


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    """The page's modules where Node takes them for such."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: it runs the page's arithmetic")
    folder = tmp_path_factory.mktemp("scripts")
    for path in STATIC.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def run_node(folder: Path, code: str, data: object):
    """What a piece of JavaScript says of some data, both as JSON."""
    (folder / "main.js").write_text(
        'import { readFileSync } from "node:fs";\n'
        'import * as crops from "./crops.js";\nimport * as yunet from "./yunet.js";\n'
        'const data = JSON.parse(readFileSync("data.json"));\n'
        'const unpack = (text) => new Uint8ClampedArray(Buffer.from(text, "base64"));\n'
        'const floats = (text) => { const b = Buffer.from(text, "base64");'
        " return new Float32Array(b.buffer, b.byteOffset, b.length / 4); };\n"
        f"const answer = (() => {{ {code} }})();\n"
        "process.stdout.write(JSON.stringify(answer));\n"
    )
    (folder / "data.json").write_text(json.dumps(data))
    done = subprocess.run(
        ["node", "main.js"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def rgba(image: np.ndarray) -> dict[str, object]:
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    data = packed(np.concatenate([image, alpha], axis=2))
    return {"data": data, "width": image.shape[1], "height": image.shape[0]}


def test_crop_windows_are_those_of_python(scripts):
    rng = np.random.default_rng(0)
    boxes = [
        [float(v) for v in (*rng.uniform(-90, 700, 2), *rng.uniform(0.5, 400, 2))]
        for _ in range(300)
    ]
    # Halves, which Python rounds to the even neighbor.
    boxes += [
        [x / 2, y / 2, w / 2, h / 2]
        for x in (-3, 0, 1)
        for y in (5, 6)
        for w in (1, 3, 5, 9)
        for h in (2, 5, 7)
    ]
    margins, squares = (0.0, 0.15, 0.25, -0.1), (True, False)
    rules = [CropRule(margin=m, square=s) for m in margins for s in squares]
    cases = [{"box": box, "rule": rule.to_dict()} for box in boxes for rule in rules]
    found = run_node(
        scripts, "return data.map((one) => crops.cropWindow(one.box, one.rule));", cases
    )
    expected = [crop_window(Box(*box), rule) for box in boxes for rule in rules]
    assert len(found) == len(boxes) * len(rules) > 2000
    assert [tuple(w.values()) for w in found] == [(w.x, w.y, w.w, w.h) for w in expected]


@pytest.mark.parametrize("border", ["replicate", "black"])
@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((60, 50, 90, 80), 48),  # averaged
        ((60, 50, 20, 24), 48),  # grows
        ((-40, -30, 120, 150), 64),  # leaves the picture
        ((150, 120, 200, 200), 48),
        ((300, 300, 40, 40), 32),  # wholly outside
        ((0, 0, 96, 96), 64),
        ((20, 20, 36.9, 30), 48),  # the size it has: nothing is changed
    ],
)
def test_crops_are_those_of_python(scripts, box, size, border):
    image = synthesize_face("surprise", seed=2, size=200).image
    rule = CropRule(border=border)
    data = {"image": rgba(image), "box": box, "rule": rule.to_dict(), "size": size}
    found = run_node(
        scripts,
        "const image = { ...data.image, data: unpack(data.image.data) };"
        "const window = crops.cropWindow(data.box, data.rule);"
        "return [...crops.resizeWindow(image, window, data.size, data.size, data.rule.border)];",
        data,
    )
    expected = crop(image, Box(*box), rule, (size, size))
    # OpenCV calculates with 11 bits of fraction where it enlarges: it may round otherwise.
    assert np.abs(np.reshape(found, expected.shape) - expected.astype(int)).max() <= 1


def test_yunet_is_read_as_opencv_reads_it(scripts, test_weights):
    """The same picture and the same net: the boxes must agree to a fraction of a pixel."""
    onnxruntime = pytest.importorskip("onnxruntime")
    faces = [
        synthesize_face(e, seed=n, size=170).image
        for n, e in enumerate(["happy", "sad", "fear", "anger", "neutral", "disgust"])
    ]
    image = np.vstack([np.hstack(faces[:3]), np.hstack(faces[3:])])  # 510 × 340
    path = str(test_weights / "yunet_n_320_320.onnx")
    prepared = run_node(
        scripts,
        "const image = { ...data, data: unpack(data.data) }; const input = yunet.toInput(image);"
        'return { ...input, values: Buffer.from(input.values.buffer).toString("base64") };',
        rgba(image),
    )
    values = np.frombuffer(base64.b64decode(prepared["values"]), np.float32)
    planes = values.reshape(1, 3, SIDE, SIDE)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = {
        n: packed(v) for n, v in zip(names, session.run(None, {"input": planes}), strict=True)
    }
    data = {"outputs": outputs, "input": {k: prepared[k] for k in ("scaleX", "scaleY")}}
    data["image"] = {"width": image.shape[1], "height": image.shape[0]}
    found = run_node(
        scripts,
        "const outputs = Object.fromEntries(Object.entries(data.outputs).map(([k, v]) => [k, floats(v)]));"
        "return yunet.toFaces(outputs, data.input, data.image);",
        data,
    )
    bgr = np.ascontiguousarray(planes[0].transpose(1, 2, 0).astype(np.uint8))
    rows = cv2.FaceDetectorYN.create(path, "", (SIDE, SIDE), 0.6, 0.3, 5000).detect(bgr)[1]
    assert len(rows) == len(found) == 6
    scale = np.array([prepared["scaleX"], prepared["scaleY"]] * 2)
    expected = sorted([*(row[:4] * scale), row[-1]] for row in rows)
    mine = sorted([*face["box"], face["score"]] for face in found)
    np.testing.assert_allclose(mine, expected, atol=0.1)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """What the camera sees: one face, RGB 640 × 480."""
    picture = np.full((480, 640, 3), 110, np.uint8)
    picture[100:356, 200:456] = synthesize_face("happy", seed=5, size=256).image
    return picture


@pytest.fixture(scope="module")
def chromium(launch_chromium, tmp_path_factory, scene):
    """Chromium with a camera that shows `scene` and asks nobody."""
    film = tmp_path_factory.mktemp("camera") / "scene.y4m"
    frame = cv2.cvtColor(scene, cv2.COLOR_RGB2YUV_I420).tobytes()
    film.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420\n" + (b"FRAME\n" + frame) * 5)
    browser = launch_chromium(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )
    yield browser
    browser.close()


@pytest.fixture
def page(chromium):
    """A page whose errors and requests are kept in `page.errors` and `page.asked`."""
    context = chromium.new_context(color_scheme="dark")
    page = context.new_page()
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: page.asked.append((request.method, request.url)))
    yield page
    context.close()


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_says_that_the_default_models_affect_was_derived(page):
    with running(make_app(open_model(), detector="haar")) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#model", has_text="nobody rated them").wait_for()


@pytest.mark.browser
@pytest.mark.slow
def test_pictures_are_shown_with_what_the_server_says(page, model, scene, tmp_path):
    good, bad = tmp_path / "scene.png", tmp_path / "<b>note.txt"
    good.write_bytes(encode_image(scene, ".png"))
    bad.write_text("no picture")
    with running(make_app(model, detector="haar")) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#model", has_text="Model tiny").wait_for()
        page.set_input_files("#files", [good, bad])
        page.locator("#picture-status", has_text="Done with 2 pictures").wait_for()
        results = page.locator(".result")
        assert results.count() == 2
        assert "one face" in results.nth(0).text_content()
        assert results.nth(0).locator(".dot").count() == 1
        assert results.nth(0).locator("canvas").get_attribute("aria-label") == "scene.png: one face"
        assert results.nth(1).locator("h3").text_content() == "<b>note.txt"
        assert "expected a JPEG" in results.nth(1).locator(".problem").text_content()
        # Keys alone reach what a mouse reaches.
        page.locator("body").click(position={"x": 2, "y": 2})
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "files"
        page.wait_for_timeout(100)
    assert page.errors == []
    assert {url.split("/")[2] for _, url in page.asked} == {f"127.0.0.1:{port}"}


@pytest.mark.browser
@pytest.mark.slow
# A trained model answers to a box that lies a little otherwise; the tiny one to color alone.
@pytest.mark.parametrize(("name", "slack"), [("tiny", 0.03), ("default", 0.1)])
def test_the_camera_sees_what_python_sees(page, model, scene, test_weights, name, slack):
    if not is_installed(RUNTIME):
        pytest.skip("onnxruntime-web is not here; `make web` fetches it")
    chosen = model if name == "tiny" else name
    with running(make_app(chosen, detector="yunet")) as port:
        page.goto(f"http://localhost:{port}/")
        page.locator("#camera-button:enabled").click()
        page.locator("#overlay[data-faces='1']").wait_for(timeout=60_000)
        before = len(page.asked)
        page.wait_for_timeout(1000)
        said = page.locator("#camera-status").text_content()
        dot = page.locator("#camera-plot .dot")
        valence = float(dot.get_attribute("cx")) / 100
        arousal = -float(dot.get_attribute("cy")) / 100
        assert page.evaluate("crossOriginIsolated")  # so that several threads may work
        page.locator("#camera-button").click()
        page.locator("#camera-status", has_text="The camera is off").wait_for()
        assert page.locator("#stage").is_hidden()
    assert page.errors == []
    # While the camera runs nothing is asked or sent; before it only files are fetched.
    assert page.asked[before:] == []
    assert {method for method, _ in page.asked} == {"GET"}
    # The film passes through another color space, and the detector looks once, not twice.
    [face] = find_faces(scene, "yunet")
    opened = open_model(chosen)
    outputs = opened.predict([crop(scene, face.box, opened.card.crop, opened.card.size)])
    assert [valence, arousal] == pytest.approx(known(outputs.affect)[0].tolist(), abs=slack)
    best = opened.card.labels[int(known(outputs.probabilities)[0].argmax())]
    assert said.startswith(best)


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_says_what_is_missing(page, model, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAFFECT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("openaffect.web.analysis.service.is_installed", lambda _: False)
    with running(make_app(model)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#camera-status", has_text="Camera mode is not installed").wait_for()
        monkeypatch.setattr("openaffect.web.analysis.service.is_installed", lambda _: True)
        page.reload()
        page.locator("#camera-status", has_text="Haar cascades cannot").wait_for()
        assert page.locator("#camera-button").is_disabled()
    assert "HTTPS or from localhost" in page.locator("main").text_content()


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_asks_for_the_token_and_waits_when_the_server_is_busy(
    page, model, scene, tmp_path
):
    files = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode_image(scene, ".png"))
        files.append(path)
    limits = Limits(max_files=1, queue=1, batch_wait_ms=100)  # the page sends three at once
    with running(make_app(model, detector="haar", token="word", limits=limits)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#token").wait_for()
        assert page.locator("#zone").is_hidden()
        page.fill("#token-text", "wrong")
        page.click("#token button")
        page.locator("#model", has_text="asks for a token").wait_for()
        page.fill("#token-text", "word")
        page.click("#token button")
        page.locator("#model", has_text="Model tiny").wait_for()
        page.set_input_files("#files", files)
        page.locator("#picture-status", has_text="Done with 3 pictures").wait_for()
        assert page.locator(".result .dot").count() == 3
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


@pytest.mark.browser
@pytest.mark.slow
def test_the_interface_is_described_without_another_server(page, model):
    if not is_installed(API_PAGE):
        pytest.skip("Swagger UI is not here; `make web` fetches it")
    with running(make_app(model, detector="haar")) as port:
        page.goto(f"http://127.0.0.1:{port}/docs")
        page.locator(".opblock-summary-path").first.wait_for()
        page.wait_for_timeout(300)
    assert page.errors == []
    assert {url.split("/")[2] for _, url in page.asked if url.startswith("http")} == {
        f"127.0.0.1:{port}"
    }
