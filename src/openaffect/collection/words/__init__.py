"""Word lists of our own, one CSV file per language: emotion words, words for people, excluded words.

A row gives every form that a query may use, so no grammar is made by rule: the word for a person says
by the column of its form which form of the emotion word it takes, and by `{}` where that word goes.
`review` says `unreviewed`, or who has reviewed the row.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from openaffect import lookup
from openaffect.documents import read_bytes
from openaffect.errors import FormatError, InputError
from openaffect.labels import Expression, parse_expression

Gender: TypeAlias = Literal["masculine", "feminine", "neutral"]
GENDERS: tuple[Gender, ...] = ("masculine", "feminine", "neutral")
ROLES = ("emotion", "subject", "excluded")
COLUMNS = ("role", "lemma", *GENDERS, "language", "category", "arousal", "review")
AROUSAL = ("low", "middle", "high")
UNREVIEWED = "unreviewed"

_is_language = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*").fullmatch


@dataclass(frozen=True, slots=True)
class Word:
    """A row of a word list.

    Attributes:
        role: `emotion`, `subject` (a word for a person) or `excluded`.
        lemma: the word as a dictionary has it.
        forms: by gender, those that there are.
        language: its code, such as `en`.
        category: the expression of an emotion word; `gender`, `age` or `origin` of a subject.
        arousal: `low`, `middle`, `high` or nothing: how excited the emotion is, by our reading.
        review: `unreviewed`, or who has reviewed the row.
    """

    role: str
    lemma: str
    forms: dict[Gender, str]
    language: str
    category: str
    arousal: str
    review: str


def list_languages() -> tuple[str, ...]:
    """The codes of the languages that have a word list.

    >>> list_languages()
    ('ar', 'de', 'en', 'es', 'fa', 'pt')
    """
    return lookup.names(__name__, ".csv")


def load_words(language: str) -> list[Word]:
    """The words of one of our lists.

    Raises:
        UnknownName: no list of that language.
    """
    file = lookup.find(__name__, language, ".csv", "language")
    return _parse(file.read_bytes(), f"words/{language}.csv")


def read_words(path: str | Path) -> list[Word]:
    """The words of a list of your own, with the columns of ours.

    Raises:
        FormatError: no such file, no CSV in UTF-8, or a row that cannot be used; with its line.
    """
    return _parse(read_bytes(path, "a word list"), str(path))


def normalize_text(text: str) -> str:
    """A text in Unicode's composed form (NFC), with single spaces and without them at its ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def check_language(text: str, where: str = "language") -> str:
    """A language's code as it was given.

    Raises:
        InputError: not a code such as `en` or `pt-BR`.
    """
    if not _is_language(text):
        raise InputError(f"{where}: expected a language's code such as en, but got '{text[:50]}'")
    return text


def read_table(
    data: bytes, where: str, needed: tuple[str, ...]
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, as texts in NFC; each with its line.

    Raises:
        FormatError: not CSV in UTF-8, a column that is missing, a row of another length.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected text in UTF-8 in {where}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in needed if name not in header]
        if missing:
            raise FormatError(
                f"{where}: expected the columns {', '.join(needed)}; missing: {', '.join(missing)}"
            )
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise FormatError(
                    f"{where}, line {reader.line_num}: expected {len(header)} fields, "
                    f"but got {len(row)}"
                )
            cells = [normalize_text(cell) for cell in row]
            found.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise FormatError(f"{where}, line {reader.line_num}: {error}") from error
    return found


def _parse(data: bytes, where: str) -> list[Word]:
    words = []
    for line, row in read_table(data, where, COLUMNS):
        try:
            words.append(_word(row))
        except InputError as error:
            raise FormatError(f"{where}, line {line}: {error}") from error
    return words


def _word(row: dict[str, str]) -> Word:
    role, category, arousal = row["role"], row["category"], row["arousal"]
    if role not in ROLES:
        raise InputError(f"role: expected {', '.join(ROLES)}, but got '{role[:50]}'")
    forms = {gender: row[gender] for gender in GENDERS if row[gender]}
    if not forms:
        raise InputError("expected a form: masculine, feminine or neutral")
    if role == "emotion":
        category = parse_expression(category, "category").value
        if category == Expression.NEUTRAL:
            raise InputError(
                "category: no query asks for neutral faces; expected another expression"
            )
    if role == "subject" and (len(forms) != 1 or "".join(forms.values()).count("{}") != 1):
        raise InputError("a subject has one form, with {} where the emotion word goes")
    if arousal not in ("", *AROUSAL):
        raise InputError(f"arousal: expected {', '.join(AROUSAL)}, but got '{arousal[:50]}'")
    return Word(
        role=role,
        lemma=row["lemma"],
        forms=forms,
        language=check_language(row["language"]),
        category=category,
        arousal=arousal,
        review=row["review"] or UNREVIEWED,
    )
