"""Small things that tests build: a model with known weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from openaffect.faces.crops import CropRule
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import CARD_KEY, Card, Golden

SHARPNESS = 6.0


def tiny_model(
    path: str | Path,
    *,
    labels: Sequence[Expression] = EMOTIONS,
    size: tuple[int, int] = (32, 32),
    affect: bool = True,
    crop: CropRule | None = None,
    name: str = "tiny",
    golden: Golden | None = None,
    nan_for_black: bool = False,
) -> Path:
    """Write a whole ONNX model with a card that looks at nothing but the mean color of the crop.

    With r, g, b the means of the channels in [0, 1]: `affect` is (2r − 1, 2g − 1), and
    `expression` the softmax of SHARPNESS · W · (r, g, b), where the row of W for a label is
    (cos θ, sin θ, cos 2θ), θ = its id: what a label gets does not depend on its place in `labels`.
    `tiny_outputs` says the same in numpy.

    Args:
        path: where to write; the folder exists.
        labels: classes in the order of the output's columns; () for a model without `expression`.
        size: width and height of the input.
        affect: whether there is an output `affect`.
        crop: of the card; the default rule if None.
        name: of the card.
        golden: of the card.
        nan_for_black: a crop that is all black gives NaN, in `affect` if there is one, else in
            `expression`.
    """
    width, height = size
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["pooled"])]
    constants = {"flat": np.array([0, 3]), "white": np.float32(255.0)}
    nodes.append(helper.make_node("Reshape", ["pooled", "flat"], ["mean255"]))
    nodes.append(helper.make_node("Div", ["mean255", "white"], ["mean"]))
    colors = "mean"
    if nan_for_black:
        constants["last"] = np.array([1])
        nodes.append(helper.make_node("ReduceSum", ["mean", "last"], ["sum"]))
        nodes.append(helper.make_node("Div", ["sum", "sum"], ["one"]))
        nodes.append(helper.make_node("Mul", ["mean", "one"], ["checked"]))
        colors = "checked"
    outputs = []
    if labels:
        constants["weights"] = SHARPNESS * _weights(labels).T
        source = "mean" if affect else colors
        nodes.append(helper.make_node("MatMul", [source, "weights"], ["scores"]))
        nodes.append(helper.make_node("Softmax", ["scores"], ["expression"], axis=1))
        outputs.append(_value("expression", ["n", len(labels)]))
    if affect:
        constants["to_affect"] = np.array([[2, 0], [0, 2], [0, 0]], np.float32)
        constants["shift"] = np.float32(1.0)
        nodes.append(helper.make_node("MatMul", [colors, "to_affect"], ["twice"]))
        nodes.append(helper.make_node("Sub", ["twice", "shift"], ["affect"]))
        outputs.append(_value("affect", ["n", 2]))
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(
        nodes, "tiny", [_value("image", ["n", 3, height, width])], outputs, tensors
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    card = Card(
        name=name,
        labels=tuple(labels),
        affect=affect,
        size=size,
        crop=crop or CropRule(),
        golden=golden,
    )
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return Path(path)


def tiny_outputs(
    crop: ArrayLike, labels: Sequence[Expression] = EMOTIONS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What `tiny_model` says of one crop (h, w, 3): probabilities of the labels, and affect."""
    mean = np.asarray(crop, float).reshape(-1, 3).mean(axis=0) / 255
    scores = SHARPNESS * _weights(labels).astype(float) @ mean
    probabilities = np.exp(scores - scores.max())
    return probabilities / probabilities.sum(), 2 * mean[:2] - 1


def _weights(labels: Sequence[Expression]) -> NDArray[np.float32]:
    angle = np.array([label.id for label in labels], float)
    return np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], axis=1).astype(np.float32)


def _value(name: str, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
