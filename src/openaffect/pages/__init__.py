"""Pages: the templates' environment, the one stylesheet, and what pages are drawn with."""

from openaffect.pages.environment import render, stylesheet

__all__ = ["render", "stylesheet"]
