"""Reports side by side: paired differences on equal rows, and no ranking on others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from narrowing import known
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import DestinationExists, InputError, MismatchError
from openaffect.face_row import FaceRow
from openaffect.labels import EMOTIONS
from openaffect.predictions import Predictions
from openaffect.reports import Report, compare, evaluate, open_report
from test_report_page import Page

N = 120


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("comparison") / "d"
    rng = np.random.default_rng(9)
    with write_dataset(folder, name="squares", check_images=False) as writer:
        for i in range(N):
            valence, arousal = rng.uniform(-0.7, 0.7, 2).tolist()
            writer.add(
                FaceRow(
                    f"f{i:03d}",
                    f"{i}.png",
                    expression=EMOTIONS[i % 8],
                    valence=valence,
                    arousal=arousal,
                )
            )
    return open_dataset(folder)


def system(dataset: Dataset, skill: float, seed: int, name: str | None = "s") -> Predictions:
    rng = np.random.default_rng(seed)
    n = len(dataset)
    scores = rng.normal(size=(n, 8))
    scores[np.arange(n), dataset.expression_ids] += skill
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    affect = np.clip(dataset.affect + rng.normal(0, 1 / (1 + skill), (n, 2)), -1, 1)
    return Predictions(dataset.ids, EMOTIONS, p, None, affect, [], {"model": name} if name else {})


def judge(dataset: Dataset, predictions: Predictions, labels: int | None = None) -> Report:
    return evaluate(dataset, predictions, labels=labels, draws=5, rounds=5)


def test_equal_predictions_differ_by_nothing(dataset: Dataset) -> None:
    one = judge(dataset, system(dataset, 1, 0))
    (group,) = compare([one, one], rounds=50).groups
    (other,) = [entry for entry in group.entries if not entry.is_baseline]
    values = {(d.value, d.low, d.high, d.p) for d in other.differences.values()}
    assert values == {(0.0, 0.0, 0.0, 1.0)}
    assert {"accuracy", "auc", "valence.ccc", "arousal.rmse"} <= set(other.differences)


def test_a_better_system_is_better_and_the_order_is_the_one_that_was_given(
    dataset: Dataset,
) -> None:
    good, bad = (
        judge(dataset, system(dataset, skill, 1, name))
        for skill, name in ((3.0, "good"), (0.3, "bad"))
    )
    (group,) = compare([bad, good], rounds=100).groups
    assert [(e.name, e.is_baseline) for e in group.entries] == [("bad", True), ("good", False)]
    found = group.entries[1].differences
    for metric in ("accuracy", "f1", "auc"):
        expected = [r.categorical[metric].orig.value for r in (good, bad)]
        assert found[metric].value == pytest.approx(expected[0] - expected[1], abs=1e-12)
    assert found["accuracy"].low > 0
    assert found["accuracy"].p == pytest.approx(2 / 101)
    rmse = [r.dimensional.valence.rmse.value for r in (good, bad)]
    assert found["valence.rmse"].value == pytest.approx(rmse[0] - rmse[1], abs=1e-12)
    assert found["valence.rmse"].high < 0


def test_other_rows_are_never_ranked_together(dataset: Dataset) -> None:
    half = dataset.select(np.arange(N // 2))
    whole, part = judge(dataset, system(dataset, 1, 2)), judge(half, system(half, 3, 2))
    comparison = compare([whole, part], rounds=10)
    assert [len(group.entries) for group in comparison.groups] == [1, 1]
    assert comparison.groups[0].entries[0].report is whole
    assert [e.differences for g in comparison.groups for e in g.entries] == [{}, {}]
    assert comparison.notes[0].startswith("2 groups: they were not scored on the same rows")
    assert "rows 60, not 120" in comparison.notes[1]


def test_other_label_sets_are_never_ranked_together(dataset: Dataset) -> None:
    predictions = system(dataset, 1, 3)
    comparison = compare(
        [judge(dataset, predictions), judge(dataset, predictions, labels=7)], rounds=10
    )
    assert len(comparison.groups) == 2
    assert "label set neutral, happy" in comparison.notes[1]


def test_one_changed_label_parts_two_reports(dataset: Dataset) -> None:
    names = dataset.faces["expression"].to_pylist()
    changed = dataset.with_column("expression", ["happy", *names[1:]])
    predictions = system(dataset, 1, 3)
    comparison = compare([judge(dataset, predictions), judge(changed, predictions)], rounds=10)
    assert len(comparison.groups) == 2
    assert "other rows or other labels" in comparison.notes[1]


def test_folders_alone_are_enough(dataset: Dataset, tmp_path: Path) -> None:
    reports = [judge(dataset, system(dataset, skill, 4)) for skill in (1, 2)]
    for number, report in enumerate(reports):
        report.save(tmp_path / str(number))
    opened = [open_report(tmp_path / str(number)) for number in (0, 1)]
    assert compare(opened, rounds=20).to_dict() == compare(reports, rounds=20).to_dict()


def test_rows_that_were_changed_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    report = judge(dataset, system(dataset, 1, 5))
    table = known(report.table)
    swapped = table.set_column(1, "expression", [table["expression"].to_pylist()[::-1]])
    with pytest.raises(MismatchError, match="not of one report"):
        compare([report, dataclasses.replace(report, table=swapped)], rounds=5)


def test_systems_that_share_only_a_part(dataset: Dataset) -> None:
    full = system(dataset, 1, 6)
    affect_only = Predictions(dataset.ids, affect=full.affect)
    choices = Predictions(dataset.ids, choices=dataset.expression_ids)
    comparison = compare([judge(dataset, p) for p in (full, affect_only, choices)], rounds=10)
    (group,) = comparison.groups
    found = {entry.name: set(entry.differences) for entry in group.entries}
    assert found["s"] == set()
    assert found["unnamed"] == {
        f"{axis}.{m}"
        for axis in ("valence", "arousal")
        for m in ("rmse", "mae", "corr", "sagr", "ccc")
    }
    assert "accuracy" in found["unnamed (2)"]
    assert "auc" not in found["unnamed (2)"]
    cells = [cell for table in comparison.tables() for row in table.rows for cell in row]
    assert "–" in cells


def test_the_tables_are_plain_and_whole(dataset: Dataset) -> None:
    reports = [judge(dataset, system(dataset, skill, 7)) for skill in (0.5, 3)]
    comparison = compare(reports, names=["old", "new"], rounds=20)
    scores, differences = comparison.tables()
    assert scores.header == ["", "old (baseline)", "new"]
    assert differences.header == ["", "new"]
    assert {len(row) for row in scores.rows} == {3}
    assert scores.rows[0][0] == "Accuracy"
    accuracy = reports[0].categorical.accuracy.orig
    assert scores.rows[0][1].startswith(f"{accuracy.value:.3f} [{accuracy.low:.3f}, ")
    assert differences.rows[0][1].startswith("+0.")
    assert "p=" in differences.rows[0][1]
    assert "difference to old" in differences.title


def test_the_data_is_strict_json(dataset: Dataset) -> None:
    affect = np.zeros((N, 2))  # a constant: no correlation
    constant = Predictions(dataset.ids, affect=affect, made_with={"model": "zero"})
    reports = [judge(dataset, p) for p in (constant, system(dataset, 1, 8))]
    data = compare(reports, rounds=10).to_dict()
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text) == data
    (group,) = data["groups"]
    named = {entry["name"]: entry for entry in group["reports"]}
    assert named["s"]["differences"]["valence.corr"]["value"] is None
    assert named["zero"]["baseline"] is True


def test_what_is_refused(dataset: Dataset) -> None:
    report = judge(dataset, system(dataset, 1, 0))
    with pytest.raises(InputError, match="two or more reports, but got 1"):
        compare([report])
    with pytest.raises(InputError, match="a name for each of 2"):
        compare([report, report], names=["a"])
    with pytest.raises(InputError, match=r"rows\.parquet"):
        compare([report, dataclasses.replace(report, table=None)])


def test_the_page_holds_every_number_and_links_to_the_reports(
    dataset: Dataset, tmp_path: Path
) -> None:
    half = dataset.select(np.arange(N // 2))
    reports = [
        judge(dataset, system(dataset, 0.5, 7)),
        judge(dataset, system(dataset, 3, 7)),
        judge(half, system(half, 1, 7)),
    ]
    comparison = compare(reports, names=["<old>", "new", "half"], rounds=20)
    path = comparison.save(tmp_path / "c.html", title="A & B", pages=["a.html", "b.html", "c.html"])
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert {"scores", "classes", "affect", "differences"} <= set(page.sections)
    assert sorted(page.links) == ["a.html", "b.html", "c.html"]
    assert page.loads == []
    assert "A & B" in page.text
    assert "<old>" not in text
    assert comparison.notes[0] in page.text
    wanted = []
    for report in reports:
        wanted += [
            f"{report.categorical.f1.norm.value:.3f}",
            f"{report.dimensional.arousal.ccc.value:.3f}",
            report.protocol.fingerprint[:12],
        ]
    (new,) = [e for e in comparison.groups[0].entries if e.name == "new"]
    wanted += [f"{d.value:+.3f}".replace("-", "−") for d in new.differences.values()]
    assert len(wanted) > 20
    assert [text for text in wanted if text not in page.text] == []


def test_the_page_is_replaced_only_on_demand(dataset: Dataset, tmp_path: Path) -> None:
    report = judge(dataset, system(dataset, 1, 7))
    comparison = compare([report, report], rounds=5)
    with pytest.raises(InputError, match="a page for each of 2"):
        comparison.save(tmp_path / "c.html", pages=["a.html"])
    comparison.save(tmp_path / "c.html")
    with pytest.raises(DestinationExists):
        comparison.save(tmp_path / "c.html")
    comparison.save(tmp_path / "c.html", overwrite=True)
