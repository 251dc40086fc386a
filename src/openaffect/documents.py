"""JSON that others may have written, read into typed values; what is wrong with it is one line.

A dataset's information, a model's card and a report travel: nobody knows who wrote them last.
msgspec checks every value against the type that it should have, and says which one does not fit.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

import openaffect
from openaffect.errors import FormatError, InputError, NewerSchema, reason
from openaffect.storage import open_file

MAX_BYTES = 100_000_000
"""The largest document that is read, in bytes."""

_Value = TypeVar("_Value")


def decode_json(text: str | bytes, kind: type[_Value], where: str) -> _Value:
    """The value of a JSON text, checked against a type.

    Keys that a dataclass does not have are ignored; NaN, infinity, numbers beyond float64 and
    64-bit integers, lone surrogates and text that is not UTF-8 are refused.

    Args:
        text: the JSON.
        kind: any type that msgspec knows: a dataclass, `dict[str, Any]`, `list[float]`, ….
        where: what to call the text in messages, such as a path.

    Raises:
        FormatError: not JSON, or a value of another type than `kind` says.

    >>> decode_json('{"size": [48, 48]}', dict[str, tuple[int, int]], "the card")
    {'size': (48, 48)}
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise _misfit(where, error) from error
    except UnicodeError as error:  # bytes that are not UTF-8, or a str with a lone surrogate
        raise FormatError(f"{where} is not JSON: {reason(error)}") from error
    except msgspec.DecodeError as error:
        raise FormatError(f"{where} is not JSON: {reason(error)}") from error
    except RecursionError as error:
        raise FormatError(f"{where} is nested too deeply") from error


def convert(value: object, kind: type[_Value], where: str) -> _Value:
    """A value that JSON gave, checked against a type; see `decode_json`.

    Raises:
        FormatError: a value of another type than `kind` says.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _misfit(where, error) from error


def _misfit(where: str, error: msgspec.ValidationError) -> FormatError:
    return FormatError(f"{where} does not hold what it should: {reason(error)}")


def decode_versioned(text: str | bytes, kind: type[_Value], newest: int, where: str) -> _Value:
    """The value of a JSON object that states its version under `schema`; see `decode_json`.

    Args:
        text: the JSON.
        kind: what it should hold.
        newest: the newest version that this openaffect reads.
        where: what to call the text in messages.

    Raises:
        FormatError: as `decode_json`; or no whole number from 1 under `schema`.
        NewerSchema: a newer version, whatever else the object holds.
    """
    schema = decode_json(text, _Version, where).schema
    if schema > newest:
        raise NewerSchema(
            f"{where} has schema {schema}, but openaffect {openaffect.__version__} reads "
            f"schema {newest}; update openaffect"
        )
    return decode_json(text, kind, where)


@dataclass(frozen=True, slots=True)
class _Version:
    schema: Annotated[int, msgspec.Meta(ge=1)]


def decode_toml(text: str | bytes, where: str) -> dict[str, Any]:
    """The tables and values of a TOML text.

    Raises:
        FormatError: not TOML, or not UTF-8.
    """
    try:
        return tomllib.loads(text if isinstance(text, str) else text.decode("utf-8"))
    # ValueError: TOMLDecodeError is one, and what a number of thousands of digits raises.
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is not TOML: {reason(error)}") from error


def read_json(path: str | Path, kind: type[_Value], what: str = "a JSON file") -> _Value:
    """The value of a JSON file, checked against a type; see `decode_json`.

    Raises:
        FormatError: no such file, too large, not JSON, or a value of another type.
    """
    return decode_json(read_bytes(path, what), kind, str(path))


def read_bytes(path: str | Path, what: str) -> bytes:
    """The bytes of a document, to be decoded.

    Raises:
        FormatError: no such file, no regular one, or one of more than `MAX_BYTES`.
    """
    try:
        with open_file(path, what) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise FormatError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,} for {what}")
            return file.read()
    except FormatError:
        raise
    except InputError as error:
        raise FormatError(str(error)) from error
    except OSError as error:
        raise FormatError(f"cannot read {path}: {reason(error)}") from error
