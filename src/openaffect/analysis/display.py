"""How an analysis looks in a notebook: a short table, with the faces where they can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openaffect.analysis.pictures import read_photo
from openaffect.analysis.videos import Video
from openaffect.errors import ImageError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.images import Pixels
from openaffect.pages import render
from openaffect.pages.environment import data_url

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
    return render(
        "analysis/templates/display.html.j2",
        title=repr(analysis),
        total=len(analysis),
        lines=[(row, _thumbnail(row, pictures.get((row["source"], row["frame"])))) for row in rows],
        side=_SIDE,
    )


def _thumbnail(row: _Row, picture: Pixels | None) -> str | None:
    if picture is None or row["status"] != "ok":
        return None
    face = crop(picture, Box(*row["box"]), CropRule(), (_SIDE, _SIDE))
    return data_url(face, quality=85)


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
