"""The drawings of a report as SVG text: small, without scripts, colored by the page's style.

Every function gives one `<svg>` whose colors are CSS classes (`c-happy`, `axis`, `grid` …), so
that light, dark and print look right without drawing twice. Texts are escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.circumplex import REGIONS
from openaffect.labels import Expression

Floats = NDArray[np.float64]

_CHAR = 6.1  # rough width of a letter of a curve's label in user units


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A curve in the unit square.

    Attributes:
        label: the class, which also gives the color.
        x, y: shape (points,), in [0, 1].
        title: what a pointer that rests on it reads.
    """

    label: str
    x: Floats
    y: Floats
    title: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot area in user units and the range it shows."""

    left: float
    top: float
    width: float
    height: float
    low: float = 0.0
    high: float = 1.0

    def x(self, values: Any) -> Floats:
        """Horizontal places of values."""
        share = (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)
        result: Floats = self.left + share * self.width
        return result

    def y(self, values: Any) -> Floats:
        """Vertical places of values; up is more."""
        share = (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)
        result: Floats = self.top + (1 - share) * self.height
        return result


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name stands: its left end, its base line, and how wide it is."""

    x: float
    y: float
    width: float


def interval_bar(value: float | None, low: float | None, high: float | None, floor: float) -> str:
    """A score and its interval on a line from `floor` (0, or −1) to 1."""
    frame = Frame(4, 0, 112, 14, low=floor)
    parts = ['<line class="track" x1="4" x2="116" y1="7" y2="7"/>']
    if floor < 0:
        zero = float(frame.x(0.0))
        parts.append(f'<line class="track" x1="{zero:.1f}" x2="{zero:.1f}" y1="3" y2="11"/>')
    if low is not None and high is not None:
        x0, x1 = (float(frame.x(np.clip(v, floor, 1))) for v in (low, high))
        parts.append(f'<line class="span" x1="{x0:.1f}" x2="{x1:.1f}" y1="7" y2="7"/>')
    if value is not None:
        x = float(frame.x(np.clip(value, floor, 1)))
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="7" r="3.2"/>')
    return f'<svg class="mini" viewBox="0 0 120 14" preserveAspectRatio="xMinYMid" aria-hidden="true">{"".join(parts)}</svg>'


def curves_plot(lines: Sequence[Line], x_title: str, y_title: str, *, diagonal: bool) -> str:
    """Curves in the unit square, one a class, each with its name beside it."""
    frame = Frame(44, 10, 372, 372)
    parts = [_square_axes(frame, x_title, y_title, ticks=(0, 0.25, 0.5, 0.75, 1))]
    if diagonal:
        parts.append(_segment("chance", frame, (0, 1), (0, 1)))
    for line in lines:
        points = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in zip(frame.x(line.x), frame.y(line.y), strict=True)
        )
        parts.append(
            f'<g class="curve"><title>{escape(line.title)}</title>'
            f'<polyline class="c-{escape(line.label)}" points="{points}"/></g>'
        )
    for line, place in zip(lines, _place_names(lines, frame), strict=True):
        parts.append(
            f'<text class="name f-{escape(line.label)}" x="{place.x:.1f}" y="{place.y:.1f}">'
            f"{escape(_shown(line.label))}</text>"
        )
    return _svg(426, 424, f"{y_title} against {x_title}, one curve a class", parts)


def reliability_plot(bins: Iterable[Mapping[str, Any]]) -> str:
    """Accuracy against confidence, the gap to honesty, and how many rows are in each bin."""
    frame, strip = Frame(44, 10, 372, 300), Frame(44, 326, 372, 56)
    filled = [b for b in bins if b["count"]]
    total, most = sum(b["count"] for b in filled), max((b["count"] for b in filled), default=1)
    parts = [_axes_y(frame, "accuracy", (0, 0.25, 0.5, 0.75, 1))]
    for b in filled:
        x, width = float(frame.x(b["low"])), frame.width * (b["high"] - b["low"])
        top, honest = float(frame.y(b["accuracy"])), float(frame.y(b["confidence"]))
        share = b["count"] / total
        title = (
            f"confidence {b['low']:.2f} to {b['high']:.2f}: {b['count']:,} faces ({share:.1%}), "
            f"mean confidence {b['confidence']:.3f}, accuracy {b['accuracy']:.3f}"
        )
        gap = "over" if b["confidence"] > b["accuracy"] else "under"
        column = f'x="{x + 1:.1f}" width="{width - 2:.1f}"'
        bar = strip.height * b["count"] / most
        parts.append(
            f"<g><title>{escape(title)}</title>"
            f'<rect class="share" {column} y="{top:.1f}" height="{frame.y(0) - top:.1f}"/>'
            f'<rect class="gap {gap}" {column} y="{min(top, honest):.1f}" '
            f'height="{abs(top - honest):.1f}"/>'
            f'<rect class="count" {column} y="{strip.top + strip.height - bar:.1f}" '
            f'height="{bar:.1f}"/></g>'
        )
    parts.append(_segment("chance", frame, (0, 1), (0, 1)))
    parts.append(_axes_x(strip, "confidence", (0, 0.25, 0.5, 0.75, 1)))
    middle = strip.top + strip.height / 2
    parts.append(
        f'<text class="axis-title" transform="translate(12 {middle:.0f}) rotate(-90)" '
        'text-anchor="middle">faces</text>'
    )
    return _svg(426, 424, "accuracy against confidence in bins", parts)


