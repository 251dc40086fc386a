"""Jinja2 for all pages: every value is escaped, what nobody sees is shown, a missing one is an error.

A template is named by its path in the package (`reports/templates/report.html.j2`); it lies beside the
room that renders it. HTML is written in templates, drawings are `svg.Element`s; nothing marks a
text as safe.
"""

from __future__ import annotations

import base64
import importlib.resources
from functools import cache
from typing import TYPE_CHECKING, Any

import openaffect
from openaffect.images import Pixels, encode_image
from openaffect.labels import COLORS, EXPRESSIONS
from openaffect.pages import plots, text

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """The whole text of a page."""
    return _environment().get_template(template).render(values)


def stylesheet() -> str:
    """The style of every page: `page.css`, and the colors of the expressions."""
    css = importlib.resources.files(__package__).joinpath("page.css").read_text("utf-8")
    classes = "\n".join(
        f".c-{name}, .f-{name} {{ --c: var(--{name}); }}" for name in (*EXPRESSIONS, "other")
    )
    return f"{color_variables()}{css}{classes}\n"


def color_variables() -> str:
    """CSS with a variable for the color of each expression, `--happy`, light and dark."""
    light, dark = (
        " ".join(f"--{name}: {COLORS[name][theme]};" for name in EXPRESSIONS) for theme in (0, 1)
    )
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def data_url(pixels: Pixels, *, quality: int) -> str:
    """Pixels as the address of a JPEG that holds itself."""
    data = base64.b64encode(encode_image(pixels, ".jpg", quality)).decode("ascii")
    return f"data:image/jpeg;base64,{data}"


@cache
def _environment() -> Environment:
    # Imported where a page is made: a command that makes none starts sooner.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("openaffect", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.visible,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters |= {
        "number": text.number,
        "bounds": text.bounds,
        "wide": text.wide,
        "thousands": "{:,}".format,
        "percent": text.percent,
    }
    environment.globals |= {
        "metric_names": text.METRIC_NAMES,
        "stylesheet": stylesheet,
        "version": openaffect.__version__,
        "interval_bar": plots.interval_bar,
        "metric_floor": text.metric_floor,
    }
    return environment
