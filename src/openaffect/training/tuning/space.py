"""Search spaces: which keys of a recipe are tried, and with which values.

On the command line `learning_rate=1e-4..1e-1:log`, `dropout=0..0.5`, `batch_size=32,64,128`;
in a TOML file::

    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    dropout = { low = 0.0, high = 0.5 }
    batch_size = [32, 64, 128]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from openaffect.documents import decode_toml, read_bytes
from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.training.recipe import KEYS, Recipe, make_recipe
from openaffect.training.recipe_keys import Key

Value: TypeAlias = str | int | float | bool

FIXED = (
    *("name", "source", "unverified", "warning", "method"),
    *(
        "target",
        "labels",
        "none_faces",
        "soft_labels",
        "early_stopping_fraction",
        "stop_metric",
        "seed",
    ),
)
"""Keys that decide what a trial is judged on: they must be the same for all trials of a study."""

_WHERE = "the search space"


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`, both included; evenly on a logarithmic scale if `log`.

    Whole numbers stay whole.
    """

    low: int | float
    high: int | float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Categorical:
    """A few values, in no order."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return ",".join(show_value(value) for value in self.values)


Space: TypeAlias = Mapping[str, Range | Categorical]


def show_value(value: object) -> str:
    """A value as it is written on the command line.

    >>> show_value(True), show_value(0.00012345), show_value("adam")
    ('true', '0.0001234', 'adam')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def describe_space(space: Space) -> str:
    """A space in one line.

    >>> describe_space({"dropout": Range(0.0, 0.5), "flip": Categorical((True, False))})
    'dropout=0..0.5 flip=true,false'
    """
    return " ".join(f"{key}={dimension}" for key, dimension in space.items())


def space_toml(space: Space) -> str:
    """A space as the text of a TOML file, as `read_space` reads it."""
    return "".join(f"{key} = {_toml(dimension)}\n" for key, dimension in space.items())


def _toml(dimension: Range | Categorical) -> str:
    if isinstance(dimension, Categorical):
        return json.dumps(list(dimension.values), ensure_ascii=False)
    log = ", log = true" if dimension.log else ""
    return f"{{ low = {dimension.low!r}, high = {dimension.high!r}{log} }}"


