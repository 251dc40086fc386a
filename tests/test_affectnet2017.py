"""The paper's tables by one call: resumed row by row, failures named, ours beside the published."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openaffect.cli import main
from openaffect.dataset import Dataset, open_dataset, save_dataset
from openaffect.errors import InputError, UnknownName
from openaffect.labels import EMOTIONS
from openaffect.predictions import Predictions
from openaffect.progress import Progress
from openaffect.replication.affectnet2017 import ROWS, replicate_affectnet2017
from openaffect.replication.experiment_data import claim_folder
from openaffect.replication.experiments import (
    Experiment,
    ReplicationResult,
    choose_split,
    outside_rows,
)
from openaffect.reports import open_report
from openaffect.training import load_recipe
from training.faces import make_faces

pytestmark = pytest.mark.slow

FAST = (
    "resize=16",
    "size=16",
    "components=2",
    "early_stopping_fraction=0.2",
    "batch_size=16",
    "epochs=2",
)
# HOG learns in a moment; networks have their own, slower test below.
TABLE = (
    Experiment(
        "imbalanced", "Imbalanced", "hog-svm", ("strategy=imbalanced",), "AlexNet, imbalanced"
    ),
    Experiment("down", "Down-sampling", "hog-svm", ("max_per_class=6",), "AlexNet, down-sampling"),
    Experiment("svm", "SVM", "no-such-recipe", published="HOG and SVM"),
    Experiment("va", "Affect CNN", "hog-svr", published="AlexNet, one for each axis"),
)


class Killed(BaseException):
    """Stands for a kill: nothing that the pipeline may catch."""


class Watch:
    """Progress that remembers what was said and trained, and kills at a place."""

    def __init__(self, kill_in: str = "", step: int = 0) -> None:
        self.said: list[str] = []
        self.steps: dict[str, list[int]] = {}
        self.kill_in, self.step = kill_in, step

    def __call__(self, event: Progress) -> None:
        if event.line and not event.name:
            self.said.append(event.line)
        if event.phase != "training":
            return
        self.steps.setdefault(event.name, []).append(event.done)
        if event.name == self.kill_in and event.done == self.step:
            raise Killed


def run(
    faces: Dataset, folder: Path, watch: Watch | None = None, **options: Any
) -> ReplicationResult:
    watch = watch or Watch()
    values: dict[str, Any] = {"settings": FAST, "draws": 5, "rounds": 20, "table": TABLE}
    return replicate_affectnet2017(
        faces,
        folder,
        on_progress=watch,
        **(values | options),
    )


def facts(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "affectnet2017.json").read_text(encoding="utf-8"))
    return data


def in_splits(number: int, row: Any) -> None:
    row.split = "validation" if number % 3 == 0 else "train"
    if number % 5 == 0:  # what no system can know, so that no score is perfect
        row.expression = EMOTIONS[(row.expression.id + 1 + number // 40) % 8]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """120 faces of eight expressions, 40 of them for validation; some labels are wrong."""
    path = tmp_path_factory.mktemp("affectnet2017") / "faces"
    return make_faces(path, 120, labels=EMOTIONS, change=in_splits, name="stripes")


@pytest.fixture(scope="module")
def story(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One table, killed in its second row, then gone on with, then called once more."""
    folder = tmp_path_factory.mktemp("affectnet2017") / "tables"
    killed, resumed, again = Watch("down", step=1), Watch(), Watch()
    with pytest.raises(Killed):
        run(faces, folder, killed)
    after_kill = facts(folder)
    model = (folder / "imbalanced" / "run" / "model.onnx").stat().st_mtime_ns
    result = run(faces, folder, resumed)
    page = (folder / "affectnet2017.html").read_text(encoding="utf-8")
    data = facts(folder)
    last = run(faces, folder, again)
    return {
        "folder": folder,
        "killed": killed,
        "resumed": resumed,
        "again": again,
        "after_kill": after_kill,
        "model": model,
        "result": result,
        "last": last,
        "page": page,
        "data": data,
    }


def test_a_killed_table_goes_on_row_by_row(story: dict[str, Any]) -> None:
    statuses = {row["key"]: row["status"] for row in story["after_kill"]["rows"]}
    assert statuses == {"imbalanced": "done", "down": "not run", "svm": "not run", "va": "not run"}
    # The finished row is not trained again, the killed one is.
    assert set(story["killed"].steps) == {"imbalanced", "down"}
    assert set(story["resumed"].steps) == {"down", "va"}
    assert "1/4 Imbalanced: finished before, kept" in story["resumed"].said
    model = story["folder"] / "imbalanced" / "run" / "model.onnx"
    assert model.stat().st_mtime_ns == story["model"]
    statuses = {o.row.key: o.status for o in story["result"].outcomes}
    assert statuses == {"imbalanced": "kept", "down": "done", "svm": "failed", "va": "done"}


