"""The plot kit: where values lie on an axis, and what every plot has around its data.

Colors are CSS classes (`c-happy`, `axis`, `grid` …), so that light, dark and print look right
without drawing twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.pages.svg import Element

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a plot: where values lie, in user units.

    Attributes:
        low, high: the range that is shown.
        start, end: where its ends lie.
        log: evenly by orders of magnitude.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def places(self, values: Any) -> Floats:
        """Where many values lie, on an axis without `log`."""
        share = (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)
        found: Floats = self.start + share * (self.end - self.start)
        return found

    @property
    def middle(self) -> float:
        """Half way between its ends."""
        return (self.start + self.end) / 2

    def ticks(self) -> list[float]:
        """Round values in the range, three to seven of them."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            for parts in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 6, 8)):
                marks = [p * 10.0**n for n in range(first, last + 1) for p in parts]
                found = [m for m in marks if self.low * 0.999 <= m <= self.high * 1.001]
                if len(found) >= 3:
                    return found[:: math.ceil(len(found) / 7)]
        return _round_values(self.low, self.high)


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(p * power for p in (1, 2, 2.5, 5, 10) if p * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """A tick's number: 0.25, 1e−5, 1e7."""
    digits, sign, power = f"{value + 0.0:.4g}".partition("e")
    return f"{digits}{sign}{int(power) if power else ''}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Frame:
    """The area of a plot: its axis to the right and its axis upwards."""

    x: Axis
    y: Axis

    @classmethod
    def of(
        cls, left: float, top: float, width: float, height: float, low: float = 0, high: float = 1
    ) -> Frame:
        """An area with the same range in both directions."""
        return cls(Axis(low, high, left, left + width), Axis(low, high, top + height, top))

    def segment(self, kind: str, x: tuple[float, float], y: tuple[float, float]) -> Element:
        """A straight line between two points."""
        return Element(
            "line",
            class_=kind,
            x1=self.x.at(x[0]),
            y1=self.y.at(y[0]),
            x2=self.x.at(x[1]),
            y2=self.y.at(y[1]),
        )

    def left_axis(self, title: str, ticks: Sequence[float]) -> list[Element]:
        """Grid lines with their numbers, and the name of the axis upwards."""
        parts = []
        for tick in ticks:
            y = self.y.at(tick)
            parts += [
                Element("line", class_="grid", x1=self.x.start, x2=self.x.end, y1=y, y2=y),
                label("tick", tick_text(tick), self.x.start - 7, y + 3.5, "end"),
            ]
        return [*parts, upright_title(title, 12, self.y.middle)]

    def bottom_axis(
        self, title: str, ticks: Sequence[tuple[float, str]], below: tuple[float, float] = (15, 34)
    ) -> list[Element]:
        """The base line, texts along it, and the name of the axis to the right.

        Args:
            title: of the axis.
            ticks: value and text of each.
            below: how far under the base line the texts and the title stand.
        """
        base = self.y.start
        return [
            Element("line", class_="axis", x1=self.x.start, x2=self.x.end, y1=base, y2=base),
            *(
                label("tick", text, self.x.at(value), base + below[0], "middle")
                for value, text in ticks
            ),
            label("axis-title", title, round(self.x.middle), base + below[1], "middle"),
        ]


def label(kind: str | None, text: str, x: float, y: float, anchor: str | None = None) -> Element:
    """A text of a plot."""
    return Element("text", text, class_=kind, x=x, y=y, text_anchor=anchor)


def upright_title(text: str, x: float, y: float) -> Element:
    """The name of an axis upwards, read from below."""
    turned = f"translate({x:.0f} {y:.0f}) rotate(-90)"
    return Element("text", text, class_="axis-title", transform=turned, text_anchor="middle")


def interval_bar(
    value: float | None, low: float | None, high: float | None, floor: float
) -> Element:
    """A score and its interval on a line from `floor` (0, or −1) to 1."""
    axis = Axis(floor, 1, 4, 116)
    parts = [Element("line", class_="track", x1=4, x2=116, y1=7, y2=7)]
    if floor < 0:
        zero = axis.at(0.0)
        parts.append(Element("line", class_="track", x1=zero, x2=zero, y1=3, y2=11))
    if low is not None and high is not None:
        x0, x1 = (axis.at(min(max(v, floor), 1)) for v in (low, high))
        parts.append(Element("line", class_="span", x1=x0, x2=x1, y1=7, y2=7))
    if value is not None:
        x = axis.at(min(max(value, floor), 1))
        parts.append(Element("circle", class_="dot", cx=x, cy=7, r=3.2))
    return Element(
        "svg",
        *parts,
        class_="mini",
        viewBox="0 0 120 14",
        preserveAspectRatio="xMinYMid",
        aria_hidden="true",
    )
