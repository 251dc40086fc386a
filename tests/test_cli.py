"""The command line as a user meets it: results, errors and exit statuses."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from openaffect import console, errors
from openaffect.analysis.table import collect_rows
from openaffect.annotation import measure_agreement
from openaffect.cli import command_names, main
from openaffect.dataset import open_dataset
from openaffect.labels import EMOTIONS
from openaffect.progress import Progress


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 16 synthetic faces."""
    path = tmp_path_factory.mktemp("cli") / "drawn"
    assert main(["synthesize", "16", str(path), "--size", "64", "--seed", "5"]) == 0
    return path


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "openaffect 0.1.0\n"


@pytest.mark.parametrize("name", command_names())
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*name.split(), "--help"]) == 0
    assert f"Example: openaffect {name}" in capsys.readouterr().out


def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traain"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    assert main(["synthesize", "many", "x"]) == 2
    assert main(["synthesize"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere"], "no file or folder at nowhere"),
        (["import", "ferpluss", "x", "y"], "did you mean 'ferplus'"),
        (["import", "ferplus", "nowhere.zip", "y"], "nowhere.zip"),
        (["check", "nowhere"], "expected a dataset folder at nowhere"),
        (["train", "DRAWN", "run", "--recipe", "alexnet-weihted-loss"], "alexnet-weighted-loss"),
        (["train", "DRAWN", "run", "--set", "epocs=3"], "did you mean 'epochs'"),
        (["train", "DRAWN", "run", "--set", "epochs=many"], "expected recipe key 'epochs'"),
        (["predict", "nowhere.onnx", "DRAWN", "-o", "p.parquet"], "nowhere.onnx"),
        (["evaluate", "DRAWN", "nowhere.parquet", "-o", "r"], "no such file"),
        (["compare", "nowhere", "nowhere2"], "nowhere"),
        (["analyze", "DRAWN", "--model", "nowhere"], "nowhere"),
        (["synthesize", "8", "DRAWN"], "--overwrite"),
        (["split", "DRAWN", "s", "--validation", "lots"], "500-per-class, 10% or 1000"),
        (["weights", "yunett"], "did you mean 'yunet'"),
        (["export", "csv", "DRAWN", "x", "--option", "nonsense=1"], "nonsense"),
    ],
)
def test_a_users_error_is_one_line_and_status_1(
    arguments: list[str],
    message: str,
    drawn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    status = main([str(drawn) if a == "DRAWN" else a for a in arguments])
    streams = capsys.readouterr()
    assert status == 1
    errors = [line for line in streams.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in streams.err
    assert list(tmp_path.iterdir()) == []


def test_info_as_json(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["info", str(drawn), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "dataset"
    assert facts["rows"] == 16
    assert facts["classes"]["no split"]["contempt"] == 2


def test_info_of_an_agreement_and_of_a_project(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = [[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]] * 8
    voted = open_dataset(drawn).with_column("votes", votes)
    made = measure_agreement(voted)
    made.save(tmp_path / "a")
    for place in (tmp_path / "a", tmp_path / "a" / "agreement.json"):
        capsys.readouterr()
        assert main(["info", str(place), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["kind"], facts["protocol"]["faces"]) == ("agreement", 16)
        assert facts["expression"]["pair_agreement"] == 0.5
        assert facts["expression"]["human_ceiling"] == made.expression.human_ceiling.value
    assert main(["new", str(tmp_path / "p")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "p"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["database"], facts["faces"]["total"]) == ("project", "sqlite", 0)


def test_info_says_whether_a_dataset_was_changed(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "d"
    shutil.copytree(drawn, changed)
    for expected in (False, True, None):
        capsys.readouterr()
        assert main(["info", str(changed), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["changed"] is expected
        if expected is False:
            table = pq.read_table(changed / "faces.parquet")
            place = table.column_names.index("license")
            texts = pa.array(["CC0"] * len(table))
            pq.write_table(table.set_column(place, "license", texts), changed / "faces.parquet")
        else:
            info = json.loads((changed / "dataset.json").read_text())
            (changed / "dataset.json").write_text(json.dumps({**info, "content": ""}))


def test_results_go_to_stdout_and_nothing_else(drawn: Path) -> None:
    command = [sys.executable, "-m", "openaffect", "check", str(drawn), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows"] == 16
    assert done.stderr == ""


def test_a_reader_that_goes_away_is_no_error(drawn: Path) -> None:
    command = f"{sys.executable} -m openaffect info {drawn} --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_drawing_is_seeded(tmp_path: Path, drawn: Path) -> None:
    assert main(["synthesize", "16", str(tmp_path / "a"), "--size", "64", "--seed", "5"]) == 0
    one = sorted((tmp_path / "a" / "images").rglob("*.png"))
    other = sorted((drawn / "images").rglob("*.png"))
    assert len(one) == 16
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other]


@pytest.mark.parametrize("width", [72, 80, 120])
def test_a_bar_never_cuts_off_a_number(width: int) -> None:
    stream = io.StringIO()
    bars = console._Bars(Console(file=stream, width=width, force_terminal=True))
    note = "750 faces/s · loss 1.234"
    show = console._Shown(bars, "", None)
    show(Progress("training", 11 * 2345 + 1234, 30 * 2345, title="epoch 12/30", note=note))
    bars.console.print(bars.get_renderable())
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    for part in ("epoch 12/30", "27029/70350", "0:00:00", "left", "750 faces/s · loss 1.234"):
        assert part in shown
    assert max(map(len, shown.splitlines())) <= width


def test_of_several_processes_the_first_alone_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    console.say("a result")
    console.warn("a warning")
    assert capsys.readouterr() == ("", "")
    console.fail("an error")
    assert capsys.readouterr().err == "error: an error\n"
    monkeypatch.setenv("RANK", "0")
    console.say("a result")
    assert capsys.readouterr().out == "a result\n"


# ---- what others made -------------------------------------------------------------------


def write_predictions(path: Path, dataset: Path, **columns: list[object]) -> Path:
    ids = open_dataset(dataset).ids
    pq.write_table(pa.table({"face_id": ids, **columns}), path)
    return path


@pytest.fixture
def scored(drawn: Path, tmp_path: Path) -> Path:
    """A report on the 16 synthetic faces."""
    rng = np.random.default_rng(0)
    answers = rng.dirichlet(np.ones(8), 16)
    columns = {f"p_{label}": list(answers[:, label.id]) for label in EMOTIONS}
    affect = {"valence": list(rng.uniform(-1, 1, 16)), "arousal": [0.1] * 16}
    path = write_predictions(tmp_path / "p.parquet", drawn, **columns, **affect)
    options = ["-o", str(tmp_path / "report"), "--rounds", "20", "--draws", "5"]
    assert main(["evaluate", str(drawn), str(path), *options]) == 0
    return tmp_path / "report"


def test_info_of_a_report_is_a_summary_and_all_of_it_as_json(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["info", str(scored)]) == 0
    streams = capsys.readouterr()
    assert len(streams.out.splitlines()) < 30
    assert "balanced_accuracy" in streams.out
    assert "The rarest class" in streams.err
    assert main(["info", str(scored), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    whole = json.loads((scored / "report.json").read_text())
    assert found == {"kind": "report", "path": str(scored)} | console.shorten(whole)


def test_info_of_an_analysis_and_of_a_folder_that_holds_things(
    scored: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [
        {"source": "a.jpg", "status": "ok", "face_index": 0, "expression": "happy"},
        {"source": "a.jpg", "status": "ok", "face_index": 1, "expression": None},
        {"source": "b.jpg", "status": "error", "error": "broken"},
    ]
    collect_rows(rows, EMOTIONS, {}).save(scored.parent / "sub.parquet")
    capsys.readouterr()
    assert main(["info", str(scored.parent / "sub.parquet"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["sources"], facts["rows"]) == ("analysis", 2, 3)
    assert facts["status"] == {"ok": 2, "error": 1}
    assert facts["expressions"] == {"happy": 1}
    outer = scored.parent / "outer"
    (outer / "one").mkdir(parents=True)
    scored.rename(outer / "one" / "report")
    (scored.parent / "p.parquet").rename(outer / "p.parquet")
    assert main(["info", str(outer)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["holds.one/report", "report"] in lines
    assert ["holds.p.parquet", "table"] in lines


def test_predictions_of_faces_that_all_failed_are_status_1(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(drawn, copy)
    shutil.rmtree(copy / "images")
    target = tmp_path / "p.parquet"
    assert main(["predict", "default", str(copy), "-o", str(target)]) == 1
    assert "all 16 faces failed" in capsys.readouterr().err
    assert not target.exists()
    failed = write_predictions(tmp_path / "f.parquet", drawn, expression=[None] * 16)
    assert main(["evaluate", str(drawn), str(failed), "-o", str(tmp_path / "r")]) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("options", [[], ["--json"], ["-o", "a.csv"], ["--report", "a.html"]])
def test_an_analysis_of_nothing_but_failures_is_printed_and_status_1(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    assert main(["analyze", "a.jpg", "--detector", "haar", *options]) == 1
    streams = capsys.readouterr()
    assert "nothing could be analyzed; 1 failed: a.jpg" in streams.err
    assert (
        "a.jpg" in streams.out + (tmp_path / "a.csv").read_text()
        if "-o" in options
        else streams.out
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float(np.float32(0.1)), "0.1"),
        (float(np.float32(1 / 3)), "0.33333334"),
        (float(np.float32(0.07356449961662292)), "0.0735645"),
        (1 / 3, "0.333333333"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        (1234.5678901234, "1234.56789"),
        (2.0**24 + 2, "16777218.0"),
        (-0.0, "-0.0"),
        (1e-50, "1e-50"),
        (12, "12"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_numbers_are_printed_with_the_digits_that_carry_something(value: object, text: str) -> None:
    assert json.dumps(console.shorten([value])) == f"[{text}]"


def test_every_float32_comes_back_from_its_digits() -> None:
    bits = np.random.default_rng(0).integers(0, 2**31, 3000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    assert len(values) > 2900
    short = np.array([console.shorten(float(value)) for value in values])
    assert (short.astype(np.float32) == values).all()


def test_a_demo_without_the_extra_ends_before_it_draws(tmp_path):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'torch':
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Missing())
from openaffect.cli import main
sys.exit(main(['demo', r'{tmp_path}/demo']))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '[train]"' in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_run_that_is_not_there_is_not_resumed(tmp_path, capsys):
    assert main(["synthesize", "12", str(tmp_path / "d"), "--size", "64"]) == 0
    assert main(["train", str(tmp_path / "d"), str(tmp_path / "rum"), "--resume"]) == 1
    assert "no run to resume" in capsys.readouterr().err
    assert not (tmp_path / "rum").exists()


def test_a_missing_extra_names_the_command_that_works_here(monkeypatch, tmp_path):
    checkout = Path(errors.__file__).resolve().parents[2]
    monkeypatch.chdir(tmp_path)
    assert f'pip install -e "{checkout}[web]"' in str(errors.MissingExtra("web", "serving"))
    monkeypatch.chdir(checkout)
    assert str(errors.MissingExtra("web", "serving")).endswith('pip install -e ".[web]"')
    # A file of an installed package has no pyproject.toml two folders above its own.
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "a" / "b" / "errors.py"))
    monkeypatch.setattr(errors, "_installed_from", lambda: None)
    assert str(errors.MissingExtra("web", "serving")).endswith('pip install "openaffect[web]"')
