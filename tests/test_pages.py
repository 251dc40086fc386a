"""No text of a user is HTML on any page, a missing value is an error, and colors are said once."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pytest

import openaffect
from autolabel.labeled import write_faces
from builders import tiny_model
from openaffect.analysis import Analysis, analysis_schema
from openaffect.analysis.page import render_page
from openaffect.annotation import measure_agreement
from openaffect.annotation.page import render_page as render_agreement
from openaffect.annotation_row import AnnotationRow
from openaffect.autolabel.labeling import label_faces
from openaffect.autolabel.page import render_page as render_labeling
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.labels import COLORS, EMOTIONS, EXPRESSIONS
from openaffect.model import open_model
from openaffect.pages import render, stylesheet
from openaffect.pages.svg import Element
from openaffect.predictions import Predictions
from openaffect.publishing.cards import Subject
from openaffect.publishing.page import render_page as render_release
from openaffect.replication.affectnet2017 import AffectNet2017
from openaffect.replication.affectnet2017_page import render_affectnet2017
from openaffect.replication.experiment_data import compare_rows
from openaffect.replication.experiments import Experiment, ExperimentConfig, ExperimentResult
from openaffect.replication.giguere2020 import TABLES, Giguere2020
from openaffect.replication.giguere2020_page import render_giguere2020
from openaffect.replication.giguere2020_tables import SIX, SPLITS
from openaffect.reports import Report, compare, evaluate
from openaffect.reports.comparison_page import render_comparison
from openaffect.schemas import ANNOTATIONS
from openaffect.training import Recipe
from openaffect.training.tuning.page import render_study
from openaffect.training.tuning.space import Categorical
from openaffect.training.tuning.study import Study, Trial

SCRIPT = "<script>alert(\"1\" + '&')</script>\u202egnp.\u2066"
SOURCE = Path(openaffect.__file__).parent
TEMPLATES = sorted(SOURCE.rglob("*.j2"))


def assert_harmless(text: str, *, shown: int = 1) -> None:
    assert "<script" not in text.lower()
    assert text.count("&lt;script&gt;") >= shown
    assert 'alert("1"' not in text  # in an attribute, a quotation mark ends it
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)  # the next word stays where it is
    assert text.count("\\u202egnp.\\u2066") >= shown


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


def comparison_page(_: Dataset, report: Report) -> str:
    found = compare([report, report], names=[SCRIPT, f"{SCRIPT}2"], rounds=5)
    return render_comparison(found, SCRIPT, {SCRIPT: f"{SCRIPT}/r.html"})


def an_analysis() -> Analysis:
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
    metadata = {b"openaffect": json.dumps({"model": SCRIPT, "detector": SCRIPT}).encode()}
    whole = [dict.fromkeys(schema.names) | row for row in rows]
    return Analysis(pa.Table.from_pylist(whole, schema=schema.with_metadata(metadata)))


def study_page(*_: Any) -> str:
    trials = (
        Trial(0, "complete", {"backbone": SCRIPT}, 0.2, 1, {1: 0.2}),
        Trial(1, "complete", {"backbone": "torchvision/alexnet"}, 0.4, 1, {1: 0.4}),
        Trial(2, "failed", {"backbone": SCRIPT}, reason=SCRIPT),
    )
    space = {"backbone": Categorical((SCRIPT, "torchvision/alexnet"))}
    recipe = Recipe(SCRIPT, SCRIPT, backbone="torchvision/alexnet")
    return render_study(Study(Path(SCRIPT), recipe, space, SCRIPT, "f" * 64, 0, trials))


def outcomes(report: Report) -> tuple[ExperimentResult, ...]:
    """A row of each kind, named by a script wherever a user may name it."""
    recipe = Recipe(SCRIPT, SCRIPT, warning=SCRIPT, backbone="torchvision/alexnet")
    keys = ("transfer", "vgg-unweighted", "vgg")
    return (
        *(ExperimentResult(Experiment(key, f"{SCRIPT}{key}", SCRIPT, (SCRIPT,)), "done", recipe, report) for key in keys),
        ExperimentResult(Experiment("failed", SCRIPT, SCRIPT), "failed", recipe, reason=SCRIPT),
        ExperimentResult(Experiment("not-run", SCRIPT, SCRIPT), "not run", reason=SCRIPT),
        ExperimentResult(Experiment(SCRIPT, SCRIPT, predictions=Path(f"{SCRIPT}.parquet")), "kept", None, report),
    )  # fmt: skip


def setup(hostile: Dataset, split: str = SCRIPT) -> ExperimentConfig:
    silent: Any = None
    return ExperimentConfig(hostile, SCRIPT, Path(SCRIPT), split, silent, settings=(SCRIPT,))


def affectnet2017_page(hostile: Dataset, report: Report) -> str:
    found = outcomes(report)
    faces, expressions, affect = (
        dict.fromkeys(report.protocol.labels, 2),
        *(compare_rows(found, part, 5) for part in ("categorical", "dimensional")),
    )
    replication = AffectNet2017(
        setup(hostile), found, EMOTIONS, faces, faces, {SCRIPT: 1}, expressions, affect
    )
    return render_affectnet2017(replication)


def giguere2020_page(hostile: Dataset, report: Report) -> str:
    found = outcomes(report)
    counts = {split: dict.fromkeys(map(str, SIX), 2) for split in SPLITS}
    comparison = compare_rows(found[1:3], "categorical", 5)
    replication = Giguere2020(setup(hostile), TABLES, found, (SCRIPT,), counts, comparison)
    return render_giguere2020(replication)


def agreement_page(hostile: Dataset, _: Report) -> str:
    """Two raters, in two batches, one of whom is given a face again."""
    texts: dict[str, Any] = {"batch": SCRIPT, "origin": "simulated"}
    given = [
        AnnotationRow(face_id, f"{SCRIPT}{n}", "happy", 0.1 * n, 0.2, id=f"{place}/{n}", **texts)
        for place, face_id in enumerate(hostile.ids)
        for n in range(2)
    ]
    rows = [{name: getattr(one, name) for name in ANNOTATIONS.names} for one in given]
    judged = dataclasses.replace(
        hostile, annotations=pa.Table.from_pylist(rows, schema=ANNOTATIONS)
    )
    return render_agreement(measure_agreement(judged, rounds=200).to_dict())


def label_page(*_: Any) -> str:
    """The report of a labeling, with scripts for every name."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_faces(place / "half", count=120)
        tiny_model(place / "tiny.onnx")
        label_faces(place / "half", place / "out", open_model(place / "tiny.onnx"), coverage=0.5)
        data = json.loads((place / "out" / "label.json").read_text(encoding="utf-8"))
    names = dict.fromkeys(("name", "model", "held_out", "detector", "split"), SCRIPT)
    data["protocol"] |= names | {"left_out": {SCRIPT: 1}, "left_out_of_project": {SCRIPT: 1}}
    data["warnings"] = [SCRIPT, *data["warnings"]]
    return render_labeling(data)


