"""Model: one ONNX file with its card inside.

The graph takes `image`, float32 (n, 3, h, w), RGB, 0–255, and gives `expression` (probabilities)
and/or `affect` (valence, arousal). Mean, standard deviation and temperature are inside the graph,
so every runtime that loads the file agrees. The card, JSON under `openaffect` in the file's
`metadata_props`, holds what the graph cannot: names of the outputs, how to crop and resize,
hashes, scores, licences, and a golden sample.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

import openaffect
from openaffect.documents import convert, decode_versioned
from openaffect.errors import FormatError, InputError, UnknownName, reason
from openaffect.faces.crops import CropRule
from openaffect.images import Pixels
from openaffect.labels import Expression, parse_expression

# onnxruntime's errors share no base class but Exception. RuntimeError, ValueError: of its Python part.
ORT_ERRORS = (
    *(ort_errors.EPFail, ort_errors.EngineError, ort_errors.Fail, ort_errors.InvalidArgument),
    *(ort_errors.InvalidGraph, ort_errors.InvalidProtobuf, ort_errors.NoModel),
    *(ort_errors.NoSuchFile, ort_errors.NotFound, ort_errors.NotImplemented),
    *(ort_errors.RuntimeException, RuntimeError, ValueError, MemoryError),
)

CARD_KEY = "openaffect"
CARD_VERSION = 1

_MAX_SIDE = 4096  # pixels of a crop

DEVICES = ("auto", "cpu", "cuda")
"""Where a model may run; `auto` is a CUDA device where there is one, else the CPU."""

_DEFAULT = Path(__file__).parent / "models" / "default.onnx"  # made by runs/default_model.py


@dataclass(frozen=True, slots=True)
class Golden:
    """A drawn face and what the model says of it, so that any copy of the file can be checked.

    Attributes:
        expression: the expression that was drawn.
        seed: of the drawn face.
        outputs: for each output of the graph, its values.
    """

    expression: str
    seed: int
    outputs: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Card:
    """What a model's file says of itself.

    Attributes:
        name: of the model.
        labels: names of the columns of the output `expression`, in order; () if there is none.
        affect: whether the graph has the output `affect` (valence, arousal).
        size: width and height of the input in pixels.
        crop: from a box to the crop.
        resize: how a crop is brought to `size`; `area-linear` is `images.resize_image`.
        temperature: by which the scores were divided, inside the graph.
        recipe: name of the recipe.
        recipe_sha256, data_fingerprint: of the resolved recipe and of the training data.
        trained_on: name of the dataset, rows by class, and the like.
        scores: what it scored where, as free JSON with its protocol.
        licences: of code, weights and data.
        protocol_warning: a habit of the recipe that flatters its scores; every report repeats it.
        notes: limits, intended use.
        golden: a drawn face and the outputs for it.
        learned: `images.pixel_hash` of every image that the model learned from, sorted, as
            big-endian uint32 in base64; "" where that is not known.
        made_by: the openaffect version.
        schema: version of the card.
    """

    name: str
    labels: tuple[Expression, ...] = ()
    affect: bool = False
    size: tuple[int, int] = (224, 224)
    crop: CropRule = field(default_factory=CropRule)
    resize: str = "area-linear"
    temperature: float = 1.0
    recipe: str | None = None
    recipe_sha256: str | None = None
    data_fingerprint: str | None = None
    trained_on: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    protocol_warning: str = ""
    notes: str = ""
    golden: Golden | None = None
    learned: str = ""
    made_by: str = f"openaffect {openaffect.__version__}"
    schema: int = CARD_VERSION

    @staticmethod
    def encode_learned(hashes: NDArray[np.integer]) -> str:
        """The text of `learned` for hashes in any order, (n,)."""
        return base64.b64encode(np.unique(hashes).astype(">u4").tobytes()).decode()

    def learned_hashes(self) -> NDArray[np.uint32]:
        """`learned` as sorted numbers, uint32 (n,)."""
        return np.frombuffer(base64.b64decode(self.learned), ">u4").astype(np.uint32)

    def to_json(self) -> str:
        """The text of the card."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, where: str) -> Card:
        """The card from its text; keys that are not known are ignored.

        Raises:
            FormatError: no JSON, a key is missing, or a value makes no sense.
            NewerSchema: written by a newer openaffect.
        """
        data = decode_versioned(text, dict[str, Any], CARD_VERSION, where)
        if isinstance(data.get("crop"), dict):  # a key that no rule has would be ignored
            CropRule.from_dict(data["crop"], f"the crop rule in {where}")
        names = convert(data.get("labels", []), list[str], where)
        card = convert(data | {"labels": [parse_expression(n, where) for n in names]}, cls, where)
        _check_values(card, where)
        return card