def default_space(recipe: Recipe) -> Space:
    """What is searched if nothing else is said: the keys that matter most, about the recipe's values."""
    if recipe.method == "hog":
        components: Range = Range(max(1, recipe.components // 5), max(2, recipe.components))
        return {"svm_c": Range(1e-4, 10.0, log=True), "components": components}
    sizes = sorted({recipe.batch_size // 2, recipe.batch_size, recipe.batch_size * 2})
    low, high = (float(f"{recipe.learning_rate * by:.4g}") for by in (0.1, 10))
    return {
        "learning_rate": Range(low, high, log=True),
        "weight_decay": Range(1e-6, 0.3, log=True),
        "dropout": Range(0.0, 0.6),
        "batch_size": Categorical(tuple(n for n in sizes if n >= max(2, recipe.accumulate))),
    }


def parse_space(texts: Iterable[str], recipe: Recipe) -> Space:
    """A space from texts such as `dropout=0..0.5`; see `check_space` for the errors."""
    space: dict[str, Range | Categorical] = {}
    for text in texts:
        key, sign, values = text.partition("=")
        key = key.strip()
        if not sign or not values.strip():
            raise InputError(
                "expected a search as key=low..high, key=low..high:log or key=a,b,c, "
                f"but got '{text}'"
            )
        if key in space:
            raise InputError(f"'{key}' is searched twice; give it one range or list of values")
        space[key] = _parse_dimension(key, values.strip())
    return check_space(space, recipe)


def _parse_dimension(key: str, text: str) -> Range | Categorical:
    if _key(key).kind in ("integer", "number") and ".." in text:
        ends, colon, scale = text.partition(":")
        if colon and scale.strip() != "log":
            raise InputError(f"expected '{key}=low..high:log', but got the scale '{scale}'")
        low, _, high = ends.partition("..")
        return Range(_parse_number(key, low), _parse_number(key, high), log=bool(colon))
    return Categorical(tuple(_parse_value(part.strip()) for part in text.split(",")))


def _parse_number(key: str, text: str) -> int | float:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    raise InputError(f"expected a number at both ends of the range of '{key}', but got '{text}'")


def _parse_value(text: str) -> Value:
    try:
        value: Value = decode_toml(f"value = {text}", text)["value"]
    except FormatError:
        return text
    return value


def read_space(path: str | Path, recipe: Recipe) -> Space:
    """A space from a TOML file; see `check_space` for the errors.

    Raises:
        FormatError: the file cannot be read, is no TOML, or holds what is no range and no list.
    """
    content = decode_toml(read_bytes(path, "a search space"), str(path))
    space = {key: _read_dimension(key, value, path) for key, value in content.items()}
    return check_space(space, recipe)


def _read_dimension(key: str, value: Any, path: str | Path) -> Range | Categorical:
    if isinstance(value, list):
        return Categorical(tuple(value))
    if (
        isinstance(value, dict)
        and {"low", "high"} <= set(value) <= {"low", "high", "log"}
        and isinstance(value.get("log", False), bool)
    ):
        return Range(value["low"], value["high"], value.get("log", False))
    raise FormatError(
        f"expected '{key}' in {path} to be a list of values or "
        f"{{ low = …, high = …, log = true }}, but got {value!r}"
    )


def check_space(space: Space, recipe: Recipe) -> Space:
    """The space with every value in the type of its key.

    Each value is tried in the recipe with the other keys as they are.

    Raises:
        UnknownName: no such key, or a word that is none of a key's; the message has the nearest.
        InputError: an empty space, a key that all trials must share, a value of the wrong type
            or out of range, or a range that is none.
    """
    if not space:
        raise InputError("the search space is empty; name at least one key to search")
    return {key: _check_dimension(key, space[key], recipe) for key in space}


def _check_dimension(
    key: str, dimension: Range | Categorical, recipe: Recipe
) -> Range | Categorical:
    kind = _key(key).kind
    if key in FIXED:
        raise InputError(
            f"'{key}' cannot be searched: trials are compared on what it decides; "
            f"set it for all of them: --set {key}=…"
        )
    if kind == "list":
        raise InputError(f"'{key}' cannot be searched: its value is a list")
    if isinstance(dimension, Categorical):
        values = tuple(_typed(key, value, recipe) for value in dimension.values)
        if len(set(values)) < max(2, len(values)):
            raise InputError(
                f"expected at least two different values to search for '{key}', but got "
                f"'{dimension}'; one value for all trials is set by --set {key}=…"
            )
        return Categorical(values)
    if kind not in ("integer", "number"):
        raise InputError(f"'{key}' has no range, it is no number; list its values: {key}=a,b")
    low, high = _typed(key, dimension.low, recipe), _typed(key, dimension.high, recipe)
    assert not isinstance(low, str)
    assert not isinstance(high, str)
    if low >= high:
        raise InputError(f"expected a range of '{key}' from low to high, but got '{dimension}'")
    if dimension.log and low <= 0:
        raise InputError(f"a logarithmic range of '{key}' must begin above 0, not at {low:g}")
    return Range(low, high, dimension.log)


def _typed(key: str, value: Any, recipe: Recipe) -> Value:
    values = recipe_values(recipe) | {key: value}
    typed: Value = getattr(make_recipe(values, _WHERE), key)
    return typed


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """A recipe's keys and values as `make_recipe` takes them."""
    return decode_toml(recipe.to_toml(), "the recipe")


def _key(name: str) -> Key:
    if name not in KEYS:
        raise UnknownName("recipe key", name, KEYS, _WHERE)
    return KEYS[name]


__all__ = [
    "FIXED",
    "Categorical",
    "Range",
    "Space",
    "Value",
    "check_space",
    "default_space",
    "describe_space",
    "parse_space",
    "read_space",
    "recipe_values",
    "show_value",
    "space_toml",
]
