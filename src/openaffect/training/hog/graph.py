"""HOG as an ONNX graph: what training reads its features with, and the first half of the model.

Histograms of oriented gradients (Dalal and Triggs 2005) of the gray crop: centered differences,
9 unsigned orientations, cells of 8 × 8 pixels, blocks of 2 × 2 cells that step by one cell, each
vote shared between the two nearest orientations and the cells of its block, a Gaussian over the
block, and L2-Hys. Training and use agree by construction, for both run this graph.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

CELL = 8
BINS = 9
BLOCK = 2
"""Cells along a side of a block."""

SIGMA = 4.0
"""Of the Gaussian over a block, in pixels: a quarter of the block."""

CLIP = 0.2
"""L2-Hys: normalize, clip at this, normalize again."""

_OPSET = 18
_IR = 10  # which the onnxruntimes that openaffect allows can read


def count_features(size: int) -> int:
    """Number of features of a crop of `size` × `size`.

    >>> count_features(256)
    34596
    """
    return _blocks(size) ** 2 * BLOCK**2 * BINS


def features_graph(size: int) -> onnx.ModelProto:
    """The graph from `image`, float32 (n, 3, size, size) RGB 0–255, to `features` (n, features)."""
    parts = _Parts()
    features = _add_features(parts, size)
    parts.add("Identity", features, output="features")
    return parts.model(size, "features", count_features(size))


def expression_graph(
    size: int, weights: NDArray[np.floating], bias: NDArray[np.floating], temperature: float
) -> onnx.ModelProto:
    """The graph from `image` to `expression`: softmax((features · weightsᵀ + bias) / temperature).

    Args:
        size: width and height of the crop.
        weights: (classes, features).
        bias: (classes,).
        temperature: above 0.
    """
    parts = _Parts()
    scores = _add_linear(parts, size, weights, bias)
    scores = parts.add("Div", scores, parts.constant(temperature))
    parts.add("Softmax", scores, axis=1, output="expression")
    return parts.model(size, "expression", len(bias))


def affect_graph(
    size: int, weights: NDArray[np.floating], bias: NDArray[np.floating]
) -> onnx.ModelProto:
    """The graph from `image` to `affect`: features · weightsᵀ + bias, cut off at −1 and 1."""
    parts = _Parts()
    values = _add_linear(parts, size, weights, bias)
    parts.add("Clip", values, parts.constant(-1), parts.constant(1), output="affect")
    return parts.model(size, "affect", len(bias))


class _Parts:
    """Nodes and constants of a graph in the making; each method but `model` returns a name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def model(self, size: int, output: str, width: int) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, size, size])
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", width])
        graph = helper.make_graph(self._nodes, "hog", [image], [result], self._constants)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR)
        onnx.checker.check_model(model, full_check=True)
        return model


def _add_linear(
    parts: _Parts, size: int, weights: NDArray[np.floating], bias: NDArray[np.floating]
) -> str:
    features = _add_features(parts, size)
    return parts.add("Gemm", features, parts.constant(weights), parts.constant(bias), transB=1)


def _add_features(parts: _Parts, size: int) -> str:
    gray = _add_gray(parts)
    position, magnitude = _add_gradients(parts, gray, size)
    histograms = _add_histograms(parts, position, magnitude, size)
    blocks = _blocks(size)
    shape = [0, BINS, blocks, BLOCK, blocks, BLOCK]
    votes = parts.add("Reshape", histograms, parts.constant(shape, np.int64))
    cells = BLOCK**2 * BINS
    # The two small numbers keep an even block at 0; the first is a gradient of 0.1 in each bin.
    first = _add_norm(parts, votes, 0.1 * cells)
    clipped = parts.add("Clip", first, parts.constant(0), parts.constant(CLIP))
    normal = _add_norm(parts, clipped, 1e-3)
    return parts.add("Reshape", normal, parts.constant([0, count_features(size)], np.int64))


