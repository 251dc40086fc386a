"""Recipes: one TOML file each, every value that a training depends on.

A recipe is flat, so that any key can be set on the command line: `--set epochs=5`.
A run keeps its recipe, resolved, as `recipe.toml`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openaffect import lookup
from openaffect.documents import decode_toml, read_bytes
from openaffect.errors import FormatError, InputError, UnknownName, shorten
from openaffect.faces.crops import CropRule
from openaffect.labels import Expression, parse_labels

PACKAGE = "openaffect.training.recipes"

CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("network", "hog"),
    "none_rows": ("drop", "affect"),
    "views": ("center", "flip", "ten"),
    "colors": ("rgb", "gray"),
    "centering": ("fixed", "picture"),
    "target": ("expression", "affect", "both"),
    "strategy": ("imbalanced", "down-sampling", "up-sampling", "weighted-loss", "class-balanced"),
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("constant", "step", "cosine"),
    "crops": ("center", "random", "five", "resized"),
    "affect_loss": ("euclidean", "ccc"),
    "stop_metric": ("f1", "accuracy", "loss", "ccc", "last"),
    "precision": ("no", "fp16", "bf16"),
}
"""The keys whose value is one of a few words."""

RESCUING = ("learning_rate", "clip")
"""The keys that may be set otherwise for a run whose loss became no number."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training depends on but the data.

    Attributes:
        name: of the recipe.
        source: the publication that it follows, or why it is as it is.
        recalled: keys whose values are recalled from the publication, not read in it; a key that
            is set otherwise leaves the list.
        warning: a habit of the source, in the choice of labels, that flatters its scores; the
            report repeats it, unless `labels` is set otherwise.
        method: `network` is a backbone trained step by step; `hog` is HOG, PCA and a linear SVM or
            SVR (the keys of networks then do not matter).
        backbone: name of a file in `training/backbones`; only for networks.
        weights: what a backbone begins with: `random`, `imagenet` (fetched by timm or torchvision;
            if that fails the training does not start) or the path of a file.
        unfrozen: share of the backbone's layers, counted from its end, that are trained.
        separate: whether valence and arousal get a backbone each.
        target: what is learned: `expression`, `affect` (valence and arousal) or `both`.
        labels: the label set, as `parse_labels` reads it.
        none_rows: faces labeled `none`, where the label set lacks it: `drop` leaves them out,
            `affect` learns their valence and arousal.
        soft_labels: learn the raters' shares where they are known, uncertain faces included.
        strategy: against class imbalance: `imbalanced` does nothing; `down-sampling` keeps at
            most `down_to` a class; `up-sampling` repeats each class to the size of the largest;
            `weighted-loss` multiplies the loss of class i by f_min / f_i; `class-balanced` by
            (1 − β) / (1 − β^n_i), divided by the mean over the classes (Cui et al. 2019).
        down_to: faces a class that down-sampling keeps at most, drawn anew each epoch.
        beta: β of the class-balanced loss.
        label_smoothing: share of each target that is spread over all classes.
        affect_loss: `euclidean`, Σ(ŷ−y)² / 2N for each of the two, or `ccc`, 1 − CCC.
        affect_weight: what the affect loss is multiplied with when both are learned.
        resize: width and height in pixels that a crop is brought to.
        size: width and height that the network sees: a piece of `resize`.
        crops: which piece of `size` in training: the `center`, one at a `random` place, one of
            `five` (center and corners), or a rectangle of any size `resized` to it.
        least_area: of such a rectangle, as a share of the crop (Szegedy et al. 2015).
        views: what prediction averages: the `center` piece, it and its mirror image (`flip`), or
            center and corners with theirs (`ten`).
        margin: of the crop rule.
        flip: mirror every second picture.
        rotate: largest angle in degrees.
        zoom, shift: largest change of size and place, as shares.
        light: largest change of brightness and of contrast, as a share.
        color: largest change of each channel's gain, as a share.
        gray, blur, coarse, compress, erase: the chance of a picture to lose its colors, to be
            blurred, brought to a lower resolution and back, compressed as JPEG, or to lose a
            rectangle.
        mixup: α of the Beta distribution by which pairs of pictures and targets are mixed
            (Zhang et al. 2018); 0 mixes none.
        colors: what the network sees: `rgb`, or the luminance alone (`gray`), which makes a net
            that learned from gray pictures see colored ones alike.
        centering: by the `fixed` mean and std below, or by each `picture`'s own.
        mean, std: of each channel, on a scale of 0 to 1.
        dropout: before the last layer.
        optimizer, learning_rate, momentum, weight_decay: momentum is SGD's.
        epsilon: Adam's.
        sam: radius of sharpness-aware minimization (Foret et al. 2021), two passes a step; 0 is off.
        ema: decay of the moving average of the weights, which is then what is judged and exported;
            0 is off.
        batch_size: faces a step, over all processes.
        accumulate: pieces in which a step's faces pass the network, to need less memory; batch
            normalization, mixup and 1 − CCC then see a piece at a time.
        epochs: at most.
        schedule: `step` multiplies the rate by `step_factor` every `step_every` steps; `cosine`
            lowers it to zero.
        step_every, step_factor: of the schedule `step`.
        warmup: steps over which the rate rises from zero.
        clip: largest norm of the gradient; 0 leaves it.
        stop_on: share of the training faces, whole groups, that stopping, the choice of the
            checkpoint and the temperature look at; nothing else is learned from them.
        stop_metric: what is watched there; `last` watches nothing: the last epoch is kept.
        patience: epochs without a better value before the training stops.
        temperature: whether to calibrate the scores on the `stop_on` share.
        checkpoint_steps: steps between checkpoints.
        precision: `no` is float32; `fp16` and `bf16` are mixed.
        components, svm_c: of `hog`: PCA's components, and C of the SVM or SVR.
        seed: of everything random.
        extended_from: epochs that the cosine schedule of a run was made for, before the run was
            resumed with others; 0 if it never was. Written by `train --resume`, not by hand.
    """

    name: str
    source: str
    method: str = "network"
    backbone: str = ""
    weights: str = "random"
    unfrozen: float = 1.0
    separate: bool = False
    recalled: tuple[str, ...] = ()
    warning: str = ""
    target: str = "expression"
    labels: str = "8"
    none_rows: str = "drop"
    soft_labels: bool = False
    strategy: str = "imbalanced"
    down_to: int = 15_000
    beta: float = 0.9999
    label_smoothing: float = 0.0
    affect_loss: str = "euclidean"
    affect_weight: float = 1.0
    resize: int = 256
    size: int = 224
    crops: str = "center"
    least_area: float = 0.35
    views: str = "center"
    margin: float = 0.15
    flip: bool = True
    rotate: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    light: float = 0.0
    color: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    coarse: float = 0.0
    compress: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    colors: str = "rgb"
    centering: str = "fixed"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    dropout: float = 0.0
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    sam: float = 0.0
    ema: float = 0.0
    batch_size: int = 256
    accumulate: int = 1
    epochs: int = 20
    schedule: str = "constant"
    step_every: int = 10_000
    step_factor: float = 0.1
    warmup: int = 0
    clip: float = 0.0
    stop_on: float = 0.05
    stop_metric: str = "f1"
    patience: int = 5
    temperature: bool = True
    checkpoint_steps: int = 200
    precision: str = "no"
    components: int = 500
    svm_c: float = 0.01
    seed: int = 0
    extended_from: int = 0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def label_set(self) -> tuple[Expression, ...]:
        """The expressions that are learned; () if only affect is."""
        return () if self.target == "affect" else parse_labels(self.labels)

    @property
    def learns_affect(self) -> bool:
        """Whether valence and arousal are learned."""
        return self.target != "expression"

    @property
    def crop_rule(self) -> CropRule:
        """How a box becomes a crop."""
        return CropRule(margin=self.margin)

    def to_toml(self) -> str:
        """The recipe as the text of a TOML file."""
        lines = [f"{key} = {_toml(value)}" for key, value in dataclasses.asdict(self).items()]
        return "\n".join(lines) + "\n"

    def sha256(self) -> str:
        """SHA-256 of the recipe's text."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with openaffect."""
    return lookup.names(PACKAGE, ".toml")


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """A recipe by its name or by the path of a TOML file, with some keys set otherwise.

    Args:
        name: such as `alexnet-weighted-loss`, or a path that ends in `.toml`.
        settings: texts `key=value`; a value is read as TOML, or else as plain text.

    Raises:
        UnknownName: no such recipe or key; the message has the nearest one.
        InputError: a value of the wrong type or out of range.
        FormatError: a file that is no TOML.
    """
    if str(name).endswith(".toml"):
        where = str(name)
        text: str | bytes = read_bytes(name, "a recipe")
    else:
        where = f"recipe {name}"
        text = lookup.find(PACKAGE, str(name), ".toml", "recipe").read_text(encoding="utf-8")
    values = decode_toml(text, where)
    published = dict(values)
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise InputError(f"expected a setting as key=value, but got '{shorten(setting)}'")
        if not value.isascii():
            _refuse_no_text(value)
        values[key.strip()] = _parse_value(value.strip())
    try:
        recipe = make_recipe(values, where)
    except UnknownName:
        raise
    except InputError as error:
        if where != str(name):
            raise
        raise InputError(f"{error}, in {where}") from None
    return _without_claims(recipe, published)


