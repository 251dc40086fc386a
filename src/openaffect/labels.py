"""The vocabulary of expressions: eleven names, their ids, and every spelling of the field.

The order is AffectNet's, never the alphabet's: most wrong scores in this field come from
reading one as the other. This is the only module that knows spellings.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from openaffect.errors import InputError, UnknownName


class Expression(enum.StrEnum):
    """One of AffectNet's eleven categories; a string, with `id` 0–10.

    >>> Expression.HAPPY == "happy", Expression.HAPPY.id
    (True, 1)
    """

    NEUTRAL = "neutral"
    HAPPY = "happy"
    SAD = "sad"
    SURPRISE = "surprise"
    FEAR = "fear"
    DISGUST = "disgust"
    ANGER = "anger"
    CONTEMPT = "contempt"
    NONE = "none"
    UNCERTAIN = "uncertain"
    NO_FACE = "no_face"

    @property
    def id(self) -> int:
        """AffectNet's number, 0 (neutral) to 10 (no face)."""
        return _IDS[self]


EXPRESSIONS: tuple[Expression, ...] = tuple(Expression)
"""All eleven, in the order of their ids."""

EMOTIONS: tuple[Expression, ...] = EXPRESSIONS[:8]
"""The eight that carry `soft_label` and that models learn: ids 0–7."""

COLORS: dict[str, tuple[str, str]] = {
    Expression.NEUTRAL: ("#7c828a", "#a0a6ae"),
    Expression.HAPPY: ("#d39400", "#f0b52f"),
    Expression.SAD: ("#1f6fb4", "#5aa2e8"),
    Expression.SURPRISE: ("#cf6fa3", "#ee9ac6"),
    Expression.FEAR: ("#5a3a99", "#a98ef0"),
    Expression.DISGUST: ("#0b8f6c", "#38c49a"),
    Expression.ANGER: ("#cc4f0c", "#f57f45"),
    Expression.CONTEMPT: ("#4fa9de", "#9bd6fb"),
    Expression.NONE: ("#94824e", "#c4b37c"),
    Expression.UNCERTAIN: ("#a894c4", "#cbbbe3"),
    Expression.NO_FACE: ("#4a4a4a", "#d0d0d0"),
}
"""The color of each expression on light and on dark paper."""

_IDS = {expression: number for number, expression in enumerate(EXPRESSIONS)}

_SPELLINGS: dict[Expression, tuple[str, ...]] = {
    Expression.NEUTRAL: ("neutrality", "neu", "calm face"),
    Expression.HAPPY: ("happiness", "joy", "joyful", "hap"),
    Expression.SAD: ("sadness",),
    Expression.SURPRISE: ("surprised", "sur"),
    Expression.FEAR: ("fearful", "afraid", "scared", "fea"),
    Expression.DISGUST: ("disgusted", "dis"),
    Expression.ANGER: ("angry", "mad", "ang"),
    Expression.CONTEMPT: ("contemptuous", "con"),
    Expression.NONE: ("other", "none of the eight"),
    Expression.UNCERTAIN: ("unknown", "unsure", "ambiguous"),
    Expression.NO_FACE: ("non face", "noface", "nonface", "nf", "not a face"),
}

LABEL_SETS: dict[str, tuple[Expression, ...]] = {
    "7": tuple(e for e in EMOTIONS if e is not Expression.CONTEMPT),
    "8": EMOTIONS,
    "11": EXPRESSIONS,
}
"""The label sets that have a number for a name."""


def _key(text: str) -> str:
    return re.sub(r"[\s_\-]+", " ", text.strip().lower())


_BY_KEY: dict[str, Expression] = {
    _key(spelling): expression
    for expression, spellings in _SPELLINGS.items()
    for spelling in (expression.value, *spellings)
}


def parse_expression(value: str | int, where: str = "") -> Expression:
    """The expression that a spelling, a number 0–10, or a number as text stands for.

    Args:
        value: such as `"Happiness"`, `"Non-Face"`, `1`, `"1"`; case, blanks, `-` and `_` are alike.
        where: the file and row, for the message.
    Raises:
        UnknownName: with the nearest name and the list.

    >>> parse_expression("Happiness"), parse_expression(6).value, parse_expression("non-face").id
    (<Expression.HAPPY: 'happy'>, 'anger', 10)
    """
    if isinstance(value, str):
        found = _BY_KEY.get(_key(value))
        if found is not None:
            return found
        number = re.fullmatch(r"\s*(\d{1,9})(?:\.0*)?\s*", value)
        if number is None:
            raise UnknownName("expression", value, [*EXPRESSIONS], where)
        value = int(number.group(1))
    if isinstance(value, bool) or not 0 <= value < len(EXPRESSIONS):
        raise UnknownName("expression id", value, [f"{e.id} {e}" for e in EXPRESSIONS], where)
    return EXPRESSIONS[value]


def parse_labels(value: str | int | Iterable[str]) -> tuple[Expression, ...]:
    """A label set: `7`, `8`, `11`, or any two or more names, always in the order of the ids.

    Args:
        value: a number, a text with names between commas or blanks, or names.
    Raises:
        UnknownName: a name that is no expression.
        InputError: a name twice, or fewer than two.

    >>> [e.value for e in parse_labels("sad,happy")]
    ['happy', 'sad']
    >>> len(parse_labels(7)), len(parse_labels("8"))
    (7, 8)
    """
    if isinstance(value, int):
        value = str(value)
    if isinstance(value, str):
        if value.strip() in LABEL_SETS:
            return LABEL_SETS[value.strip()]
        if value.strip().isdigit():
            raise UnknownName("label set", value, [*LABEL_SETS, "or names between commas"])
        value = [part for part in re.split(r"[,\s]+", value) if part]
    chosen = [parse_expression(part) for part in value]
    if len(set(chosen)) != len(chosen):
        raise InputError(f"a label set names each expression once, but got {', '.join(chosen)}")
    if len(chosen) < 2:
        raise InputError(f"a label set needs two or more expressions, but got {len(chosen)}")
    return tuple(sorted(chosen, key=lambda expression: expression.id))
