"""Model: one ONNX file with its card inside.

The graph takes `image`, float32 (n, 3, h, w), RGB, 0–255, and gives `expression` (probabilities)
and/or `affect` (valence, arousal). Mean, standard deviation and temperature are inside the graph,
so every runtime that loads the file agrees. The card, JSON under `openaffect` in the file's
`metadata_props`, holds what the graph cannot: names of the outputs, how to crop and resize,
hashes, scores, licenses, and a golden sample.
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

import openaffect
from openaffect.documents import convert, decode_versioned
from openaffect.errors import FormatError, InputError, reason
from openaffect.faces.crops import CropRule
from openaffect.images import Pixels
from openaffect.labels import Expression, parse_expression
from openaffect.model_files import CUDA, ORT_ERRORS, open_session, read_model_file

CARD_KEY = "openaffect"
CARD_VERSION = 1

_MAX_SIDE = 4096  # pixels of a crop
_FLOAT32 = "tensor(float)"

_DEFAULT = Path(__file__).parent / "models" / "default.onnx"  # made by runs/default_model.py


@dataclass(frozen=True, slots=True)
class Golden:
    """A synthetic face and what the model says of it, so that any copy of the file can be checked.

    Attributes:
        expression: the expression that was drawn.
        seed: of the synthetic face.
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
        licenses: of code, weights and data.
        protocol_warning: a habit of the recipe that flatters its scores; every report repeats it.
        notes: limits, intended use.
        golden: a synthetic face and the outputs for it.
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
    licenses: dict[str, str] = field(default_factory=dict)
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

    @property
    def affect_origins(self) -> list[str]:
        """What valence and arousal were learned from, such as `human`; [] where that is not known."""
        origins = self.trained_on.get("affect_origin")
        return [str(origin) for origin in origins] if isinstance(origins, list) else []

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
    if not card.temperature > 0:
        raise FormatError(f"expected a temperature above 0 in {where}, got {card.temperature}")
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
        self.device = "cuda" if CUDA in session.get_providers() else "cpu"
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
            if value.shape != (len(batch), columns) or value.dtype != np.float32:
                raise FormatError(
                    f"expected the output '{name}' of {self.path} to be float32 of shape "
                    f"({len(batch)}, {columns}), but got {value.dtype} {value.shape}"
                )
        return Outputs(values.get("expression"), values.get("affect"))


def open_model(name: str | Path = "default", *, threads: int = 0, device: str = "auto") -> Model:
    """Open a model: an ONNX file with a card, a RUN folder that holds `model.onnx`, or `default`.

    Args:
        name: the file, the folder of a run, or `default` for the model that the package carries
            (`./default`, or a `Path`, is a folder of that name).
        threads: for one prediction; 0 leaves the choice to onnxruntime.
        device: one of `model_files.DEVICES`.

    Raises:
        FormatError: no such file, no ONNX, no card, a card that does not fit the graph, weights
            in another file, or a graph with loops or local functions.
        UnknownName: no such device.
        InputError: `cuda`, and onnxruntime cannot use it.
        NewerSchema: the card is of a newer openaffect.
    """
    path = find_model(name)
    session = open_session(read_model_file(path), str(path), device=device, threads=threads)
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
    types = {o.name: o.type for o in (*session.get_inputs(), *session.get_outputs())}
    width, height = card.size
    if [*inputs] != ["image"] or [*(inputs["image"] or [])][1:] != [3, height, width]:
        raise FormatError(
            f"the card of {path} expects an input 'image' of (n, 3, {height}, {width}), "
            f"but the graph has {inputs}"
        )
    if isinstance(inputs["image"][0], int) and inputs["image"][0] != 1:
        raise FormatError(
            f"the graph of {path} takes {inputs['image'][0]} faces at once and no other number; "
            "export it with a batch of 1, or of any size"
        )
    wanted = _wanted_outputs(card)
    for name, count in wanted.items():
        shape = outputs.get(name) or []
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != count):
            raise FormatError(
                f"the card of {path} expects an output '{name}' of (n, {count}), "
                f"but the graph has {outputs}"
            )
    wrong = {name: types[name] for name in ("image", *wanted) if types[name] != _FLOAT32}
    if wrong:
        raise FormatError(f"expected {_FLOAT32} (32-bit floats) in {path}, but got {wrong}")
    if not wanted:
        raise FormatError(f"the card of {path} names neither labels nor affect")
