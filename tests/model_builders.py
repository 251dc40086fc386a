"""Models whose graphs should be refused; what tests, attacks and the fuzz campaign share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LOOPS = ("Loop", "Scan", "SequenceMap")


def put_before(model: onnx.ModelProto, nodes: list[onnx.NodeProto], last: str) -> None:
    """Let nodes make the image that the graph sees."""
    for node in model.graph.node:
        node.input[:] = [last if name == "image" else name for name in node.input]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def endless_loop(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """A loop of 2⁶² steps that gives `looped`, an image as it came."""
    shape = [d.dim_value or "n" for d in model.graph.input[0].type.tensor_type.shape.dim]

    def value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    flags = [value(name, TensorProto.BOOL, []) for name in ("flag", "flag2")]
    images = [value(name, TensorProto.FLOAT, shape) for name in ("inner", "inner2")]
    body = helper.make_graph(
        [helper.make_node("Identity", [name], [name + "2"]) for name in ("flag", "inner")],
        "body",
        [value("step", TensorProto.INT64, []), flags[0], images[0]],
        [flags[1], images[1]],
    )
    for name, constant in (("times", np.array(2**62)), ("yes", np.array(True))):
        model.graph.initializer.append(numpy_helper.from_array(constant, name))
    return [helper.make_node("Loop", ["times", "yes", "image"], ["looped"], body=body)]


def add_loop(model: onnx.ModelProto) -> None:
    """A loop of 2⁶² steps before the graph."""
    put_before(model, endless_loop(model), "looped")


def add_hidden_loop(model: onnx.ModelProto) -> None:
    """The same loop inside a branch."""
    nodes = endless_loop(model)
    shape = [d.dim_value or "n" for d in model.graph.input[0].type.tensor_type.shape.dim]
    out = helper.make_tensor_value_info("looped", TensorProto.FLOAT, shape)
    branch = helper.make_graph(nodes, "branch", [], [out])
    node = helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch)
    put_before(model, [node], "chosen")


def add_functions(model: onnx.ModelProto, count: int = 20) -> None:
    """Functions, each of which calls the one before it twice: 2 ** count nodes."""
    opset, own = helper.make_opsetid("", 18), helper.make_opsetid("f", 1)
    first = [helper.make_node("Identity", ["x"], ["y"])]
    model.functions.append(helper.make_function("f", "f0", ["x"], ["y"], first, [opset]))
    for n in range(count):
        calls = [helper.make_node(f"f{n}", [a], [b], domain="f") for a, b in ("xt", "ty")]
        model.functions.append(
            helper.make_function("f", f"f{n + 1}", ["x"], ["y"], calls, [opset, own])
        )
    model.opset_import.append(own)
    put_before(model, [helper.make_node(f"f{count}", ["image"], ["out"], domain="f")], "out")


def external(location: str = "weights.bin") -> onnx.TensorProto:
    """A tensor that says its values are in another file."""
    tensor = onnx.TensorProto(
        name="weights",
        data_type=TensorProto.FLOAT,
        dims=[3, 2],
        data_location=TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value=location)
    return tensor


def external_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def external_constant(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["weights"], value=external()))


def external_sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(values=external(), dims=[3, 2])


def external_in_branch(model: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 2])
    branch = helper.make_graph([], "branch", [], [out])
    branch.initializer.append(external())
    node = helper.make_node("If", ["yes"], ["weights"], then_branch=branch, else_branch=branch)
    model.graph.node.insert(0, node)


def external_in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(external())


REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], None], ...]] = {
    "has a loop": (add_loop, add_hidden_loop),
    "local functions": (add_functions,),
    "another file": (
        *(external_initializer, external_constant, external_sparse),
        *(external_in_branch, external_in_training),
    ),
}
"""What a message says, and the changes to a model that should bring it."""
