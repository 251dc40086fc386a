"""Outside models: an ONNX file of other people gets the graph and the card that openaffect expects.

Around the graph go the nodes that bring openaffect's input (RGB, 0–255) to what it wants and its
outputs to probabilities, valence and arousal. What nobody can read from a graph (the order of
its labels, its normalization) is asked for, never guessed. Needs the extra `card`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import FormatError, InputError, reason
from openaffect.extras import needs
from openaffect.faces.crops import CropRule
from openaffect.golden import make_golden
from openaffect.labels import Expression
from openaffect.model import CARD_KEY, Card, Model, open_model
from openaffect.model_files import ORT_ERRORS, open_session, read_model_file
from openaffect.storage import atomic_file

if TYPE_CHECKING:
    import onnx

OPSET = 18
_PREFIX = "openaffect_"
# What gray is made of: ITU-R BT.601, as OpenCV and Pillow have it.
_GRAY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class IOSpec:
    """What a graph wants and gives, as its makers say.

    Attributes:
        size: width and height of its input in pixels.
        channels: `rgb`, `bgr` or `gray`.
        scale: what pixel values of 0–255 are divided by first; 1 leaves them.
        mean, std: subtracted and divided by then, one for each channel or one for all.
        layout: `nchw` or `nhwc`.
        input: name of its input; None for the only one.
        expression: name of the output with the classes, such as `logits` or `output[0:8]` for
            some of its columns; None if there is none.
        scores: whether that output gives `probabilities` or `logits`.
        affect: name of the output with valence and arousal, in this order; None if there is none.
    """

    size: tuple[int, int]
    channels: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str = "nchw"
    input: str | None = None
    expression: str | None = None
    scores: str = "probabilities"
    affect: str | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("channels", ("rgb", "bgr", "gray")),
            ("layout", ("nchw", "nhwc")),
            ("scores", ("probabilities", "logits")),
        ):
            if getattr(self, name) not in known:
                raise InputError(
                    f"expected {name} to be one of {', '.join(known)}, but got {getattr(self, name)!r}"
                )
        count = 1 if self.channels == "gray" else 3
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, count):
                raise InputError(
                    f"expected {name} to have 1 number or one for each of {count} channels, "
                    f"but got {len(getattr(self, name))}"
                )
        if self.scale <= 0 or min(self.std) <= 0:
            raise InputError("expected scale and std above 0")
        if self.expression is None and self.affect is None:
            raise InputError("expected an output for the expression, for affect, or both")


def inspect_graph(path: str | Path) -> dict[str, dict[str, list[Any]]]:
    """The inputs and outputs of an ONNX file with their shapes, for whoever has to name them.

    Raises:
        FormatError: no such file, no ONNX, weights in another file, loops or local functions.
    """
    session = open_session(read_model_file(path), str(path), device="cpu")
    return {
        "inputs": {value.name: list(value.shape) for value in session.get_inputs()},
        "outputs": {value.name: list(value.shape) for value in session.get_outputs()},
    }


def wrap_model(
    source: str | Path,
    destination: str | Path,
    wiring: IOSpec,
    *,
    name: str,
    labels: Sequence[Expression] = (),
    crop: CropRule,
    license: str,
    notes: str = "",
    overwrite: bool = False,
) -> Model:
    """Write an outside model as one file that every part of openaffect takes.

    Args:
        source: an ONNX file of any names, normalization and output.
        destination: the .onnx file to make.
        wiring: what the graph wants and gives.
        name: of the model.
        labels: of the columns of its expression, in their order.
        crop: how its makers framed faces; the card keeps it, and every use follows it.
        license: of the weights.
        notes: limits, intended use.
        overwrite: replace an existing file.

    Returns:
        The model, opened, after it has run on synthetic faces.

    Raises:
        FormatError: no ONNX, or one that cannot run like this; the message has what it offers.
        InputError: names or columns that the graph does not have, or labels that do not fit.
        DestinationExists: `destination` exists and `overwrite` is false.
        MissingExtra: the extra `card` is not installed.
    """
    with needs("card", "a card for an outside model"):
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    offers = inspect_graph(source)
    card = Card(
        name=name,
        labels=tuple(labels),
        affect=wiring.affect is not None,
        size=wiring.size,
        crop=crop,
        licenses={"weights": license},
        notes=notes,
    )
    try:
        original = onnx.load(str(source))
    except (DecodeError, OSError, onnx.checker.ValidationError) as error:
        raise FormatError(f"cannot read {source}: {reason(error)}") from error
    with atomic_file(destination, overwrite=overwrite) as temporary:
        if wiring.scores == "logits" and wiring.expression is not None:
            _refuse_probabilities(original, card, temporary, wiring, source, offers)
        graph = _wire(original, wiring, len(labels), offers, "n")
        try:
            model = _save_and_try(graph, card, temporary, wiring, source, offers)
        except FormatError:
            # Some graphs take one picture at a time, whatever is asked of them.
            if next(iter(offers["inputs"].values()))[0] != 1:
                raise
            graph = _wire(original, wiring, len(labels), offers, 1)
            model = _save_and_try(graph, card, temporary, wiring, source, offers)
        _save(graph, dataclasses.replace(card, golden=make_golden(model)), temporary)
    return open_model(destination)


def _refuse_probabilities(
    original: onnx.ModelProto,
    card: Card,
    path: Path,
    wiring: IOSpec,
    source: str | Path,
    offers: dict[str, dict[str, list[Any]]],
) -> None:
    """A softmax over a softmax would make all classes nearly alike, without a word."""
    as_they_are = dataclasses.replace(wiring, scores="probabilities")
    batch = 1 if next(iter(offers["inputs"].values()))[0] == 1 else "n"
    try:
        graph = _wire(original, as_they_are, len(card.labels), offers, batch)
        _save_and_try(graph, card, path, as_they_are, source, offers)
    except (FormatError, InputError):
        return  # no probabilities, or something that the next step tells better
    raise InputError(
        f"the columns of {wiring.expression} are not below 0 and sum to 1: they are probabilities, "
        "not logits; say --scores probabilities"
    )


def _wire(
    model: onnx.ModelProto,
    wiring: IOSpec,
    labels: int,
    offers: dict[str, dict[str, list[Any]]],
    batch: str | int,
) -> onnx.ModelProto:
    """The model with openaffect's input and outputs around its graph."""
    import onnx
    from onnx import TensorProto, compose, helper

    model = _upgrade(model)
    names = [value.name for value in model.graph.input]
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [name for name in names if name not in weights]
    wanted = wiring.input or (inputs[0] if len(inputs) == 1 else "")
    if wanted not in inputs:
        raise InputError(
            f"expected the name of one of the graph's inputs, but got '{wanted}': {offers}"
        )
    # So that no name of theirs can be one of ours.
    model = compose.add_prefix(model, _PREFIX)
    graph = model.graph
    nodes, constants, ready = _before(wiring)
    own = next(value for value in graph.input if value.name == _PREFIX + wanted)
    nodes.append(helper.make_node("Cast", [ready], [own.name], to=own.type.tensor_type.elem_type))
    width, height = wiring.size
    kept = [
        v for v in graph.input if v.name != own.name and v.name.removeprefix(_PREFIX) in weights
    ]
    del graph.input[:]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, width])
    graph.input.extend([image, *kept])
    after, outputs = [], []
    for role, spec, count in (
        ("expression", wiring.expression, labels),
        ("affect", wiring.affect, 2),
    ):
        if spec is None:
            continue
        source, columns = _parse_output(spec, count, offers)
        part, more = _after(role, _PREFIX + source, columns, wiring)
        after += part
        constants |= more
        outputs.append(helper.make_tensor_value_info(role, TensorProto.FLOAT, [batch, count]))
    own_nodes = list(graph.node)
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend([*nodes, *own_nodes, *after])
    graph.output.extend(outputs)
    tensors = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph.initializer.extend(tensors)
    return model


