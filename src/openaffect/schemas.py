"""The Arrow schemas of openaffect's tables, version 1.

Plain Arrow types, so that pandas, Polars, DuckDB, Spark and Hugging Face read them as they are.
Unknown is null. Columns that a schema does not name are kept.
"""

from __future__ import annotations

import pyarrow as pa

VERSION = 1


def _floats(count: int) -> pa.DataType:
    return pa.list_(pa.float32(), count)


FACES = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("box", _floats(4)),
        pa.field("landmarks", _floats(136)),
        pa.field("expression", pa.string()),
        pa.field("votes", pa.list_(pa.uint16(), 11)),
        pa.field("soft_label", _floats(8)),
        pa.field("valence", pa.float32()),
        pa.field("arousal", pa.float32()),
        pa.field("expression_origin", pa.string()),
        pa.field("affect_origin", pa.string()),
        pa.field("split", pa.string()),
        pa.field("group", pa.string()),
        pa.field("query", pa.string()),
        pa.field("url", pa.string()),
        pa.field("license", pa.string()),
        pa.field("extra", pa.string()),
    ]
)
"""`faces.parquet`: one row per face."""

PROVENANCE = pa.schema(
    [
        pa.field("intended", pa.string()),
        pa.field("provider", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("author", pa.string()),
        pa.field("title", pa.string()),
        pa.field("license_url", pa.string()),
        pa.field("restrictions", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sharpness", pa.float32()),
        pa.field("brightness", pa.float32()),
        pa.field("yaw", pa.float32()),
        pa.field("pitch", pa.float32()),
        pa.field("roll", pa.float32()),
    ]
)
"""More columns of `faces.parquet`, which only some datasets have: where an image came from and how
its face looks. `width`, `height` in pixels and `sha256` are of the image; angles are in degrees.
`restrictions` are rights beyond the license, such as `personality`."""

ANNOTATIONS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("annotator", pa.string(), nullable=False),
        pa.field("kind", pa.string()),
        pa.field("expression", pa.string()),
        pa.field("valence", pa.float32()),
        pa.field("arousal", pa.float32()),
        pa.field("occluded", pa.bool_()),
        pa.field("flag", pa.string()),
        pa.field("comment", pa.string()),
        pa.field("seconds", pa.float32()),
        pa.field("region_shown", pa.bool_()),
        pa.field("prelabel_shown", pa.bool_()),
        pa.field("instructions", pa.string()),
        pa.field("tool", pa.string()),
        pa.field("batch", pa.string()),
        pa.field("round", pa.int32()),
        pa.field("replaces", pa.string()),
        pa.field("void", pa.bool_()),
        pa.field("late", pa.bool_()),
        pa.field("origin", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
    ]
)
"""`annotations.parquet`: one row per judgment. `replaces` is the id of the row that it corrects."""

SPLITS = ("train", "validation", "test")
ORIGINS = ("human", "model", "derived", "synthetic", "simulated")
KINDS = ("work", "gold", "training", "review", "repeat", "imported")
"""What an annotation was given for; null stands for `work`."""
