"""A folder of drawings: a picture for every photo of an analysis, a video for every video."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from openaffect.addresses import Allowed, is_address
from openaffect.analysis.overlay.image import overlay_image
from openaffect.analysis.overlay.video import overlay_video
from openaffect.analysis.pictures import read_photo, read_web_photo
from openaffect.analysis.table import Analysis
from openaffect.errors import DestinationExists, ImageError, InputError
from openaffect.images import encode_image
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_file

_KEPT = (".jpg", ".jpeg", ".png")
_Row = dict[str, Any]


def overlay_folder(
    analysis: Analysis,
    folder: str | Path,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    allow: Allowed = (),
    on_progress: OnProgress | None = None,
) -> dict[str, Path | None]:
    """Draw every photo and video of an analysis into a folder, each file whole or not at all.

    They are read again from their paths. A drawing has the path of its source below the folder
    that all sources share, `.jpg`, `.jpeg` and `.png` kept, other photos turned to `.png`, videos
    to `.mp4`; of two that would get the same name, the later one gets `-2`.

    Args:
        analysis: of pictures and videos that are files, or pictures at addresses.
        folder: made if it is not there.
        overwrite: replace drawings that are there; a source itself is never replaced.
        workers: threads; None for one per CPU core.
        allow: of addresses; see `AnalysisChoices`.
        on_progress: called with the number of photos, and of frames of videos, done so far.
    Returns:
        For every source its drawing, or None where it cannot be read.

    Raises:
        InputError: a picture that was given as an array, a camera, or a drawing that would replace
            a source.
        DestinationExists: a drawing is there already and `overwrite` is false; nothing is written.
    """
    table = analysis.table
    sources = table["source"].unique().to_pylist()
    videos = set(table.filter(pc.is_valid(table["frame"]))["source"].unique().to_pylist())
    targets = _name_drawings(sources, videos, Path(folder))
    _check_targets(targets, overwrite)
    drawn: dict[str, Path | None] = dict.fromkeys(targets)

    def draw(item: tuple[str, list[_Row]]) -> Path | None:
        source, rows = item
        return _draw_photo(source, rows, targets[source], overwrite, allow)

    photos = ((s, list(rows)) for s, rows in _groups(analysis) if s not in videos)
    names = [source for source in targets if source not in videos]
    results = map_in_order(draw, photos, workers=workers)
    for count, (source, target) in enumerate(zip(names, results, strict=True), 1):
        drawn[source] = target
        if on_progress is not None:
            on_progress(Progress("drawing", count))
    count = len(names)
    for source, rows in _groups(analysis) if videos else ():
        if source in videos:
            drawn[source], frames = overlay_video(
                *(source, rows, targets[source]),
                overwrite=overwrite,
                workers=workers,
                on_progress=None if on_progress is None else _shifted(on_progress, count),
            )
            count += frames
    return drawn


def _shifted(on_progress: OnProgress, start: int) -> OnProgress:
    return lambda event: on_progress(replace(event, done=start + event.done))


def _groups(analysis: Analysis) -> Iterator[tuple[str, Iterable[_Row]]]:
    """Every source once, with its rows in order."""
    seen = set()
    for source, rows in groupby(analysis.rows(), lambda row: str(row["source"])):
        if source not in seen:
            seen.add(source)
            yield source, rows


def _draw_photo(
    source: str, rows: list[_Row], target: Path, overwrite: bool, allow: Allowed
) -> Path | None:
    web = is_address(source) and not os.path.exists(source)
    try:
        image = read_web_photo(source, allow) if web else read_photo(source)
    except ImageError:
        return None
    data = encode_image(overlay_image(image, rows), target.suffix)
    with atomic_file(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)
    return target


def _name_drawings(sources: list[str], videos: set[str], folder: Path) -> dict[str, Path]:
    """A path for the drawing of every source, no two alike even where case is ignored."""
    paths = {source: _path_of(source) for source in sources}
    parents = [path.parent for path in paths.values() if path.is_absolute()]
    shared = os.path.commonpath(parents) if parents else ""
    targets: dict[str, Path] = {}
    used: set[str] = set()
    for source, path in paths.items():
        suffix = path.suffix if path.suffix.lower() in _KEPT else ".png"
        suffix = ".mp4" if source in videos else suffix
        below = path.relative_to(shared) if path.is_absolute() else path
        stem = folder / below.with_suffix("")
        target, number = stem.with_name(stem.name + suffix), 2
        while str(target).lower() in used:
            target, number = stem.with_name(f"{stem.name}-{number}{suffix}"), number + 1
        used.add(str(target).lower())
        targets[source] = target
    return targets


def _path_of(source: str) -> Path:
    """The absolute path of a file; a relative one, made of its last part, for an address."""
    if os.path.exists(source):
        return Path(os.path.abspath(source))
    if source.startswith(("array[", "camera ")):
        what = "was given as an array" if source.startswith("array") else "is a camera"
        raise InputError(
            f"expected pictures that are files, but {source} {what}; "
            "draw it with overlay_image(image, rows)"
        )
    if not is_address(source):
        return Path(os.path.abspath(source))
    name = urllib.parse.unquote(urllib.parse.urlsplit(source).path).rsplit("/", 1)[-1]
    safe = "".join(sign if sign.isalnum() or sign in "-_. " else "_" for sign in name)
    return Path(safe.lstrip(".") or "address")


def _check_targets(targets: dict[str, Path], overwrite: bool) -> None:
    sources = {os.path.realpath(source) for source in targets}
    for target in targets.values():
        if os.path.realpath(target) in sources:
            raise InputError(f"a drawing would replace the picture {target}; choose another folder")
        if target.exists() and not overwrite:
            raise DestinationExists(target)
