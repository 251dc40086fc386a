"""The page of an analysis: tracks and timelines of its videos, and counts of its photos.

One HTML file that needs no network and no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from openaffect.analysis.summary import Totals, TrackSummary
from openaffect.analysis.table import Analysis
from openaffect.analysis.timeline import COLORS, Course, timeline_plot
from openaffect.errors import DestinationExists
from openaffect.labels import EMOTIONS
from openaffect.pages.text import number, wide
from openaffect.recognition import ERROR, NO_FACE_FOUND, OK
from openaffect.reports.markup import document, section, table
from openaffect.storage import atomic_file

_MOST_TRACKS = 200  # in a table
_MOST_ERRORS = 50

_STYLE = """<style>
.piece { fill: var(--c, var(--faint)); }
.tracks { margin-top: 18px; }
.swatch.track { border-radius: 50%; }
</style>
"""


@dataclass(slots=True)
class _Video:
    """What is gathered of one video."""

    frames: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    last: int | None = None
    end_s: float = 0.0
    courses: dict[int, Course] = field(default_factory=dict)


@dataclass(slots=True)
class _Gathered:
    """What is gathered of all rows in one pass."""

    totals: Totals = field(default_factory=Totals)
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
    parts = [_headline(gathered, tracks, analysis.made_with)]
    for place, (source, video) in enumerate(gathered.videos.items()):
        parts.append(_video_section(place, source, video, tracks.get(source, [])))
    parts += [_photo_section(gathered), _error_section(gathered)]
    return document("Analysis", _STYLE + "\n".join(part for part in parts if part))


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
        video.courses.setdefault(row["track_id"], Course()).add(row)


def _where(row: Mapping[str, Any]) -> str:
    return row["source"] if row["frame"] is None else f"{row['source']}, frame {row['frame']:,}"


def _headline(
    gathered: _Gathered, tracks: Mapping[str, list[TrackSummary]], made_with: Mapping[str, Any]
) -> str:
    facts = []
    if gathered.videos:
        frames = sum(video.frames for video in gathered.videos.values())
        facts.append(_count(len(gathered.videos), "video"))
        facts.append(_count(frames, "frame"))
        facts.append(_count(sum(map(len, tracks.values())), "track"))
    if gathered.photos:
        facts.append(_count(gathered.photos.total(), "photo"))
    facts.append(f"<b>{gathered.failed:,}</b> failed")
    for key, what in (("model", "model"), ("detector", "detector")):
        if made_with.get(key):
            facts.append(f"{what} <b>{escape(str(made_with[key]))}</b>")
    if made_with.get("smooth"):
        facts.append(f"smoothed over <b>{made_with['smooth']:g} s</b>")
    title = "Faces over time" if gathered.videos else "Faces in photos"
    return (
        f'<header>\n<p class="kicker">Analysis</p>\n<h1>{title}</h1>\n'
        f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>\n</header>\n'
    )


def _count(total: int, what: str) -> str:
    return f"<b>{total:,}</b> {what}{'' if total == 1 else 's'}"


def _video_section(place: int, source: str, video: _Video, tracks: list[TrackSummary]) -> str:
    longest = sorted(tracks, key=lambda track: -track.frames)[: len(COLORS)]
    shown = sorted(longest, key=lambda track: track.track)
    lead = (
        f"Frames analyzed: {video.frames:,}; without a face {video.statuses[NO_FACE_FOUND]:,}, "
        f"not readable {video.statuses[ERROR]:,}."
    )
    if len(tracks) > len(shown):
        lead += f" The plot has the {len(shown)} longest of {len(tracks):,} tracks."
    if not tracks:
        return section(f"video-{place}", source, lead, "")
    courses = {track.track: video.courses[track.track] for track in shown}
    plot = timeline_plot(courses, f"Valence, arousal and expression over time in {source}")
    colors = {track.track: color for track, color in zip(shown, COLORS, strict=False)}
    body = plot + _legend() + _track_table(tracks, colors)
    return section(f"video-{place}", source, lead, body)


def _legend() -> str:
    items = "".join(
        f'<li><i class="swatch c-{name}"></i>{escape(wide(name))}</li>' for name in EMOTIONS
    )
    return f'<ul class="legend">{items}</ul>'


def _track_table(tracks: list[TrackSummary], colors: Mapping[int, str]) -> str:
    lines = []
    for track in tracks[:_MOST_TRACKS]:
        color = colors.get(track.track, "transparent")
        mean = track.probabilities.get(track.expression) if track.expression else None
        expression = (
            "–"
            if track.expression is None
            else f'<i class="swatch c-{track.expression}"></i>{escape(wide(track.expression))}'
        )
        lines.append(
            [
                f'<i class="swatch track" style="background:{color}"></i>#{track.track}',
                f"{track.frames:,}",
                number(track.start_s, 2),
                number(track.end_s, 2),
                expression,
                number(mean, 2),
                _second(track),
                number(track.valence, 2, sign=True),
                number(track.arousal, 2, sign=True),
            ]
        )
    heads = [
        *("Track", "Frames", "From, s", "To, s", "Expression", "Mean share"),
        *("Then", "Valence", "Arousal"),
    ]
    text = table(heads, lines, kinds="lnnnlnlnn", name="tracks")
    if len(tracks) > _MOST_TRACKS:
        text += f'<p class="note">The first {_MOST_TRACKS} of {len(tracks):,} tracks.</p>'
    return text


def _second(track: TrackSummary) -> str:
    """The expression with the second highest mean."""
    ranked = sorted(track.probabilities.items(), key=lambda item: -item[1])
    if len(ranked) < 2:
        return ""
    name, share = ranked[1]
    return f'<i class="swatch c-{name}"></i>{escape(wide(name))} {number(share, 2)}'


def _photo_section(gathered: _Gathered) -> str:
    if not gathered.photos:
        return ""
    lead = (
        f"With a face {gathered.photos[OK]:,}, without one {gathered.photos[NO_FACE_FOUND]:,}, "
        f"not readable {gathered.photos[ERROR]:,}. Faces by expression:"
    )
    total = max(1, gathered.expressions.total())
    lines = [
        [
            f'<i class="swatch c-{name}"></i>{escape(wide(name))}',
            f"{count:,}",
            f"{count / total:.0%}",
        ]
        for name, count in gathered.expressions.most_common()
    ]
    body = table(["Expression", "Faces", "Share"], lines, kinds="lnn", name="photos")
    return section("photos", "Photos", lead, body if lines else "")


def _error_section(gathered: _Gathered) -> str:
    if not gathered.errors:
        return ""
    lines = [[escape(where), escape(reason)] for where, reason in gathered.errors]
    lead = f"{gathered.failed:,} rows failed"
    lead += f"; the first {len(lines)}:" if gathered.failed > len(lines) else ":"
    body = table(["Where", "Why"], lines, kinds="ll", name="undefined")
    return section("errors", "Not analyzed", lead, body)
