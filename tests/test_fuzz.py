"""A share of the fuzz campaign, and proof that its harness finds what it should."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fuzz import runner
from fuzz.corpus import write_corpus
from fuzz.doors import DOORS
from fuzz.runner import Worker, run_cases
from openaffect import lookup
from openaffect.cli import app, command_names

# Commands whose arguments come from a door under another name, or that read nothing foreign.
OTHER_COMMANDS = {
    *(
        "demo",
        "synthesize",
        "replicate affectnet2017",
        "replicate giguere2020",
        "cross-validate",
        "split",
        "serve",
        "annotate",
        "weights",
        "fetch",
        "collect",
        "providers list",
        "providers try",
    ),  # datasets; HTTP; nothing; addresses
    *("train", "tune"),  # recipes, settings and search spaces are doors of their own
}
OTHER_FORMATS = {"folders": "archive"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_corpus(folder)
    return folder


def test_no_door_is_forgotten():
    source = (Path(__file__).parent / "fuzz" / "doors.py").read_text(encoding="utf-8")
    missing = [name for name in command_names() if f'"{name}"' not in source]
    assert {*missing} <= OTHER_COMMANDS
    known = {name.replace("_", "-") for name in DOORS} | {*OTHER_FORMATS}
    assert {*lookup.names("openaffect.formats")} <= known
    assert app.registered_commands


def test_a_share_of_the_campaign_finds_nothing(good):
    doors = sorted(DOORS)
    cases = [(door, number) for number in range(3) for door in doors]
    results = run_cases(cases, good, workers=1)
    assert len(results) == len(cases)
    assert [result for result in results if result.found is not None] == []


@pytest.mark.slow
def test_the_campaign_finds_nothing(good):
    doors = sorted(DOORS)
    cases = [(door, number) for number in range(2_000_016, 2_000_030) for door in doors]
    results = run_cases(cases, good, workers=os.cpu_count() or 1)
    assert [result for result in results if result.found is not None] == []


PLANTED = {
    "raises": "KeyError",
    "prints": "Traceback",
    "status": "exit status 7",
    "silent": "without an error",
    "lines": "two lines",
    "dies": "ended the process",
    "grows": "MB",
    "hangs": "hangs",
}


@pytest.mark.slow
def test_what_the_parent_holds_is_not_counted(tmp_path):
    held = bytearray(b"a" * 1_500_000_000)
    worker = Worker([sys.executable, "-m", "fuzz.planted", str(tmp_path)])
    try:
        assert worker.try_case("fine", 0).peak_mb < 1_000
    finally:
        worker.close()
    assert len(held) == 1_500_000_000


@pytest.mark.slow
@pytest.mark.parametrize("door", PLANTED)
def test_a_planted_fault_is_found(door, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS", 8.0)
    monkeypatch.setattr(runner, "MEGABYTES", 1000)
    worker = Worker([sys.executable, "-m", "fuzz.planted", str(tmp_path)])
    try:
        assert worker.try_case("fine", 0).found is None
        found = worker.try_case(door, 0)
        assert PLANTED[door] in str(found.found)
        assert worker.try_case("fine", 1).found is None  # it goes on with the next
    finally:
        worker.close()
