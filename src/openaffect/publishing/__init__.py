"""Publishing: a dataset becomes a release that others may have, and a release a dataset again."""

from openaffect.publishing.layouts import layout_names
from openaffect.publishing.manifest import verify_release
from openaffect.publishing.reconstruction import FetchSummary, fetch_release
from openaffect.publishing.release import ReleaseOptions, ReleaseSummary, release_dataset

__all__ = [
    "FetchSummary",
    "ReleaseOptions",
    "ReleaseSummary",
    "fetch_release",
    "layout_names",
    "release_dataset",
    "verify_release",
]
