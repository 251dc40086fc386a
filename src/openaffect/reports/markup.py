"""The pieces of HTML that the pages of the replications are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import openaffect
from openaffect.pages import stylesheet


def document(title: str, body: str, foot: str = "") -> str:
    """A whole page with its style inside; `body` and `foot` are HTML."""
    foot = foot or f"Made by openaffect {openaffect.__version__}."
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{stylesheet()}</style>\n</head>\n<body>\n<main>\n"
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
