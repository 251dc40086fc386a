"""Model: one ONNX file with its card inside.

The graph takes `image`, float32 (n, 3, h, w), RGB, 0–255, and gives `expression` (probabilities)
and/or `affect` (valence, arousal). Mean, standard deviation and temperature are inside the graph,
so every runtime that loads the file agrees. The card, JSON under `openaffect` in the file's
`metadata_props`, holds what the graph cannot: names of the outputs, how to crop and resize,
hashes, scores, licences, and a golden sample.
"""

from __future__ import annotations

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
from openaffect.errors import FormatError, InputError, NewerSchema
from openaffect.faces.crops import CropRule
from openaffect.images import Pixels
from openaffect.labels import Expression, parse_expression

# onnxruntime's errors share no base class but Exception.
ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

CARD_KEY = "openaffect"
CARD_VERSION = 1

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
    made_by: str = f"openaffect {openaffect.__version__}"
    schema: int = CARD_VERSION

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
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise FormatError(f"the card in {where} is no JSON: {error}") from error
        if not isinstance(data, dict) or "name" not in data:
            raise FormatError(f"expected a card with a 'name' in {where}")
        if data.get("schema", 1) > CARD_VERSION:
            raise NewerSchema(
                f"the card in {where} has schema {data['schema']}, this openaffect reads "
                f"{CARD_VERSION}; update openaffect"
            )
        known = {f.name for f in dataclasses.fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["labels"] = tuple(parse_expression(name, where) for name in data.get("labels", ()))
        values["size"] = tuple(data.get("size", (224, 224)))
        values["crop"] = CropRule.from_dict(data.get("crop", {}), f"the crop rule in {where}")
        if values.get("golden") is not None:
            values["golden"] = Golden(**values["golden"])
        if values.get("resize", "area-linear") != "area-linear":
            raise FormatError(f"{where} wants resize rule '{values['resize']}'; known: area-linear")
        return cls(**values)


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
    """

    def __init__(self, path: Path, card: Card, session: onnxruntime.InferenceSession) -> None:
        self.path = path
        self.card = card
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
        """
        batch = np.asarray(crops)
        width, height = self.card.size
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (height, width, 3):
            raise InputError(
                f"expected crops as uint8 of shape (n, {height}, {width}, 3) for "
                f"{self.card.name}, but got {batch.dtype} {batch.shape}"
            )
        image = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32)
        if self._single and len(image) > 1:
            parts = [self._session.run(None, {"image": one[None]}) for one in image]
            found = [np.concatenate(values) for values in zip(*parts, strict=True)]
        else:
            found = self._session.run(None, {"image": image})
        values = dict(zip(self._outputs, found, strict=True))
        return Outputs(values.get("expression"), values.get("affect"))


def open_model(name: str | Path = "default", *, threads: int = 0) -> Model:
    """Open a model: an ONNX file with a card, a RUN folder that holds `model.onnx`, or `default`.

    Args:
        name: the file, the folder of a run, or `default` for the model that the package carries
            (`./default`, or a `Path`, is a folder of that name).
        threads: for one prediction; 0 leaves the choice to onnxruntime.

    Raises:
        FormatError: no such file, no ONNX, no card, or a card that does not fit the graph.
        NewerSchema: the card is of a newer openaffect.
    """
    path = find_model(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=_providers())
    except ORT_ERRORS as error:
        raise FormatError(f"expected an ONNX model at {path}, but: {_first_line(error)}") from error
    card = _read_card(session, path)
    _check_fit(card, session, path)
    return Model(path, card, session)


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
    if not path.is_file():
        raise FormatError(
            f"expected a model (ONNX), a run folder or 'default', but there is no {path}"
        )
    return path


def _read_card(session: onnxruntime.InferenceSession, path: Path) -> Card:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise FormatError(f"{path} has no card: openaffect cannot know its labels, size and crop")
    return Card.from_json(text, str(path))


def _check_fit(card: Card, session: onnxruntime.InferenceSession, path: Path) -> None:
    inputs = {i.name: i.shape for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    width, height = card.size
    shape = inputs.get("image")
    if shape is None or len(shape) != 4 or list(shape[1:]) != [3, height, width]:
        raise FormatError(
            f"the card of {path} expects an input 'image' of (n, 3, {height}, {width}), "
            f"but the graph has {inputs}"
        )
    wanted = {}
    if card.labels:
        wanted["expression"] = len(card.labels)
    if card.affect:
        wanted["affect"] = 2
    for name, count in wanted.items():
        if name not in outputs or outputs[name][-1] != count:
            raise FormatError(
                f"the card of {path} expects an output '{name}' of (n, {count}), "
                f"but the graph has {outputs}"
            )
    if not wanted:
        raise FormatError(f"the card of {path} names neither labels nor affect")


def _providers() -> list[str]:
    """A CUDA device where onnxruntime was built for one, then the CPU."""
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return [name for name in wanted if name in onnxruntime.get_available_providers()]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