def release_page(hostile: Dataset, _: Report) -> str:
    facts: dict[str, Any] = {
        "name": SCRIPT,
        "version": SCRIPT,
        "because": SCRIPT,
        "private": True,
        "non_commercial": True,
        "whole_photographs": True,
        "personality_rights": 1,
        "faces": 1,
        "pictures": 1,
        "layouts": {"webdataset": 1},
        "licenses": {SCRIPT: 1},
        "without_pictures": {SCRIPT: 1},
        "changes": {SCRIPT: 1},
    }
    samples = [(hostile.ids[0], hostile.image_paths[0])]
    return render_release(Subject(hostile, facts, {}, SCRIPT), samples)


PAGES: dict[str, tuple[Callable[[Dataset, Report], str], int]] = {
    "reports/templates/report.html.j2": (lambda data, report: report.to_html(data, True), 45),
    "reports/templates/comparison.html.j2": (comparison_page, 13),
    "annotation/templates/agreement.html.j2": (agreement_page, 5),
    "autolabel/templates/label.html.j2": (label_page, 6),
    "publishing/templates/release.html.j2": (release_page, 7),
    "analysis/templates/analysis.html.j2": (lambda *_: render_page(an_analysis()), 6),
    "analysis/templates/display.html.j2": (lambda *_: an_analysis()._repr_html_(), 3),
    "training/tuning/templates/study.html.j2": (study_page, 17),
    "replication/templates/affectnet2017.html.j2": (affectnet2017_page, 66),
    "replication/templates/giguere2020.html.j2": (giguere2020_page, 42),
}
"""Every page: how it is rendered with scripts for names, and how many of them it shows at least."""


