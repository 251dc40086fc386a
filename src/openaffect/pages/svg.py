"""SVG as a tree of elements, so that no drawing has to think of escaping."""

from __future__ import annotations

import html
from typing import Any

from openaffect.pages.text import visible


class Element:
    """One element with its attributes and children.

    Texts are escaped, floats have one decimal, None leaves an attribute out. An underscore in a
    name is a hyphen, one at its end is dropped (`class_`). Templates print an element as it is.

    >>> str(Element("text", "a < b", x=1.25, text_anchor="end"))
    '<text x="1.2" text-anchor="end">a &lt; b</text>'
    """

    __slots__ = ("attributes", "children", "tag")

    def __init__(self, tag: str, *children: Element | str, **attributes: Any) -> None:
        self.tag, self.children, self.attributes = tag, children, attributes

    def __html__(self) -> str:
        attributes = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{_shown(value)}"'
            for name, value in self.attributes.items()
            if value is not None
        )
        if not self.children:
            return f"<{self.tag}{attributes}/>"
        inside = "".join(
            child.__html__() if isinstance(child, Element) else _escaped(child)
            for child in self.children
        )
        return f"<{self.tag}{attributes}>{inside}</{self.tag}>"

    __str__ = __html__


def _shown(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else _escaped(str(value))


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def titled(title: str, *children: Element, **attributes: Any) -> Element:
    """A group that shows a title to a pointer that rests on it."""
    return Element("g", Element("title", title), *children, **attributes)


def drawing(width: float, height: float, title: str, *children: Element) -> Element:
    """A whole plot, as wide as its place allows; `title` is for readers that cannot see it."""
    return Element(
        "svg",
        *children,
        class_="plot",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_label=title,
    )


def points(x: Any, y: Any) -> str:
    """The corners of a polyline."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
