"""The tables of Giguere 2020: its printed numbers checked, its protocol applied, ours beside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from openaffect import schemas
from openaffect.curation import plan_split
from openaffect.dataset import Dataset, DatasetInfo
from openaffect.errors import InputError, UnknownName
from openaffect.labels import EMOTIONS, Expression
from openaffect.replication.experiments import Experiment, ReplicationResult
from openaffect.replication.giguere2020 import ROWS, replicate_giguere2020, split_like_giguere2020
from openaffect.replication.giguere2020_tables import (
    SIX,
    SPLITS,
    TABLE_4,
    TOTALS,
    TRAINED,
    misprints,
)
from openaffect.reports import open_report
from openaffect.training import load_recipe
from openaffect.training.imbalance import class_weights
from test_affectnet2017 import Watch
from training.faces import make_faces

FIVE = "labels=neutral,happy,sad,surprise,anger"
SIX_LABELS = "labels=neutral,happy,sad,surprise,fear,anger"
TABLE = (
    Experiment("transfer", "ResNet-50 transfer", "hog-svm", (FIVE,)),
    Experiment("vgg-unweighted", "VGG type, unweighted loss", "hog-svm", (SIX_LABELS, "strategy=imbalanced")),
    Experiment("vgg", "VGG type, class-balanced loss", "hog-svm", (SIX_LABELS, "max_per_class=5")),
)  # fmt: skip
FAST = ("resize=16", "components=6", "svm_c=10", "early_stopping_fraction=0.2")


def run(
    faces: Dataset, folder: Path, watch: Watch | None = None, **options: Any
) -> ReplicationResult:
    watch = watch or Watch()
    values: dict[str, Any] = {"settings": FAST, "draws": 5, "rounds": 20, "rows": TABLE}
    return replicate_giguere2020(
        faces,
        folder,
        on_progress=watch,
        **(values | options),
    )


def table_of(counts: dict[tuple[str | None, Expression], int]) -> Dataset:
    """A dataset of rows alone, without pictures, in memory."""
    splits = [split for (split, _), n in counts.items() for _ in range(n)]
    names = [label.value for (_, label), n in counts.items() for _ in range(n)]
    ids = [f"face-{n}" for n in range(len(names))]
    columns = {"face_id": ids, "image": ids, "expression": names, "split": splits}
    arrays = [
        pa.array(columns.get(field.name, [None] * len(ids)), field.type) for field in schemas.FACES
    ]
    info = DatasetInfo(name="AffectNet", images="images")
    return Dataset(Path("nowhere"), info, pa.table(arrays, schema=schemas.FACES))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """128 faces of eight expressions, half of them for validation; some labels are wrong."""

    def change(number: int, row: Any) -> None:
        row.split = "validation" if number < 64 else "train"
        if number % 5 == 0:
            row.expression = EMOTIONS[(row.expression.id + 1) % 8]

    return make_faces(
        tmp_path_factory.mktemp("giguere2020") / "faces",
        128,
        labels=EMOTIONS,
        change=change,
        name="stripes",
    )


@pytest.fixture(scope="module")
def done(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("giguere2020") / "tables"
    assert run(faces, folder).failed == ()
    return folder


def section(folder: Path, name: str) -> str:
    page = (folder / "giguere2020.html").read_text(encoding="utf-8")
    return page.split(f'<section id="{name}">')[1].split("</section>")[0]


# ---- the printed numbers -----------------------------------------------------------------


def test_the_misprints_of_table_3_follow_from_its_other_numbers() -> None:
    assert dict(zip(SIX, TRAINED, strict=True))[Expression.SAD] == 25_186
    assert dict(zip(SIX, TRAINED, strict=True))[Expression.ANGER] == 24_615
    wrong = [n for n, (a, b) in enumerate(zip(TRAINED, SPLITS["train"], strict=True)) if a != b]
    assert [SIX[n].value for n in wrong] == ["sad", "anger"]
    assert sum(TRAINED) == TOTALS["train"] != sum(SPLITS["train"])
    assert [sum(SPLITS[name]) for name in ("validation", "test")] == [3_000, 3_006]


def test_every_misprint_says_what_is_printed_and_what_must_be() -> None:
    found = {m.place: m for m in misprints()}
    assert "25,186" in found["Table 3, training faces"].right
    assert "277,759" in found["Table 3, training faces"].reason
    assert found["Table 5, faces of each expression"].printed.endswith("(in all 3,000)")
    assert found["Table 5, faces of each expression"].right.endswith("(in all 3,006)")
    assert "44.1 % and 44.2 %" in found["Table 7, F1"].right
    assert len(found) == len(misprints())


def test_our_class_weights_differ_from_the_printed_ones_by_as_much_as_the_page_says(
    done: Path,
) -> None:
    printed = [0.802518525, 0.802092228, 0.866721731, 1.045004055, 1.612773364, 0.870890096]
    beta, early_stopping_fraction = (
        load_recipe("vgg-study").beta,
        load_recipe("vgg-study").early_stopping_fraction,
    )
    ours = class_weights("class-balanced", np.array(TRAINED) * (1 - early_stopping_fraction), beta)
    worst = np.abs(ours / np.array(printed) - 1).max()
    assert 0.05 < worst <= 0.06
    assert "on AffectNet they differ by 6 % at most" in section(done, "protocol")


@pytest.mark.slow
def test_our_way_to_draw_gives_the_studys_test_faces() -> None:
    """AffectNet's training counts, 3,006 faces in proportion: Table 3's line, face for face."""
    trained = [a + b for a, b in zip(TRAINED, SPLITS["test"], strict=True)]
    counts: dict[tuple[str | None, Expression], int] = {
        ("train", label): n for label, n in zip(SIX, trained, strict=True)
    }
    counts |= {("train", Expression.DISGUST): 3_803, ("train", Expression.CONTEMPT): 3_750}
    counts |= {("validation", label): 500 for label in EMOTIONS}
    plan = plan_split(table_of(counts), test=str(TOTALS["test"]), labels=[*SIX])
    drawn = plan.drawn["test"]
    assert tuple(drawn[label.value] for label in SIX) == SPLITS["test"]
    assert plan.splits.count("test") == 3_006
    assert plan.splits.count("validation") == 4_000


# ---- the protocol ------------------------------------------------------------------------


def small(count: int, *, test: bool = False, validation: bool = True) -> Dataset:
    counts: dict[tuple[str | None, Expression], int] = {("train", e): count for e in EMOTIONS}
    if validation:
        counts |= {("validation", e): 7 for e in EMOTIONS}
    if test:
        counts |= {("test", e): 6 for e in EMOTIONS}
    return table_of(counts)


def test_the_studys_protocol_is_applied_where_a_dataset_is_large_enough(tmp_path: Path) -> None:
    used, words = split_like_giguere2020(small(5_010), tmp_path / "split")
    splits = used.faces["split"].to_pylist()
    assert splits.count("test") == 3_006
    assert splits.count("validation") == 7 * 8
    assert "3,006 faces drawn" in words[0]
    assert "7 faces of each expression, the dataset’s own split" in words[1]
    assert (tmp_path / "split" / "dataset.json").is_file()


def test_the_studys_protocol_draws_validation_faces_where_there_are_none(tmp_path: Path) -> None:
    used, words = split_like_giguere2020(small(5_510, validation=False), tmp_path / "split")
    ids = used.where(split="validation").expression_ids
    assert np.bincount(ids, minlength=8).tolist() == [500, 500, 500, 500, 500, 0, 500, 0]
    assert "500 faces of each expression, drawn" in words[1]


def test_faces_in_no_split_are_neither_drawn_nor_learned(tmp_path: Path) -> None:
    """AffectNet's automatically annotated faces stand beside its splits."""
    counts: dict[tuple[str | None, Expression], int] = {(None, e): 5_010 for e in EMOTIONS}
    for e in EMOTIONS:
        counts["train", e], counts["validation", e] = 50, 7
    used, words = split_like_giguere2020(table_of(counts), tmp_path / "split")
    assert "too few faces" in words[0]
    assert used.faces["split"].to_pylist().count("train") == 50 * 8
    counts |= {("train", e): 5_010 for e in EMOTIONS} | {(None, e): 9 for e in EMOTIONS}
    used, _ = split_like_giguere2020(table_of(counts), tmp_path / "split")
    assert len(used) == (5_010 + 7) * 8