def test_a_finished_table_trains_nothing(story: dict[str, Any]) -> None:
    assert story["again"].steps == {}
    statuses = {o.row.key: o.status for o in story["last"].outcomes}
    assert statuses == {"imbalanced": "kept", "down": "kept", "svm": "failed", "va": "kept"}


def test_a_row_that_fails_is_named_and_ends_no_other(story: dict[str, Any]) -> None:
    (failed,) = story["result"].failed
    assert failed.row.key == "svm"
    assert "unknown recipe 'no-such-recipe'" in failed.reason
    assert "SVM failed: unknown recipe" in story["page"]
    (row,) = [row for row in story["data"]["rows"] if row["key"] == "svm"]
    assert row["categorical"] is None
    assert "no-such-recipe" in row["reason"]


def test_the_page_has_both_numbers(story: dict[str, Any]) -> None:
    report = open_report(story["folder"] / "down" / "report")
    ours = report.categorical.accuracy
    assert 0.15 < ours.orig.value < 0.95  # no number that any mistake would give
    section = story["page"].split('<section id="test">')[1].split("</section>")[0]
    cells = re.findall(r"<tr><td class=\"k-l\">Accuracy.*?</tr>", section)
    assert len(cells) == 2  # Orig and Norm
    for line, way, published in zip(cells, ("orig", "norm"), (".68", ".58"), strict=True):
        second = line.split('<td class="k-n">')[2]
        assert second.startswith(f"<b>{ours[way].value:.3f}</b>")
        assert f"[{ours[way].low:.3f}, {ours[way].high:.3f}]" in second
        assert f'<td class="their">0{published}</td>' in second
    assert "MS Cognitive" in story["page"]
    assert "another dataset (stripes)" in story["page"]
    assert "it is of another kind, so they are not set beside ours" in story["page"]
    assert "Recipes ran with resize=16" in story["page"]
    assert not re.search(r"(src|href)=\"https?:", story["page"])  # self-contained


def test_floors_and_published_numbers_stand_by_the_affect_scores(story: dict[str, Any]) -> None:
    report = open_report(story["folder"] / "va" / "report")
    floor = report.dimensional.arousal.floors.train_mean.rmse
    section = story["page"].split('<section id="affect">')[1].split("</section>")[0]
    assert f"<b>{floor:.3f}</b>" in section
    assert f"<b>{report.dimensional.valence.ccc.value:.3f}</b>".replace("-", "−") in section
    for published in ("0.37", "0.66", "0.74", "0.60", "0.41", "0.54", "0.65", "0.34"):
        assert f'<td class="their">{published}</td>' in section


def test_the_strategies_are_compared_by_a_paired_bootstrap(story: dict[str, Any]) -> None:
    (group,) = story["data"]["comparisons"]["expressions"]["groups"]
    entries = {entry["name"]: entry for entry in group["reports"]}
    assert entries["Imbalanced"]["baseline"]
    found = entries["Down-sampling"]["differences"]["f1"]["value"]
    reports = [open_report(story["folder"] / key / "report") for key in ("down", "imbalanced")]
    values = [report.categorical.f1.orig.value for report in reports]
    assert found == pytest.approx(values[0] - values[1], abs=1e-12)
    assert story["data"]["comparisons"]["affect"] is None  # one system alone


def test_only_some_rows_and_another_recipe(faces: Dataset, story: dict[str, Any]) -> None:
    watch = Watch()
    settings = (*FAST, "imbalanced:components=3", "svm:seed=1")
    result = run(faces, story["folder"], watch, rows=["imbalanced"], settings=settings)
    assert watch.steps == {}
    (failed,) = result.failed
    assert "components = 2, but the recipe now has 3" in failed.reason
    assert "--overwrite" in failed.reason
    kept = {o.row.key for o in result.outcomes if o.status == "kept"}
    assert kept == {"down", "va"}  # of rows that were not asked for, what is there is shown


def test_changed_labels_make_a_row_anew(faces: Dataset, story: dict[str, Any]) -> None:
    changed = faces.where(split=["train", "validation"])
    changed = changed.with_column(
        "expression", [*faces.faces["expression"].to_pylist()[:-1], "sad"]
    )
    result = run(changed, story["folder"], rows=["down"])
    (failed,) = result.failed
    assert "other data" in failed.reason


