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

ANNOTATIONS = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("annotator", pa.string(), nullable=False),
        pa.field("expression", pa.string()),
        pa.field("valence", pa.float32()),
        pa.field("arousal", pa.float32()),
        pa.field("seconds", pa.float32()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("flag", pa.string()),
    ]
)
"""`annotations.parquet`: one row per judgment."""

SPLITS = ("train", "validation", "test")
ORIGINS = ("human", "model", "derived", "synthetic")
