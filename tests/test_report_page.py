"""report.html: one file, every section, no network, and no face that may not be shown."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import DestinationExists, InputError
from openaffect.face_row import FaceRow
from openaffect.labels import EMOTIONS, LABEL_SETS, Expression
from openaffect.predictions import Predictions
from openaffect.reports import Report, compare, evaluate, open_report
from openaffect.reports.contents import Bin
from openaffect.reports.plots import Line, curves_plot, reliability_plot
from openaffect.reports.published import (
    AROUSAL,
    LATER_7,
    LATER_8,
    TABLES,
    TEST,
    VALENCE,
    VALIDATION,
    PublishedTable,
    Subject,
    differences,
    tables_for,
)

SECTIONS = {
    *("scores", "classes", "confusion", "curves", "affect", "circumplex", "reliability"),
    *("mistakes", "published", "protocol", "undefined"),
}
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a page loads, links to and holds; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.sections: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        for name in ("src", "srcset", "poster", "data", "xlink:href"):
            if name in given:
                self.loads.append(given[name])
        if "href" in given:
            (self.links if tag == "a" else self.loads).append(given["href"])
        if tag == "section":
            self.sections.append(given["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make_dataset(folder: Path, *, shareable: bool = False, n: int = 48, **info: Any) -> Dataset:
    """Colored squares with a rare class (disgust) and an id that is no plain text."""
    rng = np.random.default_rng(5)
    with write_dataset(folder, name="squares", shareable=shareable, **info) as writer:
        for i in range(n):
            expression = EMOTIONS[5] if i == 0 else EMOTIONS[(0, 1, 2, 3, 4, 6, 7)[i % 7]]
            writer.write_image(f"{i}.png", np.full((32, 32, 3), 5 * i, np.uint8))
            valence, arousal = rng.uniform(-0.6, 0.6, 2).tolist()
            writer.add(
                FaceRow(
                    f"<b>&{i}",
                    f"{i}.png",
                    expression=expression,
                    valence=valence,
                    arousal=arousal,
                    split="test",
                    affect_origin="human",
                )
            )
    return open_dataset(folder)


def predict(
    dataset: Dataset, labels: tuple[Expression, ...] = EMOTIONS, **made_with: Any
) -> Predictions:
    rng = np.random.default_rng(6)
    n = len(dataset)
    p = rng.dirichlet(np.full(len(labels), 0.5), n)
    affect = rng.uniform(-1, 1, (n, 2))
    p[3] = affect[3] = np.nan
    return Predictions(dataset.ids, labels, p, None, affect, [], {"model": "<i>m", **made_with})


def score(dataset: Dataset, predictions: Predictions, **options: Any) -> Report:
    return evaluate(dataset, predictions, **{"draws": 10, "rounds": 10, **options})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("page") / "d")


@pytest.fixture(scope="module")
def report(dataset: Dataset) -> Report:
    return score(dataset, predict(dataset))


def test_the_page_is_one_file_with_every_section(
    dataset: Dataset, report: Report, tmp_path: Path
) -> None:
    path = report.save(tmp_path / "r", dataset=dataset, pictures=True)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "report.html",
        "report.json",
        "rows.parquet",
    ]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert set(page.sections) == SECTIONS
    assert len(page.sections) == len(SECTIONS)
    assert page.loads != []  # the pictures
    assert [load for load in page.loads if not load.startswith("data:image/jpeg;base64,")] == []
    assert page.links == []
    assert "script" not in page.tags
    assert re.findall(r"url\(|@import|https?://", text) == []


def test_numbers_of_the_page_are_those_of_the_json(dataset: Dataset, report: Report) -> None:
    page = Page(report.to_html(dataset))
    wanted = [
        f"{report.categorical.accuracy.orig.value:.3f}",
        f"{report.categorical.f1.norm.value:.3f}",
        f"{report.reliability.ece:.3f}",
        f"{report.dimensional.valence.rmse.value:.3f}",
        report.protocol.fingerprint,
        "1 of 48 faces have no prediction",
    ]
    assert [text for text in wanted if text not in page.text] == []


def test_names_are_text_and_never_markup(dataset: Dataset, report: Report) -> None:
    text = report.to_html(dataset, pictures=True)
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "<i>m" not in text
    assert "&lt;i&gt;m on squares" in text


def test_light_dark_and_print(report: Report) -> None:
    text = report.to_html()
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


# ---- pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shareable", "pictures", "given", "shown"),
    [
        (False, None, True, False),
        (False, True, True, True),
        (True, None, True, True),
        (True, False, True, False),
        (True, None, False, False),
    ],
)
def test_pictures_are_shown_only_if_they_may_be(
    tmp_path: Path, shareable: bool, pictures: bool | None, given: bool, shown: bool
) -> None:
    dataset = make_dataset(tmp_path / "d", shareable=shareable, n=20)
    report = score(dataset, predict(dataset))
    page = Page(report.to_html(dataset if given else None, pictures))
    assert ("img" in page.tags) == shown
    assert ("Pictures are left out because" in page.text) == (not shown)


def test_pictures_without_a_dataset_are_refused(report: Report, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset was given"):
        report.save(tmp_path / "r", pictures=True)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_picture_costs_its_own_place_only(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", shareable=True, n=20)
    report = score(dataset, predict(dataset))
    before = Page(report.to_html(dataset)).tags.count("img")
    rows = report.rows
    predicted = rows.predicted
    assert predicted is not None
    wrong = next(i for i, t in enumerate(rows.truth) if predicted[i] not in (-1, t))
    number = rows.ids[wrong].removeprefix("<b>&")
    (dataset.images_folder / f"{number}.png").write_bytes(b"no picture")
    page = Page(report.to_html(dataset))
    assert page.tags.count("img") == before - 1
    assert "picture cannot be read" in page.text


# ---- parts that are not there -----------------------------------------------------------


def test_a_system_without_scores_has_no_curves(dataset: Dataset) -> None:
    choices = np.arange(len(dataset), dtype=np.int8) % 8
    page = Page(score(dataset, Predictions(dataset.ids, choices=choices)).to_html())
    assert set(page.sections) == SECTIONS - {"affect", "circumplex"}
    assert "The system gives no scores, so there are no curves." in page.text
    assert "the predictions have no valence and arousal" in page.text


def test_affect_alone(dataset: Dataset) -> None:
    affect = np.random.default_rng(2).uniform(-1, 1, (len(dataset), 2))
    page = Page(score(dataset, Predictions(dataset.ids, affect=affect)).to_html())
    assert set(page.sections) == {"affect", "circumplex", "published", "protocol", "undefined"}


def test_a_perfect_system_and_one_that_nearly_always_fails(dataset: Dataset) -> None:
    perfect = np.eye(8)[dataset.expression_ids]
    right = Page(score(dataset, Predictions(dataset.ids, EMOTIONS, perfect)).to_html())
    assert "Not one scored face was given a wrong label." in right.text
    nothing = np.full((len(dataset), 8), np.nan)
    nothing[0] = 1 / 8
    failed = Page(score(dataset, Predictions(dataset.ids, EMOTIONS, nothing)).to_html())
    assert "47 of 48 faces have no prediction" in failed.text


def test_rows_of_none_and_of_no_label_are_drawn(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", n=20)
    names = dataset.faces["expression"].to_pylist()
    dataset = dataset.with_column("expression", [*names[:-2], "none", None])
    page = Page(score(dataset, predict(dataset), affect_rows="all").to_html())
    assert "none" in page.text
    assert "unlabeled" in page.text


def test_at_most_1500_points_are_drawn(tmp_path: Path) -> None:
    n = 1600
    with write_dataset(tmp_path / "d", check_images=False) as writer:
        for i in range(n):
            row = FaceRow(f"{i}", f"{i}.png", expression=EMOTIONS[i % 8], valence=0.1, arousal=0.2)
            writer.add(row)
    dataset = open_dataset(tmp_path / "d")
    text = score(dataset, Predictions(dataset.ids, affect=np.zeros((n, 2)))).to_html()
    drawn = [path.count("h0") for path in re.findall(r'class="points [^>]+>', text)]
    assert sum(drawn) == 2 * 1500  # labels and predictions
    assert "1,500 of 1,600 faces" in text


# ---- the folder -------------------------------------------------------------------------


def test_a_folder_is_replaced_only_on_demand(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "r")
    before = (tmp_path / "r" / "report.html").read_bytes()
    with pytest.raises(DestinationExists):
        report.save(tmp_path / "r")
    report.save(tmp_path / "r", overwrite=True)
    assert (tmp_path / "r" / "report.html").read_bytes() == before


def test_a_failure_while_writing_leaves_nothing(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Report) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(Report, "to_json", fail)
    with pytest.raises(OSError, match="disk full"):
        report.save(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_an_opened_report_gives_the_same_page(
    dataset: Dataset, report: Report, tmp_path: Path
) -> None:
    report.save(tmp_path / "r")
    assert open_report(tmp_path / "r").to_html(dataset) == report.to_html(dataset)
    (tmp_path / "r" / "rows.parquet").unlink()
    alone = open_report(tmp_path / "r")
    assert alone.protocol == report.protocol
    with pytest.raises(InputError, match=r"no rows\.parquet"):
        alone.to_html()


# ---- published results ------------------------------------------------------------------


AFFECTNET = Subject("AffectNet", "affectnet8", "validation", [e.value for e in EMOTIONS], 4000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"rows": 3999}, ["3,999 images, not 4,000"]),
        ({"split": "test"}, ["another split (test, not validation)"]),
        (
            {"dataset": "FER+", "source": "ferplus"},
            ["another dataset (FER+)"],
        ),
        (
            {"labels": [e.value for e in LABEL_SETS["7"]]},
            ["another label set (neutral, happy, sad, surprise, fear, disgust, anger; not the 8)"],
        ),
    ],
)
def test_what_differs_from_a_published_protocol_is_said(
    changes: dict[str, Any], said: list[str]
) -> None:
    assert differences(VALIDATION, dataclasses.replace(AFFECTNET, **changes)) == said


def test_what_was_scored_is_read_from_the_protocol(report: Report) -> None:
    protocol = report.protocol
    assert Subject.of(protocol) == Subject("squares", "", "test", protocol.labels, 48)


def test_tables_fit_the_report(report: Report) -> None:
    def fitting(**changes: Any) -> list[PublishedTable]:
        protocol = dataclasses.replace(report.protocol, **{"split": "validation", **changes})
        return tables_for(dataclasses.replace(report, protocol=protocol))

    assert fitting() == [VALIDATION, LATER_8, TEST, VALENCE, AROUSAL]
    assert fitting(split="test")[0] is TEST
    seven = fitting(labels=[e.value for e in LABEL_SETS["7"]])
    assert LATER_7 in seven
    assert LATER_8 not in seven
    assert tables_for(dataclasses.replace(report, categorical=None)) == [VALENCE, AROUSAL]


def test_published_numbers_hold_together() -> None:
    """Sums and rules that hold for the printed tables, so that a slip of a digit shows."""
    counts = {name: sum(len(row.scores) for row in t.rows) for t in TABLES for name in [t.title]}
    assert sum(counts.values()) == 36 + 18 + 4 + 4 + 6 + 6
    # accuracy on balanced classes fixes κ up to the rounding of both
    kappas = [
        abs((row.scores["accuracy"][0] - 1 / 8) / (7 / 8) - row.scores["kappa"][0])
        for row in VALIDATION.rows
    ]
    assert max(kappas) < 0.016
    column = {m: sum(row.scores[m][0] for row in TEST.rows) for m in TEST.metrics}
    assert column == pytest.approx(
        {
            "accuracy": 4.00,
            "f1": 3.12,
            "kappa_ovr": 2.84,
            "alpha_ovr": 2.81,
            "auc": 4.95,
            "auc_pr": 3.14,
        }
    )


def test_the_page_warns_wherever_the_protocol_differs(dataset: Dataset, report: Report) -> None:
    page = Page(report.to_html(dataset))
    assert page.text.count("Not the same protocol:") == len(tables_for(report))


# ---- drawings ---------------------------------------------------------------------------


def test_curve_names_stay_inside_and_apart() -> None:
    x = np.linspace(0, 1, 30)
    lines = [Line(e.value, x, x ** (1 / (i + 1.5)), e.value) for i, e in enumerate(EMOTIONS)]
    text = str(curves_plot(lines, "x", "y", diagonal=True))
    places = [
        (float(a), float(b))
        for a, b in re.findall(r'<text class="name [^"]+" x="([\d.]+)" y="([\d.]+)"', text)
    ]
    assert len(places) == 8
    assert all(44 <= a <= 416 and 10 <= b <= 382 for a, b in places)
    near = [
        (p, q)
        for i, p in enumerate(places)
        for q in places[:i]
        if abs(p[1] - q[1]) < 12 and abs(p[0] - q[0]) < 25
    ]
    assert near == []


def test_a_bin_says_which_way_it_errs() -> None:
    assert "gap over" in str(reliability_plot([Bin(0.8, 0.9, 5, 0.85, 0.5)]))
    assert "gap under" in str(reliability_plot([Bin(0.8, 0.9, 5, 0.85, 0.9)]))
    assert "gap" not in str(reliability_plot([Bin(0.8, 0.9, 0, None, None)]))


@pytest.mark.browser
@pytest.mark.slow
def test_no_table_is_cut_at_1300_pixels(
    dataset: Dataset, tmp_path: Path, launch_chromium: Callable[..., Any]
) -> None:
    report = score(dataset, predict(dataset))
    report.save(tmp_path / "report")
    names = ["imbalanced", "weighted-loss", "down-sampling", "up-sampling"]
    compare([report] * 4, names=names, rounds=5).save(tmp_path / "compared.html")
    find = "() => [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    browser = launch_chromium()
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    for path in ("report/report.html", "compared.html"):
        page.goto((tmp_path / path).as_uri())
        beyond = page.evaluate(find)
        assert beyond
        assert max(beyond) <= 0
    browser.close()
