"""What to search for: emotion words × words for people, each query with the expression it is meant to find."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from openaffect.collection.words import (
    Word,
    check_language,
    list_languages,
    load_words,
    normalize_text,
    read_table,
    read_words,
)
from openaffect.documents import read_bytes
from openaffect.errors import FormatError, InputError
from openaffect.labels import parse_expression
from openaffect.project.queries import Query
from openaffect.storage import atomic_file

COLUMNS = ("text", "language", "intended")

LONGEST = 200
"""Characters of a query: Openverse cuts longer ones off without a word."""


def make_default_queries(languages: Sequence[str] = ()) -> list[Query]:
    """The queries of our own word lists, in a fixed order; 1,250 for all six languages.

    Args:
        languages: codes of those to make; all by default.

    Raises:
        UnknownName: no word list of that language.
    """
    chosen = dict.fromkeys(languages or list_languages())
    return [query for language in chosen for query in make_queries(load_words(language))]


def gather_queries(
    *,
    languages: Sequence[str] | None = None,
    words: Sequence[str | Path] = (),
    tables: Sequence[str | Path] = (),
) -> list[Query]:
    """Queries from several places, each text of a language once.

    Args:
        languages: codes of our own word lists; all for `("all",)`.
        words: word lists of your own; all of them make queries together.
        tables: tables of queries.

    Raises:
        UnknownName: no word list of that language.
        FormatError: a file that cannot be used.
        InputError: one text for two expressions.
    """
    found: dict[tuple[str, str], Query] = {}
    if languages is not None:
        if not languages:
            raise InputError("expected languages such as en,de, or all, but got none")
        chosen = () if tuple(languages) == ("all",) else languages
        _put_all(found, make_default_queries(chosen))
    _put_all(found, make_queries(word for path in words for word in read_words(path)))
    for path in tables:
        _put_all(found, read_queries(path))
    return list(found.values())


def list_excluded(language: str) -> list[str]:
    """The words that results in a language must not have; none where we have no list of it."""
    words = load_words(language) if language in list_languages() else []
    return [form for word in words if word.role == "excluded" for form in word.forms.values()]


def make_queries(words: Iterable[Word]) -> list[Query]:
    """Every emotion word with every word for a person of its language, in the form that it takes.

    Args:
        words: rows of word lists; those to be excluded make no query.

    Returns:
        The queries, each text of a language once, in the order of the words.

    Raises:
        InputError: an emotion word that lacks a form, or one text for two expressions.
    """
    listed = list(words)
    subjects = [word for word in listed if word.role == "subject"]
    found: dict[tuple[str, str], Query] = {}
    for emotion in (word for word in listed if word.role == "emotion"):
        for subject in (word for word in subjects if word.language == emotion.language):
            [(gender, frame)] = subject.forms.items()
            form = emotion.forms.get(gender)
            if form is None:
                raise InputError(
                    f"'{emotion.lemma}' ({emotion.language}) has no {gender} form, "
                    f"which '{subject.lemma}' takes"
                )
            text = normalize_text(frame.replace("{}", form))
            _put(found, Query(text=text, language=emotion.language, intended=emotion.category))
    return list(found.values())


def read_queries(path: str | Path) -> list[Query]:
    """Queries of a CSV file with the columns text, language, intended; others are ignored.

    Raises:
        FormatError: no such file, no CSV in UTF-8, no query, or a row that cannot be used; with its line.
    """
    found: dict[tuple[str, str], Query] = {}
    for line, row in read_table(read_bytes(path, "a table of queries"), str(path), COLUMNS):
        try:
            intended = row["intended"]
            query = Query(
                text=row["text"],
                language=check_language(row["language"]),
                intended=parse_expression(intended, "intended").value if intended else None,
            )
            check_query(query)
            _put(found, query)
        except InputError as error:
            raise FormatError(f"{path}, line {line}: {error}") from error
    if not found:
        raise FormatError(f"expected at least one query in {path}")
    return list(found.values())


def write_queries(queries: Iterable[Query], path: str | Path, *, overwrite: bool = False) -> None:
    """Write queries as CSV: text, language, intended.

    Raises:
        DestinationExists: something is there, without `overwrite`.
    """
    with (
        atomic_file(path, overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((one.text, one.language, one.intended or "") for one in queries)


def check_query(query: Query) -> None:
    """Refuse a text that no search engine can take.

    Raises:
        InputError: an empty text, one of more than 200 characters, or with control characters.
    """
    if not query.text:
        raise InputError("text: expected what to search for, but got nothing")
    if len(query.text) > LONGEST:
        raise InputError(f"text: expected at most {LONGEST} characters, but got {len(query.text)}")
    # Farsi writes its compounds with a joiner of no width, which is no printable character.
    if not query.text.replace("\u200c", "").isprintable():
        raise InputError("text: expected no control characters")


def _put_all(found: dict[tuple[str, str], Query], queries: Iterable[Query]) -> None:
    for query in queries:
        _put(found, query)


def _put(found: dict[tuple[str, str], Query], query: Query) -> None:
    key = (query.language, query.text.casefold())
    other = found.setdefault(key, query)
    if other.intended != query.intended:
        raise InputError(
            f"'{query.text}' ({query.language}) is meant to find both "
            f"{other.intended or 'nothing'} and {query.intended or 'nothing'}"
        )