def _upgrade(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import version_converter

    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise FormatError(
            f"the graph is of opset {opset} and cannot be brought to {OPSET}: {error}; "
            "ask its makers for a newer export"
        ) from error


def _before(wiring: IOSpec) -> tuple[list[Any], dict[str, NDArray[Any]], str]:
    """The nodes from `image` to what the graph wants, their constants, and the last name."""
    from onnx import helper

    mean, std = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in (wiring.mean, wiring.std))
    constants: dict[str, NDArray[Any]] = {
        "mean": mean * np.float32(wiring.scale),
        "std": std * np.float32(wiring.scale),
    }
    nodes, ready = [], "image"
    if wiring.channels == "bgr":
        constants["bgr"] = np.array([2, 1, 0])
        nodes.append(helper.make_node("Gather", [ready, "bgr"], ["swapped"], axis=1))
        ready = "swapped"
    elif wiring.channels == "gray":
        constants["gray"] = np.array(_GRAY, np.float32).reshape(1, 3, 1, 1)
        constants["channel"] = np.array([1])
        nodes.append(helper.make_node("Mul", [ready, "gray"], ["parts"]))
        nodes.append(
            helper.make_node("ReduceSum", ["parts", "channel"], ["gray_image"], keepdims=1)
        )
        ready = "gray_image"
    nodes.append(helper.make_node("Sub", [ready, "mean"], ["centered"]))
    nodes.append(helper.make_node("Div", ["centered", "std"], ["normal"]))
    ready = "normal"
    if wiring.layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [ready], ["last"], perm=[0, 2, 3, 1]))
        ready = "last"
    return nodes, constants, ready