def _without_claims(recipe: Recipe, published: dict[str, Any]) -> Recipe:
    """The recipe without what it says of values that are no longer those of its file."""

    def is_kept(key: str) -> bool:
        return key not in published or getattr(recipe, key) == _typed_field(key, published[key])

    recalled = tuple(key for key in recipe.recalled if is_kept(key))
    stale = recipe.warning == published.get("warning", "") and not is_kept("labels")
    warning = "" if stale else recipe.warning
    return dataclasses.replace(recipe, recalled=recalled, warning=warning)


def _typed_field(key: str, value: Any) -> Any:
    (kind,) = (str(field.type) for field in dataclasses.fields(Recipe) if field.name == key)
    return _typed(key, value, kind)


def make_recipe(values: dict[str, Any], where: str = "the recipe") -> Recipe:
    """A recipe from its keys and values; see `load_recipe` for the errors."""
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    for key in values:
        if key not in fields:
            raise UnknownName("recipe key", key, fields, where)
    missing = [key for key in ("name", "source") if key not in values]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")
    return Recipe(
        **{key: _typed(key, value, str(fields[key].type)) for key, value in values.items()}
    )


def _refuse_no_text(value: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # bytes of the command line that are no UTF-8
        raise InputError(f"expected a setting in UTF-8, but got {shorten(value)!r}") from None


def _parse_value(text: str) -> Any:
    try:
        return decode_toml(f"value = {text}", text)["value"]
    except FormatError:
        return text


_KINDS = {
    "str": "text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a finite number",
    "tuple[str, ...]": "a list of texts",
    "tuple[float, ...]": "a list of finite numbers",
}


def _typed(key: str, value: Any, kind: str) -> Any:
    """The value in the type that the field's annotation names."""
    try:
        if kind.startswith("tuple") and isinstance(value, list):
            return tuple(_single(part, kind[6:].split(",", maxsplit=1)[0]) for part in value)
        return _single(value, kind)
    except TypeError:
        raise InputError(
            f"expected recipe key '{key}' to be {_KINDS[kind]}, but got {shorten(repr(value))}"
        ) from None


def _single(value: Any, kind: str) -> Any:
    if kind == "bool" and isinstance(value, bool):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if kind == "int":
            return value
        if kind == "str":
            return str(value)  # labels = 8
        if kind == "float" and abs(value) < 2**53:
            return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "float" and isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON's texts are TOML's but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("down_to", lambda v: v >= 1, "at least 1"),
    ("unfrozen", lambda v: 0 < v <= 1, "in (0, 1]"),
    ("beta", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("label_smoothing", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("affect_weight", lambda v: v > 0, "above 0"),
    ("size", lambda v: v >= 8, "at least 8"),
    ("least_area", lambda v: 0 < v <= 1, "in (0, 1]"),
    ("rotate", lambda v: 0 <= v <= 90, "in [0, 90]"),
    ("zoom", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("shift", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("light", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("color", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("gray", lambda v: 0 <= v <= 1, "in [0, 1]"),
    ("blur", lambda v: 0 <= v <= 1, "in [0, 1]"),
    ("coarse", lambda v: 0 <= v <= 1, "in [0, 1]"),
    ("compress", lambda v: 0 <= v <= 1, "in [0, 1]"),
    ("erase", lambda v: 0 <= v <= 1, "in [0, 1]"),
    ("mixup", lambda v: v >= 0, "at least 0"),
    ("mean", lambda v: len(v) == 3, "three numbers"),
    ("std", lambda v: len(v) == 3 and min(v) > 0, "three numbers above 0"),
    ("extended_from", lambda v: v >= 0, "at least 0"),
    ("dropout", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("learning_rate", lambda v: v > 0, "above 0"),
    ("momentum", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("weight_decay", lambda v: v >= 0, "at least 0"),
    ("epsilon", lambda v: v > 0, "above 0"),
    ("sam", lambda v: v >= 0, "at least 0"),
    ("ema", lambda v: 0 <= v < 1, "in [0, 1)"),
    ("accumulate", lambda v: v >= 1, "at least 1"),
    ("components", lambda v: v >= 1, "at least 1"),
    ("svm_c", lambda v: v > 0, "above 0"),
    ("batch_size", lambda v: v >= 2, "at least 2"),
    ("epochs", lambda v: v >= 1, "at least 1"),
    ("step_every", lambda v: v >= 1, "at least 1"),
    ("step_factor", lambda v: 0 < v <= 1, "in (0, 1]"),
    ("warmup", lambda v: v >= 0, "at least 0"),
    ("clip", lambda v: v >= 0, "at least 0"),
    ("stop_on", lambda v: 0 < v < 0.5, "in (0, 0.5)"),
    ("patience", lambda v: v >= 1, "at least 1"),
    ("checkpoint_steps", lambda v: v >= 1, "at least 1"),
    ("seed", lambda v: 0 <= v < 2**32, "in [0, 2³²)"),
)


def _check(recipe: Recipe) -> None:
    for key, choices in CHOICES.items():
        if getattr(recipe, key) not in choices:
            raise UnknownName(f"value of recipe key '{key}'", getattr(recipe, key), choices)
    for key, rule, text in _RULES:
        if not rule(getattr(recipe, key)):
            raise InputError(
                f"expected recipe key '{key}' to be {text}, but got {getattr(recipe, key)!r}"
            )
    backbones = lookup.names("openaffect.training.backbones")
    if recipe.method == "network" and recipe.backbone not in backbones:
        raise UnknownName("backbone", recipe.backbone, backbones)
    if recipe.method == "network" and recipe.resize < recipe.size:
        raise InputError(
            f"expected recipe key 'resize' to be at least 'size' ({recipe.size}), "
            f"but got {recipe.resize}"
        )
    if recipe.accumulate > recipe.batch_size:
        raise InputError(
            f"expected recipe key 'accumulate' to be at most 'batch_size' ({recipe.batch_size}), "
            f"but got {recipe.accumulate}"
        )
    if recipe.sam and recipe.precision == "fp16":
        raise InputError("'sam' needs gradients that are not scaled: set precision to bf16 or no")
    if recipe.method == "hog" and recipe.target == "both":
        raise InputError("method 'hog' learns one target: expression or affect")
    if recipe.none_rows == "affect" and not recipe.learns_affect:
        raise InputError(
            "none_rows 'affect' needs a target with affect: set target to affect or both"
        )
    ccc = recipe.learns_affect and recipe.affect_loss == "ccc"
    if ccc and 2 * recipe.accumulate > recipe.batch_size:
        raise InputError(
            "affect_loss 'ccc' compares the faces of a piece, so 'accumulate' can be at most half of "
            f"'batch_size' ({recipe.batch_size}), but got {recipe.accumulate}"
        )
    if recipe.separate and recipe.target != "affect":
        raise InputError("'separate' nets for valence and arousal need target 'affect'")
    keys = [field.name for field in dataclasses.fields(recipe)]
    for key in recipe.recalled:
        if key not in keys:
            raise UnknownName("recipe key", key, keys, "'recalled'")
    parse_labels(recipe.labels)
    CropRule(margin=recipe.margin)
    if recipe.target == "affect" and recipe.stop_metric in ("f1", "accuracy"):
        raise InputError(
            f"stop_metric '{recipe.stop_metric}' needs a target with expressions; "
            "for affect alone set it to ccc or loss"
        )
    if recipe.target == "affect" and recipe.strategy != "imbalanced":
        raise InputError(f"strategy '{recipe.strategy}' needs a target with expressions")
    if recipe.target == "expression" and recipe.stop_metric == "ccc":
        raise InputError("stop_metric 'ccc' needs a target with affect")
