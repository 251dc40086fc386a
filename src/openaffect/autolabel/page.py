"""The page of automatic labels: one HTML file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from openaffect.pages import render
from openaffect.pages.plots import Axis, Frame, tick_text
from openaffect.pages.svg import Element, drawing, points, titled
from openaffect.pages.text import number, wide

_SHARES = (0, 0.25, 0.5, 0.75, 1)


def render_page(data: Mapping[str, Any]) -> str:
    """The whole text of `label.html` from what `label.json` holds."""
    data = _with_scores(data)
    protocol, rule, expression = data["protocol"], data["rule"], data["expression"]
    return render(
        "autolabel/templates/label.html.j2",
        data=data,
        title=protocol["name"],
        facts=_facts(data),
        curve=_curve(expression["curve"], protocol, rule),
        classes=expression["by_class"],
        sizes=list(enumerate(expression["set_sizes"])),
        protocol=_protocol(protocol, rule),
    )


def _with_scores(data: Any) -> Any:
    """The data with each value and its interval as an object, as the kit of pages takes them."""
    if isinstance(data, list):
        return [_with_scores(item) for item in data]
    if not isinstance(data, Mapping):
        return data
    if {"value", "low", "high"} <= data.keys():
        return SimpleNamespace(**data)
    return {key: _with_scores(item) for key, item in data.items()}


def _facts(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    faces = data["faces"]
    labeled, abstained = sum(faces["labeled"].values()), sum(faces["abstained"].values())
    return [
        ("", f"{labeled:,}", " faces labeled"),
        ("", f"{abstained:,}", " left to people"),
        ("", f"{sum(faces['kept'].values()):,}", " labels kept"),
        ("by ", data["protocol"]["model"], ""),
    ]


def _curve(
    curve: Sequence[Any], protocol: Mapping[str, Any], rule: Mapping[str, Any]
) -> Element | None:
    """Accuracy of the surest shares of the held-out faces, with its interval and what was wanted."""
    if not curve:
        return None
    lows = [point.low for point in curve]
    floor = min(0.9, int(min([*lows, protocol["accuracy"] or 1]) * 10) / 10)
    frame = Frame(Axis(0, 1, 44, 516), Axis(floor, 1, 262, 10))
    parts = frame.left_axis("accuracy", frame.y.ticks())
    parts += frame.bottom_axis(
        "share of the held-out faces that is labeled", [(s, tick_text(s)) for s in _SHARES]
    )
    x = [frame.x.at(point.labeled) for point in curve]
    band = [(a, frame.y.at(point.low)) for a, point in zip(x, curve, strict=True)]
    band += [
        (a, frame.y.at(point.high)) for a, point in zip(reversed(x), reversed(curve), strict=True)
    ]
    parts.append(Element("polygon", class_="band", points=points(*zip(*band, strict=True))))
    line = points(x, [frame.y.at(point.value) for point in curve])
    parts.append(Element("polyline", class_="course", points=line))
    if protocol["accuracy"] is not None:
        parts.append(frame.segment("chance", (0, 1), (protocol["accuracy"],) * 2))
    for point, place in zip(curve, x, strict=True):
        title = (
            f"the surest {point.labeled:.0%} ({point.n:,} faces, confidence {point.confidence:.3f} "
            f"or more): {point.value:.3f} [{point.low:.3f}, {point.high:.3f}]"
        )
        dot = Element("circle", class_="dot", cx=place, cy=frame.y.at(point.value), r=2.4)
        parts.append(titled(title, dot))
    kept = [point.labeled for point in curve if point.confidence >= rule["threshold"]]
    if kept:
        parts.append(frame.segment("mark", (max(kept),) * 2, (floor, 1)))
    return drawing(530, 304, "Accuracy against the share that is labeled", *parts)


def _protocol(p: Mapping[str, Any], rule: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if p["accuracy"] is not None:
        wish = f"an accuracy of {p['accuracy']:g}, with a certainty of {p['certainty']:g}"
    elif p["share"] is not None:
        wish = f"{p['share']:g} of the faces labeled"
    else:
        wish = "every face labeled"
    used = ", ".join(f"{count:,} for {name}" for name, count in p["used_for"].items())
    no_face = "a class of the model" if "no_face" in p["labels"] else "not told apart"
    if p["detector"]:
        no_face = f"a crop in which {p['detector']} finds no face at half of its usual score"
    lines: list[tuple[str, Any]] = [
        ("Faces", p["name"]),
        ("Model", f"{p['model']} ({p['model_sha256'][:12]})"),
        ("Held-out labels", f"{p['held_out']}, split {p['split'] or 'any'}"),
        ("Used", f"{used}; drawn with seed {p['seed']}, {p['groups']:,} groups kept whole"),
        ("Not used", _counts(p["left_out"]) or "no face"),
        ("Expressions that count", ", ".join(map(wide, p["labels"]))),
        ("Wanted", wish),
        ("Threshold", number(rule["threshold"], 4)),
        ("Temperature", number(rule["temperature"])),
        (
            "Sets",
            f"coverage {p['coverage']:g}, "
            + ("within each class" if p["class_conditional"] else "over all classes together"),
        ),
        ("No face", no_face),
    ]
    if p["left_out_of_project"]:
        lines.append(("Left out of the project", _counts(p["left_out_of_project"])))
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
