"""What a table, or a JSON object beside an image, may say of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from openaffect.addresses import hide_password
from openaffect.collection.providers._reading import LONGEST_URL
from openaffect.collection.words import normalize_text
from openaffect.errors import InputError
from openaffect.labels import parse_expression

COLUMNS = (
    *("url", "query", "intended", "page_url", "title", "author", "license", "license_url"),
    "restrictions",
)
"""Columns by the names of the fields of an `Item`; all may lack, and others are ignored."""

_ADDRESSES = ("url", "page_url", "license_url")
_LONGEST = 1_000  # characters of a text


def fold_header(header: Iterable[str]) -> list[str]:
    """The names of columns in small letters, as they are compared."""
    return [name.strip().casefold() for name in header]


def read_columns(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `Item` that a row has.

    Args:
        cells: texts or numbers by the name of the column; `caption` is the title of a row without `title`.

    Raises:
        InputError: something else than text or a number, an unknown expression, or an address that
            is too long.

    >>> read_columns({"intended": "Happiness", "caption": "at the beach", "width": 640})
    {'intended': 'happy', 'title': 'at the beach'}
    """
    found: dict[str, Any] = {}
    for name in COLUMNS:
        text = _read_cell(cells, name)
        if name == "title" and not text:
            text = _read_cell(cells, "caption")
        if not text:
            continue
        if name in _ADDRESSES:
            found[name] = _check_address(text, name)
        elif name == "intended":
            found[name] = parse_expression(text, name).value
        else:
            found[name] = text[:_LONGEST]
    return found


def _read_cell(cells: Mapping[str, Any], name: str) -> str:
    value = cells.get(name)
    if value is None or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{name}: expected a text, but got {type(value).__name__}")
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """A text in Unicode's composed form, with single spaces for control characters and blanks."""
    if not text.isprintable():  # no database takes a zero byte or half of a pair
        text = "".join(" " if unicodedata.category(one) in ("Cc", "Cs") else one for one in text)
    return normalize_text(text)


def _check_address(text: str, name: str) -> str:
    if len(text) > LONGEST_URL:
        raise InputError(
            f"{name}: expected at most {LONGEST_URL:,} characters, but got {len(text):,}"
        )
    return hide_password(text)
