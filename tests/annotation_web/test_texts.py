"""The texts of the pages: every language says the same, and English is what is left."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from openaffect.errors import UnknownName
from openaffect.labels import EXPRESSIONS
from openaffect.web.annotation import texts
from openaffect.web.annotation.texts import instructions_version, languages, read_texts

FILES = {path.stem: json.loads(path.read_text()) for path in texts.FOLDER.glob("*.json")}
STATIC = texts.FOLDER.parent / "static"
TRANSLATIONS = ["ar", "de"]


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_there_are_three_languages_and_english_is_the_first():
    assert [(one["code"], one["direction"]) for one in languages()] == [
        ("en", "ltr"),
        ("ar", "rtl"),
        ("de", "ltr"),
    ]
    assert all(one["unreviewed"] is True and one["name"] for one in languages())


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_a_language_has_no_key_that_english_lacks(code):
    assert set(FILES[code]["texts"]) <= set(FILES["en"]["texts"])


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_a_translation_keeps_the_placeholders(code):
    english, own = FILES["en"]["texts"], FILES[code]["texts"]
    assert {key: placeholders(text) for key, text in own.items()} == {
        key: placeholders(english[key]) for key in own
    }


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_the_instructions_have_the_same_version_sections_and_quotations(code):
    english, own = FILES["en"]["instructions"], FILES[code]["instructions"]
    assert own["version"] == english["version"] == instructions_version()
    assert [s["quote"] and s["quote"]["text"] for s in own["sections"]] == [
        s["quote"] and s["quote"]["text"] for s in english["sections"]
    ]


def test_the_two_sentences_of_the_paper_are_quoted_word_for_word():
    quotes = [s["quote"] for s in FILES["en"]["instructions"]["sections"] if s["quote"]]
    assert [quote["text"] for quote in quotes] == [
        "Valence refers to how positive or negative an event is",
        "arousal reflects whether an event is exciting/agitating or calm/soothing",
    ]
    assert all("AffectNet" in quote["source"] for quote in quotes)


def test_every_expression_has_a_name_in_english():
    assert {f"expression.{name}" for name in EXPRESSIONS} <= set(FILES["en"]["texts"])


def used_keys(path: Path) -> set[str]:
    """The keys that a page or a module names outright."""
    text = path.read_text()
    quoted = re.findall(r'\bt\(\s*"([\w.]+)"', text)
    marked = re.findall(r'data-t(?:-\w+)?="([\w.]+)"', text)
    return {*quoted, *marked}


def test_every_key_that_a_page_asks_for_is_there():
    pages = [*STATIC.glob("*.js"), *STATIC.glob("*.html")]
    asked = {key: path.name for path in pages for key in used_keys(path)}
    assert len(asked) > 60
    assert {key: page for key, page in asked.items() if key not in FILES["en"]["texts"]} == {}


def test_a_missing_text_is_english(tmp_path, monkeypatch):
    for code in ("en", "de"):
        copy = json.loads(json.dumps(FILES[code]))
        if code == "de":
            del copy["texts"]["action.save"], copy["instructions"]
        (tmp_path / f"{code}.json").write_text(json.dumps(copy))
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    forget()
    try:
        german = read_texts("de")
        assert german["texts"]["action.save"] == "Save"
        assert german["texts"]["action.skip"] == "Auslassen"
        assert german["code"] == "de"
        assert german["instructions"] == FILES["en"]["instructions"]
    finally:
        forget()


def forget() -> None:
    texts._read.cache_clear()
    texts._codes.cache_clear()


def test_what_a_caller_changes_is_its_own():
    first = read_texts("de")
    first["texts"].clear()
    first["instructions"]["sections"].clear()
    assert read_texts("de")["texts"]
    assert read_texts("de")["instructions"]["sections"]


@pytest.mark.parametrize("code", ["xx", "", "../texts/en", "en.json", "EN"])
def test_an_unknown_language_is_an_error_that_lists_those_there_are(code):
    with pytest.raises(UnknownName, match=r"language.*en"):
        read_texts(code)
