"""FER+: ten raters' votes on the pictures of FER2013, in the layout of its own repository.

Votes belong to pictures by the column `Image name`, never by row number: rows without a name
were no faces, and the names skip them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from openaffect.circumplex import affect_from_soft_labels
from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter
from openaffect.errors import FormatError
from openaffect.face_row import FaceRow, RejectRow
from openaffect.formats._exports import (
    ExportSummary,
    check_images_option,
    note_origins,
    place_picture,
    rows_of,
    safe_path,
    suffix_of,
)
from openaffect.formats._sources import (
    Source,
    choose,
    find_picture,
    find_root,
    not_found,
    read_votes,
    shorten,
)
from openaffect.formats._tables import Cells, read_lines
from openaffect.labels import EMOTIONS, EXPRESSIONS, Expression
from openaffect.texts import counted

LAYOUT = "fer2013new.csv with FER2013Train/, FER2013Valid/ or FER2013Test/ (beside it or in data/)"
LICENSE: str | None = "pictures: FER2013, research use; votes: FER+, MIT"
COLUMNS = frozenset({"face_id", "votes", "split", "expression", "soft_label", "expression_origin"})
FIXED_SIZE: tuple[int, int] | None = None

_CSV = "fer2013new.csv"
_HEADER = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
_COLUMNS = (*_HEADER, "unknown", "NF")
_IDS = (0, 1, 3, 2, 6, 5, 4, 7, 9, 10)
"""AffectNet's id of each column of votes."""