@pytest.mark.parametrize(
    ("dataset", "split", "reason"),
    [
        (small(5_010, test=True), None, "it has a test split"),
        (small(100), None, "too few faces"),
        (small(5_010), "validation", "was named"),
    ],
)
def test_other_splits_are_kept_and_said(
    dataset: Dataset, split: str | None, reason: str, tmp_path: Path
) -> None:
    used, words = split_like_giguere2020(dataset, tmp_path / "split", split)
    assert used is dataset
    assert reason in words[0]
    assert "500 validation faces of each expression, 3,006 test faces" in words[1]
    assert not (tmp_path / "split").exists()


# ---- the tables --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_has_ours_the_printed_and_the_recomputed(done: Path) -> None:
    for key, name, numbers in (
        ("transfer", "table-4", ("0.57", "0.568", "0.59", "0.589", "0.441")),
        ("vgg", "table-5", ("0.63", "0.633", "0.62", "0.623", "0.442")),
    ):
        text = section(done, name)
        scores = open_report(done / key / "report").categorical
        assert 0.15 < scores.f1.orig.value < 0.95
        for metric in ("accuracy", "weighted_f1", "f1"):
            assert f"<b>{scores[metric].orig.value:.3f}</b>" in text
        for number in numbers:
            assert f'<span class="their">{number}</span>' in text
        assert text.count('<table class="confusion">') == (2 if key == "transfer" else 3)


