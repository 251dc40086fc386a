"""Analysis: photos in, a table with one row a face out; and drawings of what was found."""

from __future__ import annotations

from openaffect.analysis.analyzing import analyze, iterate_rows
from openaffect.analysis.drawing import draw_analysis, draw_folder
from openaffect.analysis.table import Analysis, analysis_schema

__all__ = [
    "Analysis",
    "analysis_schema",
    "analyze",
    "draw_analysis",
    "draw_folder",
    "iterate_rows",
]