_USAGES = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("validation", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
_OF_SPLIT = {split: (usage, folder) for usage, (split, folder) in _USAGES.items()}


def find(path: Path) -> Source:
    """Where the votes and the folders of pictures lie."""
    start = path.parent if path.is_file() and path.name == _CSV else path
    root = find_root(start, lambda folder: (folder / _CSV).is_file())
    if root is None:
        raise not_found(LAYOUT, path)
    for pictures in (root, root / "data"):
        if any((pictures / folder).is_dir() for _, folder in _USAGES.values()):
            return Source(root, pictures, (root / _CSV,))
    raise not_found(LAYOUT, root)


def read(
    source: Source, writer: DatasetWriter, *, label: str = "plurality", affect: str = "none"
) -> None:
    """Read every row that names a picture.

    Args:
        source: from `find`.
        writer: takes the rows.
        label: `plurality`, the class with the most votes, ties are uncertain; or `majority`,
            single votes are dropped, then a class needs more than half of the rest, else uncertain.
        affect: `derived` gives valence and arousal: the class means of AffectNet weighted by
            the shares of the votes.
    """
    choose("label", label, ("plurality", "majority"))
    choose("affect", affect, ("none", "derived"))
    judge = plurality if label == "plurality" else majority
    table = source.labels[0]
    last = _last_lines(table)
    here = {u: Path(source.prefix, folder).is_dir() for u, (_, folder) in _USAGES.items()}
    absent: dict[str, int] = {}
    repeated = 0
    for line, cells in _rows(table):
        where = f"{_CSV} line {line}"
        if isinstance(cells, RejectRow):
            writer.reject(str(cells), "", where)
            continue
        usage, name, *votes = cells
        with writer.rejecting(name, where):
            if name and last[name] != line:
                repeated += 1
                raise RejectRow("row repeated further down (the last one counts)")
            if name and usage in here and not here[usage]:
                absent[usage] = absent.get(usage, 0) + 1
                raise RejectRow("the folder of its split is not here")
            row = _face(source, usage, name, votes, judge, derived=affect == "derived")
            writer.add(row, where)
    if repeated:
        writer.note(f"the last row counts of {counted(repeated, 'name')} that came twice")
    for usage, count in absent.items():
        writer.note(f"{_USAGES[usage][1]} is not here: {counted(count, 'row')} left out")


def plurality(votes: Sequence[int]) -> Expression:
    """The class with the most votes; a tie, or no vote, is uncertain.

    >>> plurality([4, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0]).value
    'sad'
    """
    best = max(votes)
    if best == 0 or list(votes).count(best) > 1:
        return Expression.UNCERTAIN
    return EXPRESSIONS[list(votes).index(best)]


def majority(votes: Sequence[int]) -> Expression:
    """The class with more than half of the votes that are left without single votes, or uncertain.

    >>> majority([4, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0]).value
    'sad'
    >>> majority([4, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0]).value
    'uncertain'
    """
    kept = [vote if vote > 1 else 0 for vote in votes]
    best = max(kept)
    return EXPRESSIONS[kept.index(best)] if 2 * best > sum(kept) else Expression.UNCERTAIN


def _last_lines(table: Path) -> dict[str, int]:
    return {cells[1]: n for n, cells in _rows(table) if not isinstance(cells, RejectRow)}


def _rows(table: Path) -> Iterator[tuple[int, Cells]]:
    """The line, and its usage, name and ten cells of votes."""
    lines = read_lines(table)
    header = next(lines, (0, []))[1]
    expected = ["Usage", "Image name", *_COLUMNS]
    found = [] if isinstance(header, RejectRow) else [cell.strip() for cell in header]
    if found != expected:
        raise FormatError(
            f"expected the header {','.join(expected)} in {table}, but got {','.join(found)[:200]}"
        )
    for line, cells in lines:
        if isinstance(cells, RejectRow):
            yield line, cells
        elif len(cells) != len(expected):
            yield line, RejectRow(f"line of another length: {len(cells)}, not {len(expected)}")
        else:
            yield line, [cell.strip() for cell in cells]


def _face(
    source: Source,
    usage: str,
    name: str,
    cells: Sequence[str],
    judge: Callable[[Sequence[int]], Expression],
    *,
    derived: bool,
) -> FaceRow:
    if not name:
        raise RejectRow("row without a picture name")
    if usage not in _USAGES:
        raise RejectRow(f"unknown usage: {shorten(usage)}")
    votes = [0] * len(EXPRESSIONS)
    for number, count in zip(_IDS, read_votes(cells), strict=True):
        votes[number] = count
    split, folder = _USAGES[usage]
    image = f"{folder}/{name}"
    emotions = votes[: len(EMOTIONS)]
    total = sum(emotions)
    shares = [vote / total for vote in emotions] if total else None
    affect = affect_from_soft_labels(shares).tolist() if derived and shares else (None, None)
    return FaceRow(
        face_id=name,
        image=find_picture(source.prefix, image) or image,
        expression=judge(votes),
        votes=votes,
        soft_label=shares,
        valence=affect[0],
        arousal=affect[1],
        expression_origin="human",
        affect_origin="derived" if affect[0] is not None else None,
        split=split,
    )


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, images: str = "copy") -> None:
    """Write `fer2013new.csv` and `data/FER2013…/`; rows without votes are left out.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        images: `copy`, `link` (symbolic links) or `none`.
    """
    check_images_option(images)
    note_origins(dataset, summary)
    others = no_split = 0
    unlike = {"plurality": 0, "majority": 0}
    with open(folder / _CSV, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Usage", "Image name", *_COLUMNS])
        for row in rows_of(dataset, {"votes", "split", "expression"}):
            if row["votes"] is None:
                summary.left_out["no votes"] += 1
                continue
            unlike["plurality"] += row["expression"] != plurality(row["votes"])
            unlike["majority"] += row["expression"] != majority(row["votes"])
            others += row["votes"][Expression.NONE.id] > 0
            no_split += row["split"] is None
            usage, place = _OF_SPLIT[row["split"] or "train"]
            name = _name(row)
            place_picture(dataset, row["image"], folder / "data" / place / name, images)
            table.writerow([usage, name, *(row["votes"][number] for number in _IDS)])
            summary.rows += 1
    if unlike["plurality"]:
        how = "label=majority gives them back" if not unlike["majority"] else "they are lost"
        summary.notes.append(
            f"the expression of {counted(unlike['plurality'], 'row')} is not the plurality of their votes: {how}"
        )
    if others:
        summary.notes.append(f"votes for 'none' of {counted(others, 'row')} have no column here")
    if no_split:
        summary.notes.append(f"{counted(no_split, 'row')} without a split went to Training")


def _name(row: dict[str, Any]) -> str:
    name, suffix = safe_path(row["face_id"]), suffix_of(row["image"])
    return name if name.lower().endswith(suffix.lower()) else name + suffix
