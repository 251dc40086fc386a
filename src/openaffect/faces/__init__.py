"""Faces: where they are in a picture, and what of it a model sees."""

from __future__ import annotations

from openaffect.faces.boxes import Box, Face
from openaffect.faces.crops import CropRule, Window, crop, crop_window
from openaffect.faces.finding import find_faces, resolve_detector

__all__ = [
    "Box",
    "CropRule",
    "Face",
    "Window",
    "crop",
    "crop_window",
    "find_faces",
    "resolve_detector",
]