def test_overwrite_begins_a_row_anew(faces: Dataset, tmp_path: Path) -> None:
    run(faces, tmp_path / "t", rows=["va"])
    settings = (*FAST, "components=3")
    assert run(faces, tmp_path / "t", rows=["va"], settings=settings).failed
    watch = Watch()
    result = run(faces, tmp_path / "t", watch, rows=["va"], settings=settings, overwrite=True)
    assert [o.status for o in result.outcomes if o.row.key == "va"] == ["done"]
    assert set(watch.steps) == {"va"}
    recipe = load_recipe(tmp_path / "t" / "va" / "run" / "recipe.toml")
    assert recipe.components == 3


def test_a_broken_report_is_made_again_without_training(
    faces: Dataset, story: dict[str, Any]
) -> None:
    path = story["folder"] / "down" / "report" / "report.json"
    before = path.read_text(encoding="utf-8")
    path.write_text("{", encoding="utf-8")
    watch = Watch()
    result = run(faces, story["folder"], watch, rows=["down"])
    assert result.failed == ()
    assert watch.steps == {}
    assert path.read_text(encoding="utf-8") == before


def like_affectnet(faces: Dataset) -> Dataset:
    """Rows of 500 validation faces of each expression under AffectNet's name; no new pictures."""
    scored = np.flatnonzero(np.array(faces.faces["split"].to_pylist()) == "validation")
    learned = np.setdiff1d(np.arange(len(faces)), scored)
    many = faces.select(np.concatenate([np.tile(scored, 100), learned]))
    many = many.with_column("face_id", [f"face-{n}" for n in range(len(many))])
    names = [EMOTIONS[n % 8].value for n in range(len(many))]
    many = many.with_column("expression", names)
    return dataclasses.replace(many, info=dataclasses.replace(faces.info, name="AffectNet"))


def outside(faces: Dataset, path: Path, seed: int = 0) -> Path:
    scored = faces.where(split="validation")
    random = np.random.default_rng(seed).dirichlet(np.ones(8), len(scored))
    Predictions(scored.ids, EMOTIONS, random, made_with={"model": "outside"}).save(path)
    return path


def test_an_outside_system_becomes_a_column(
    faces: Dataset, story: dict[str, Any], tmp_path: Path
) -> None:
    files = {
        "MS Cognitive": outside(faces, tmp_path / "a.parquet"),
        "Our other net": outside(faces, tmp_path / "b.parquet", seed=1),
    }
    result = run(faces, story["folder"], rows=["down"], predictions=files)
    page = result.page.read_text(encoding="utf-8")
    report = open_report(story["folder"] / "ms-cognitive" / "report")
    accuracy = report.categorical.accuracy.orig.value
    line = re.findall(r"<tr><td class=\"k-l\">Accuracy.*?</tr>", page)[0]
    column = next(
        part for part in line.split('<td class="k-n">') if part.startswith(f"<b>{accuracy:.3f}")
    )
    assert '<td class="their">0.68</td>' in column  # beside the service's published number
    assert "Our other net" in page
    assert 'colspan="2">MS Cognitive' in page
    assert page.count('colspan="2">MS Cognitive') == 1


def test_the_validation_table_is_shown_for_its_kind_of_split(
    faces: Dataset, tmp_path: Path
) -> None:
    faces = like_affectnet(faces)
    files = {"outside": outside(faces, tmp_path / "a.parquet")}
    result = run(faces, tmp_path / "t", rows=[], settings=(), predictions=files)
    page = result.page.read_text(encoding="utf-8")
    section = page.split('<section id="validation">')[1].split("</section>")[0]
    assert "The scored split is of the same kind" in section
    assert "Dataset, split, label set and number of faces are the same" in section
    assert '<td class="their">0.58</td>' in section
    assert "0.47†" in section
    assert "below chance" in section
    # The test column still does not compare.
    assert "another split (validation, not test)" in page.split('<section id="validation">')[0]


# ---- what is refused ---------------------------------------------------------------------