@pytest.mark.parametrize("template", PAGES)
def test_a_page_escapes_what_it_shows(hostile: Dataset, report: Report, template: str) -> None:
    make, shown = PAGES[template]
    text = make(hostile, report)
    assert_harmless(text, shown=shown)


def test_a_report_without_pictures_escapes_what_it_shows(hostile: Dataset, report: Report) -> None:
    assert_harmless(report.to_html(hostile, False), shown=30)


def test_a_published_validation_set_does_not_change_that(hostile: Dataset, report: Report) -> None:
    """The one section that shows only for such a split."""
    found, faces = outcomes(report), dict.fromkeys(report.protocol.labels, 500)
    about = setup(hostile, "validation")
    text = render_affectnet2017(AffectNet2017(about, found, EMOTIONS, faces, faces, {}, None, None))
    assert "The scored split is of the same kind" in text
    assert_harmless(text, shown=40)


def test_every_page_is_rendered_here() -> None:
    """A template that is only a part of others has no page of its own."""
    whole = {
        path.relative_to(SOURCE).as_posix()
        for path in TEMPLATES
        if "{% extends" in (text := path.read_text(encoding="utf-8")) or "{% macro" not in text
    }
    assert whole - {"pages/templates/base.html.j2"} == set(PAGES)


def test_a_drawing_escapes_what_it_shows() -> None:
    assert_harmless(str(Element("g", SCRIPT, aria_label=SCRIPT)), shown=2)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_marks_a_text_as_safe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b", text)
    # The stylesheet is the one exception.
    unescaped = re.findall(r"{% autoescape false %}(.*?){% endautoescape %}", text, re.DOTALL)
    assert all(re.findall(r"{{(.*?)}}", part) == [" stylesheet() "] for part in unescaped)


def test_no_module_writes_html() -> None:
    """HTML is written in templates, drawings are elements."""
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "Markup" not in text, path
        assert path.name == "svg.py" or not re.search(r"</[a-z0-9]+>", text), path


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("reports/templates/comparison.html.j2", title="t")


def test_the_colors_of_expressions_are_said_once() -> None:
    known = re.compile("|".join(color for pair in COLORS.values() for color in pair), re.IGNORECASE)
    assert len(set(known.pattern.split("|"))) == 22
    files = [
        path
        for path in SOURCE.rglob("*")
        if path.suffix in {".py", ".j2", ".css", ".js", ".html", ".svg", ".toml"}
        and "vendor" not in path.parts
    ]
    found = {path.name for path in files if known.search(path.read_text(encoding="utf-8"))}
    assert found == {"labels.py"}
    assert {"page.css", "drawing.js", "index.html", "icon.svg"} <= {path.name for path in files}


def test_the_style_has_the_color_of_every_expression() -> None:
    light, dark = stylesheet().split("prefers-color-scheme", 1)
    for name in EXPRESSIONS:
        assert f"--{name}: {COLORS[name][0]};" in light
        assert f"--{name}: {COLORS[name][1]};" in dark
        assert f".c-{name}, .f-{name} {{" in dark
