"""Model files: what a card must say, and what is refused before anything is predicted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from builders import tiny_model, tiny_outputs
from openaffect.cli import main
from openaffect.errors import FormatError, InputError, NewerSchema, UnknownName
from openaffect.faces.crops import CropRule
from openaffect.labels import EMOTIONS, LABEL_SETS
from openaffect.model import CARD_KEY, Card, Golden, open_model


def with_card(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same file with another card."""
    model = onnx.load(str(path))
    card = json.loads({p.key: p.value for p in model.metadata_props}[CARD_KEY])
    change(card)
    helper.set_model_props(model, {CARD_KEY: json.dumps(card)})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "m.onnx")


def test_a_model_says_what_it_should(file: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    outputs = open_model(file).predict(crops)
    expected = [tiny_outputs(crop) for crop in crops]
    assert outputs.probabilities is not None
    assert outputs.affect is not None
    # float32 arithmetic on numbers of size 1
    np.testing.assert_allclose(outputs.probabilities, [p for p, _ in expected], atol=2e-6)
    np.testing.assert_allclose(outputs.affect, [a for _, a in expected], atol=2e-6)


def test_the_card_comes_back_whole(tmp_path: Path) -> None:
    golden = Golden("happy", 3, {"affect": [0.5, -0.5]})
    path = tiny_model(
        tmp_path / "m.onnx",
        labels=LABEL_SETS["7"],
        size=(48, 32),
        crop=CropRule(margin=0.3),
        golden=golden,
    )
    model = open_model(path, threads=1)
    card = model.card
    assert card.labels == LABEL_SETS["7"]
    assert card.size == (48, 32)
    assert card.crop == CropRule(margin=0.3)
    assert card.golden == golden
    assert Card.from_json(card.to_json(), "here") == card
    assert repr(model) == f"Model('tiny', {str(path)!r})"
    assert model.predict(np.zeros((1, 32, 48, 3), np.uint8)).affect is not None


@pytest.mark.parametrize(("labels", "affect"), [((), True), (EMOTIONS, False)])
def test_a_model_may_have_one_output_alone(tmp_path: Path, labels: Any, affect: bool) -> None:
    path = tiny_model(tmp_path / "m.onnx", labels=labels, affect=affect)
    outputs = open_model(path).predict(np.zeros((2, 32, 32, 3), np.uint8))
    assert (outputs.probabilities is None) == (not labels)
    assert (outputs.affect is None) == (not affect)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((1, 16, 32, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
    ],
)
def test_crops_of_another_shape_or_type_are_refused(file: Path, crops: Any) -> None:
    model = open_model(file)
    with pytest.raises(InputError, match=r"uint8 of shape \(n, 32, 32, 3\).*but got"):
        model.predict(crops)


def test_a_run_folder_is_its_model(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="--resume"):
        open_model(tmp_path)
    tiny_model(tmp_path / "model.onnx")
    assert open_model(tmp_path).path == tmp_path / "model.onnx"


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"there is no .*nothing\.onnx"):
        open_model(tmp_path / "nothing.onnx")
    for content in (b"", b"not a model at all", bytes(range(256))):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(FormatError, match=r"m\.onnx"):
            open_model(tmp_path / "m.onnx")


def test_a_truncated_model_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(FormatError, match=r"m\.onnx"):
        open_model(file)


def test_a_model_without_a_card_is_refused(file: Path) -> None:
    model = onnx.load(str(file))
    del model.metadata_props[:]
    onnx.save(model, str(file))
    with pytest.raises(FormatError, match="has no card"):
        open_model(file)


