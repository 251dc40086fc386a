"""No text of a user is HTML on any page, a missing value is an error, and colors are said once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pytest

import openaffect
from openaffect.analysis import Analysis, analysis_schema
from openaffect.analysis.page import render_page
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.labels import COLORS, EMOTIONS, EXPRESSIONS
from openaffect.pages import render, stylesheet
from openaffect.pages.svg import Element
from openaffect.predictions import Predictions
from openaffect.reports import Report, compare, evaluate
from openaffect.reports.comparison_page import render_comparison

SCRIPT = "<script>alert(\"1\" + '&')</script>"
TEMPLATES = sorted(Path(openaffect.__file__).parent.rglob("*.j2"))


def assert_harmless(text: str, *, shown: int = 1) -> None:
    assert "<script" not in text.lower()
    assert text.count("&lt;script&gt;") >= shown
    assert 'alert("1"' not in text  # in an attribute, a quotation mark ends it


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Every text that a dataset takes is a script."""
    folder = tmp_path_factory.mktemp("hostile") / "d"
    about: dict[str, Any] = {"name": SCRIPT, "source": SCRIPT, "license": SCRIPT}
    with write_dataset(folder, shareable=True, **about) as writer:
        for i, name in enumerate(EMOTIONS * 2):
            writer.write_image(f"{i}.png", np.full((32, 32, 3), 9 * i, np.uint8))
            texts: dict[str, Any] = {
                "query": SCRIPT,
                "url": SCRIPT,
                "license": SCRIPT,
                "group": SCRIPT,
            }
            writer.add(
                FaceRow(
                    f"{SCRIPT}{i}",
                    f"{i}.png",
                    expression=name,
                    valence=0.1,
                    arousal=-0.1 * (i % 3),
                    split="test",
                    **texts,
                )
            )
    return open_dataset(folder)


@pytest.fixture(scope="module")
def report(hostile: Dataset) -> Report:
    rng = np.random.default_rng(1)
    n = len(hostile)
    made_with = {"model": SCRIPT, "recipe": {SCRIPT: SCRIPT}, SCRIPT: [SCRIPT]}
    p, affect = rng.dirichlet(np.ones(8), n), rng.uniform(-1, 1, (n, 2))
    predictions = Predictions(hostile.ids, EMOTIONS, p, None, affect, [], made_with)
    return evaluate(hostile, predictions, draws=5, rounds=5)


@pytest.mark.parametrize("pictures", [False, True])
def test_a_report_escapes_what_it_shows(hostile: Dataset, report: Report, pictures: bool) -> None:
    assert_harmless(report.to_html(hostile, pictures), shown=10)


def test_a_comparison_escapes_what_it_shows(report: Report) -> None:
    found = compare([report, report], names=[SCRIPT, f"{SCRIPT}2"], rounds=5)
    assert_harmless(render_comparison(found, SCRIPT, {SCRIPT: f"{SCRIPT}/r.html"}), shown=5)


def test_an_analysis_escapes_what_it_shows() -> None:
    schema = analysis_schema(EMOTIONS)
    face = {"status": "ok", "face_index": 0, "box": [1, 1, 9, 9], "expression": "happy"}
    rows = [
        {"source": SCRIPT, **face},
        {"source": SCRIPT, "status": "error", "error": SCRIPT, "face_index": 0},
        *(
            {"source": f"{SCRIPT}.mp4", "frame": n, "time_s": n / 25, "track_id": 0, **face}
            for n in range(3)
        ),
    ]
    metadata = {b"openaffect": b'{"model": "<script>", "detector": "<script>"}'}
    whole = [dict.fromkeys(schema.names) | row for row in rows]
    analysis = Analysis(pa.Table.from_pylist(whole, schema=schema.with_metadata(metadata)))
    assert_harmless(render_page(analysis), shown=6)
    assert_harmless(analysis._repr_html_(), shown=3)


def test_a_drawing_escapes_what_it_shows() -> None:
    assert_harmless(str(Element("g", SCRIPT, aria_label=SCRIPT)), shown=2)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_marks_a_text_as_safe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b", text)
    # The stylesheet is the one exception.
    unescaped = re.findall(r"{% autoescape false %}(.*?){% endautoescape %}", text, re.DOTALL)
    assert all(re.findall(r"{{(.*?)}}", part) == [" stylesheet() "] for part in unescaped)


def test_no_module_marks_a_text_as_safe() -> None:
    for path in Path(openaffect.__file__).parent.rglob("*.py"):
        assert "Markup" not in path.read_text(encoding="utf-8"), path


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("reports/templates/comparison.html.j2", title="t")


def test_the_style_has_the_color_of_every_expression() -> None:
    light, dark = stylesheet().split("prefers-color-scheme", 1)
    for name in EXPRESSIONS:
        assert f"--{name}: {COLORS[name][0]};" in light
        assert f"--{name}: {COLORS[name][1]};" in dark
        assert f".c-{name}, .f-{name} {{" in dark
