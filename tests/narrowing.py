"""What a test knows to be there, said so that a type checker knows it too."""

from __future__ import annotations

from typing import TypeVar

_Value = TypeVar("_Value")


def known(value: _Value | None) -> _Value:
    """The value, which is there; the test fails where it is not."""
    assert value is not None
    return value