def circumplex_points(points: Mapping[str, Floats], what: str) -> str:
    """Points on the valence–arousal disc, one color a class.

    Args:
        points: class → valence and arousal, (n, 2); the class "" has no label.
        what: for readers that cannot see it.
    """
    frame = _disc_frame()
    parts = [_disc(frame)]
    for label, values in points.items():
        clipped = np.clip(values, -1.12, 1.12)
        path = "".join(
            f"M{x:.1f} {y:.1f}h0"
            for x, y in zip(frame.x(clipped[:, 0]), frame.y(clipped[:, 1]), strict=True)
        )
        parts.append(f'<path class="points c-{escape(label or "other")}" d="{path}"/>')
    return _svg(400, 400, what, parts)


def circumplex_means(means: Mapping[str, tuple[Floats, Floats]], regions: Sequence[str]) -> str:
    """Where each class is labeled on average, and where it is predicted.

    Args:
        means: class → mean of the labels (2,), mean of the predictions (2,).
        regions: classes whose expected region is drawn.
    """
    frame = _disc_frame()
    parts = [_disc(frame)]
    for label in regions:
        region = REGIONS.get(Expression(label))
        if region is None:
            continue
        (v0, v1), (a0, a1) = region.valence, region.arousal
        x, y = float(frame.x(v0)), float(frame.y(a1))
        parts.append(
            f'<rect class="region c-{label}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{float(frame.x(v1)) - x:.1f}" height="{float(frame.y(a0)) - y:.1f}">'
            f"<title>expected region of {_shown(label)}</title></rect>"
        )
    dots: list[tuple[float, float]] = []
    starts = []
    for label, (truth, prediction) in means.items():
        x0, x1 = (float(v) for v in frame.x([truth[0], prediction[0]]))
        y0, y1 = (float(v) for v in frame.y([truth[1], prediction[1]]))
        title = (
            f"{_shown(label)}: labeled {truth[0]:+.2f}, {truth[1]:+.2f}; "
            f"predicted {prediction[0]:+.2f}, {prediction[1]:+.2f}"
        )
        parts.append(
            f"<g><title>{escape(title)}</title>"
            f'<line class="arrow c-{label}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'
            f'<circle class="ring c-{label}" cx="{x0:.1f}" cy="{y0:.1f}" r="5"/>'
            f'<circle class="full f-{label}" cx="{x1:.1f}" cy="{y1:.1f}" r="4"/></g>'
        )
        dots += [(x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2), (x1, y1)]
        starts.append((label, x0, y0))
    names: list[_Place] = []
    for label, x, y in starts:
        place = _beside(x, y, len(label) * 6.9, dots, names)
        names.append(place)
        parts.append(
            f'<text class="name f-{label}" x="{place.x:.1f}" y="{place.y:.1f}">'
            f"{escape(_shown(label))}</text>"
        )
    return _svg(400, 400, "mean label and mean prediction of each expression", parts)


# ---- pieces -----------------------------------------------------------------------------


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _shown(label: str) -> str:
    return label.replace("_", " ")


def _segment(kind: str, frame: Frame, x: tuple[float, float], y: tuple[float, float]) -> str:
    x0, x1 = frame.x(x)
    y0, y1 = frame.y(y)
    return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def _square_axes(frame: Frame, x_title: str, y_title: str, ticks: Sequence[float]) -> str:
    upright = "".join(_segment("grid", frame, (t, t), (0, 1)) for t in ticks)
    return upright + _axes_y(frame, y_title, ticks) + _axes_x(frame, x_title, ticks)


def _axes_y(frame: Frame, title: str, ticks: Sequence[float]) -> str:
    lines = "".join(
        _segment("grid", frame, (0, 1), (t, t))
        + f'<text class="tick" x="{frame.left - 7}" y="{float(frame.y(t)) + 3.5:.1f}" '
        f'text-anchor="end">{t:g}</text>'
        for t in ticks
    )
    middle = frame.top + frame.height / 2
    return lines + (
        f'<text class="axis-title" transform="translate(12 {middle:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(title)}</text>'
    )


