"""The few pieces of HTML that the sections of a report's page share."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import openaffect

METRIC_NAMES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "kappa": "Cohen’s κ",
    "kappa_ovr": "Cohen’s κ, one vs rest",
    "alpha": "Krippendorff’s α",
    "alpha_ovr": "Krippendorff’s α, one vs rest",
    "auc": "AUC",
    "auc_pr": "AUC-PR",
    "top2": "Top-2 accuracy",
    "ece": "Calibration error (ECE)",
    "cross_entropy": "Cross-entropy",
    "rmse": "RMSE",
    "mae": "MAE",
    "corr": "CORR",
    "sagr": "SAGR",
    "ccc": "CCC",
}
"""How a metric is called in print."""

CAN_BE_NEGATIVE = frozenset(("kappa", "kappa_ovr", "alpha", "alpha_ovr", "corr", "ccc"))
"""Metrics whose drawing starts at −1."""

_MINUS = "−"


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A score with fixed digits and a true minus; an en dash where it is undefined.

    >>> number(-0.12345), number(None), number(0.5, 2, sign=True)
    ('−0.123', '–', '+0.50')
    >>> number(-0.0001)
    '0.000'
    """
    if value is None:
        return "–"
    value = round(value, digits) + 0.0  # no −0.000
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", _MINUS)


def bounds(scores: Mapping[str, Any]) -> str:
    """The interval of a score.

    >>> bounds({"low": 0.1, "high": 0.25})
    '[0.100, 0.250]'
    """
    if scores["low"] is None or scores["high"] is None:
        return ""
    return f"[{number(scores['low'])}, {number(scores['high'])}]"


def wide(name: str) -> str:
    """The name of an expression in running text.

    >>> wide("no_face")
    'no face'
    """
    return name.replace("_", " ")


def document(title: str, body: str, foot: str = "") -> str:
    """A whole page with its style inside; `body` and `foot` are HTML."""
    foot = foot or f"Made by openaffect {openaffect.__version__}."
    style = importlib.resources.files("openaffect.reports").joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n<footer>{foot}</footer>\n</main>\n</body>\n</html>\n"
    )


def section(name: str, title: str, lead: str, body: str) -> str:
    """A section with its heading and a sentence on how to read it; `lead` and `body` are HTML."""
    return (
        f'<section id="{name}">\n<h2>{escape(title)}</h2>\n<p class="lead">{lead}</p>\n'
        f"{body}\n</section>\n"
    )


def table(heads: Sequence[str], lines: Sequence[Sequence[str]], *, kinds: str, name: str) -> str:
    """A table; cells are HTML.

    Args:
        heads: one text a column.
        lines: rows of cells.
        kinds: one letter a column: l text, n number, w number with a bar, i interval, b drawing.
        name: its class.
    """
    head = "".join(
        f'<th scope="col" class="k-{kind}">{escape(text)}</th>'
        for kind, text in zip(kinds, heads, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="k-{kind}">{cell}</td>' for kind, cell in zip(kinds, line, strict=True)
        )
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="scroll"><table class="data {name}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