def _add_gray(parts: _Parts) -> str:
    """Rec. 601 luma in steps of 1, of whole numbers below 2²⁴: exact in float32, as OpenCV's."""
    weights = np.array([9798, 19235, 3735]).reshape(1, 3, 1, 1)
    half = parts.constant([1 << 14])
    total = parts.add("Conv", "image", parts.constant(weights), half)
    return parts.add("Floor", parts.add("Mul", total, parts.constant(1 / (1 << 15))))


def _add_gradients(parts: _Parts, gray: str, size: int) -> tuple[str, str]:
    """Orientation in bins, [0, 9], and size of the gradient, both (n, 1, size, size)."""
    pads = parts.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    padded = parts.add("Pad", gray, pads, mode="reflect")  # so that the edge has no gradient

    def shifted(y: int, x: int) -> str:
        starts, ends = [1 + y, 1 + x], [1 + y + size, 1 + x + size]
        spans = [parts.constant(numbers, np.int64) for numbers in (starts, ends, [2, 3])]
        return parts.add("Slice", padded, *spans)

    dx = parts.add("Sub", shifted(0, 1), shifted(0, -1))
    dy = parts.add("Sub", shifted(1, 0), shifted(-1, 0))
    squares = parts.add("Add", parts.add("Mul", dx, dx), parts.add("Mul", dy, dy))
    magnitude = parts.add("Sqrt", squares)
    zero = parts.constant(0)
    upright = parts.add("Equal", dx, zero)
    # Differences are whole numbers: next to them 1e-6 is nothing, and 0 / 0 is avoided.
    slope = parts.add("Div", dy, parts.add("Where", upright, parts.constant(1e-6), dx))
    bins = parts.add("Mul", parts.add("Atan", slope), parts.constant(BINS / math.pi))
    position = parts.add("Sub", bins, parts.constant(0.5))  # a bin's middle is a whole number
    turned = parts.add("Add", position, parts.constant(BINS))
    negative = parts.add("Less", position, zero)
    return parts.add("Where", negative, turned, position), magnitude


def _add_histograms(parts: _Parts, position: str, magnitude: str, size: int) -> str:
    """Votes by bin and by cell of each block, (n, bins, 2 · blocks, 2 · blocks)."""
    window = _windows(size)
    rows, columns = parts.constant(window), parts.constant(window.T)
    one, sums = parts.constant(1), []
    # One orientation after the other: all at once would take nine times the memory.
    for number in range(BINS):
        distance = parts.add("Sub", position, parts.constant(number))
        distance = parts.add("Abs", distance)
        if number == 0:  # the circle closes: the last bin is next to the first
            around = parts.add("Sub", parts.constant(BINS), position)
            distance = parts.add("Min", distance, around)
        share = parts.add("Relu", parts.add("Sub", one, distance))
        vote = parts.add("Mul", share, magnitude)
        sums.append(parts.add("MatMul", rows, parts.add("MatMul", vote, columns)))
    return parts.add("Concat", *sums, axis=1)


def _windows(size: int) -> NDArray[np.float64]:
    """How much a pixel's row counts for each row of cells of each row of blocks.

    (2 · blocks, size): a Gaussian about the block's middle times the distance to the cell's middle,
    linear. A pixel's weight is that of its row times that of its column.
    """
    width = BLOCK * CELL
    pixels = np.arange(width)
    gauss = np.exp(-((pixels - width / 2) ** 2) / (2 * SIGMA**2))
    cells = np.arange(BLOCK)[:, None]
    near = np.clip(1 - np.abs((pixels + 0.5) / CELL - 0.5 - cells), 0, 1)
    windows = np.zeros((_blocks(size) * BLOCK, size))
    for block in range(_blocks(size)):
        start = block * CELL
        windows[block * BLOCK : (block + 1) * BLOCK, start : start + width] = gauss * near
    return windows


def _add_norm(parts: _Parts, votes: str, small: float) -> str:
    axes = parts.constant([1, 3, 5], np.int64)
    length = parts.add("Sqrt", parts.add("ReduceSumSquare", votes, axes))
    return parts.add("Div", votes, parts.add("Add", length, parts.constant(small)))


def _blocks(size: int) -> int:
    return size // CELL - BLOCK + 1
