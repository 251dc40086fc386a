"""Pipelines: the only rooms that join several stages."""
