"""Commands that are killed at some of their file events, and proof that the harness finds losses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kills.commands import BEFORE, COMMANDS, OTHERS, write_inputs
from kills.runner import Forker, Killed
from openaffect.cli import command_names

FAST = (
    "import-csv",
    "export-csv",
    "split",
    "check",
    "predict",
    "evaluate",
    "label",
    "card",
    "analyze",
    "new",
    "add",
    "detect",
)
LONG = ("tune", "demo", "train")  # a repetition trains again
FILLED = (
    "detect",
    "label-project",
    "backup",
    "restore",
)  # a repetition makes a project and fills it first


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


def test_no_command_is_forgotten() -> None:
    given = {" ".join(a[: 2 if a[0] == "replicate" else 1]) for a in COMMANDS.values()}
    assert given | OTHERS == {*command_names()}


@pytest.mark.parametrize("name", FAST)
def test_a_command_given_again_after_a_kill_ends_well(
    name: str, folder: Path, forker: Forker
) -> None:
    command = Killed(name, COMMANDS[name], folder, forker, BEFORE.get(name, ()))
    results = [command.kill(number) for number in command.choose(2, seed=1)]
    assert len(results) == 2
    assert [result for result in results if result.found is not None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_may_be_killed_anywhere(name: str, folder: Path, forker: Forker) -> None:
    command = Killed(name, COMMANDS[name], folder, forker, BEFORE.get(name, ()))
    numbers = command.choose(2 if name in LONG else 5 if name in FILLED else 12, seed=2)
    results = [command.kill(number) for number in numbers]
    assert results
    assert [result for result in results if result.found is not None] == []


PLANTED = {
    "halves": "afterwards other: a",
    "leftover": "afterwards too many: part0",
    "refuses": "given again, it ends with 1",
    "inputs": "of the inputs other: x",
}


def find_losses(name: str, folder: Path) -> set[str | None]:
    (folder / "in").mkdir()
    (folder / "in" / "x").write_text("abc")
    forker = Forker("kills.planted")
    try:
        command = Killed(name, [name], folder, forker)
        return {command.kill(number).found for number in range(1, command.events + 1)}
    finally:
        forker.close()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_loss_is_found(name: str, tmp_path: Path) -> None:
    found = find_losses(name, tmp_path)
    assert [text for text in found if text is not None and PLANTED[name] in text]


def test_nothing_is_found_where_nothing_is_lost(tmp_path: Path) -> None:
    assert find_losses("whole", tmp_path) == {None}
