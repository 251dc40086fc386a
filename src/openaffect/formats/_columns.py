"""What the columns of a table mean: names, boxes, and numbers with decimal commas.

Nothing is guessed where two readings differ: the import stops and says how to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.face_row import RejectRow
from openaffect.formats._sources import find_expression, parse_split, read_number, shorten
from openaffect.formats._tables import Table
from openaffect.schemas import FACES, PROVENANCE

_ALIASES: dict[str, tuple[str, ...]] = {
    "face_id": (),
    "image": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image_path"),
        *("image_name", "img", "picture", "pth", "subdirectory_filepath"),
    ),
    "expression": ("label", "emotion", "exp", "class", "category"),
    "valence": ("val",),
    "arousal": ("aro",),
    "landmarks": ("facial_landmarks", "lnd"),
    "votes": (),
    "soft_label": (),
    "expression_origin": (),
    "affect_origin": (),
    "split": ("set",),
    "group": (),
    "query": (),
    "url": (),
    "license": ("licence",),
    "extra": (),
}
_WEAK = {"image": ("number",)}
"""Names that mean a column only where no better one is there."""

_SIZES = (
    ("x", "y", "w", "h"),
    ("box_x", "box_y", "box_w", "box_h"),
    ("face_x", "face_y", "face_width", "face_height"),
)
_LOOSE_SIZES = (("left", "top", "width", "height"), ("x", "y", "width", "height"))
"""Width and height may also be the picture's: corners come first, and the pictures are asked."""

_CORNERS = (
    ("left", "top", "right", "bottom"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
)
_BOX_KEYS = ("x", "y", "w", "h", "left", "top", "right", "bottom")

_OF_ANALYSIS = ("source", "status", "face_index")
"""The columns that tell a table of `openaffect analyze`."""

_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})")  # not 007, which is a name
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """Four columns of a box, as corners or as a corner and a size."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    corners: bool
    loose: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of a table are.

    Attributes:
        places: our name of a column, to the positions of all that mean it.
        boxes: every four columns that are a box, the one that counts first.
        others: names of the columns that we have no name for, to their positions.
        analysis: the positions of what `openaffect analyze` writes beside them, or None.
    """

    places: Mapping[str, tuple[int, ...]]
    boxes: tuple[BoxColumns, ...]
    others: Mapping[str, int]
    analysis: Mapping[str, int] | None = None


def match_columns(table: Table, chosen: Mapping[str, str] | None = None) -> Columns:
    """What the columns of a table mean.

    Args:
        table: the table.
        chosen: our name of a column (or x, y, w, h, left, top, right, bottom) to its name in the
            table, in place of the usual names; an empty one leaves that column unread.

    Raises:
        UnknownName: `chosen` has a name that we or the table do not have.
        FormatError: there is no column of pictures.
    """
    header = [_plain(name) for name in table.header]
    chosen = _check_chosen(chosen or {}, table, header)
    is_analysis = all(name in header for name in _OF_ANALYSIS)
    places = {}
    for name, aliases in _ALIASES.items():
        spellings: tuple[str, ...] = (name, *aliases)
        if name in chosen:
            spellings = (chosen[name],)
        elif name == "image" and is_analysis:
            spellings = ("source",)
        found = _positions(header, spellings)
        if not found and name not in chosen:
            found = _positions(header, _WEAK.get(name, ()))
        if found:
            places[name] = found
    if "image" not in places:
        raise FormatError(
            "expected a header with a column of pictures (image, path, file, filename …) in "
            f"{table.path}, but its first line is: {table.first_line.strip()[:120]}; "
            "name the column with --column image=NAME"
        )
    taken = {place for found in places.values() for place in found}
    boxes = _find_boxes(header, chosen)
    taken.update(place for box in boxes for place in box.places)
    analysis = None
    if is_analysis:
        known = (*_OF_ANALYSIS, "error", "frame", "time_s", "track_id")
        analysis = {name: header.index(name) for name in known if name in header}
        taken.update(analysis.values())
    others: dict[str, int] = {}
    for place, name in enumerate(header):
        if name and place not in taken:
            others[name if name not in others else f"{name}_{place + 1}"] = place
    return Columns(places, boxes, others, analysis)


def _plain(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip().lower())


def _positions(header: Sequence[str], spellings: Sequence[str]) -> tuple[int, ...]:
    return tuple(
        place
        for spelling in spellings
        for place, name in enumerate(header)
        if name and name == spelling
    )


