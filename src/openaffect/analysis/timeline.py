"""A video over time as one SVG: valence, arousal, and a strip of expressions for each track."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.labels import Expression
from openaffect.pages.plots import Axis, label, upright_title
from openaffect.pages.svg import Element, drawing, points, titled
from openaffect.pages.text import wide

Floats = NDArray[np.float64]

COLORS = (
    *("#2f7fb8", "#d98200", "#2a9d6f", "#c2456b", "#7a5cc9", "#8a7a2f"),
    *("#4fb0c6", "#b0583a", "#6b8f2f", "#b05fb0", "#5f6f8f", "#9a9a9a"),
)
"""A color for each track of a plot, RGB; no plot has more tracks."""

_COLUMNS = 520  # points of a curve: one for every two units of width
_LEFT, _WIDTH, _HEIGHT, _STRIP = 62, 1040, 118, 13
_USUAL_RATE = 25.0  # for a video that tells no times
_EXPRESSIONS = tuple(Expression)


@dataclass(slots=True)
class TrackSeries:
    """A track over time, as it is gathered.

    Attributes:
        times: seconds.
        valence, arousal: in [−1, 1]; NaN where the model has none.
        expressions: numbers into `Expression`; −1 for none.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    valence: array[float] = field(default_factory=lambda: array("f"))
    arousal: array[float] = field(default_factory=lambda: array("f"))
    expressions: array[int] = field(default_factory=lambda: array("b"))

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row that is `ok`."""
        time_s = row["time_s"]
        self.times.append(row["frame"] / _USUAL_RATE if time_s is None else time_s)
        for name, values in (("valence", self.valence), ("arousal", self.arousal)):
            values.append(float("nan") if row[name] is None else row[name])
        name = row["expression"]
        self.expressions.append(-1 if name is None else _EXPRESSIONS.index(Expression(name)))


def timeline_plot(courses: Mapping[int, TrackSeries], title: str) -> Element:
    """The plot of the tracks of one video.

    Args:
        courses: by track id, not more than there are `COLORS`, in the order of the colors.
        title: for readers that do not see the plot.
    """
    end = max((course.times[-1] for course in courses.values()), default=0.0) or 1.0
    columns = min(_COLUMNS, max(2, *(len(course.times) for course in courses.values())))
    parts: list[Element] = []
    top = 8.0
    for name in ("valence", "arousal"):
        curves = [(_binned(c, getattr(c, name), end, columns), t) for t, c in courses.items()]
        if all(np.isnan(values).all() for values, _ in curves):
            continue
        axis = Axis(-1, 1, top + _HEIGHT, top)
        parts += _axes(name, axis)
        for color, (values, track) in zip(COLORS, curves, strict=False):
            parts.append(_curve(values, end, columns, axis, color, f"track {track}"))
        top += _HEIGHT + 24
    for color, (track, course) in zip(COLORS, courses.items(), strict=False):
        parts += _strip(track, course, end, columns, top, color)
        top += _STRIP + 5
    parts += _time_axis(end, top)
    return drawing(_LEFT + _WIDTH + 14, top + 26, title, *parts)


def _columns_of(course: TrackSeries, end: float, columns: int) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.minimum(
        np.asarray(course.times) / end * columns, columns - 1
    ).astype(np.int64)
    return numbers


def _binned(course: TrackSeries, values: Sequence[float], end: float, columns: int) -> Floats:
    """Means of a track's values over equal stretches of time; NaN where it was not seen."""
    numbers = _columns_of(course, end, columns)
    found = np.asarray(values, float)
    whole = ~np.isnan(found)
    sums = np.bincount(numbers[whole], found[whole], columns)
    counts = np.bincount(numbers[whole], minlength=columns)
    means: Floats = np.divide(sums, counts, out=np.full(columns, np.nan), where=counts > 0)
    return means


def _x(columns: NDArray[np.int_], count: int) -> Floats:
    place: Floats = _LEFT + (np.asarray(columns, float) + 0.5) / count * _WIDTH
    return place


def _curve(values: Floats, end: float, columns: int, axis: Axis, color: str, title: str) -> Element:
    """A line that breaks where the track was away for more than two stretches and half a second."""
    seen = np.flatnonzero(~np.isnan(values))
    far = max(2.0, 0.5 / end * columns)
    lines = []
    for piece in np.split(seen, np.flatnonzero(np.diff(seen) > far) + 1):
        x, y = _x(piece, columns), axis.places(values[piece])
        if len(piece) == 1:
            lines.append(Element("circle", cx=float(x[0]), cy=float(y[0]), r=1.8, fill=color))
        elif len(piece):
            lines.append(
                Element(
                    "polyline",
                    points=points(x, y),
                    fill="none",
                    stroke=color,
                    stroke_width=1.8,
                    stroke_linejoin="round",
                )
            )
    return titled(title, *lines)


def _strip(
    track: int, course: TrackSeries, end: float, columns: int, top: float, color: str
) -> list[Element]:
    """The most frequent expression of every stretch of time, equal neighbors joined."""
    numbers = _columns_of(course, end, columns)
    kinds = np.asarray(course.expressions, np.int64) + 1
    width = len(_EXPRESSIONS) + 1
    counts = np.bincount(numbers * width + kinds, minlength=columns * width).reshape(columns, width)
    best = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    edges = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), columns]
    step = _WIDTH / columns
    parts = [
        Element(
            "text",
            f"#{track}",
            x=_LEFT - 8,
            y=top + _STRIP - 2.5,
            text_anchor="end",
            style=f"fill:{color};font-weight:620",
        )
    ]
    for first, last in pairwise(edges):
        if best[first] < 0:
            continue
        name = "unsure" if best[first] == 0 else str(_EXPRESSIONS[best[first] - 1])
        seconds = f"{first / columns * end:.1f}–{last / columns * end:.1f} s"
        parts.append(
            Element(
                "rect",
                Element("title", f"#{track} {wide(name)}, {seconds}"),
                class_="piece" if best[first] == 0 else f"piece c-{name}",
                x=_LEFT + first * step,
                y=top,
                width=max(0.6, (last - first) * step),
                height=_STRIP,
            )
        )
    return parts


def _axes(name: str, axis: Axis) -> list[Element]:
    parts = []
    for value, text in ((1, "+1"), (0, "0"), (-1, "−1")):
        y = axis.at(value)
        parts += [
            Element("line", class_="grid", x1=_LEFT, x2=_LEFT + _WIDTH, y1=y, y2=y),
            label(None, text, _LEFT - 8, y + 4, "end"),
        ]
    return [*parts, upright_title(name, 14, axis.middle)]


def _time_axis(end: float, top: float) -> list[Element]:
    # 1, 2 or 5 times a power of ten, so that there are between five and twelve ticks.
    power = 10.0 ** np.floor(np.log10(end / 5))
    step = next(power * k for k in (1, 2, 5, 10) if end / (power * k) <= 12)
    return [
        label(None, _clock(n * step), _LEFT + n * step / end * _WIDTH, top + 14, "middle")
        for n in range(int(end / step) + 1)
    ]


def _clock(seconds: float) -> str:
    """Seconds as people read them.

    >>> _clock(2.5), _clock(75), _clock(3700)
    ('2.5 s', '1:15', '1:01:40')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
