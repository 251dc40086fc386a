"""What a command has written, without what differs between two runs of the same command."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

# They hold times; what matters of them is in the other files: weights, trials.
_WITH_TIMES = ("checkpoint.pt", "study.db")
# Who links to the images of a dataset, written into the dataset that is linked to.
_LINKED_BY = ".linked-by"


def take(folder: Path) -> dict[str, str]:
    """The files of a folder and what they hold."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _LINKED_BY
    }


def _content(path: Path) -> bytes:
    if path.name in _WITH_TIMES:
        return b""
    if path.name in ("log.csv", "trials.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                {name: value for name, value in row.items() if not name.endswith("seconds")}
                for row in csv.DictReader(file)
            ]
        return repr(rows).encode()
    data = path.read_bytes()
    if path.stem == "paper":  # it says which rows an earlier call made
        data = data.replace(b"run by an earlier call", b"run").replace(b'"kept"', b'"done"')
    return data
