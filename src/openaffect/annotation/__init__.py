"""Annotation: what people say of faces, and how far they agree."""

from openaffect.annotation.agreement import Agreement, measure_agreement

__all__ = ["Agreement", "measure_agreement"]