def test_a_slip_in_a_setting_is_told_at_once(faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'epochs'"):
        run(faces, tmp_path / "t", settings=("epocs=1",))
    with pytest.raises(UnknownName, match="unknown row 'dwn'"):
        run(faces, tmp_path / "t", rows=["dwn"])
    with pytest.raises(UnknownName, match="did you mean 'down'"):
        run(faces, tmp_path / "t", settings=("dwn:epochs=1",))


def test_a_folder_with_other_things_is_left_alone(faces: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"no affectnet2017\.json"):
        run(faces, tmp_path)
    with pytest.raises(InputError, match=r"no affectnet2017\.json"):
        claim_folder(tmp_path / "thesis.txt", "affectnet2017.json")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "left", ["affectnet2017.html", "affectnet2017.json", ".affectnet2017.html.partial-host.7.1.0"]
)
def test_a_folder_that_a_kill_left_while_its_page_was_written_is_its_own(
    tmp_path: Path, left: str
) -> None:
    (tmp_path / left).write_text("")
    claim_folder(tmp_path, "affectnet2017.json")


def test_a_dataset_without_splits_is_refused(faces: Dataset, tmp_path: Path) -> None:
    plain = faces.with_column("split", [None] * len(faces))
    with pytest.raises(InputError, match="openaffect split"):
        choose_split(plain, None)
    assert choose_split(plain, "all") == "all"
    assert choose_split(faces, None) == "validation"


def test_names_of_outside_systems(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    path.touch()
    (row,) = outside_rows({"My Net 2": path}, ROWS, {})
    assert (row.key, row.title) == ("my-net-2", "My Net 2")
    for name, message in (("imbalanced", "taken"), ("../x", "letters"), (" ", "letters")):
        with pytest.raises(InputError, match=message):
            outside_rows({name: path}, ROWS, {})
    with pytest.raises(InputError, match="no file"):
        outside_rows({"x": tmp_path / "nowhere"}, ROWS, {})


def test_the_papers_own_rows_are_recipes_that_exist() -> None:
    recipes = {row.key: load_recipe(row.recipe, row.settings) for row in ROWS}
    strategies = {key: recipe.strategy for key, recipe in recipes.items()}
    assert list(strategies)[:4] == ["imbalanced", "down-sampling", "up-sampling", "weighted-loss"]
    assert all(strategies[key] == key for key in list(strategies)[:4])
    assert [recipes[key].method for key in ("svm", "va-svr")] == ["hog", "hog"]
    assert {recipes[key].target for key in ("va-cnn", "va-svr")} == {"affect"}
    assert recipes["va-cnn"].separate_networks


@pytest.mark.slow
def test_a_killed_network_goes_on_behind_its_checkpoint(faces: Dataset, tmp_path: Path) -> None:
    table = (Experiment("net", "Net", "resnet-small-imbalanced", published="AlexNet, imbalanced"),)
    options: dict[str, Any] = {
        "table": table,
        "settings": (*FAST, "checkpoint_steps=1", "warmup=0"),
    }
    killed, resumed = Watch("net", step=3), Watch()
    with pytest.raises(Killed):
        run(faces, tmp_path / "t", killed, **options)
    assert facts(tmp_path / "t")["rows"][0]["status"] == "not run"
    result = run(faces, tmp_path / "t", resumed, **options)
    assert killed.steps["net"] == [1, 2, 3]
    # A checkpoint is written when the next step has shown that it is good.
    assert resumed.steps["net"][0] == 3
    assert [o.status for o in result.outcomes] == ["done"]
    assert [o.status for o in run(faces, tmp_path / "t", **options).outcomes] == ["kept"]


@pytest.mark.slow
def test_the_command_names_failures_in_its_status(
    faces: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_dataset(faces.with_column("valence", [None] * len(faces)).with_column(
        "arousal", [None] * len(faces)), tmp_path / "faces")  # fmt: skip
    call = [
        "replicate",
        "affectnet2017",
        str(tmp_path / "faces"),
        str(tmp_path / "t"),
        "--rows",
        "svm,va-svr",
    ]
    call += [
        "--set",
        "resize=16",
        "--set",
        "size=16",
        "--set",
        "components=2",
        "--set",
        "early_stopping_fraction=0.2",
    ]
    call += ["--draws", "5", "--rounds", "20"]
    assert main(call) == 1
    told = capsys.readouterr()
    assert "done: open" in told.out
    assert "Affect SVR: " in told.err
    assert open_dataset(tmp_path / "faces").info.name == "stripes"
    assert (tmp_path / "t" / "svm" / "report" / "report.html").is_file()
    assert main([*call[:5], "svm", *call[6:]]) == 0
    assert "SVM: finished before, kept" in capsys.readouterr().err
    assert main([*call, "--predictions", "nonsense"]) == 1
    assert "NAME=FILE" in capsys.readouterr().err
