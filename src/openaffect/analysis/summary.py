"""What a video says in short: one line per track."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openaffect.recognition import OK

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One face over the frames of a video.

    Attributes:
        source: of the video.
        track: its id.
        frames: in how many it was seen and judged.
        start_s, end_s: first and last time, in seconds; None where the video tells no times.
        probabilities: means over its frames, by the name of the class; empty without classes.
        expression: of the highest mean; None without classes.
        valence, arousal: means; None where the model has none.
    """

    source: str
    track: int
    frames: int
    start_s: float | None
    end_s: float | None
    probabilities: dict[str, float]
    expression: str | None
    valence: float | None
    arousal: float | None


@dataclass(slots=True)
class _Sums:
    frames: int = 0
    start_s: float | None = None
    end_s: float | None = None
    values: dict[str, float] = field(default_factory=dict)


class TrackAccumulator:
    """Adds up rows as they come, so that a video of any length needs no more than its tracks."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], _Sums] = {}

    def add(self, row: Row) -> None:
        """Count a row; one that is not a judged face of a track changes nothing."""
        if row["track_id"] is None or row["status"] != OK:
            return
        sums = self._sums.setdefault((row["source"], row["track_id"]), _Sums())
        sums.frames += 1
        if row["time_s"] is not None:
            sums.start_s = row["time_s"] if sums.start_s is None else sums.start_s
            sums.end_s = row["time_s"]
        for name, value in row.items():
            if value is not None and (name.startswith("p_") or name in ("valence", "arousal")):
                sums.values[name] = sums.values.get(name, 0.0) + value

    def tracks(self) -> list[TrackSummary]:
        """All tracks, by source and then by id."""
        return [_mean(*key, sums) for key, sums in self._sums.items()]


def summarize(rows: Iterable[Row]) -> list[TrackSummary]:
    """A summary of every track in rows of an analysis, such as `analysis.rows()`.

    Photos have no tracks and give nothing.
    """
    totals = TrackAccumulator()
    for row in rows:
        totals.add(row)
    return totals.tracks()


def _mean(source: str, track: int, sums: _Sums) -> TrackSummary:
    means = {name: value / sums.frames for name, value in sums.values.items()}
    shares = {name.removeprefix("p_"): v for name, v in means.items() if name.startswith("p_")}
    return TrackSummary(
        source=source,
        track=track,
        frames=sums.frames,
        start_s=sums.start_s,
        end_s=sums.end_s,
        probabilities=shares,
        expression=max(shares, key=lambda name: shares[name]) if shares else None,
        valence=means.get("valence"),
        arousal=means.get("arousal"),
    )
