"""OpenAffect: the open implementation of the AffectNet system.

The names below are loaded when they are first used, so that `import openaffect` is fast and
needs no extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from openaffect.analysis import analyze
    from openaffect.annotation import Agreement, measure_agreement
    from openaffect.autolabel import LabelReport, label_faces
    from openaffect.collection import add_dataset, add_images, detect_faces
    from openaffect.consensus import Consensus, find_consensus
    from openaffect.curation import check_dataset, clean_dataset, split_dataset
    from openaffect.dataset import Dataset, open_dataset, save_dataset
    from openaffect.dataset_writer import write_dataset
    from openaffect.errors import OpenAffectError
    from openaffect.exchange import add_annotations, export_annotations
    from openaffect.face_row import FaceRow
    from openaffect.faces import Box, CropRule, Face, crop, find_faces
    from openaffect.forgetting import forget
    from openaffect.formats import export_dataset, import_dataset
    from openaffect.freezing import FreezeOptions, freeze_project, plan_freeze
    from openaffect.images import read_image
    from openaffect.inference import predict_dataset
    from openaffect.labels import Expression, parse_expression, parse_labels
    from openaffect.model import Card, Model, open_model
    from openaffect.predictions import Predictions, open_predictions
    from openaffect.project import Project, create_project, open_project
    from openaffect.publishing import (
        ReleaseOptions,
        fetch_release,
        release_dataset,
        verify_release,
    )
    from openaffect.replication.affectnet2017 import replicate_affectnet2017
    from openaffect.replication.cross_validation import cross_validate
    from openaffect.replication.giguere2020 import replicate_giguere2020
    from openaffect.reports import Report, compare, evaluate, open_report
    from openaffect.streamed_inference import predict_to_file
    from openaffect.synthetic import synthesize_face
    from openaffect.synthetic.dataset import synthesize_dataset
    from openaffect.training import load_recipe, train

_HOMES = {
    "openaffect.analysis": ("analyze",),
    "openaffect.annotation": ("Agreement", "measure_agreement"),
    "openaffect.autolabel": ("LabelReport", "label_faces"),
    "openaffect.collection": ("add_dataset", "add_images", "detect_faces"),
    "openaffect.consensus": ("Consensus", "find_consensus"),
    "openaffect.curation": ("check_dataset", "clean_dataset", "split_dataset"),
    "openaffect.dataset": ("Dataset", "open_dataset", "save_dataset"),
    "openaffect.dataset_writer": ("write_dataset",),
    "openaffect.errors": ("OpenAffectError",),
    "openaffect.exchange": ("add_annotations", "export_annotations"),
    "openaffect.face_row": ("FaceRow",),
    "openaffect.faces": ("Box", "CropRule", "Face", "crop", "find_faces"),
    "openaffect.forgetting": ("forget",),
    "openaffect.freezing": ("FreezeOptions", "freeze_project", "plan_freeze"),
    "openaffect.synthetic": ("synthesize_face",),
    "openaffect.formats": ("export_dataset", "import_dataset"),
    "openaffect.images": ("read_image",),
    "openaffect.inference": ("predict_dataset",),
    "openaffect.streamed_inference": ("predict_to_file",),
    "openaffect.labels": ("Expression", "parse_expression", "parse_labels"),
    "openaffect.model": ("Card", "Model", "open_model"),
    "openaffect.predictions": ("Predictions", "open_predictions"),
    "openaffect.project": ("Project", "create_project", "open_project"),
    "openaffect.publishing": (
        "ReleaseOptions",
        "fetch_release",
        "release_dataset",
        "verify_release",
    ),
    "openaffect.replication.affectnet2017": ("replicate_affectnet2017",),
    "openaffect.replication.cross_validation": ("cross_validate",),
    "openaffect.replication.giguere2020": ("replicate_giguere2020",),
    "openaffect.synthetic.dataset": ("synthesize_dataset",),
    "openaffect.reports": ("Report", "compare", "evaluate", "open_report"),
    "openaffect.training": ("load_recipe", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agreement",
    "Box",
    "Card",
    "Consensus",
    "CropRule",
    "Dataset",
    "Expression",
    "Face",
    "FaceRow",
    "FreezeOptions",
    "LabelReport",
    "Model",
    "OpenAffectError",
    "Predictions",
    "Project",
    "ReleaseOptions",
    "Report",
    "__version__",
    "add_annotations",
    "add_dataset",
    "add_images",
    "analyze",
    "check_dataset",
    "clean_dataset",
    "compare",
    "create_project",
    "crop",
    "cross_validate",
    "detect_faces",
    "evaluate",
    "export_annotations",
    "export_dataset",
    "fetch_release",
    "find_consensus",
    "find_faces",
    "forget",
    "freeze_project",
    "import_dataset",
    "label_faces",
    "load_recipe",
    "measure_agreement",
    "open_dataset",
    "open_model",
    "open_predictions",
    "open_project",
    "open_report",
    "parse_expression",
    "parse_labels",
    "plan_freeze",
    "predict_dataset",
    "predict_to_file",
    "read_image",
    "release_dataset",
    "replicate_affectnet2017",
    "replicate_giguere2020",
    "save_dataset",
    "split_dataset",
    "synthesize_dataset",
    "synthesize_face",
    "train",
    "verify_release",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'openaffect' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
