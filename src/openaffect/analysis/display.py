"""How an analysis looks in a notebook: a short table, with the faces where they can be read."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from openaffect.analysis.pictures import read_photo
from openaffect.analysis.videos import Video
from openaffect.errors import ImageError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.images import Pixels, encode_image
from openaffect.pages.text import number, wide

if TYPE_CHECKING:
    from openaffect.analysis.table import Analysis

_ROWS = 12
_SIDE = 56  # of a thumbnail, in pixels
_LAST_FRAME = 250  # frames further on would take long to reach

_Row = Mapping[str, Any]
_Key = tuple[str, int | None]


def render_display(analysis: Analysis) -> str:
    """HTML of the first rows; every text is escaped, nothing is fetched from the network."""
    rows = analysis.table.slice(0, _ROWS).to_pylist()
    pictures = _read_pictures(rows)
    heads = ("", "source", "time", "expression", "confidence", "valence", "arousal")
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(_line(row, pictures.get((row["source"], row["frame"]))) for row in rows)
    more = f", the first {len(rows)} rows of {len(analysis):,}" if len(analysis) > len(rows) else ""
    return (
        f"<div><p>{escape(repr(analysis))}{more}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _line(row: _Row, picture: Pixels | None) -> str:
    time_s = "" if row["time_s"] is None else f"{number(row['time_s'], 2)} s"
    source = escape(row["source"])
    if row["track_id"] is not None:
        source += f" #{row['track_id']}"
    if row["status"] != "ok":
        what = escape(row["error"] or wide(row["status"]))
        return f'<tr><td></td><td>{source}</td><td>{time_s}</td><td colspan="4">{what}</td></tr>'
    name = "–" if row["expression"] is None else escape(wide(row["expression"]))
    cells = (
        _thumbnail(row, picture),
        source,
        time_s,
        name,
        number(row["confidence"], 2),
        number(row["valence"], 2, sign=True),
        number(row["arousal"], 2, sign=True),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _thumbnail(row: _Row, picture: Pixels | None) -> str:
    if picture is None:
        return ""
    face = crop(picture, Box(*row["box"]), CropRule(), (_SIDE, _SIDE))
    data = base64.b64encode(encode_image(face, ".jpg", 85)).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{_SIDE}" height="{_SIDE}" '
        'alt="the face" style="border-radius:6px">'
    )


def _read_pictures(rows: Sequence[_Row]) -> dict[_Key, Pixels]:
    """The pictures of rows with a face, as far as they are files that can be read."""
    wanted: dict[str, set[int | None]] = {}
    for row in rows:
        if row["status"] == "ok":
            wanted.setdefault(row["source"], set()).add(row["frame"])
    pictures: dict[_Key, Pixels] = {}
    for source, frames in wanted.items():
        numbers = {frame for frame in frames if frame is not None and frame <= _LAST_FRAME}
        try:
            if None in frames:
                pictures[source, None] = read_photo(source)
            if numbers:
                pictures |= _read_frames(source, numbers)
        except ImageError:
            continue
    return pictures


def _read_frames(source: str, numbers: set[int]) -> dict[_Key, Pixels]:
    found: dict[_Key, Pixels] = {}
    for picture in Video(source).pictures(0):
        if picture.frame in numbers:
            found[source, picture.frame] = picture.read()
        if picture.number >= max(numbers):
            break
    return found
