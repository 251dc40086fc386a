"""What became of each address of a fetch: while it runs, and once it is done."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openaffect.dataset import Dataset, open_dataset
from openaffect.documents import decode_json, read_json
from openaffect.errors import FormatError, MismatchError, reason

OUTCOMES = ("same", "saved again", "changed", "withdrawn", "failed", "no address")
"""What became of a face; those with the first two have a picture in the dataset."""

TAKEN = ("same", "saved again")

FILE = "fetch.csv"
"""In the dataset: the outcome of every face."""
RELEASE = "fetch.json"
"""In the dataset: which release it was fetched from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one address.

    Attributes:
        outcome: of `OUTCOMES`.
        detail: why, or "".
        file: its name among the downloads, or "".
    """

    outcome: str
    detail: str = ""
    file: str = ""


def read_outcomes(work: Path) -> dict[str, Outcome]:
    """What a call that was interrupted has brought; what failed is tried again, as a line cut off is.

    Args:
        work: its folder, with `outcomes.jsonl` and `files/`.
    """
    path = work / "outcomes.jsonl"
    found: dict[str, Outcome] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = decode_json(line, dict[str, str], str(path))
        except FormatError:
            continue
        outcome = Outcome(row["outcome"], row["detail"], row["file"])
        there = not outcome.file or (work / "files" / outcome.file).is_file()
        if outcome.outcome != "failed" and there:
            found[row["url"]] = outcome
    return found


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a fetch that was done has brought.

    Attributes:
        pictures: in its dataset, by address.
        settled: addresses that gave another picture than the released one, and are not tried again.
    """

    pictures: dict[str, Path] = field(default_factory=dict)
    settled: dict[str, Outcome] = field(default_factory=dict)


def read_earlier(path: Path, table: Dataset) -> Earlier | None:
    """What a fetch of the same release has left at a path, or None where there is none.

    Args:
        path: of the dataset that it made.
        table: of the release.

    Raises:
        MismatchError: it is of another release.
        FormatError: its tables are damaged.
    """
    if not (path / RELEASE).is_file():
        return None
    if read_json(path / RELEASE, dict[str, Any]) != name_release(table):
        raise MismatchError(
            f"cannot resume {path}: it is of another release; start again with --overwrite"
        )
    before = open_dataset(path, columns=["image"])
    images = dict(zip(before.ids, before.image_paths, strict=True))
    found = Earlier()
    try:
        with (path / FILE).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["face_id"] in images:
                    found.pictures[row["url"]] = images[row["face_id"]]
                elif row["outcome"] == "changed":
                    found.settled[row["url"]] = Outcome("changed", row["detail"])
    except (OSError, csv.Error, UnicodeDecodeError, KeyError) as error:
        raise FormatError(
            f"expected what an earlier fetch brought in {path / FILE}, but got {reason(error)}; start "
            "again with --overwrite"
        ) from error
    return found


def name_release(table: Dataset) -> dict[str, Any]:
    """What tells a release from others."""
    return {"content": table.info.content}