def _check_values(card: Card, where: str) -> None:
    if card.resize != "area-linear":
        raise FormatError(f"{where} wants resize rule '{card.resize}'; known: area-linear")
    if not all(1 <= side <= _MAX_SIDE for side in card.size):
        raise FormatError(f"expected a size of 1 to {_MAX_SIDE} pixels in {where}, got {card.size}")
    if len({*card.labels}) < len(card.labels):
        raise FormatError(f"expected each label once in {where}, but got {', '.join(card.labels)}")
    try:
        hashes = card.learned_hashes()
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"'learned' in {where} is damaged: {reason(error)}") from error
    if (hashes[1:] < hashes[:-1]).any():
        raise FormatError(f"'learned' in {where} is not sorted")
    if card.golden is not None:
        parse_expression(card.golden.expression, where)
        if card.golden.seed < 0:
            raise FormatError(f"expected a golden seed of 0 or more in {where}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says of n faces.

    Attributes:
        probabilities: float32 (n, classes), rows sum to 1; None if the model has no classes.
        affect: valence and arousal, float32 (n, 2); None if the model has none.
    """

    probabilities: NDArray[np.float32] | None
    affect: NDArray[np.float32] | None


class Model:
    """An ONNX file and its card, ready to predict; made by `open_model`.

    Attributes:
        path: the file.
        card: what the file says of itself.
        device: `cpu` or `cuda`, where it runs.
    """

    def __init__(self, path: Path, card: Card, session: onnxruntime.InferenceSession) -> None:
        self.path = path
        self.card = card
        self.device = "cuda" if _CUDA in session.get_providers() else "cpu"
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        # A graph of one picture at a time, as some outside models are.
        self._single = session.get_inputs()[0].shape[0] == 1

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {str(self.path)!r})"

    def predict(self, crops: NDArray[np.uint8] | Sequence[Pixels]) -> Outputs:
        """Predict crops that already have the size of the card.

        Args:
            crops: RGB uint8 (n, h, w, 3) with (w, h) = card.size.

        Raises:
            InputError: crops of another shape or type.
            FormatError: the graph fails, or gives other shapes than its card says.
        """
        batch = np.asarray(crops)
        width, height = self.card.size
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (height, width, 3):
            raise InputError(
                f"expected crops as uint8 of shape (n, {height}, {width}, 3) for "
                f"{self.card.name}, but got {batch.dtype} {batch.shape}"
            )
        image = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32)
        try:
            if self._single and len(image) > 1:
                parts = [self._session.run(None, {"image": one[None]}) for one in image]
                found = [np.concatenate(values) for values in zip(*parts, strict=True)]
            else:
                found = self._session.run(None, {"image": image})
        except ORT_ERRORS as error:
            raise FormatError(f"the model {self.path} fails: {reason(error)}") from error
        values = dict(zip(self._outputs, found, strict=True))
        for name, columns in _wanted_outputs(self.card).items():
            value = values[name]
            if value.shape != (len(batch), columns) or value.dtype.kind != "f":
                raise FormatError(
                    f"expected the output '{name}' of {self.path} to be floats of shape "
                    f"({len(batch)}, {columns}), but got {value.dtype} {value.shape}"
                )
        return Outputs(values.get("expression"), values.get("affect"))


def open_model(name: str | Path = "default", *, threads: int = 0, device: str = "auto") -> Model:
    """Open a model: an ONNX file with a card, a RUN folder that holds `model.onnx`, or `default`.

    Args:
        name: the file, the folder of a run, or `default` for the model that the package carries
            (`./default`, or a `Path`, is a folder of that name).
        threads: for one prediction; 0 leaves the choice to onnxruntime.
        device: one of `DEVICES`.

    Raises:
        FormatError: no such file, no ONNX, no card, a card that does not fit the graph, or
            weights in another file.
        UnknownName: no such device.
        InputError: `cuda`, and onnxruntime cannot use it.
        NewerSchema: the card is of a newer openaffect.
    """
    path = find_model(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # One file per model, or its hash would say nothing: no folder is searched for other weights.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(path)
    )
    try:
        session = onnxruntime.InferenceSession(path, options, providers=_providers(device))
    except ORT_ERRORS as error:
        if "external data" in str(error).lower() or "external tensor" in str(error):
            raise FormatError(
                f"the weights of {path} are in another file; a model is one file here: write it "
                "anew by onnx.save(onnx.load(path), path)"
            ) from error
        raise FormatError(f"expected an ONNX model at {path}, but: {reason(error)}") from error
    if device == "cuda" and _CUDA not in session.get_providers():
        raise InputError(f"onnxruntime could not start its CUDA part for {path}; see its messages")
    try:
        card = _read_card(session, path)
        _check_fit(card, session, path)
        return Model(path, card, session)
    except UnicodeDecodeError as error:  # in its metadata, or in the names of its outputs
        raise FormatError(f"{path} holds names that are no text: {reason(error)}") from error


def find_model(name: str | Path) -> Path:
    """The ONNX file that a name stands for: a file, the folder of a run, or `default`.

    Raises:
        FormatError: there is none.
    """
    if name == "default":
        if not _DEFAULT.is_file():
            raise FormatError(f"this copy of openaffect lacks its default model, {_DEFAULT}")
        return _DEFAULT
    path = Path(name)
    if path.is_dir():
        if not (path / "model.onnx").is_file():
            raise FormatError(
                f"expected model.onnx in the run {path}, but there is none; "
                "finish the training with `openaffect train … --resume`"
            )
        path = path / "model.onnx"
    if not path.is_file():  # a pipe or a device is none either
        raise FormatError(
            f"expected a model (ONNX), a run folder or 'default', but there is no {path}"
        )
    return path


def _read_card(session: onnxruntime.InferenceSession, path: Path) -> Card:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise FormatError(f"{path} has no card: openaffect cannot know its labels, size and crop")
    return Card.from_json(text, f"the card in {path}")


def _wanted_outputs(card: Card) -> dict[str, int]:
    """The outputs that a card promises, and how many columns each has."""
    expression = {"expression": len(card.labels)} if card.labels else {}
    return expression | ({"affect": 2} if card.affect else {})


def _check_fit(card: Card, session: onnxruntime.InferenceSession, path: Path) -> None:
    inputs = {i.name: i.shape for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    width, height = card.size
    if [*inputs] != ["image"] or [*(inputs["image"] or [])][1:] != [3, height, width]:
        raise FormatError(
            f"the card of {path} expects an input 'image' of (n, 3, {height}, {width}), "
            f"but the graph has {inputs}"
        )
    wanted = _wanted_outputs(card)
    for name, count in wanted.items():
        shape = outputs.get(name) or []
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != count):
            raise FormatError(
                f"the card of {path} expects an output '{name}' of (n, {count}), "
                f"but the graph has {outputs}"
            )
    if not wanted:
        raise FormatError(f"the card of {path} names neither labels nor affect")


_CUDA = "CUDAExecutionProvider"


def _providers(device: str) -> list[str]:
    """The parts of onnxruntime that may run a model, the first one that can does."""
    if device not in DEVICES:
        raise UnknownName("device", device, DEVICES)
    here = onnxruntime.get_available_providers()
    if device == "cuda" and _CUDA not in here:
        raise InputError(
            "this onnxruntime has no CUDA: `pip uninstall onnxruntime`, then "
            "`pip install onnxruntime-gpu` (the two overwrite each other)"
        )
    cuda = [_CUDA] if device != "cpu" and _CUDA in here else []
    return [*cuda, "CPUExecutionProvider"]
