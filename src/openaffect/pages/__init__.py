"""Pages: the templates' environment, the one stylesheet, and what pages are drawn with."""

from openaffect.pages.environment import render, render_macro, stylesheet

__all__ = ["render", "render_macro", "stylesheet"]
