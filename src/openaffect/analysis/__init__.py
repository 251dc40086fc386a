"""Analysis: photos, videos and cameras in, a table with one row per face out; overlays; a page.

The names below are loaded when they are first used: a photo on the command line should not wait for
what encodes videos.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openaffect.analysis.analyzing import analyze, iterate_rows
    from openaffect.analysis.cameras import Camera
    from openaffect.analysis.overlay.folder import overlay_folder
    from openaffect.analysis.overlay.image import overlay_image
    from openaffect.analysis.page import write_page
    from openaffect.analysis.resumable import analyze_to_file
    from openaffect.analysis.summary import TrackSummary, summarize
    from openaffect.analysis.table import Analysis, analysis_schema

_HOMES = {
    "Analysis": "table",
    "Camera": "cameras",
    "TrackSummary": "summary",
    "analysis_schema": "table",
    "analyze": "analyzing",
    "analyze_to_file": "resumable",
    "overlay_image": "overlay.image",
    "overlay_folder": "overlay.folder",
    "iterate_rows": "analyzing",
    "summarize": "summary",
    "write_page": "page",
}

__all__ = [
    "Analysis",
    "Camera",
    "TrackSummary",
    "analysis_schema",
    "analyze",
    "analyze_to_file",
    "iterate_rows",
    "overlay_folder",
    "overlay_image",
    "summarize",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'openaffect.analysis' has no attribute '{name}'")
    return getattr(importlib.import_module(f"openaffect.analysis.{_HOMES[name]}"), name)
