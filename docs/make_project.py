"""The table of docs/project.md, made from the keys of project.toml; --check compares only."""

from __future__ import annotations

import sys
from pathlib import Path

from openaffect.project.settings import list_keys

BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->\n"


def write_table(page: Path, rows: list[str]) -> int:
    """Put the rows between the marks of a page; with --check only say whether they differ."""
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    made = head + BEGIN + "\n".join(rows) + "\n" + END + rest.split(END)[1]
    if "--check" in sys.argv:
        return int(made != text)
    page.write_text(made, encoding="utf-8")
    return 0


def main() -> int:
    """Write the table, or say that it is old."""
    rows = ["| key | default | what it decides |", "|---|---|---|"]
    for name, default, doc in list_keys():
        rows.append(f"| `{name}` | {f'`{default}`' if default else ''} | {doc} |")
    return write_table(Path(__file__).parent / "project.md", rows)


if __name__ == "__main__":
    sys.exit(main())
