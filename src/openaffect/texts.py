"""Texts: counts with their noun, the shortest digits of a float32, and signs that nobody sees."""

from __future__ import annotations

import re

# Control characters (C0, C1, DEL), line separators, what turns the direction of text, invisible
# spaces, and halves of surrogate pairs, which cannot be encoded. Joiners stay: emoji and
# Persian need them.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb]"
)


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


def printable(text: str) -> str:
    r"""Text with every character that a terminal would obey, or that nobody sees, as its code.

    >>> printable("a\x1b[31mb\u202e\n")
    'a\\x1b[31mb\\u202e\\n'
    """
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
