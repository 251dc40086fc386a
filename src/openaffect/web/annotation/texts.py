"""The texts of the pages: one file per language, and English for what a language lacks."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from openaffect.errors import UnknownName

FOLDER = Path(__file__).parent / "texts"
"""Holds `en.json` and its translations."""

ENGLISH = "en"


@functools.cache
def _read(code: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    return found


@functools.cache
def _codes() -> tuple[str, ...]:
    return tuple(sorted((path.stem for path in FOLDER.glob("*.json")), key=_english_first))


def _english_first(code: str) -> tuple[bool, str]:
    return code != ENGLISH, code


def languages() -> list[dict[str, Any]]:
    """The languages of the pages, English first: code, name, direction (`ltr`, `rtl`), unreviewed.

    `unreviewed` says that no speaker of the language has signed its file.
    """
    return [
        {key: _read(code)[key] for key in ("code", "name", "direction", "unreviewed")}
        for code in _codes()
    ]


def read_texts(code: str) -> dict[str, Any]:
    """One language as the pages show it: its texts and instructions, English where it has none.

    Args:
        code: such as `de`, one of `languages()`.

    Returns:
        code, name, direction, unreviewed, texts (key to text), instructions (version, sections);
        the caller's own copy.

    Raises:
        UnknownName: no such language.
    """
    if code not in _codes():
        raise UnknownName("language", code, list(_codes()))
    english, own = _read(ENGLISH), _read(code)
    whole = {**english, **own, "texts": {**english["texts"], **own["texts"]}}
    copy: dict[str, Any] = json.loads(json.dumps(whole))
    return copy


def instructions_version() -> str:
    """The version of the instructions that annotators must have read."""
    version: str = _read(ENGLISH)["instructions"]["version"]
    return version
