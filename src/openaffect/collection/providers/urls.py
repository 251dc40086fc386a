"""A list of addresses: one per line, or a CSV with more columns; either may be packed with gzip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from openaffect.addresses import check_shape, is_address
from openaffect.collection.providers import Item
from openaffect.collection.providers._columns import fold_header, read_columns
from openaffect.collection.providers._reading import LONGEST_URL
from openaffect.errors import FormatError, InputError
from openaffect.face_row import RejectRow
from openaffect.formats._tables import Table, open_table, read_text_lines
from openaffect.tables import reject_doubled

TITLE = "List of addresses"
READS = "a text file with one address per line, or a CSV with a column url"
HAS_IMAGES = False


def read_items(path: Path) -> Iterator[Item]:
    """The images that a list names, one line in memory at a time; a bad line is an error.

    In a text file, blank lines and those that begin with `#` are left out.

    Raises:
        InputError: no such file, or one without a line.
        FormatError: two columns of one name, or gzip or UTF-16 that breaks off.
    """
    table = _open_table(path)
    found = _read_lines(path) if table is None else _read_rows(table)
    count = 0
    try:
        for item in found:
            count += 1
            yield item
    except FormatError as error:
        raise FormatError(f"{error}; addresses before that: {count:,}") from error
    if not count:
        raise InputError(f"expected addresses in {path}, but it has none")


def _open_table(path: Path) -> Table | None:
    """The table, where the first line is a header with `url`; None for a text file."""
    _, first = next(read_text_lines(path), (0, ""))
    if isinstance(first, RejectRow) or is_address(first):
        return None
    names = fold_header(first.replace(";", ",").replace("\t", ",").replace('"', "").split(","))
    if "url" not in names:
        return None
    table = open_table(path)
    reject_doubled(fold_header(table.header), str(path))
    return table


def _read_lines(path: Path) -> Iterator[Item]:
    for number, line in read_text_lines(path):
        name = f"{path.name}:{number}"
        if isinstance(line, RejectRow):
            yield Item(name, error=str(line))
        elif not line.startswith("#"):
            yield _make_item(name, {"url": line})


def _read_rows(table: Table) -> Iterator[Item]:
    header = fold_header(table.header)
    for number, cells in table.numbered_rows():
        name = f"{table.path.name}:{number}"
        if isinstance(cells, RejectRow):
            yield Item(name, error=str(cells))
        else:
            yield _make_item(name, dict(zip(header, cells, strict=True)))


def _make_item(name: str, cells: dict[str, str]) -> Item:
    url = cells["url"].strip()
    try:
        if not url:
            raise InputError("expected an address, but got nothing")
        if len(url) > LONGEST_URL:
            raise InputError(f"address of more than {LONGEST_URL:,} characters")
        check_shape(url)
        return Item(name, **{**read_columns(cells), "url": url})
    except InputError as error:
        return Item(name, error=str(error))
