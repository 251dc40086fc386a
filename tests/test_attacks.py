"""Every attack that once succeeded is repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "attacks"
# The others are what the scripts share.
SCRIPTS = sorted(p.stem for p in FOLDER.glob("*.py") if "measure.finish(" in p.read_text("utf-8"))


def test_there_are_attacks() -> None:
    assert SCRIPTS


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_attack_fails(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"attacks.{name}"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