def _check_chosen(chosen: Any, table: Table, header: Sequence[str]) -> dict[str, str]:
    if not isinstance(chosen, Mapping):
        raise InputError(f"expected columns as names to names, but got {chosen!r}")
    for key, name in chosen.items():
        if key not in _ALIASES and key not in _BOX_KEYS:
            raise UnknownName("column", key, [*_ALIASES, *_BOX_KEYS], "the columns of openaffect")
        if name and _plain(name) not in header:
            raise UnknownName("column", name, [n for n in table.header if n], str(table.path))
    return {key: _plain(name) for key, name in chosen.items()}


def _find_boxes(header: Sequence[str], chosen: Mapping[str, str]) -> tuple[BoxColumns, ...]:
    parts = [key for key in _BOX_KEYS if key in chosen]
    if parts:
        return _chosen_box(header, chosen, parts)
    found: list[BoxColumns] = []
    for corners, loose, sets in (
        (False, False, _SIZES),
        (True, False, _CORNERS),
        (False, True, _LOOSE_SIZES),
    ):
        for names in sets:
            if all(name in header for name in names) and not (loose and found):
                places = tuple(map(header.index, names))
                found.append(BoxColumns(names, places, corners, loose))
    return tuple(found)


def _chosen_box(
    header: Sequence[str], chosen: Mapping[str, str], parts: Sequence[str]
) -> tuple[BoxColumns, ...]:
    if not any(chosen[part] for part in parts):  # --column x= : no box is read
        return ()
    corners = any(part in ("left", "top", "right", "bottom") for part in parts)
    keys = ("left", "top", "right", "bottom") if corners else ("x", "y", "w", "h")
    names = tuple(chosen.get(key, key) for key in keys)
    missing = [key for key, name in zip(keys, names, strict=True) if name not in header]
    if missing or not set(parts) <= set(keys):
        raise InputError(
            f"a box has x, y, w, h or left, top, right, bottom, but got {', '.join(parts)}"
            + (f" and no column for {', '.join(missing)}" if missing else "")
        )
    return (BoxColumns(names, tuple(map(header.index, names)), corners),)


def column_types(table: Table, columns: Columns) -> pa.Schema:
    """The types of the columns that we have no name for, judged by all of their cells.

    Whole numbers are int64, other numbers float64, anything else is text. A column of
    `schemas.PROVENANCE` has its own type; one of `schemas.FACES` is none of these columns.
    """
    names = {name: place for name, place in columns.others.items() if name not in FACES.names}
    kinds = dict.fromkeys(names, pa.int64())
    for _, cells in table.rows():
        if isinstance(cells, RejectRow):
            continue
        for name, place in names.items():
            cell = cells[place].strip()
            if cell and kinds[name] == pa.int64() and not _WHOLE_NUMBER.fullmatch(cell):
                kinds[name] = pa.float64()
            if cell and kinds[name] == pa.float64() and not _NUMBER.fullmatch(cell):
                kinds[name] = pa.string()
    known = {field.name: field.type for field in PROVENANCE}
    return pa.schema([pa.field(name, known.get(name, kind)) for name, kind in kinds.items()])


def parse_cell(cell: str, kind: pa.DataType) -> str | int | float | None:
    """The value of a cell in a column of one of the types that `column_types` gives.

    Raises:
        RejectRow: it is no such value.
    """
    cell = cell if pa.types.is_string(kind) else cell.strip()
    if not cell:
        return None
    if pa.types.is_string(kind):
        return cell
    try:
        return int(cell) if pa.types.is_integer(kind) else float(cell)
    except ValueError:
        raise RejectRow(f"cell that is no number: {shorten(cell)}") from None


# ---------------------------------------------------------------- cells


