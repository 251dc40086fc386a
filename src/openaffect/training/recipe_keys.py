"""The keys of a dataclass of settings, read from its annotated fields: each is said there once.

A field such as `zoom: Annotated[float, Meta(ge=0, lt=1, description="…")] = 0.0` gives the check of
its values, what a message says was expected, and its row in tables.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, inspect

from openaffect.errors import InputError, UnknownName, shorten

_COUNTS = {2: "two", 3: "three"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        name: The name of the field.
        kind: What its values are.
        choices: The words that a key of the kind `choice` takes, else ().
        expected: What a value must be, as the end of a sentence: `a finite number in [0, 1)`.
        description: What the key decides.
        default: The value of a recipe without the key; None where it must be given.
    """

    name: str
    kind: Literal["choice", "text", "flag", "integer", "number", "list"]
    choices: tuple[str, ...]
    expected: str
    description: str
    default: Any
    _hint: Any

    @property
    def default_text(self) -> str:
        """The default as TOML; empty where there is none."""
        return "" if self.default is None else to_toml(self.default)

    def convert(self, value: object) -> Any:
        """A value, as TOML has it, in the type of the field.

        Raises:
            UnknownName: a word that is none of the choices.
            InputError: another type, or out of range.
        """
        if self.kind in ("choice", "text") and type(value) is int:
            value = str(value)  # labels = 8
        try:
            found = msgspec.convert(value, self._hint)
        except msgspec.ValidationError:
            if self.choices and isinstance(value, str):
                kind = f"value of recipe key '{self.name}'"
                raise UnknownName(kind, value, self.choices) from None
            raise self._refuse(value) from None
        numbers = found if isinstance(found, tuple) else (found,)
        if not all(math.isfinite(one) for one in numbers if isinstance(one, float)):
            raise self._refuse(value)
        return found

    def _refuse(self, value: object) -> InputError:
        return InputError(
            f"expected recipe key '{self.name}' to be {self.expected}, "
            f"but got {shorten(repr(value))}"
        )


def read_keys(cls: type[Any]) -> dict[str, Key]:
    """The keys of a dataclass by name, in its order."""
    hints = get_type_hints(cls, include_extras=True)
    return {one.name: _read_key(one, hints[one.name]) for one in dataclasses.fields(cls)}


def to_toml(value: object) -> str:
    r"""A value as TOML.

    >>> to_toml((0.5, 1)), to_toml("a\x7f")
    ('[0.5, 1]', '"a\\u007F"')
    """
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    # JSON's texts are TOML's but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _read_key(field: dataclasses.Field[Any], hint: Any) -> Key:
    texts = [one.description for one in hint.__metadata__ if isinstance(one, Meta)]
    info = inspect.type_info(hint)
    while isinstance(info, inspect.Metadata):
        info = info.type
    kind, expected, choices = _describe(info, hint.__origin__)
    default = None if field.default is dataclasses.MISSING else field.default
    return Key(field.name, kind, choices, expected, texts[-1] or "", default, hint)


def _describe(info: inspect.Type, hint: Any) -> tuple[Any, str, tuple[str, ...]]:
    """The kind of a type, what its values are, and its choices."""
    match info:
        case inspect.LiteralType():
            words = tuple(map(str, get_args(hint)))  # in the order of the source
            return "choice", f"one of {', '.join(words)}", words
        case inspect.BoolType():
            return "flag", "true or false", ()
        case inspect.IntType():
            return "integer", f"a whole number{_range(info)}", ()
        case inspect.FloatType():
            return "number", f"a finite number{_range(info)}", ()
        case inspect.TupleType(item_types=(inspect.FloatType() as first, *_) as items):
            return "list", f"a list of {_COUNTS[len(items)]} finite numbers{_range(first)}", ()
        case inspect.VarTupleType(item_type=inspect.StrType()):
            return "list", "a list of texts", ()
        case inspect.StrType():
            return "text", "text", ()
    raise TypeError(f"no key has the type {info}")


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    """The bounds of a number: ` in [0, 1)`, ` of at least 1`, ` above 0`, or nothing."""
    low = next((one for one in (info.ge, info.gt) if one is not None), None)
    high = next((one for one in (info.le, info.lt) if one is not None), None)
    if low is None:
        return ""
    if high is None:
        return f" above {low:g}" if info.ge is None else f" of at least {low:g}"
    begin, end = "[" if info.gt is None else "(", "]" if info.lt is None else ")"
    return f" in {begin}{low:g}, {high:.12g}{end}"