@pytest.mark.slow
def test_the_matrices_are_those_of_print_and_report(done: Path) -> None:
    printed, ours = section(done, "table-4").split('<table class="confusion">')[1:]
    cells = [int(n.replace(",", "")) for n in re.findall(r"<td class=.*?<b>([\d,]+)</b>", printed)]
    assert cells == [n for row in TABLE_4 for n in row]
    counts = open_report(done / "transfer" / "report").confusion.counts
    cells = [int(n.replace(",", "")) for n in re.findall(r"<td class=.*?<b>([\d,]+)</b>", ours)]
    assert cells == [n for row in counts for n in row[:-1]]


@pytest.mark.slow
def test_recall_counts_and_comparison(done: Path) -> None:
    report = open_report(done / "vgg" / "report")
    text = section(done, "table-6")
    assert f"<b>{report.per_class['sad'].recall:.3f}</b>" in text
    assert '<span class="their">0.202</span>' in text
    lines = re.findall(r"<tr>.*?</tr>", section(done, "table-3"))
    here = next(line for line in lines if "Validation, here" in line)
    assert f"<b>{report.per_class['sad'].support:,}</b>" in here
    text = section(done, "table-7")
    for number in ("0.64", "0.55", "0.589", "0.441", "0.623", "0.442"):
        assert f'<span class="their">{number}</span>' in text
    assert "too few faces" in section(done, "protocol")
    data = json.loads((done / "giguere2020.json").read_text(encoding="utf-8"))
    (group,) = data["comparison"]["groups"]
    baseline = [entry["name"] for entry in group["reports"] if entry["baseline"]]
    assert baseline == ["VGG type, unweighted loss"]
    assert data["published"]["5"]["recomputed"]["f1"] == pytest.approx(0.442, abs=5e-4)


def test_only_what_the_tables_need_is_trained(faces: Dataset, tmp_path: Path) -> None:
    watch = Watch()
    run(faces, tmp_path / "t", watch, tables=["3"])
    assert watch.steps == {}
    run(faces, tmp_path / "t", watch, tables=["6", "3"])
    assert set(watch.steps) == {"vgg"}
    page = (tmp_path / "t" / "giguere2020.html").read_text(encoding="utf-8")
    shown = re.findall(r'<section id="table-(\d)">', page)
    assert shown == ["3", "6"]


@pytest.mark.slow
def test_a_second_call_trains_nothing(faces: Dataset, done: Path) -> None:
    watch = Watch()
    assert {o.status for o in run(faces, done, watch).outcomes} == {"kept"}
    assert watch.steps == {}


def test_a_model_that_fails_is_named_and_ends_no_other(faces: Dataset, tmp_path: Path) -> None:
    settings = (*FAST, "transfer:resize=12")
    result = run(faces, tmp_path / "t", settings=settings)
    (failed,) = result.failed
    assert failed.row.key == "transfer"
    assert "multiple of 8" in failed.reason
    text = section(tmp_path / "t", "table-4")
    assert "0.568" in text
    assert text.count('<table class="confusion">') == 1


def test_the_advice_for_a_failed_model_is_for_it_alone(faces: Dataset, tmp_path: Path) -> None:
    result = run(faces, tmp_path / "t", settings=(*FAST, "transfer:early_stopping_fraction=0.0001"))
    (failed,) = result.failed
    assert failed.reason.endswith("--set transfer:early_stopping_fraction=0.2")


def test_a_table_that_the_study_does_not_have(faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown table '8'"):
        run(faces, tmp_path / "t", tables=["8"])
    with pytest.raises(InputError, match="got none"):
        run(faces, tmp_path / "t", tables=[])
    assert not (tmp_path / "t").exists()


def test_the_studys_own_rows_are_recipes_that_exist() -> None:
    recipes = {row.key: load_recipe(row.recipe, row.settings) for row in ROWS}
    assert len(recipes["transfer"].label_set) == 5
    assert recipes["vgg"].label_set == recipes["vgg-unweighted"].label_set == SIX
    assert recipes["vgg"].strategy == "class-balanced"
    assert recipes["vgg-unweighted"].strategy == "imbalanced"
    assert recipes["vgg"].beta == 0.9999