@dataclass(slots=True)
class CellReader:
    """Reads the cells of a table's rows by what their columns mean.

    Attributes:
        table, columns: the table, and what its columns mean.
        commas: names of the columns whose numbers have decimal commas, as far as they were met.
    """

    table: Table
    columns: Columns
    commas: dict[str, bool] = field(default_factory=dict)

    def text(self, name: str, cells: Sequence[str], where: str) -> str:
        """The cell of a column without blanks around it; empty where there is none.

        Raises:
            FormatError: two columns mean the same, and differ in this row.
        """
        filled = [
            (place, cells[place].strip())
            for place in self.columns.places.get(name, ())
            if cells[place].strip()
        ]
        if not filled:
            return ""
        (first, text), *rest = filled
        for place, other in rest:
            if _meaning(name, other) != _meaning(name, text):
                one, two = self.table.header[first], self.table.header[place]
                raise FormatError(
                    f"the columns '{one}' and '{two}' of {self.table.path} both mean {name}, but "
                    f"differ in {where}: {shorten(text)} and {shorten(other)}; say which one "
                    f"counts, such as --column {name}={one}"
                )
        return text

    def number(self, place: int, cells: Sequence[str], name: str) -> float | None:
        """The number in a cell, None where it is empty; a decimal comma is read as the column says.

        Raises:
            RejectRow: it is not a number.
            FormatError: a comma could be of decimals or of thousands.
        """
        cell = cells[place].strip()
        if not cell:
            return None
        if "," in cell and self._has_decimal_commas(place) and _NUMBER_WITH_COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        return read_number(cell, name)

    def affect(self, name: str, cells: Sequence[str], where: str) -> float | None:
        """Valence or arousal, None where the cell is empty."""
        if not self.text(name, cells, where):
            return None
        place = next(p for p in self.columns.places[name] if cells[p].strip())
        return self.number(place, cells, name)

    def box(self, cells: Sequence[str], where: str) -> list[float] | None:
        """The box (x, y, w, h), None where its cells are empty.

        Raises:
            RejectRow: not four numbers.
            FormatError: two boxes differ.
        """
        found = [(box, self._one_box(box, cells)) for box in self.columns.boxes]
        filled = [(box, numbers) for box, numbers in found if numbers is not None]
        if not filled:
            return None
        (first, numbers), *rest = filled
        for box, others in rest:
            # Who counts the last pixel in has boxes one pixel smaller.
            if max(abs(a - b) for a, b in zip(numbers, others, strict=True)) > 1:
                raise FormatError(
                    f"{', '.join(first.names)} and {', '.join(box.names)} of {self.table.path} "
                    f"are different boxes in {where}; say which one counts, such as "
                    f"--column {'left' if box.corners else 'x'}={box.names[0]} and so on"
                )
        return numbers

    def _one_box(self, box: BoxColumns, cells: Sequence[str]) -> list[float] | None:
        if not any(cells[place].strip() for place in box.places):
            return None
        numbers = [self.number(place, cells, "box") for place in box.places]
        if any(number is None for number in numbers):
            raise RejectRow(f"box that is no number: {' '.join(cells[p] for p in box.places)}")
        x, y, w, h = (number for number in numbers if number is not None)
        return [x, y, w - x, h - y] if box.corners else [x, y, w, h]

    def _has_decimal_commas(self, place: int) -> bool:
        """Whether the numbers of a column have decimal commas, judged by the whole column."""
        name = self.table.header[place]
        if name not in self.commas:
            self.commas[name] = self._judge_commas(place, name)
        return self.commas[name]

    def _judge_commas(self, place: int, name: str) -> bool:
        with_comma, with_point, thousands = "", "", ""
        decided = False
        for _, cells in self._whole_rows():
            cell = cells[place].strip()
            if _NUMBER_WITH_COMMA.fullmatch(cell):
                with_comma = with_comma or cell
                if _MAYBE_THOUSANDS.fullmatch(cell):
                    thousands = thousands or cell
                else:
                    decided = True
            elif "." in cell and _is_number(cell):
                with_point = with_point or cell
        how = f"the column '{name}' of {self.table.path} has numbers"
        if with_comma and with_point:
            raise FormatError(
                f"{how} with a comma ({with_comma}) and with a point ({with_point}), of which one "
                "may be a thousand; write all with a point for decimals and nothing for thousands"
            )
        if with_comma and not decided:
            raise FormatError(
                f"{how} such as {thousands}, which may be decimals or thousands; write them with "
                "a point for decimals and nothing for thousands"
            )
        return bool(with_comma)

    def _whole_rows(self) -> Iterator[tuple[str, list[str]]]:
        for where, cells in self.table.rows():
            if not isinstance(cells, RejectRow):
                yield where, cells


def _is_number(cell: str) -> bool:
    try:
        read_number(cell, "")
    except RejectRow:
        return False
    return True


def _meaning(name: str, text: str) -> object:
    """What makes two cells of a column equal."""
    if name == "expression":
        return find_expression(text) or text.lower()
    if name == "split":
        return parse_split(text) or text.lower()
    if name == "image":
        return text.replace("\\", "/").removeprefix("./")
    if name in ("valence", "arousal") and _is_number(text):
        return float(text)
    return text
