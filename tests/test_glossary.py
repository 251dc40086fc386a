"""Public names keep to the words of the glossary."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

import openaffect
from openaffect import analysis, autolabel, curation, metrics, reports, schemas
from openaffect.analysis.table import analysis_schema
from openaffect.cli import app
from openaffect.labels import EMOTIONS
from openaffect.model import Card
from openaffect.training.recipe import Recipe

GLOSSARY = Path(__file__).parent.parent / "docs" / "glossary.md"
# Words that the glossary replaces, and what stands for them now.
REPLACED = {
    "colour": "color",
    "grey": "gray",
    "licence": "license",
    "centre": "center",
    "optimis": "optimizer",
    "normalis": "normalize",
    "analyse": "analyze",
    "labelled": "labeled",
    "drawn": "synthetic, overlay or sample",
    "drawing": "overlay",
    "film": "video",
    "ending": "suffix",
    "judgement": "judgment",
}
ORDINARY = {"drawn", "drawing", "film", "ending"}  # in sentences they may stand


def public_names() -> set[str]:
    names = {*openaffect.__all__}
    for module in (analysis, autolabel, curation, metrics, reports):
        names |= {*module.__all__}
    names |= {field.name for schema in (schemas.FACES, schemas.ANNOTATIONS) for field in schema}
    names |= {field.name for field in analysis_schema(EMOTIONS)} | {*schemas.ORIGINS}
    names |= {field.name for kind in (Recipe, Card) for field in dataclasses.fields(kind)}
    for name in openaffect.__all__:
        thing = getattr(openaffect, name)
        if inspect.isfunction(thing):
            names |= {*inspect.signature(thing).parameters}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        names |= {name} | {option for p in command.params for option in (*p.opts, p.name)}
    return {name.lower() for name in names}


def test_public_names_keep_to_the_glossary() -> None:
    names = public_names()
    assert len(names) > 300
    wrong = {
        name for name in names if any(_uses(name.replace("-", "_"), word) for word in REPLACED)
    }
    assert wrong == set()


def _uses(name: str, word: str) -> bool:
    """Whether a name uses a word; one that has an ordinary sense only whole, for there is `withdrawn`."""
    return word in name.split("_") if word in ORDINARY else word in name


def test_the_glossary_has_each_word_once_in_order() -> None:
    words = re.findall(r"^\| ([^|]+) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)[1:]
    assert len(words) >= 40
    assert words == sorted({*words}, key=str.lower)


@pytest.mark.parametrize("word", sorted(REPLACED.keys() - ORDINARY))
def test_no_documentation_uses_a_replaced_spelling(word: str) -> None:
    pages = [GLOSSARY.parent.parent / "README.md", *GLOSSARY.parent.glob("*.md")]
    # The plural of analysis is a word of its own.
    pattern = re.compile(rf"\b(?!analyses\b)\w*{word}\w*", re.IGNORECASE)
    found = {page.name: pattern.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert {name: words for name, words in found.items() if words} == {}
