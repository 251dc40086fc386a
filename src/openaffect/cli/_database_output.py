"""How queries, agreement, automatic labels and what the law still asks for are printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openaffect import console
from openaffect.labels import EXPRESSIONS
from openaffect.legal import LegalFacts, list_missing_legal
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.project.queries import Query

_AXES = ("valence", "arousal")


def print_queries(queries: Sequence[Query]) -> None:
    """How many queries are meant to find each expression, by language."""
    counts = Counter((query.intended, query.language) for query in queries)
    languages = sorted({language for _, language in counts})
    meant = {intended for intended, _ in counts}
    rows = [one.value for one in EXPRESSIONS if one in meant]
    order: list[str | None] = [*rows, *([None] if None in meant else [])]
    table: list[list[object]] = [
        [
            intended or "any",
            *(counts[intended, language] for language in languages),
            sum(counts[intended, language] for language in languages),
        ]
        for intended in order
    ]
    of_language = Counter(query.language for query in queries)
    table.append(["total", *(of_language[one] for one in languages), len(queries)])
    console.print_table(["queries for", *languages, "total"], table)


def print_labels(facts: dict[str, Any]) -> None:
    """What was labeled, what to know of it, and how good it is."""
    faces, protocol, found = facts["faces"], facts["protocol"], facts["expression"]
    labeled = sum(faces["labeled"].values())
    kept = sum(faces["kept"].values())
    console.say(
        f"{counted(labeled, 'face')} of {protocol['name']} labeled by {protocol['model']}, "
        f"{sum(faces['abstained'].values()):,} left to people, {counted(kept, 'label')} kept"
    )
    used = ", ".join(f"{count:,} for {name}" for name, count in protocol["used_for"].items())
    console.note(f"held-out labels: {protocol['held_out']}, {used}")
    for text in facts["warnings"]:
        console.warn(text)
    console.print_table(
        ("on held-out faces", "faces", "value [95 %]"),
        [
            (name.replace("_", " "), found[name]["n"], _interval(found[name]))
            for name in (
                "accuracy",
                "labeled",
                "accuracy_of_all",
                "accuracy_with_others",
                "coverage",
            )
        ],
    )
    console.print_table(
        (
            "expression",
            "faces",
            "labeled",
            "accuracy [95 %]",
            "precision [95 %]",
            "coverage",
            "given",
        ),
        [
            (
                name,
                one["n"],
                "–" if one["labeled"]["value"] is None else f"{one['labeled']['value']:.3f}",
                _interval(one["accuracy"]),
                _interval(one["precision"]),
                "–" if one["coverage"] is None else _interval(one["coverage"]),
                faces["labeled"].get(name, 0),
            )
            for name, one in found["by_class"].items()
        ],
    )
    if facts["affect"] is not None:
        console.print_table(
            ("interval", "half width", "coverage [95 %]"),
            [
                (
                    axis,
                    "–" if one["half_width"] is None else f"{one['half_width']:.3f}",
                    _interval(one["coverage"]),
                )
                for axis, one in facts["affect"].items()
            ],
        )
    console.say(
        f"threshold {facts['rule']['threshold']:.4f}, temperature {facts['rule']['temperature']:.3f}, "
        f"{found['set_size']:.2f} expressions in a set"
    )


def print_agreement(facts: dict[str, Any]) -> None:
    """What was looked at, what to know of it, and the figures."""
    protocol, expression = facts["protocol"], facts["expression"]
    raters = "raters not known" if protocol["people"] is None else f"{protocol['people']:,} raters"
    console.say(
        f"{counted(protocol['faces_rated_twice'], 'face')} of {protocol['name']} with two or more "
        f"ratings, from {protocol['source']}, {raters}"
    )
    for text in facts["warnings"]:
        console.warn(text)
    figures = ("pair_agreement", "unanimous", "alpha", "fleiss", "human_ceiling")
    console.print_table(
        ("expressions", "value [95 %]"), [(name, _interval(expression[name])) for name in figures]
    )
    console.print_table(
        ("expression", "faces", "another agrees [95 %]"),
        [(name, one["n"], _interval(one)) for name, one in expression["by_class"].items()],
    )
    if facts["valence"] is not None:
        rows = [("alpha", "all", *(_interval(facts[axis]["alpha"]) for axis in _AXES))]
        rows += [
            (metric, what, *(_interval(facts[axis][pairs][metric]) for axis in _AXES))
            for pairs, what in (("all", "all"), ("same_category", "same expression"))
            for metric in ("rmse", "corr", "sagr", "ccc")
        ]
        console.print_table(("metric", "pairs", "valence [95 %]", "arousal [95 %]"), rows)
    if facts["people"] is not None:
        console.print_table(
            ("rater", "ratings", "seconds", "agrees [95 %]", "gold", "again"),
            [
                (
                    name,
                    one["annotations"],
                    "–" if one["seconds"] is None else f"{one['seconds']:.1f}",
                    _interval(one["agreement"]),
                    *(
                        "–" if score["value"] is None else f"{score['value']:.2f}"
                        for score in (one["gold"], one["self_agreement"]["expression"])
                    ),
                )
                for name, one in facts["people"].items()
            ],
        )
    for name, reason in facts["undefined"].items():
        console.note(f"undefined: {name}: {reason}")


def _interval(score: dict[str, Any]) -> str:
    if score["value"] is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def note_missing_legal(facts: LegalFacts, project: Path, what: str) -> None:
    """Say which keys of `[legal]` a project leaves empty, and what follows."""
    missing = list_missing_legal(facts)
    if missing:
        console.note(
            f"[legal] of {project}/project.toml has nothing under {', '.join(missing)}: {what} "
            "(docs/collecting.md)"
        )
