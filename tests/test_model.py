"""Model files: what a card must say, and what is refused before anything is predicted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from builders import tiny_model, tiny_outputs
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
        (lambda card: card.pop("name"), FormatError, "a card with a 'name'"),
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
    with pytest.raises(FormatError, match="no JSON"):
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
