"""The table of docs/training.md, made from the keys of a recipe; --check compares only."""

from __future__ import annotations

import sys
from pathlib import Path

from make_project import write_table
from openaffect.training.recipe import KEYS


def main() -> int:
    """Write the table, or say that it is old."""
    rows = ["| key | default | values | what it decides |", "|---|---|---|---|"]
    for name, key in KEYS.items():
        default = f"`{key.default_text}`" if key.default_text else ""
        rows.append(f"| `{name}` | {default} | {key.expected} | {key.description} |")
    return write_table(Path(__file__).parent / "training.md", rows)


if __name__ == "__main__":
    sys.exit(main())