def _set(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.update(values)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (_set(schema=99), NewerSchema, "schema 99"),
        (_set(size=[64, 64]), FormatError, r"expects an input 'image' of \(n, 3, 64, 64\)"),
        (_set(labels=["happy", "sad"]), FormatError, r"an output 'expression' of \(n, 2\)"),
        (_set(labels=["hapy", "sad"]), UnknownName, "did you mean 'happy'"),
        (_set(labels=[], affect=False), FormatError, "neither labels nor affect"),
        (_set(resize="bicubic"), FormatError, "known: area-linear"),
        (_set(crop={"margin": 0.1, "zoom": 2}), FormatError, "the crop rule in"),
        (_set(crop={"border": "mirror"}), UnknownName, "replicate"),
        (lambda card: card.pop("name"), FormatError, "`name`"),
        (lambda card: card.pop("schema"), FormatError, "`schema`"),
        (_set(schema=[1]), FormatError, "schema"),
        (_set(schema=0), FormatError, "schema"),
        (_set(size=3), FormatError, "size"),
        (_set(size=[32]), FormatError, "size"),
        (_set(size="ab"), FormatError, "size"),
        (_set(size=[0, 32]), FormatError, "size"),
        (_set(size=[32, 4097]), FormatError, "size"),
        (_set(labels=None), FormatError, "array"),
        (_set(labels=[1]), FormatError, "str"),
        (_set(labels=["happy", "joy"]), FormatError, "once"),
        (_set(crop=[]), FormatError, "crop"),
        (_set(golden={}), FormatError, "golden"),
        (_set(golden=7), FormatError, "golden"),
        (
            _set(golden={"expression": "elephant", "seed": 1, "outputs": {}}),
            UnknownName,
            "elephant",
        ),
        (
            _set(golden={"expression": "sad", "seed": -1, "outputs": {}}),
            FormatError,
            "seed",
        ),
        (_set(temperature="warm"), FormatError, "temperature"),
        (_set(temperature=float("nan")), FormatError, "JSON"),
        (_set(trained_on=[]), FormatError, "trained_on"),
        (_set(notes={"a": 1}), FormatError, "notes"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    file: Path, change: Callable[[dict[str, Any]], None], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        open_model(with_card(file, change))


def test_a_card_may_say_more_than_is_known(file: Path) -> None:
    assert open_model(with_card(file, _set(mood="sunny"))).card.name == "tiny"


def test_an_affect_output_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx", affect=False)
    with pytest.raises(FormatError, match=r"an output 'affect' of \(n, 2\)"):
        open_model(with_card(path, _set(affect=True)))


def test_a_card_that_is_no_json_is_refused(file: Path) -> None:
    model = onnx.load(str(file))
    helper.set_model_props(model, {CARD_KEY: "{"})
    onnx.save(model, str(file))
    with pytest.raises(FormatError, match="not JSON"):
        open_model(file)


def test_a_graph_with_another_input_is_refused(tmp_path: Path) -> None:
    names = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in ("x", "affect")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["affect"])], "g", names[:1], names[1:]
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    helper.set_model_props(model, {CARD_KEY: Card(name="x", affect=True).to_json()})
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(FormatError, match="expects an input 'image'"):
        open_model(tmp_path / "m.onnx")


def graph_of(
    path: Path,
    shape: list[Any] | None,
    *,
    extra_input: bool = False,
    batch: str | int = "n",
    kind: int = TensorProto.FLOAT,
) -> Path:
    """A model whose card promises `affect`, and whose graph gives zeros of another shape."""
    card = Card("odd", affect=True, size=(8, 8), labels=())
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    nodes = [
        helper.make_node("Constant", [], ["zeros"], value=helper.make_tensor(
            "z", TensorProto.FLOAT, [3, 2], [0.0] * 6)),
        helper.make_node("Cast", ["zeros"], ["affect"], to=kind),
        helper.make_node("Identity", ["image"], ["unused"]),
    ]  # fmt: skip
    output = helper.make_tensor_value_info("affect", kind, shape)
    unused = helper.make_tensor_value_info("unused", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output, unused])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, str(path))
    return path


