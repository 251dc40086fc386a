"""Texts of numbers: counts with their noun, and the shortest digits of a float32."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count and its noun, in the plural unless the count is 1.

    >>> counted(1, "row"), counted(31476, "face"), counted(2, "box", "boxes")
    ('1 row', '31,476 faces', '2 boxes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def float32_text(value: float) -> str:
    """The shortest text that gives the same float32 back.

    >>> float32_text(0.07356449961662292)
    '0.0735645'
    """
    import numpy as np  # here, for the command line should print its help at once

    return str(np.float32(value))


def shorten_float32(value: float) -> float:
    """The number with the fewest digits that gives the same float32 back.

    >>> shorten_float32(0.07356449961662292)
    0.0735645
    """
    return float(float32_text(value))