def _after(
    role: str, source: str, columns: tuple[int, int], wiring: IOSpec
) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """The nodes from an output of the graph to `expression` or `affect`, and their constants."""
    from onnx import TensorProto, helper

    names = [f"{role}_{part}" for part in ("from", "to", "axis")]
    constants: dict[str, NDArray[Any]] = {
        name: np.array([value]) for name, value in zip(names, (*columns, 1), strict=True)
    }
    nodes = [
        helper.make_node("Cast", [source], [f"{role}_float"], to=TensorProto.FLOAT),
        helper.make_node("Slice", [f"{role}_float", *names], [f"{role}_columns"]),
    ]
    if role == "affect":
        constants |= {"least": np.array(-1, np.float32), "most": np.array(1, np.float32)}
        nodes.append(helper.make_node("Clip", [f"{role}_columns", "least", "most"], [role]))
    elif wiring.scores == "logits":
        nodes.append(helper.make_node("Softmax", [f"{role}_columns"], [role], axis=1))
    else:
        nodes.append(helper.make_node("Identity", [f"{role}_columns"], [role]))
    return nodes, constants


def _parse_output(
    spec: str, count: int, offers: dict[str, dict[str, list[Any]]]
) -> tuple[str, tuple[int, int]]:
    """The name and the columns of `name` or `name[from:to]`."""
    found = re.fullmatch(r"(.+?)(?:\[(\d+):(\d+)\])?", spec)
    assert found is not None  # anything is a name
    name = found[1]
    shape = offers["outputs"].get(name)
    if shape is None or len(shape) != 2:
        raise InputError(
            f"expected an output of shape (n, columns), but the graph has no such '{name}': "
            f"{offers['outputs']}"
        )
    columns = (int(found[2]), int(found[3])) if found[2] else (0, shape[1])
    width = shape[1] if isinstance(shape[1], int) else None
    if not found[2] and width is None:
        raise InputError(
            f"the graph does not say how many columns '{name}' has: write {name}[0:{count}]"
        )
    if columns[1] - columns[0] != count or (width is not None and columns[1] > width):
        raise InputError(
            f"expected {count} columns in {spec}, but it has {columns[1] - columns[0]} of {width}; "
            "name as many labels as columns, or write output[from:to]"
        )
    return name, columns


def _save_and_try(
    graph: onnx.ModelProto,
    card: Card,
    path: Path,
    wiring: IOSpec,
    source: str | Path,
    offers: dict[str, dict[str, list[Any]]],
) -> Model:
    _save(graph, card, path)
    return _try(path, wiring, source, offers)


def _save(model: onnx.ModelProto, card: Card, path: Path) -> None:
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, str(path))


def _try(
    path: Path, wiring: IOSpec, source: str | Path, offers: dict[str, dict[str, list[Any]]]
) -> Model:
    """The model, opened, if it runs on pictures of this size and gives what it should."""
    width, height = wiring.size
    pictures = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    try:
        model = open_model(path)
        both = model.predict(pictures)
        first = model.predict(pictures[:1])
    except (FormatError, *ORT_ERRORS) as error:
        raise FormatError(
            f"{source} does not run like this: {reason(error)}; it has {offers}"
        ) from error
    p = both.probabilities
    if p is not None and (p.min() < -1e-4 or np.abs(p.sum(axis=1) - 1).max() > 1e-3):
        raise InputError(
            f"the columns of {wiring.expression} are no probabilities (a row sums to "
            f"{p[0].sum():.3g}): say --scores logits"
        )
    for one, two in ((first.probabilities, p), (first.affect, both.affect)):
        if one is not None and two is not None and np.abs(one[0] - two[0]).max() > 1e-3:
            raise FormatError(f"{source} gives different outputs for batch sizes 1 and 2")
    return model
