"""The drawings of a report: curves, bins, and the valence–arousal disc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.circumplex import REGIONS
from openaffect.labels import Expression
from openaffect.pages.plots import Frame, label, tick_text, upright_title
from openaffect.pages.svg import Element, drawing, points, titled
from openaffect.pages.text import wide
from openaffect.reports.contents import Bin

Floats = NDArray[np.float64]

_TICKS = (0, 0.25, 0.5, 0.75, 1)
_TICK_TEXTS = [(tick, tick_text(tick)) for tick in _TICKS]
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
class _Place:
    """Where a name stands: its left end, its base line, and how wide it is."""

    x: float
    y: float
    width: float


def curves_plot(lines: Sequence[Line], x_title: str, y_title: str, *, diagonal: bool) -> Element:
    """Curves in the unit square, one a class, each with its name beside it."""
    frame = Frame.of(44, 10, 372, 372)
    parts = [frame.segment("grid", (tick, tick), (0, 1)) for tick in _TICKS]
    parts += frame.left_axis(y_title, _TICKS) + frame.bottom_axis(x_title, _TICK_TEXTS)
    if diagonal:
        parts.append(frame.segment("chance", (0, 1), (0, 1)))
    for line in lines:
        path = points(frame.x.places(line.x), frame.y.places(line.y))
        curve = Element("polyline", class_=f"c-{line.label}", points=path)
        parts.append(titled(line.title, curve, class_="curve"))
    for line, place in zip(lines, _place_names(lines, frame), strict=True):
        parts.append(label(f"name f-{line.label}", wide(line.label), place.x, place.y))
    return drawing(426, 424, f"{y_title} against {x_title}, one curve a class", *parts)


def reliability_plot(bins: Iterable[Bin]) -> Element:
    """Accuracy against confidence, the gap to honesty, and how many rows are in each bin."""
    frame, strip = Frame.of(44, 10, 372, 300), Frame.of(44, 326, 372, 56)
    filled = [b for b in bins if b.count]
    total, most = sum(b.count for b in filled), max((b.count for b in filled), default=1)
    parts = frame.left_axis("accuracy", _TICKS)
    base, floor = frame.y.start, strip.y.start
    for b in filled:
        assert b.confidence is not None  # as it is not empty
        assert b.accuracy is not None
        x, width = frame.x.at(b.low) + 1, 372 * (b.high - b.low) - 2
        top, honest = frame.y.at(b.accuracy), frame.y.at(b.confidence)
        share = b.count / total
        title = (
            f"confidence {b.low:.2f} to {b.high:.2f}: {b.count:,} faces ({share:.1%}), "
            f"mean confidence {b.confidence:.3f}, accuracy {b.accuracy:.3f}"
        )
        gap = "over" if b.confidence > b.accuracy else "under"
        bar = 56 * b.count / most
        columns = (
            ("share", top, base - top),
            (f"gap {gap}", min(top, honest), abs(top - honest)),
            ("count", floor - bar, bar),
        )
        parts.append(
            titled(
                title,
                *(
                    Element("rect", class_=kind, x=x, width=width, y=y, height=height)
                    for kind, y, height in columns
                ),
            )
        )
    parts.append(frame.segment("chance", (0, 1), (0, 1)))
    parts += [
        *strip.bottom_axis("confidence", _TICK_TEXTS),
        upright_title("faces", 12, strip.y.middle),
    ]
    return drawing(426, 424, "accuracy against confidence in bins", *parts)


def circumplex_points(faces: Mapping[str, Floats], what: str) -> Element:
    """Points on the valence–arousal disc, one color a class.

    Args:
        faces: class → valence and arousal, (n, 2); the class "" has no label.
        what: for readers that cannot see it.
    """
    frame = _disc_frame()
    parts = _disc(frame)
    for name, values in faces.items():
        clipped = np.clip(values, -1.12, 1.12)
        xs, ys = frame.x.places(clipped[:, 0]), frame.y.places(clipped[:, 1])
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(xs, ys, strict=True))
        parts.append(Element("path", class_=f"points c-{name or 'other'}", d=path))
    return drawing(400, 400, what, *parts)


def circumplex_means(means: Mapping[str, tuple[Floats, Floats]], regions: Sequence[str]) -> Element:
    """Where each class is labeled on average, and where it is predicted.

    Args:
        means: class → mean of the labels (2,), mean of the predictions (2,).
        regions: classes whose expected region is drawn.
    """
    frame = _disc_frame()
    parts = _disc(frame)
    for name in regions:
        region = REGIONS.get(Expression(name))
        if region is None:
            continue
        (left, right), (bottom, top) = (
            frame.x.places(region.valence).tolist(),
            frame.y.places(region.arousal).tolist(),
        )
        parts.append(
            Element(
                "rect",
                Element("title", f"expected region of {wide(name)}"),
                class_=f"region c-{name}",
                x=left,
                y=top,
                width=right - left,
                height=bottom - top,
            )
        )
    dots: list[tuple[float, float]] = []
    starts = []
    for name, (truth, prediction) in means.items():
        x0, x1 = frame.x.places([truth[0], prediction[0]]).tolist()
        y0, y1 = frame.y.places([truth[1], prediction[1]]).tolist()
        title = (
            f"{wide(name)}: labeled {truth[0]:+.2f}, {truth[1]:+.2f}; "
            f"predicted {prediction[0]:+.2f}, {prediction[1]:+.2f}"
        )
        parts.append(
            titled(
                title,
                Element("line", class_=f"arrow c-{name}", x1=x0, y1=y0, x2=x1, y2=y1),
                Element("circle", class_=f"ring c-{name}", cx=x0, cy=y0, r=5),
                Element("circle", class_=f"full f-{name}", cx=x1, cy=y1, r=4),
            )
        )
        dots += [(x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2), (x1, y1)]
        starts.append((name, x0, y0))
    names: list[_Place] = []
    for name, x, y in starts:
        place = _beside(x, y, len(name) * 6.9, dots, names)
        names.append(place)
        parts.append(label(f"name f-{name}", wide(name), place.x, place.y))
    return drawing(400, 400, "mean label and mean prediction of each expression", *parts)


# ---- pieces -----------------------------------------------------------------------------


def _disc_frame() -> Frame:
    return Frame.of(20, 20, 360, 360, low=-1.12, high=1.12)


def _disc(frame: Frame) -> list[Element]:
    cx, cy = frame.x.at(0.0), frame.y.at(0.0)
    unit = frame.x.at(1.0) - cx
    words = (
        (cx, cy - unit - 8, 0, "excited"),
        (cx, cy + unit + 17, 0, "calm"),
        (cx - unit - 8, cy, -90, "unpleasant"),
        (cx + unit + 8, cy, 90, "pleasant"),
    )
    return [
        Element("circle", class_="disc", cx=cx, cy=cy, r=unit),
        Element("circle", class_="grid", cx=cx, cy=cy, r=unit * 0.5),
        frame.segment("grid", (-1, 1), (0, 0)),
        frame.segment("grid", (0, 0), (-1, 1)),
        *(
            Element(
                "text",
                word,
                class_="tick",
                transform=f"translate({x:.1f} {y:.1f}) rotate({turn})",
                text_anchor="middle",
            )
            for x, y, turn, word in words
        ),
    ]


def _beside(
    x: float, y: float, width: float, dots: Sequence[tuple[float, float]], names: Sequence[_Place]
) -> _Place:
    """A place for a name near a point, on as few points and other names as can be."""
    spots = [
        (x + side * (distance + width / 2) - width / 2, y + 4 + shift)
        for distance in (9.0, 16.0)
        for side, shift in ((1, 0), (-1, 0), (1, -10), (-1, -10), (1, 11), (-1, 11))
    ] + [(x - width / 2, y - 10), (x - width / 2, y + 19), (x - width / 2, y - 18)]

    def cost(place: _Place) -> float:
        on_names = sum(
            max(0.0, min(place.x + width, n.x + n.width) - max(place.x, n.x) + 3)
            for n in names
            if abs(n.y - place.y) < 13
        )
        return 8.0 * _covered(place, np.array(dots), 6, 15, 6) + on_names

    return min((_Place(left, base, width) for left, base in spots), key=cost)


def _covered(place: _Place, dots: Floats, beside: float, above: float, below: float) -> int:
    """How many points lie under a name, or nearer to it than so much."""
    x, y = dots[:, 0] - place.x, dots[:, 1] - place.y
    under = (x > -beside) & (x < place.width + beside) & (y > -above) & (y < below)
    return int(under.sum())


def _place_names(lines: Sequence[Line], frame: Frame) -> list[_Place]:
    """For each curve a place for its name on the curve, away from other names and curves."""
    paths = [np.stack([frame.x.places(line.x), frame.y.places(line.y)], axis=1) for line in lines]
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
        frame.x.start + 3 <= x <= frame.x.end - width - 2
        and frame.y.end + 10 <= y <= frame.y.start - 4
    )
    hits = sum(abs(y - n.y) < 13 and x < n.x + n.width + 6 and n.x < x + width + 6 for n in names)
    return _covered(place, crowd, 4, 13, 5) + 1000.0 * hits + (0.0 if inside else 1e5)


def _even(path: Floats, count: int) -> Floats:
    """Points at even distances along a path."""
    steps = np.append(0.0, np.cumsum(np.hypot(*np.diff(path, axis=0).T)))
    at = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(at, steps, path[:, 0]), np.interp(at, steps, path[:, 1])], axis=1)