def test_an_output_of_another_shape_than_the_card_says_is_refused(tmp_path: Path) -> None:
    shapes: list[list[Any]] = [[], [2], ["n", 3], [1, 1, 2]]
    for number, shape in enumerate(shapes):
        path = graph_of(tmp_path / f"{number}.onnx", shape)
        with pytest.raises(FormatError):
            open_model(path).predict(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(FormatError, match="input"):
        open_model(graph_of(tmp_path / "two.onnx", ["n", 2], extra_input=True))
    model = open_model(graph_of(tmp_path / "three.onnx", ["n", 2]))  # it gives three rows always
    crops = np.zeros((3, 8, 8, 3), np.uint8)
    assert model.predict(crops).affect is not None
    with pytest.raises(FormatError, match=r"\(2, 2\)"):
        model.predict(crops[:2])


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.STRING, TensorProto.INT64])
def test_outputs_of_another_type_are_refused_at_once(tmp_path: Path, kind: int) -> None:
    with pytest.raises(FormatError, match=r"tensor\(float\).*'affect': 'tensor\("):
        open_model(graph_of(tmp_path / "m.onnx", ["n", 2], kind=kind))


def test_a_graph_of_several_faces_at_once_is_refused(tmp_path: Path) -> None:
    assert open_model(graph_of(tmp_path / "one.onnx", ["n", 2], batch=1))
    with pytest.raises(FormatError, match="takes 5 faces at once"):
        open_model(graph_of(tmp_path / "five.onnx", ["n", 2], batch=5))


@pytest.mark.parametrize("temperature", [0, -1.5])
def test_a_temperature_is_above_0(file: Path, temperature: float) -> None:
    with pytest.raises(FormatError, match="temperature above 0"):
        open_model(with_card(file, _set(temperature=temperature)))


def test_a_model_is_one_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(str(file))
    options: dict[str, Any] = {
        "save_as_external_data": True,
        "location": "w.bin",
        "size_threshold": 0,
    }
    (tmp_path / "e").mkdir()
    onnx.save(model, str(tmp_path / "e" / "m.onnx"), **options)
    assert (tmp_path / "e" / "w.bin").exists()
    monkeypatch.chdir(tmp_path / "e")
    for name in ("m.onnx", str(tmp_path / "e" / "m.onnx")):
        with pytest.raises(FormatError, match="another file"):
            open_model(name)
    onnx.save(onnx.load("m.onnx"), "m.onnx")  # what the message says
    assert open_model("m.onnx").card.name == "tiny"


def test_a_model_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "noise.onnx").write_bytes(bytes(range(256)) * 8)
    for name in ("pipe.onnx", "empty.onnx", "noise.onnx", "gone.onnx"):
        with pytest.raises(FormatError):
            open_model(tmp_path / name)


def test_the_device_is_chosen(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_model(file, device="cpu").device == "cpu"
    with pytest.raises(UnknownName, match="cuda"):
        open_model(file, device="cude")
    providers = ["CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    assert open_model(file).device == "cpu"
    with pytest.raises(InputError, match="pip install onnxruntime-gpu"):
        open_model(file, device="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_cuda_that_does_not_start_is_an_error_and_auto_takes_the_cpu(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here onnxruntime is said to have CUDA, as on a machine without a driver."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine may have CUDA")
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("openaffect.model_files.onnxruntime.get_available_providers", lambda: both)
    with pytest.raises(InputError, match="CUDA"):
        open_model(file, device="cuda")
    assert open_model(file).device == "cpu"


@pytest.mark.parametrize("command", ["analyze", "predict", "serve"])
def test_every_command_that_runs_a_model_takes_a_device(
    command: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["x.png"] if command == "analyze" else []
    if command == "predict":
        assert main(["synthesize", "2", str(tmp_path / "d"), "--size", "64"]) == 0
        place = [str(file), str(tmp_path / "d"), "-o", str(tmp_path / "p.parquet")]
    model = [] if command == "predict" else ["--model", str(file)]
    assert main([command, *place, *model, "--device", "cude"]) == 1
    assert "auto, cpu, cuda" in capsys.readouterr().err
