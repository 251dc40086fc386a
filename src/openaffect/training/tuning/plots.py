"""The drawings of a study's page as SVG text, in the look of the reports' own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from openaffect.training.tuning.space import Range, show_value
from openaffect.training.tuning.study import Study, Trial

_ACCENT = 'style="--c:var(--accent)"'
_FAINT = 'style="--c:var(--faint)"'
_HEIGHT = 250


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


def history_plot(study: Study) -> str:
    """The value of each trial in order, and the best so far as a line."""
    y = _value_axis(study)
    x = Axis(-0.6, len(study.trials) - 0.4, 56, 866)
    parts = [_frame(x, y, _whole(x.ticks()), study.metric, "trial")]
    best: list[tuple[float, float]] = []
    for trial in study.trials:
        if trial.state == "complete" and trial.value is not None:
            value = trial.value
            if best and study.cost(best[-1][1]) <= study.cost(value):
                value = best[-1][1]
            best.append((trial.number, value))
    parts.append(_staircase([(x.at(n), y.at(value)) for n, value in best], x.end))
    parts += [_mark(study, trial, x.at(trial.number), y) for trial in study.trials]
    return _svg(880, _HEIGHT + 44, f"{study.metric} of each trial, and the best so far", parts)


def parameter_plot(study: Study, key: str) -> str:
    """The value of each trial against one of its settings."""
    dimension, y = study.space[key], _value_axis(study)
    place: Callable[[Trial], float]
    if isinstance(dimension, Range):
        pad = 0.0 if dimension.log else (dimension.high - dimension.low) * 0.03
        grow = (dimension.high / dimension.low) ** 0.03 if dimension.log else 1.0
        low, high = dimension.low / grow - pad, dimension.high * grow + pad
        x = Axis(low, high, 56, 416, dimension.log)
        ticks = [(t, _shown(t)) for t in x.ticks()]

        def place(trial: Trial) -> float:
            return x.at(float(trial.settings[key]))

    else:
        values = dimension.values
        x = Axis(-0.5, len(values) - 0.5, 56, 416)
        ticks = [(float(n), show_value(value)) for n, value in enumerate(values)]

        def place(trial: Trial) -> float:
            # Beside each other in turn, else equal values hide each other.
            aside = (trial.number % 5 - 2) * 0.07
            return x.at(values.index(trial.settings[key]) + aside)

    parts = [_frame(x, y, ticks, study.metric, key)]
    marked = [trial for trial in study.trials if key in trial.settings]
    parts += [_mark(study, trial, place(trial), y) for trial in marked]
    return _svg(430, _HEIGHT + 44, f"{study.metric} of the trials against {key}", parts)


def curves_plot(study: Study) -> str:
    """The value after each epoch, a line per trial; the best one stands out."""
    y = _value_axis(study, whole_curves=True)
    x = Axis(1, max(2, *(max(t.curve, default=1) for t in study.trials)), 56, 866)
    parts = [_frame(x, y, _whole(x.ticks()), study.metric, "epoch")]
    best = study.best
    for trial in sorted(study.trials, key=lambda t: t == best):
        if not trial.curve:
            continue
        points = " ".join(f"{x.at(e):.1f},{y.at(v):.1f}" for e, v in trial.curve.items())
        look = _ACCENT if trial == best else f'{_FAINT} opacity=".6"'
        end, value = list(trial.curve.items())[-1]
        dot = f'<circle class="full" cx="{x.at(end):.1f}" cy="{y.at(value):.1f}" r="2.6"/>'
        parts.append(
            f'<g class="curve" {look}><title>{escape(_title(study, trial))}</title>'
            f'<polyline points="{points}"/>{dot}</g>'
        )
    return _svg(880, _HEIGHT + 44, f"{study.metric} after each epoch, one line per trial", parts)


# ---- pieces -----------------------------------------------------------------------------


def _value_axis(study: Study, *, whole_curves: bool = False) -> Axis:
    """The axis of the metric, upwards; of a loss by orders of magnitude, since bad ones are huge."""
    values = [t.value for t in study.trials if t.value is not None]
    if whole_curves:
        values = [value for t in study.trials for value in t.curve.values()] or values
    low, high = min(values, default=0.0), max(values, default=1.0)
    if study.lower_is_better and low > 0:
        grow = max(high / low, 1.02) ** 0.06
        return Axis(low / grow, high * grow, _HEIGHT, 12, log=True)
    pad = max((high - low) * 0.06, 0.005)
    return Axis(low - pad, high + pad, _HEIGHT, 12)


def _whole(ticks: Sequence[float]) -> list[tuple[float, str]]:
    return [(tick, f"{tick:.0f}") for tick in ticks if abs(tick - round(tick)) < 1e-6]


def _mark(study: Study, trial: Trial, x: float, y: Axis) -> str:
    """A trial: a dot, a ring if it was given up early, a cross at the base if it failed."""
    title = f"<title>{escape(_title(study, trial))}</title>"
    if trial.value is None:
        base = y.start - 6
        lines = "".join(
            f'<line class="arrow" x1="{x - 3.5:.1f}" x2="{x + 3.5:.1f}" '
            f'y1="{base - s * 3.5:.1f}" y2="{base + s * 3.5:.1f}"/>'
            for s in (-1, 1)
        )
        return f'<g style="--c:var(--anger)">{title}{lines}</g>'
    kind, look, radius = "full", _ACCENT, 4.2
    if trial.state != "complete":
        kind, look, radius = "ring", _FAINT, 3.6
    circle = f'<circle class="{kind}" cx="{x:.1f}" cy="{y.at(trial.value):.1f}" r="{radius}"/>'
    if trial == study.best:
        circle += (
            f'<circle cx="{x:.1f}" cy="{y.at(trial.value):.1f}" r="8" fill="none" '
            'stroke="var(--c)" stroke-width="1.6"/>'
        )
    return f"<g {look}>{title}{circle}</g>"


def _title(study: Study, trial: Trial) -> str:
    settings = ", ".join(f"{key} {show_value(value)}" for key, value in trial.settings.items())
    if trial.value is None:
        what = trial.reason or "no value yet"
    else:
        what = f"{study.metric} {trial.value:.4f} after epoch {trial.epoch}"
    return f"trial {trial.number}, {trial.state}: {what}; {settings}"


def _staircase(points: Sequence[tuple[float, float]], end: float) -> str:
    if not points:
        return ""
    path = f"{points[0][0]:.1f},{points[0][1]:.1f}"
    for (_, before), (x, y) in pairwise(points):
        path += f" {x:.1f},{before:.1f} {x:.1f},{y:.1f}"
    path += f" {end:.1f},{points[-1][1]:.1f}"
    return f'<g class="curve" {_ACCENT} opacity=".55"><polyline points="{path}"/></g>'


def _frame(x: Axis, y: Axis, ticks: Sequence[tuple[float, str]], y_title: str, x_title: str) -> str:
    rows = "".join(
        f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y.at(t):.1f}" y2="{y.at(t):.1f}"/>'
        f'<text class="tick" x="{x.start - 7}" y="{y.at(t) + 3.5:.1f}" text-anchor="end">'
        f"{_shown(t)}</text>"
        for t in y.ticks()
    )
    columns = "".join(
        f'<text class="tick" x="{x.at(t):.1f}" y="{y.start + 16}" text-anchor="middle">'
        f"{escape(text)}</text>"
        for t, text in ticks
    )
    middle = (y.start + y.end) / 2
    return (
        f'{rows}{columns}<line class="axis" x1="{x.start}" x2="{x.end}" y1="{y.start}" '
        f'y2="{y.start}"/>'
        f'<text class="axis-title" transform="translate(12 {middle:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_title)}</text>'
        f'<text class="axis-title" x="{(x.start + x.end) / 2:.0f}" y="{y.start + 36}" '
        f'text-anchor="middle">{escape(x_title)}</text>'
    )


def _shown(value: float) -> str:
    """A tick's number: 0.25, 1e−5, 1e7."""
    digits, sign, power = f"{value + 0.0:.4g}".partition("e")
    return f"{digits}{sign}{int(power) if power else ''}".replace("-", "−")


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
