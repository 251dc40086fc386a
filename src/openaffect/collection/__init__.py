"""Collection: images and faces on their way into a project."""

from openaffect.collection.additions import AddSummary, add_dataset, add_images
from openaffect.collection.detections import DetectSummary, detect_faces

__all__ = ["AddSummary", "DetectSummary", "add_dataset", "add_images", "detect_faces"]
