"""Outside models: whatever a graph wants, the adopted file says what its makers' code would say."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from narrowing import known
from openaffect.cli import main
from openaffect.errors import DestinationExists, FormatError, InputError
from openaffect.external_models import IOSpec, inspect_graph, wrap_model
from openaffect.faces.crops import CropRule
from openaffect.golden import TOLERANCE, compare_golden
from openaffect.labels import Expression
from openaffect.model import open_model

SIZE = (20, 16)
LABELS = (Expression.SAD, Expression.HAPPY, Expression.NEUTRAL)
RULE = CropRule(margin=0.1)
CROPS = np.random.default_rng(0).integers(0, 256, (4, 16, 20, 3), dtype=np.uint8)


def make_graph(
    path, *, channels=3, layout="nchw", columns=5, softmax=False, batch="b", opset=18, kind=None
):
    """A linear map of all pixels; returns (path, weights) so that tests can do it by hand."""
    width, height = SIZE
    shape = [channels, height, width] if layout == "nchw" else [height, width, channels]
    count = channels * width * height
    weights = np.random.default_rng(1).normal(0, 0.05, (count, columns)).astype(np.float32)
    kind = kind or TensorProto.FLOAT
    rows = 1 if batch == 1 else -1
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "expression"], ["out" if not softmax else "sum"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["sum"], ["out"], axis=1))
    # Names that are openaffect's own, on purpose.
    constants = {"shape": np.array([rows, count]), "expression": weights}
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("image", kind, [batch, *shape])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, columns])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), str(path))
    return path, weights


def wiring(**changes) -> IOSpec:
    values: dict[str, Any] = {
        "size": SIZE,
        "channels": "rgb",
        "scale": 255.0,
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.25, 0.3),
        "expression": "out[0:3]",
        "scores": "logits",
        "affect": "out[3:5]",
    }
    return IOSpec(**(values | changes))


def adopt(source, target, changes=None, **settings):
    values: dict[str, Any] = {"name": "theirs", "labels": LABELS, "crop": RULE, "license": "MIT"}
    return wrap_model(source, target, wiring(**(changes or {})), **(values | settings))


def by_hand(
    weights,
    *,
    channels="rgb",
    layout="nchw",
    scale=255.0,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
):
    """What their own code would do: OpenCV for colors, then their formula."""
    pictures = CROPS.astype(np.float64)
    if channels == "bgr":
        pictures = pictures[..., ::-1]
    if channels == "gray":
        pictures = np.stack([cv2.cvtColor(c, cv2.COLOR_RGB2GRAY) for c in CROPS])[..., None]
    pictures = (pictures / scale - mean) / std
    if layout == "nchw":
        pictures = pictures.transpose(0, 3, 1, 2)
    out = pictures.reshape(len(CROPS), -1) @ weights
    scores = np.exp(out[:, :3] - out[:, :3].max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True), np.clip(out[:, 3:], -1, 1)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", ["rgb", "bgr", "gray"])
def test_the_adopted_model_says_what_theirs_says(tmp_path, channels, layout):
    one = channels == "gray"
    norm = {"mean": (0.5,), "std": (0.25,)} if one else {}
    source, weights = make_graph(tmp_path / "t.onnx", channels=1 if one else 3, layout=layout)
    changes = {"channels": channels, "layout": layout} | norm
    model = adopt(source, tmp_path / "ours.onnx", changes)
    outputs = model.predict(CROPS)
    p, affect = by_hand(weights, channels=channels, layout=layout, **norm)
    # OpenCV rounds gray to whole numbers; else float32 arithmetic on sums of 960 numbers
    slack = 0.02 if one else 2e-5
    np.testing.assert_allclose(outputs.probabilities, p, atol=slack)
    np.testing.assert_allclose(outputs.affect, affect, atol=4 * slack)
    assert (np.abs(affect) == 1).any()  # so that the clipping was seen
    assert model.card.labels == LABELS
    assert model.card.crop == RULE
    assert model.card.size == SIZE
    assert model.card.licenses == {"weights": "MIT"}
    assert known(compare_golden(model)) < 1e-6


def test_a_graph_of_probabilities_alone_is_left_as_it_is(tmp_path):
    source, _ = make_graph(tmp_path / "t.onnx", columns=3, softmax=True)
    alone = {"expression": "out", "scores": "probabilities", "affect": None}
    model = adopt(source, tmp_path / "ours.onnx", alone)
    outputs = model.predict(CROPS)
    np.testing.assert_allclose(outputs.probabilities.sum(axis=1), 1, atol=1e-5)
    assert outputs.affect is None
    assert not model.card.affect


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.UINT8])
def test_the_input_gets_the_type_that_the_graph_wants(tmp_path, kind):
    source, weights = make_graph(tmp_path / "t.onnx", kind=kind)
    raw = {"scale": 1.0, "mean": (0.0,), "std": (1.0,)}
    model = adopt(source, tmp_path / "ours.onnx", raw)
    p, _ = by_hand(weights, scale=1.0, mean=(0,) * 3, std=(1,) * 3)
    np.testing.assert_allclose(model.predict(CROPS).probabilities, p, atol=1e-3)


def test_a_graph_of_one_picture_at_a_time_takes_several(tmp_path):
    source, weights = make_graph(tmp_path / "t.onnx", batch=1)
    model = adopt(source, tmp_path / "ours.onnx")
    p, _ = by_hand(weights)
    np.testing.assert_allclose(model.predict(CROPS).probabilities, p, atol=2e-5)


def test_an_old_graph_is_brought_to_the_opset_of_today(tmp_path):
    source, weights = make_graph(tmp_path / "t.onnx", opset=11)
    p, _ = by_hand(weights)
    found = adopt(source, tmp_path / "ours.onnx").predict(CROPS)
    np.testing.assert_allclose(found.probabilities, p, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": "hsv"}, "channels to be one of rgb, bgr, gray"),
        ({"mean": (0.1, 0.2)}, "mean to have 1 number or one for each of 3"),
        ({"std": (0.0,)}, "scale and std above 0"),
        ({"expression": None, "affect": None}, "an output for the expression"),
        ({"expression": "logits"}, r"no such 'logits': \{'out'"),
        ({"expression": "out[0:4]"}, r"3 columns in out\[0:4\], but it has 4 of 5"),
        ({"expression": "out[3:6]"}, r"3 columns in out\[3:6\], but it has 3 of 5"),
        ({"expression": "out"}, "name as many labels as columns"),
        ({"input": "x"}, "one of the graph's inputs, but got 'x'"),
        ({"scores": "probabilities"}, "are no probabilities .* say --scores logits"),
    ],
)
def test_what_does_not_fit_the_graph_is_told(tmp_path, changes, message):
    source, _ = make_graph(tmp_path / "t.onnx")
    with pytest.raises(InputError, match=message):
        adopt(source, tmp_path / "ours.onnx", changes)
    assert [path.name for path in tmp_path.iterdir()] == ["t.onnx"]


def test_a_size_that_the_graph_does_not_take_is_told_with_what_it_has(tmp_path):
    source, _ = make_graph(tmp_path / "t.onnx")
    with pytest.raises(FormatError, match=r"does not run like this.*'image': \['b', 3, 16, 20\]"):
        adopt(source, tmp_path / "ours.onnx", {"size": (24, 24)})


def test_files_that_are_no_graph_and_destinations_that_exist_are_refused(tmp_path):
    (tmp_path / "t.onnx").write_bytes(b"no graph")
    for path in (tmp_path / "t.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(FormatError, match="expected an ONNX model"):
            inspect_graph(path)
    source, _ = make_graph(tmp_path / "g.onnx")
    with pytest.raises(DestinationExists):
        adopt(source, tmp_path / "t.onnx")
    assert (tmp_path / "t.onnx").read_bytes() == b"no graph"


OPTIONS = [
    "--size",
    "20x16",
    "--channels",
    "rgb",
    "--scale",
    "255",
    "--mean",
    "0.4,0.5,0.6",
    "--std",
    "0.2,0.25,0.3",
    "--margin",
    "0.1",
    "--license",
    "MIT",
    "--labels",
    "sad,happy,neutral",
    "--expression",
    "out[0:3]",
    "--scores",
    "logits",
    "--affect",
    "out[3:5]",
    "--name",
    "theirs",
]


def test_the_command_adopts_shows_and_checks(tmp_path, capsys):
    source, weights = make_graph(tmp_path / "t.onnx")
    ours = tmp_path / "ours.onnx"
    assert main(["card", str(source), "-o", str(ours), *OPTIONS]) == 0
    p, _ = by_hand(weights)
    np.testing.assert_allclose(known(open_model(ours).predict(CROPS).probabilities), p, atol=2e-5)
    assert open_model(ours).card.labels == LABELS  # in the order of the columns, not of the ids
    capsys.readouterr()
    assert main(["card", str(ours)]) == 0
    out, err = capsys.readouterr()
    assert "sad, happy, neutral" in out
    assert "those stored in the card" in err


def test_the_command_names_everything_that_it_will_not_guess(tmp_path, capsys):
    source, _ = make_graph(tmp_path / "t.onnx")
    assert main(["card", str(source), "-o", str(tmp_path / "o.onnx"), "--expression", "out"]) == 1
    err = capsys.readouterr().err
    wanted = ("size", "channels", "scale", "mean", "std", "margin", "license", "labels", "scores")
    assert [name for name in wanted if f"--{name}" not in err] == []
    assert "'out': ['b', 5]" in err
    for option, text in (("--size", "big"), ("--mean", "a,b")):
        bad = [*OPTIONS]
        bad[bad.index(option) + 1] = text
        assert main(["card", str(source), "-o", str(tmp_path / "o.onnx"), *bad]) == 1
        assert f"expected {option} as" in capsys.readouterr().err


def test_probabilities_are_not_taken_for_logits(tmp_path):
    alone = {"expression": "out", "affect": None, "scores": "logits"}
    source, _ = make_graph(tmp_path / "t.onnx", columns=3, softmax=True)
    with pytest.raises(InputError, match="--scores probabilities"):
        adopt(source, tmp_path / "o.onnx", alone)
    assert not (tmp_path / "o.onnx").exists()
    for batch in ("b", 1):
        source, _ = make_graph(tmp_path / "l.onnx", columns=3, batch=batch)
        assert adopt(source, tmp_path / f"l{batch}.onnx", alone).card.labels == LABELS


def test_a_tampered_model_ends_with_one(tmp_path, capsys):
    source, _ = make_graph(tmp_path / "t.onnx")
    adopt(source, tmp_path / "o.onnx")
    assert main(["card", str(tmp_path / "o.onnx")]) == 0
    model = onnx.load(str(tmp_path / "o.onnx"))
    std = next(tensor for tensor in model.graph.initializer if tensor.name == "std")
    std.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(std) / 2, "std"))
    onnx.save(model, str(tmp_path / "o.onnx"))
    assert main(["card", str(tmp_path / "o.onnx")]) == 1
    assert "golden sample" in capsys.readouterr().err


def test_a_golden_face_shows_another_copy(tmp_path):
    source, _ = make_graph(tmp_path / "t.onnx")
    model = adopt(source, tmp_path / "ours.onnx")
    changed = onnx.load(str(tmp_path / "ours.onnx"))
    for tensor in changed.graph.initializer:
        if tensor.name == "std":
            half = numpy_helper.to_array(tensor) / 2
            tensor.CopyFrom(numpy_helper.from_array(half, "std"))
    onnx.save(changed, str(tmp_path / "changed.onnx"))
    assert known(compare_golden(open_model(tmp_path / "changed.onnx"))) > TOLERANCE
    assert known(compare_golden(model)) < TOLERANCE
    assert model.card.golden.expression == "happy"


def test_a_card_without_labels_of_the_field_is_refused_by_name(tmp_path, capsys):
    source, _ = make_graph(tmp_path / "t.onnx")
    options = [*OPTIONS]
    options[options.index("--labels") + 1] = "sad,hapy,neutral"
    assert main(["card", str(source), "-o", str(tmp_path / "o.onnx"), *options]) == 1
    assert "happy" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["probabilities", "affect"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_golden_face_with_outputs_that_are_not_finite_is_another_copy(tmp_path, output, value):
    source, _ = make_graph(tmp_path / "t.onnx")
    model = adopt(source, tmp_path / "ours.onnx")
    predict = model.predict

    def damaged(crops):
        outputs = predict(crops)
        values = getattr(outputs, output).copy()
        values[:, -1] = value
        return dataclasses.replace(outputs, **{output: values})

    model.predict = damaged
    assert compare_golden(model) == float("inf")
