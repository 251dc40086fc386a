"""Write docs/cli.md from the commands' own help; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

from openaffect.cli import app, command_names

PAGE = Path(__file__).parent / "cli.md"


def make_page() -> str:
    """The text of docs/cli.md."""
    parts = [
        "# The command line\n\nMade from `--help` by `make docs`. Results go to stdout, progress and "
        "warnings to stderr.\nExit status: 0 done, 1 a user's error (one line: what, where, what to "
        "do), 2 wrong usage.\n"
    ]
    runner = CliRunner()
    for name in command_names():
        result = runner.invoke(
            app, [*name.split(), "--help"], env={"COLUMNS": "100"}, prog_name="openaffect"
        )
        lines = [line.rstrip() for line in result.output.strip().splitlines()]
        parts.append(f"## {name}\n\n```text\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    page = make_page()
    if "--check" in sys.argv:
        sys.exit(
            0 if PAGE.read_text(encoding="utf-8") == page else "docs/cli.md is stale: make docs"
        )
    PAGE.write_text(page, encoding="utf-8")
