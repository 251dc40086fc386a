"""The command line from synthetic faces to a report, and the demo, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from openaffect.cli import main

RECIPE = """
name = "tiny"
source = "a test"
backbone = "resnet-small"
target = "both"
resize = 24
size = 24
batch_size = 16
epochs = 2
early_stopping_fraction = 0.2
learning_rate = 0.003
optimizer = "adamw"
"""


@pytest.mark.slow
def test_from_synthetic_faces_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE, encoding="utf-8")
    steps = [
        ["synthesize", "64", "drawn", "--size", "64"],
        ["check", "drawn", "--write", "clean"],
        ["split", "clean", "faces", "--test", "2-per-class", "--validation", "1-per-class"],
        ["train", "faces", "run", "--recipe", "tiny.toml"],
        ["train", "faces", "run", "--recipe", "tiny.toml", "--resume"],
        ["predict", "run", "faces", "-o", "predictions.parquet"],
        ["evaluate", "faces", "predictions.parquet", "-o", "report", "--rounds", "20"],
        ["train", "faces", "other", "--recipe", "tiny.toml", "--set", "strategy=weighted-loss"],
        ["predict", "other", "faces", "--split", "test", "-o", "other.parquet"],
        ["evaluate", "faces", "other.parquet", "-o", "report2", "--rounds", "20"],
        ["compare", "report", "report2", "--rounds", "20", "--json", "-o", "page.html"],
        ["export", "affectnet8", "faces", "exported"],
        ["import", "affectnet8", "exported", "again"],
    ]
    for step in steps:
        capsys.readouterr()
        assert main(step) == 0, (step, capsys.readouterr().err)
        if step[0] == "compare":
            comparison = json.loads(capsys.readouterr().out)
    assert "report2" in Path("page.html").read_text(encoding="utf-8")
    assert len(comparison["groups"]) == 1  # both were scored on the same faces
    report = json.loads(Path("report/report.json").read_text(encoding="utf-8"))
    assert report["protocol"]["rows"] == 16
    assert report["categorical"]["accuracy"]["orig"]["n"] == 16
    assert report["dimensional"]["valence"]["ccc"]["n"] == 16
    faces = pq.read_table("again/faces.parquet")
    assert len(faces) == 64
    assert faces["landmarks"].null_count == 0

    picture = next(Path("drawn/images").rglob("*.png"))
    analyze = ["analyze", str(picture), "nowhere.jpg", "--model", "run", "--detector", "haar"]
    assert main([*analyze, "-o", "rows.csv", "--overlay", "out"]) == 0
    rows = Path("rows.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert len(list(Path("out").rglob("*.png"))) == 1

    for thing, kind in (
        ("faces", "dataset"),
        ("run", "run"),
        ("run/model.onnx", "model"),
        ("predictions.parquet", "predictions"),
        ("report", "report"),
    ):
        capsys.readouterr()
        assert main(["info", thing, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind
        assert main(["info", thing]) == 0


@pytest.mark.slow
def test_the_demo_learns(tmp_path: Path) -> None:
    """A short demo; the scores say that something was learned, not how well."""
    assert main(["demo", str(tmp_path / "demo"), "--faces", "1500", "--epochs", "8"]) == 0
    assert (tmp_path / "demo" / "report.html").stat().st_size > 20_000
    path = tmp_path / "demo" / "imbalanced" / "report" / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    # Ranking by chance has an AUC of 0.5; the accuracy of guessing the commonest class is no floor
    # that a balanced view of eight skewed classes has to be above.
    assert report["categorical"]["auc"]["orig"]["low"] > 0.6
    assert main(["demo", str(tmp_path / "demo")]) == 1  # never over what is there


@pytest.mark.slow
@pytest.mark.real
def test_ferplus_from_the_archive_to_a_report(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real data through the whole spine; one short epoch beats guessing the commonest class."""
    monkeypatch.chdir(tmp_path)
    settings = ["epochs=1", "strategy=down-sampling", "max_per_class=400", "soft_labels=true"]
    sets = [part for setting in settings for part in ("--set", setting)]
    archive = str(test_data / "ferplus.zip")
    assert main(["import", "ferplus", archive, "fer", "--label", "majority"]) == 0
    assert main(["train", "fer", "run", *sets]) == 0
    assert main(["predict", "run", "fer", "--split", "validation", "-o", "p.parquet"]) == 0
    assert main(["evaluate", "fer", "p.parquet", "-o", "report", "--rounds", "50"]) == 0
    report = json.loads(Path("report/report.json").read_text(encoding="utf-8"))
    assert report["protocol"]["rows"] == 3199
    assert report["categorical"]["auc"]["orig"]["low"] > 0.5
    assert report["protocol"]["left_out"] == {"uncertain": 380}
