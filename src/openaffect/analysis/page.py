"""The page of an analysis: tracks and timelines of its videos, and counts of its photos.

One HTML file that needs no network and no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openaffect.analysis.summary import TrackAccumulator, TrackSummary
from openaffect.analysis.table import Analysis
from openaffect.analysis.timeline import COLORS, TrackSeries, timeline_plot
from openaffect.errors import DestinationExists
from openaffect.labels import EMOTIONS
from openaffect.pages import render
from openaffect.recognition import ERROR, NO_FACE_FOUND, OK
from openaffect.storage import atomic_file

_MOST_TRACKS = 200  # in a table
_MOST_ERRORS = 50


@dataclass(slots=True)
class _Video:
    """What is gathered of one video."""

    frames: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    last: int | None = None
    end_s: float = 0.0
    courses: dict[int, TrackSeries] = field(default_factory=dict)


@dataclass(slots=True)
class _Gathered:
    """What is gathered of all rows in one pass."""

    totals: TrackAccumulator = field(default_factory=TrackAccumulator)
    videos: dict[str, _Video] = field(default_factory=dict)
    photos: Counter[str] = field(default_factory=Counter)
    expressions: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0


def write_page(analysis: Analysis, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the page of an analysis, whole or not at all.

    Args:
        analysis: of photos, videos or both.
        path: the `.html` file to make.
        overwrite: replace it.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
    """
    if Path(path).exists() and not overwrite:
        raise DestinationExists(path)
    text = render_page(analysis)
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_page(analysis: Analysis) -> str:
    """The whole text of the page."""
    gathered = _gather(analysis.rows())
    tracks: dict[str, list[TrackSummary]] = {}
    for track in gathered.totals.tracks():
        tracks.setdefault(track.source, []).append(track)
    return render(
        "analysis/templates/analysis.html.j2",
        facts=_facts(gathered, tracks, analysis.made_with),
        videos=[
            _shown(source, video, tracks.get(source, []))
            for source, video in gathered.videos.items()
        ],
        photos={status: gathered.photos[status] for status in (OK, NO_FACE_FOUND, ERROR)}
        if gathered.photos
        else None,
        expressions=gathered.expressions,
        errors=gathered.errors,
        failed=gathered.failed,
        emotions=EMOTIONS,
        most_tracks=_MOST_TRACKS,
    )


def _gather(rows: Iterable[Mapping[str, Any]]) -> _Gathered:
    gathered = _Gathered()
    for row in rows:
        gathered.totals.add(row)
        if row["status"] == ERROR:
            gathered.failed += 1
            if len(gathered.errors) < _MOST_ERRORS:
                gathered.errors.append((_where(row), row["error"]))
        if row["frame"] is None:
            _add_photo(gathered, row)
        else:
            _add_frame(gathered.videos.setdefault(row["source"], _Video()), row)
    return gathered


def _add_photo(gathered: _Gathered, row: Mapping[str, Any]) -> None:
    if not row["face_index"]:
        gathered.photos[row["status"]] += 1
    if row["status"] == OK and row["expression"] is not None:
        gathered.expressions[row["expression"]] += 1


def _add_frame(video: _Video, row: Mapping[str, Any]) -> None:
    if row["frame"] != video.last:
        video.frames += 1
        video.statuses[row["status"]] += 1
        video.last = row["frame"]
    if row["time_s"] is not None:
        video.end_s = max(video.end_s, row["time_s"])
    if row["status"] == OK and row["track_id"] is not None:
        video.courses.setdefault(row["track_id"], TrackSeries()).add(row)


def _where(row: Mapping[str, Any]) -> str:
    return row["source"] if row["frame"] is None else f"{row['source']}, frame {row['frame']:,}"


def _facts(
    gathered: _Gathered, tracks: Mapping[str, list[TrackSummary]], made_with: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    facts = []
    if gathered.videos:
        frames = sum(video.frames for video in gathered.videos.values())
        facts += [
            _count(len(gathered.videos), "video"),
            _count(frames, "frame"),
            _count(sum(map(len, tracks.values())), "track"),
        ]
    if gathered.photos:
        facts.append(_count(gathered.photos.total(), "photo"))
    facts.append(("", f"{gathered.failed:,}", " failed"))
    facts += [(f"{k} ", str(made_with[k]), "") for k in ("model", "detector") if made_with.get(k)]
    if made_with.get("smooth"):
        facts.append(("smoothed over ", f"{made_with['smooth']:g} s", ""))
    return facts


def _count(total: int, what: str) -> tuple[str, str, str]:
    return "", f"{total:,}", f" {what}{'' if total == 1 else 's'}"


def _shown(source: str, video: _Video, tracks: list[TrackSummary]) -> dict[str, Any]:
    """What the template shows of a video: the plot has its longest tracks."""
    longest = sorted(tracks, key=lambda track: -track.frames)[: len(COLORS)]
    drawn = [track.track for track in sorted(longest, key=lambda track: track.track)]
    courses = {track: video.courses[track] for track in drawn}
    title = f"Valence, arousal and expression over time in {source}"
    return {
        "source": source,
        "frames": video.frames,
        "statuses": {status: video.statuses[status] for status in (NO_FACE_FOUND, ERROR)},
        "tracks": tracks,
        "colors": dict(zip(drawn, COLORS, strict=False)),
        "plot": timeline_plot(courses, title) if tracks else None,
    }
