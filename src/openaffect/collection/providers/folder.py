"""A folder of images, and what a table in it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from openaffect.collection.image_files import walk_images
from openaffect.collection.providers import Item
from openaffect.collection.providers._columns import clean_text, fold_header, read_columns
from openaffect.errors import FormatError, InputError, shorten
from openaffect.face_row import RejectRow
from openaffect.face_table import IMAGE_LEAVES
from openaffect.formats._tables import open_table
from openaffect.project.store import read_file
from openaffect.tables import reject_doubled

TITLE = "Folder"
READS = "a folder of images, perhaps with a metadata.csv"
HAS_IMAGES = True

TABLES = ("metadata.csv", "metadata.jsonl")
"""What a table of the folder is called, as for `imagefolder` of Hugging Face."""

_leaves_folder = re.compile(IMAGE_LEAVES).search


def read_items(path: Path) -> Iterator[Item]:
    """The images of a folder and its subfolders, lazily, in the order of the names.

    The table is read whole before the first image. What is wrong with a row is the error of its
    image, or, where there is no such image, an item of its own after all others.

    Raises:
        InputError: there is no such folder, or it holds no image.
        FormatError: a table that cannot be read, or two of them.
    """
    if not path.is_dir():
        what = "it is a file" if path.exists() else "there is none"
        raise InputError(f"expected a folder of images at {path}, but {what}")
    rows, broken = _read_table(path)
    empty = True
    for file in walk_images(path):
        empty = False
        name = file.relative_to(path).as_posix()
        row = rows.pop(name, None) or Item(clean_text(name))
        yield row if row.error else replace(row, read=partial(read_file, file))
    if empty:
        raise InputError(f"expected images in {path}, but it holds none")
    yield from broken
    for row in rows.values():
        yield row if row.error else Item(row.name, error="no such image in the folder")


def _read_table(folder: Path) -> tuple[dict[str, Item], list[Item]]:
    """What the table of a folder says, by the path of the image; and rows that are of no image."""
    there = [name for name in TABLES if (folder / name).exists()]
    if not there:
        return {}, []
    if len(there) > 1:
        raise FormatError(f"expected one table in {folder}, but there are {' and '.join(there)}")
    table = open_table(folder / there[0])
    header = fold_header(table.header)
    reject_doubled(header, str(table.path))
    if "file_name" not in header:
        raise FormatError(
            f"expected a column file_name in {table.path}, but got {shorten(', '.join(header))}"
        )
    rows: dict[str, Item] = {}
    broken = []
    for line, cells in table.numbered_rows():
        where = f"{there[0]}:{line}"
        if isinstance(cells, RejectRow):
            broken.append(Item(where, error=str(cells)))
            continue
        row = dict(zip(header, cells, strict=True))
        given = row["file_name"].strip()
        if _leaves_folder(given):
            why = "file_name that is no path inside the folder"
            broken.append(Item(where, error=f"{why}: '{shorten(given, 100)}'"))
            continue
        name = PurePosixPath(given).as_posix()
        rows[name] = _twice(name, there[0]) if name in rows else _make_item(name, row, where)
    return rows, broken


def _twice(name: str, table: str) -> Item:
    return Item(clean_text(name), error=f"image with two rows in {table}: leave the right one")


def _make_item(name: str, row: dict[str, str], where: str) -> Item:
    try:
        return Item(clean_text(name), **read_columns(row))
    except InputError as error:
        return Item(clean_text(name), error=f"row that cannot be used: {where}: {error}")
