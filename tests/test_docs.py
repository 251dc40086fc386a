"""Documentation that cannot rot: commands have their help in docs, links lead somewhere, blocks run."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import openaffect
from openaffect import lookup
from openaffect.cli import app, command_names
from openaffect.training.recipe import KEYS, Recipe

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
SOURCE = Path(openaffect.__file__).parent


@pytest.mark.parametrize("script", ["make_cli", "make_project", "make_training"])
def test_what_is_made_of_the_code_is_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / f"{script}.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"make docs: {done.stderr}"


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in command_names() if f"openaffect {name}" not in text]
    assert missing == []


def test_every_format_is_documented() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    missing = [n for n in lookup.names("openaffect.formats") if f"`{n}`" not in text]
    assert missing == []


def test_every_provider_is_documented() -> None:
    text = (ROOT / "docs" / "collecting.md").read_text(encoding="utf-8")
    names = lookup.names("openaffect.collection.providers")
    assert [n for n in names if f"| `{n}`" not in text] == []


def test_every_recipe_is_documented() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    names = lookup.names("openaffect.training.recipes", ".toml")
    assert [n for n in names if f"`{n}`" not in text] == []


def test_every_key_of_a_recipe_is_described_and_in_the_help_of_train() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \|", page.partition("<!-- keys -->")[2], re.M)
    assert table == [field.name for field in dataclasses.fields(Recipe)]
    assert [name for name, key in KEYS.items() if not key.description] == []
    text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "100"}).output
    told = re.findall(r"^  (\w+)=", text.partition("Keys of a recipe")[2], re.M)
    assert told == [name for name in table if name not in ("name", "source")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    local = [t for t in targets if not t.startswith(("http://", "https://", "mailto:"))]
    assert [t for t in local if not (page.parent / t).exists()] == []


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_examples_in_docstrings_hold(path: Path) -> None:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    name = ".".join(("openaffect", *parts)).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples() -> None:
    """The test above would pass on no examples at all."""
    count = sum(p.read_text(encoding="utf-8").count(">>> ") for p in SOURCE.rglob("*.py"))
    assert count > 20


BLOCKS = [
    pytest.param(block, id=page.name)
    for page in PAGES
    for block in re.findall(
        r"<!-- tested -->\n```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_that_are_marked_run(block: str) -> None:
    exec(compile(block, "documentation", "exec"), {})


def test_blocks_are_marked() -> None:
    assert len(BLOCKS) >= 3


def test_nothing_names_the_place_it_was_made() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not files:
        pytest.skip("not a git checkout")
    words = re.compile(r"/work/|\.\./shared|pypi\.org|registry\.npmjs|deb\.debian")
    allowed = {".ci/run", "tests/test_docs.py", "tests/test_architecture.py"}
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for name in files
        if name not in allowed and (ROOT / name).suffix not in {".onnx", ".png", ".jpg", ".webp"}
    }
    assert [name for name, text in texts.items() if words.search(text)] == []
