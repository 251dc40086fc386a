"""The command line as a user meets it: results, errors and exit statuses."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from openaffect import console
from openaffect.cli import command_names, main
from openaffect.training.moment import Moment


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 16 drawn faces."""
    path = tmp_path_factory.mktemp("cli") / "drawn"
    assert main(["draw", "16", str(path), "--size", "64", "--seed", "5"]) == 0
    return path


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "openaffect 0.1.0\n"


@pytest.mark.parametrize("name", command_names())
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    assert f"Example: openaffect {name}" in capsys.readouterr().out


def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traain"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    assert main(["draw", "many", "x"]) == 2
    assert main(["draw"]) == 2


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
        (["draw", "8", "DRAWN"], "--overwrite"),
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
    assert main(["draw", "16", str(tmp_path / "a"), "--size", "64", "--seed", "5"]) == 0
    one = sorted((tmp_path / "a" / "images").rglob("*.png"))
    other = sorted((drawn / "images").rglob("*.png"))
    assert len(one) == 16
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other]


@pytest.mark.parametrize("width", [72, 80, 120])
def test_a_bar_never_cuts_off_a_number(width: int) -> None:
    stream = io.StringIO()
    bars = console._Bars(Console(file=stream, width=width, force_terminal=True))
    what, total, done = console._bar_of(Moment("training", 12, 30, 1234, 2345))
    assert (total, done) == (30 * 2345, 11 * 2345 + 1234)
    task = bars.add_task(what, total=total)
    bars.update(task, completed=done, note="750 faces/s · loss 1.234")
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
