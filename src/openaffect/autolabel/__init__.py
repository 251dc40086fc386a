"""Automatic labels: a model's labels for faces that people have not labeled, with what is known of them.

What decides a label (a temperature, a threshold, conformal sets) is fitted on human labels that the model has not
learned from, and reported on other ones. docs/labeling.md says how.
"""

from openaffect.autolabel.labeling import label_faces
from openaffect.autolabel.outcome import LabelReport

__all__ = ["LabelReport", "label_faces"]
