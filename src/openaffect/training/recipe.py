"""Recipes: one TOML file each, every value that a training depends on.

A recipe is flat, so that any key can be set on the command line: `--set epochs=5`.
A run keeps its recipe, resolved, as `recipe.toml`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from openaffect import lookup
from openaffect.documents import decode_toml, read_bytes
from openaffect.errors import FormatError, InputError, UnknownName, shorten
from openaffect.faces.crops import CropRule
from openaffect.labels import Expression, parse_labels
from openaffect.training.backbones import LIBRARIES
from openaffect.training.recipe_keys import Key, read_keys, to_toml

PACKAGE = "openaffect.training.recipes"

RESUMABLE_OVERRIDES = ("learning_rate", "grad_clip_norm")
"""The keys that may be set otherwise for a run whose loss became no number."""

_Chance = Annotated[float, Meta(ge=0, le=1)]
_Change = Annotated[float, Meta(ge=0, lt=1)]
_Count = Annotated[int, Meta(ge=1)]
_Three = tuple[float, float, float]
_Positive = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training depends on but the data.

    The fields are the keys of a recipe's file: docs/training.md has the table that is made of them.
    """

    name: Annotated[str, Meta(description="name of the recipe")]
    source: Annotated[
        str, Meta(description="the publication that it follows, or why it is as it is")
    ]
    method: Annotated[
        Literal["network", "hog"],
        Meta(
            description="`network` trains a backbone step by step; `hog` is HOG, PCA and a linear "
            "SVM or SVR, to which the keys of networks do not matter"
        ),
    ] = "network"
    backbone: Annotated[
        str,
        Meta(
            description="`timm/NAME` or `torchvision/NAME`, such as `timm/efficientnet_b2.ra_in1k`, "
            "or one of ours: `resnet-small`, `resnet-medium`, `vgg-study`; only for networks"
        ),
    ] = ""
    weights: Annotated[
        str,
        Meta(
            description="what a backbone begins with: `random`, `imagenet` (fetched by timm or "
            "torchvision; if that fails the training does not start) or the path of a file"
        ),
    ] = "random"
    trainable_fraction: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="share of the backbone's layers, counted from its end, that are trained",
        ),
    ] = 1.0
    separate_networks: Annotated[
        bool, Meta(description="whether valence and arousal get a backbone each")
    ] = False
    unverified: Annotated[
        tuple[str, ...],
        Meta(
            description="keys whose values are recalled from the publication and not verified in "
            "it; a key that is set otherwise leaves the list"
        ),
    ] = ()
    warning: Annotated[
        str,
        Meta(
            description="a habit of the source, in the choice of labels, that flatters its scores; "
            "the report repeats it, unless `labels` is set otherwise"
        ),
    ] = ""
    target: Annotated[
        Literal["expression", "affect", "both"],
        Meta(description="what is learned; `affect` is valence and arousal"),
    ] = "expression"
    labels: Annotated[str, Meta(description="the label set: 7, 8, 11, or names between commas")] = (
        "8"
    )
    none_faces: Annotated[
        Literal["drop", "affect"],
        Meta(
            description="faces labeled `none`, where the label set lacks it: `drop` leaves them "
            "out, `affect` learns their valence and arousal"
        ),
    ] = "drop"
    soft_labels: Annotated[
        bool,
        Meta(description="learn the raters' shares where they are known, uncertain faces included"),
    ] = False
    strategy: Annotated[
        Literal["imbalanced", "down-sampling", "up-sampling", "weighted-loss", "class-balanced"],
        Meta(
            description="against class imbalance: `imbalanced` does nothing; `down-sampling` keeps "
            "at most `max_per_class` faces per class; `up-sampling` repeats each class to the size of "
            "the largest; `weighted-loss` multiplies the loss of class i by f_min / f_i; "
            "`class-balanced` by (1 − β) / (1 − β^n_i), divided by the mean over the classes (Cui "
            "et al. 2019)"
        ),
    ] = "imbalanced"
    max_per_class: Annotated[
        _Count,
        Meta(
            description="faces per class that down-sampling keeps at most, sampled again each epoch"
        ),
    ] = 15_000
    beta: Annotated[float, Meta(ge=0, lt=1, description="β of the class-balanced loss")] = 0.9999
    label_smoothing: Annotated[
        float,
        Meta(ge=0, lt=1, description="share of each target that is spread over all classes"),
    ] = 0.0
    affect_loss: Annotated[
        Literal["euclidean", "ccc"],
        Meta(description="`euclidean` is Σ(ŷ−y)² / 2N for each of the two, `ccc` is 1 − CCC"),
    ] = "euclidean"
    affect_weight: Annotated[
        _Positive,
        Meta(description="what the affect loss is multiplied with when both are learned"),
    ] = 1.0
    resize: Annotated[
        int, Meta(description="width and height in pixels that a crop is brought to")
    ] = 256
    size: Annotated[
        int,
        Meta(ge=8, description="width and height that the network sees: a piece of `resize`"),
    ] = 224
    crops: Annotated[
        Literal["center", "random", "five", "resized"],
        Meta(
            description="which piece of `size` in training: the `center`, one at a `random` place, "
            "one of `five` (center and corners), or a rectangle of any size `resized` to it"
        ),
    ] = "center"
    min_area: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="smallest area of such a rectangle, as a share of the crop (Szegedy et "
            "al. 2015)",
        ),
    ] = 0.35
    views: Annotated[
        Literal["center", "flip", "ten"],
        Meta(
            description="what prediction averages: the `center` piece, it and its mirror image "
            "(`flip`), or center and corners with theirs (`ten`)"
        ),
    ] = "center"
    margin: Annotated[
        float, Meta(description="margin of the crop rule, on each side, as a share of the box")
    ] = 0.15
    flip: Annotated[bool, Meta(description="mirror every second picture")] = True
    rotate: Annotated[float, Meta(ge=0, le=90, description="largest angle in degrees")] = 0.0
    zoom: Annotated[_Change, Meta(description="largest change of size, as a share")] = 0.0
    shift: Annotated[_Change, Meta(description="largest change of place, as a share")] = 0.0
    brightness_contrast: Annotated[
        _Change, Meta(description="largest change of brightness and of contrast, as a share")
    ] = 0.0
    color_jitter: Annotated[
        _Change, Meta(description="largest change of each channel's gain, as a share")
    ] = 0.0
    gray: Annotated[_Chance, Meta(description="chance of a picture to lose its colors")] = 0.0
    blur: Annotated[_Chance, Meta(description="chance of a picture to be blurred")] = 0.0
    downscale: Annotated[
        _Chance,
        Meta(description="chance of a picture to be brought to a lower resolution and back"),
    ] = 0.0
    jpeg: Annotated[_Chance, Meta(description="chance of a picture to be compressed as JPEG")] = 0.0
    random_erasing: Annotated[
        _Chance,
        Meta(description="chance of a picture to lose a rectangle (Zhong et al. 2020)"),
    ] = 0.0
    mixup: Annotated[
        float,
        Meta(
            ge=0,
            description="α of the Beta distribution by which pairs of pictures and targets are "
            "mixed (Zhang et al. 2018); 0 mixes none",
        ),
    ] = 0.0
    input_color: Annotated[
        Literal["rgb", "gray"],
        Meta(
            description="what the network sees: `rgb`, or the luminance alone (`gray`), which "
            "makes a net that learned from gray pictures see colored ones alike"
        ),
    ] = "rgb"
    per_image_norm: Annotated[
        bool,
        Meta(
            description="whether each image is normalized by its own mean and standard deviation, "
            "not by `mean` and `std`"
        ),
    ] = False
    mean: Annotated[_Three, Meta(description="mean of each channel, on a scale of 0 to 1")] = (
        0.5,
        0.5,
        0.5,
    )
    std: Annotated[
        tuple[_Positive, _Positive, _Positive],
        Meta(description="standard deviation of each channel, on a scale of 0 to 1"),
    ] = (0.25, 0.25, 0.25)
    dropout: Annotated[float, Meta(ge=0, lt=1, description="dropout before the last layer")] = 0.0
    optimizer: Annotated[
        Literal["sgd", "adam", "adamw"], Meta(description="what moves the weights")
    ] = "sgd"
    learning_rate: Annotated[
        _Positive, Meta(description="learning rate, from which the schedule starts")
    ] = 0.01
    momentum: Annotated[float, Meta(ge=0, lt=1, description="momentum of SGD")] = 0.9
    weight_decay: Annotated[float, Meta(ge=0, description="weight decay of the optimizer")] = 0.0
    epsilon: Annotated[_Positive, Meta(description="ε of Adam and AdamW")] = 1e-8
    sam: Annotated[
        float,
        Meta(
            ge=0,
            description="radius of sharpness-aware minimization (Foret et al. 2021), which takes "
            "two passes per step; 0 is off",
        ),
    ] = 0.0
    ema_decay: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="decay of the moving average of the weights, which is then what is "
            "validated and exported; 0 is off",
        ),
    ] = 0.0
    batch_size: Annotated[
        int, Meta(ge=2, description="faces per step, over all processes together")
    ] = 256
    accumulate: Annotated[
        _Count,
        Meta(
            description="pieces in which a step's faces pass the network, to need less memory; "
            "batch normalization, mixup and 1 − CCC then see a piece at a time"
        ),
    ] = 1
    epochs: Annotated[_Count, Meta(description="largest number of epochs")] = 20
    schedule: Annotated[
        Literal["constant", "step", "cosine"],
        Meta(
            description="`step` multiplies the learning rate by `step_factor` every `step_every` "
            "steps; `cosine` lowers it to zero"
        ),
    ] = "constant"
    step_every: Annotated[
        _Count, Meta(description="steps between two changes by the schedule `step`")
    ] = 10_000
    step_factor: Annotated[
        float, Meta(gt=0, le=1, description="factor of each change by the schedule `step`")
    ] = 0.1
    warmup: Annotated[
        int, Meta(ge=0, description="steps over which the learning rate rises from zero")
    ] = 0
    grad_clip_norm: Annotated[
        float, Meta(ge=0, description="largest norm of the gradient; 0 sets no limit")
    ] = 0.0
    early_stopping_fraction: Annotated[
        float,
        Meta(
            gt=0,
            lt=0.5,
            description="share of the training faces, whole groups, that early stopping, the "
            "choice of the checkpoint and the temperature look at; nothing else is learned from "
            "them",
        ),
    ] = 0.05
    stop_metric: Annotated[
        Literal["f1", "accuracy", "loss", "ccc", "last"],
        Meta(description="what is watched there; `last` watches nothing: the last epoch is kept"),
    ] = "f1"
    patience: Annotated[
        _Count, Meta(description="epochs without a better value before the training stops")
    ] = 5
    temperature: Annotated[
        bool,
        Meta(description="whether to calibrate the scores on the `early_stopping_fraction` share"),
    ] = True
    checkpoint_steps: Annotated[_Count, Meta(description="steps between checkpoints")] = 200
    precision: Annotated[
        Literal["no", "fp16", "bf16"],
        Meta(description="`no` is float32; `fp16` and `bf16` are mixed"),
    ] = "no"
    components: Annotated[_Count, Meta(description="number of PCA's components, for `hog`")] = 500
    svm_c: Annotated[_Positive, Meta(description="C of the SVM or SVR, for `hog`")] = 0.01
    seed: Annotated[int, Meta(ge=0, lt=2**32, description="seed of everything random")] = 0
    extended_from: Annotated[
        int,
        Meta(
            ge=0,
            description="epochs that the cosine schedule of a run was made for, before the run "
            "was resumed with others; 0 if it never was; written by `train --resume`, not by hand",
        ),
    ] = 0

    def __post_init__(self) -> None:
        for name, key in KEYS.items():
            object.__setattr__(self, name, key.convert(getattr(self, name)))
        _check_together(self)

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
        lines = [f"{key} = {to_toml(value)}" for key, value in dataclasses.asdict(self).items()]
        return "\n".join(lines) + "\n"

    def sha256(self) -> str:
        """SHA-256 of the recipe's text."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()


KEYS: dict[str, Key] = read_keys(Recipe)
"""The keys of a recipe by name: what they take and what they decide."""


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
        return key not in published or getattr(recipe, key) == KEYS[key].convert(published[key])

    unverified = tuple(key for key in recipe.unverified if is_kept(key))
    stale = recipe.warning == published.get("warning", "") and not is_kept("labels")
    warning = "" if stale else recipe.warning
    return dataclasses.replace(recipe, unverified=unverified, warning=warning)


def make_recipe(values: dict[str, Any], where: str = "the recipe") -> Recipe:
    """A recipe from its keys and values; see `load_recipe` for the errors."""
    for key in values:
        if key not in KEYS:
            raise UnknownName("recipe key", key, KEYS, where)
    missing = [name for name in ("name", "source") if name not in values]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")
    return Recipe(**values)


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


def _check_together(recipe: Recipe) -> None:
    """Refuse values that do not go together."""
    if recipe.method == "network":
        _check_backbone(recipe.backbone)
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
    if recipe.none_faces == "affect" and not recipe.learns_affect:
        raise InputError(
            "none_faces 'affect' needs a target with affect: set target to affect or both"
        )
    ccc = recipe.learns_affect and recipe.affect_loss == "ccc"
    if ccc and 2 * recipe.accumulate > recipe.batch_size:
        raise InputError(
            "affect_loss 'ccc' compares the faces of a piece, so 'accumulate' can be at most half of "
            f"'batch_size' ({recipe.batch_size}), but got {recipe.accumulate}"
        )
    if recipe.separate_networks and recipe.target != "affect":
        raise InputError("'separate_networks' for valence and arousal need target 'affect'")
    for key in recipe.unverified:
        if key not in KEYS:
            raise UnknownName("recipe key", key, KEYS, "'unverified'")
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


def _check_backbone(name: str) -> None:
    """Refuse a name that is none of ours; those of the libraries they know themselves."""
    library, slash, rest = name.partition("/")
    own = lookup.names("openaffect.training.backbones")
    if name not in own and not (slash and rest and library in LIBRARIES):
        raise UnknownName("backbone", name, [*own, *(f"{one}/NAME" for one in LIBRARIES)])
