"""The drawings of a study's page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from openaffect.pages.plots import Axis, Frame, tick_text
from openaffect.pages.svg import Element, drawing, points, titled
from openaffect.training.tuning.space import Range, show_value
from openaffect.training.tuning.study import Study, Trial

_ACCENT = "--c:var(--accent)"
_FAINT = "--c:var(--faint)"
_HEIGHT = 250


def history_plot(study: Study) -> Element:
    """The value of each trial in order, and the best so far as a line."""
    y = _value_axis(study)
    x = Axis(-0.6, len(study.trials) - 0.4, 56, 866)
    parts = _axes(Frame(x, y), _whole(x.ticks()), study.metric, "trial")
    best: list[tuple[float, float]] = []
    for trial in study.trials:
        if trial.state == "complete" and trial.value is not None:
            value = trial.value
            if best and study.cost(best[-1][1]) <= study.cost(value):
                value = best[-1][1]
            best.append((trial.number, value))
    parts += _staircase([(x.at(n), y.at(value)) for n, value in best], x.end)
    parts += [_mark(study, trial, x.at(trial.number), y) for trial in study.trials]
    title = f"{study.metric} of each trial, and the best so far"
    return drawing(880, _HEIGHT + 44, title, *parts)


def parameter_plot(study: Study, key: str) -> Element:
    """The value of each trial against one of its settings."""
    dimension, y = study.space[key], _value_axis(study)
    place: Callable[[Trial], float]
    if isinstance(dimension, Range):
        pad = 0.0 if dimension.log else (dimension.high - dimension.low) * 0.03
        grow = (dimension.high / dimension.low) ** 0.03 if dimension.log else 1.0
        low, high = dimension.low / grow - pad, dimension.high * grow + pad
        x = Axis(low, high, 56, 416, dimension.log)
        ticks = [(t, tick_text(t)) for t in x.ticks()]

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

    parts = _axes(Frame(x, y), ticks, study.metric, key)
    marked = [trial for trial in study.trials if key in trial.settings]
    parts += [_mark(study, trial, place(trial), y) for trial in marked]
    return drawing(430, _HEIGHT + 44, f"{study.metric} of the trials against {key}", *parts)


def curves_plot(study: Study) -> Element:
    """The value after each epoch, a line per trial; the best one stands out."""
    y = _value_axis(study, whole_curves=True)
    x = Axis(1, max(2, *(max(t.curve, default=1) for t in study.trials)), 56, 866)
    parts = _axes(Frame(x, y), _whole(x.ticks()), study.metric, "epoch")
    best = study.best
    for trial in sorted(study.trials, key=lambda t: t == best):
        if not trial.curve:
            continue
        path = points(map(x.at, trial.curve), map(y.at, trial.curve.values()))
        look = {"style": _ACCENT} if trial == best else {"style": _FAINT, "opacity": ".6"}
        end, value = list(trial.curve.items())[-1]
        parts.append(
            titled(
                _title(study, trial),
                Element("polyline", points=path),
                Element("circle", class_="full", cx=x.at(end), cy=y.at(value), r=2.6),
                class_="curve",
                **look,
            )
        )
    title = f"{study.metric} after each epoch, one line per trial"
    return drawing(880, _HEIGHT + 44, title, *parts)


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


def _mark(study: Study, trial: Trial, x: float, y: Axis) -> Element:
    """A trial: a dot, a ring if it was given up early, a cross at the base if it failed."""
    title = _title(study, trial)
    if trial.value is None:
        base = y.start - 6
        lines = (
            Element("line", class_="arrow", x1=x - 3.5, x2=x + 3.5, y1=base - s, y2=base + s)
            for s in (-3.5, 3.5)
        )
        return titled(title, *lines, style="--c:var(--anger)")
    kind, look, radius = "full", _ACCENT, 4.2
    if trial.state != "complete":
        kind, look, radius = "ring", _FAINT, 3.6
    at = {"cx": x, "cy": y.at(trial.value)}
    circles = [Element("circle", class_=kind, r=radius, **at)]
    if trial == study.best:
        ring = {"fill": "none", "stroke": "var(--c)", "stroke_width": 1.6}
        circles.append(Element("circle", r=8, **at, **ring))
    return titled(title, *circles, style=look)


def _title(study: Study, trial: Trial) -> str:
    settings = ", ".join(f"{key} {show_value(value)}" for key, value in trial.settings.items())
    if trial.value is None:
        what = trial.reason or "no value yet"
    else:
        what = f"{study.metric} {trial.value:.4f} after epoch {trial.epoch}"
    return f"trial {trial.number}, {trial.state}: {what}; {settings}"


def _staircase(steps: Sequence[tuple[float, float]], end: float) -> list[Element]:
    if not steps:
        return []
    corners = [steps[0]]
    for (_, before), (x, y) in pairwise(steps):
        corners += [(x, before), (x, y)]
    corners.append((end, steps[-1][1]))
    line = Element("polyline", points=points(*zip(*corners, strict=True)))
    return [Element("g", line, class_="curve", style=_ACCENT, opacity=".55")]


def _axes(
    frame: Frame, ticks: Sequence[tuple[float, str]], y_title: str, x_title: str
) -> list[Element]:
    return [
        *frame.left_axis(y_title, frame.y.ticks()),
        *frame.bottom_axis(x_title, ticks, below=(16, 36)),
    ]