def _axes_x(frame: Frame, title: str, ticks: Sequence[float]) -> str:
    base = frame.top + frame.height
    lines = "".join(
        f'<text class="tick" x="{float(frame.x(t)):.1f}" y="{base + 15:.1f}" '
        f'text-anchor="middle">{t:g}</text>'
        for t in ticks
    )
    middle = frame.left + frame.width / 2
    return (
        f'<line class="axis" x1="{frame.left}" x2="{frame.left + frame.width}" '
        f'y1="{base}" y2="{base}"/>{lines}'
        f'<text class="axis-title" x="{middle:.0f}" y="{base + 34:.0f}" '
        f'text-anchor="middle">{escape(title)}</text>'
    )


def _disc_frame() -> Frame:
    return Frame(20, 20, 360, 360, low=-1.12, high=1.12)


def _disc(frame: Frame) -> str:
    cx, cy = float(frame.x(0.0)), float(frame.y(0.0))
    unit = float(frame.x(1.0)) - cx
    rings = "".join(
        f'<circle class="{kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="{unit * share:.1f}"/>'
        for kind, share in (("disc", 1.0), ("grid", 0.5))
    )
    cross = _segment("grid", frame, (-1, 1), (0, 0)) + _segment("grid", frame, (0, 0), (-1, 1))
    texts = "".join(
        f'<text class="tick" transform="translate({x:.1f} {y:.1f}) rotate({turn})" '
        f'text-anchor="middle">{word}</text>'
        for x, y, turn, word in (
            (cx, cy - unit - 8, 0, "excited"),
            (cx, cy + unit + 17, 0, "calm"),
            (cx - unit - 8, cy, -90, "unpleasant"),
            (cx + unit + 8, cy, 90, "pleasant"),
        )
    )
    return rings + cross + texts


def _beside(
    x: float, y: float, width: float, points: Sequence[tuple[float, float]], names: Sequence[_Place]
) -> _Place:
    """A place for a name near a point, on as few points and other names as can be."""
    spots = [
        (x + side * (distance + width / 2) - width / 2, y + 4 + shift)
        for distance in (9.0, 16.0)
        for side, shift in ((1, 0), (-1, 0), (1, -10), (-1, -10), (1, 11), (-1, 11))
    ] + [(x - width / 2, y - 10), (x - width / 2, y + 19), (x - width / 2, y - 18)]

    def cost(spot: tuple[float, float]) -> float:
        left, base = spot
        on_points = sum(
            left - 6 < px < left + width + 6 and base - 15 < py < base + 6 for px, py in points
        )
        on_names = sum(
            max(0.0, min(left + width, n.x + n.width) - max(left, n.x) + 3)
            for n in names
            if abs(n.y - base) < 13
        )
        return 8.0 * on_points + on_names

    left, base = min(spots, key=cost)
    return _Place(left, base, width)


def _place_names(lines: Sequence[Line], frame: Frame) -> list[_Place]:
    """For each curve a place for its name on the curve, away from other names and curves."""
    paths = [np.stack([frame.x(line.x), frame.y(line.y)], axis=1) for line in lines]
    places: list[_Place] = []
    for number, line in enumerate(lines):
        width = _CHAR * len(line.label)
        path = _even(paths[number], 60)
        others = [_even(p, 120) for i, p in enumerate(paths) if i != number]
        crowd = np.concatenate([*others, np.full((1, 2), 1e6)])
        shifts = np.array([[6, 12], [6, -4], [-width - 6, -4]])
        candidates = (path[None] + shifts[:, None]).reshape(-1, 2)
        options = [_Place(float(x), float(y), width) for x, y in candidates]
        places.append(min(options, key=lambda option: _name_cost(option, crowd, places, frame)))
    return places


def _name_cost(place: _Place, crowd: Floats, names: Sequence[_Place], frame: Frame) -> float:
    x, y, width = place.x, place.y, place.width
    inside = (
        frame.left + 3 <= x <= frame.left + frame.width - width - 2
        and frame.top + 10 <= y <= frame.top + frame.height - 4
    )
    within = (
        (crowd[:, 0] > x - 4)
        & (crowd[:, 0] < x + width + 4)
        & (crowd[:, 1] > y - 13)
        & (crowd[:, 1] < y + 5)
    )
    hits = sum(abs(y - n.y) < 13 and x < n.x + n.width + 6 and n.x < x + width + 6 for n in names)
    return float(within.sum()) + 1000.0 * hits + (0.0 if inside else 1e5)


def _even(path: Floats, count: int) -> Floats:
    """Points at even distances along a path."""
    steps = np.append(0.0, np.cumsum(np.hypot(*np.diff(path, axis=0).T)))
    at = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(at, steps, path[:, 0]), np.interp(at, steps, path[:, 1])], axis=1)
