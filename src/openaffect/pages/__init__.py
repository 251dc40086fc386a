"""Pages: the templates' environment, the one stylesheet, and what pages are drawn with."""

from openaffect.pages.environment import color_variables, render, stylesheet

__all__ = ["color_variables", "render", "stylesheet"]
