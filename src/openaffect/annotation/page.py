"""The page of an agreement: one HTML file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from openaffect.pages import render
from openaffect.pages.plots import Axis
from openaffect.pages.svg import Element, points
from openaffect.pages.text import number, wide
from openaffect.reports.published import AGREEMENT
from openaffect.texts import counted

_MOST_PAIRS = 100
_METRICS = ("rmse", "corr", "sagr", "ccc")


def render_page(data: Mapping[str, Any]) -> str:
    """The whole text of `agreement.html` from what `agreement.json` holds."""
    data = _with_scores(data)
    expression, protocol = data["expression"], data["protocol"]
    table = expression["table"]
    cohen = sorted(data["cohen"] or [], key=lambda pair: pair["kappa"].value or 0.0)
    return render(
        "annotation/templates/agreement.html.j2",
        data=data,
        title=protocol["name"],
        facts=_facts(protocol),
        published=AGREEMENT,
        columns=list(expression["by_class"]),
        rows=list(zip(expression["by_class"], table, strict=True)),
        affect=_affect_lines(data) if data["valence"] is not None else [],
        people=_people(data["people"] or {}),
        cohen=cohen[:_MOST_PAIRS],
        pairs=len(cohen),
        protocol=_protocol(protocol),
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


def _facts(protocol: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    facts = [
        ("", f"{protocol['faces_rated_twice']:,}", " faces with two or more ratings"),
        ("of ", f"{protocol['faces']:,}", " rated"),
        ("", f"{protocol['ratings']:,}", " ratings"),
    ]
    if protocol["people"] is not None:
        return [*facts, ("", f"{protocol['people']:,}", " raters")]
    return [*facts, ("", "votes", ", raters not known")]


def _affect_lines(data: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[Any, float]]]]:
    """Pairs, metric, and for both axes our score and the published number."""
    return [
        (
            pairs,
            metric,
            [
                (data[axis][pairs][metric], AGREEMENT.affect[pairs][axis][metric])
                for axis in ("valence", "arousal")
            ],
        )
        for pairs in ("all", "same_category")
        for metric in _METRICS
    ]


def _people(people: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a line of the table of raters shows."""
    return [
        {
            "name": name,
            **one,
            "seconds": number(one["seconds"], 1),
            "leaning": _leaning(one["bias"]["expression"]),
            "course": _course([period["agreement"] for period in one["drift"]]),
            "change": _change([period["agreement"] for period in one["drift"]]),
        }
        for name, one in people.items()
    ]


def _leaning(bias: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """The expressions that a rater says most more and most less often than the others."""
    known = {name: share for name, share in bias.items() if share is not None}
    most = sorted(known, key=lambda name: -abs(known[name]))[:2]
    return [(name, f"{100 * known[name]:+.0f}".replace("-", "−")) for name in most if known[name]]


def _change(course: Sequence[float | None]) -> str:
    if len(course) < 2 or course[0] is None or course[-1] is None:
        return ""
    return number(course[-1] - course[0], 2, sign=True)


def _course(course: Sequence[float | None]) -> Element | None:
    """Agreement with others over time, 0 to 1, as a small line."""
    known = [(i, value) for i, value in enumerate(course) if value is not None]
    if len(known) < 2:
        return None
    x, y = Axis(0, len(course) - 1, 4, 116), Axis(0, 1, 22, 2)
    line = points([x.at(i) for i, _ in known], [y.at(value) for _, value in known])
    return Element(
        "svg",
        Element("line", class_="track", x1=4, x2=116, y1=22, y2=22),
        Element("polyline", class_="course", points=line),
        class_="mini tall",
        viewBox="0 0 120 24",
        preserveAspectRatio="xMinYMid",
        aria_hidden="true",
    )


def _protocol(p: Mapping[str, Any]) -> list[tuple[str, Any]]:
    weights = [
        f"{one['batch'] or '(no batch)'} "
        + (f"{one['weight']:.2f}" if one["weight"] is not None else "none")
        for one in p["strata"]
    ]
    raters = [f"{counted(int(n), 'rater')}: {faces:,}" for n, faces in p["raters_per_face"].items()]
    if p["source"] == "annotations":
        of_rows = [
            ("Kinds that count", _counts(p["counted"])),
            ("Rows left out", _counts(p["left_out"]) or "no row"),
            ("Origin of ratings", _counts(p["origins"])),
            ("Weighted by", p["weighted_by"] or "nothing: each face counts once"),
        ]
    else:
        of_rows = []
    return [
        (p["kind"].capitalize(), p["name"]),
        ("Measured on", p["source"]),
        ("Faces", f"{p['faces']:,}, of them {p['faces_rated_twice']:,} with two or more ratings"),
        ("Faces by number of raters", "; ".join(raters)),
        ("Ratings", f"{p['ratings']:,}"),
        *of_rows,
        *([("Faces that one face stands for", "; ".join(weights))] if weights else []),
        ("Bootstrap samples of faces", f"{p['rounds']:,}"),
        ("Seed", str(p["seed"])),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {wide(name)}" for name, count in counts.items())
