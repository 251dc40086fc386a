"""The shapes of all answers; what `/openapi.json` and `/docs` say comes from here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, create_model

from openaffect.inference import FaceOutputs, sorted_labels
from openaffect.model import Card
from openaffect.recognition import ERROR, NO_FACE_FOUND, OK, Row, begin_rows, fill_row
from openaffect.texts import shorten_float32
from openaffect.web.analysis.preprocessing import AnalyzeParams, Detections


class ModelFacts(BaseModel):
    """The model behind an answer."""

    name: str
    sha256: str = Field(description="Of the model's file.")
    labels: list[str] = Field(description="Its classes, in the order of the `p_` columns.")
    affect: bool = Field(description="Whether it gives valence and arousal.")
    affect_origins: list[str] = Field(
        description="What its valence and arousal were learned from: `human` for ratings, `derived` "
        "for the class means of the expressions; empty where its card does not say."
    )
    size: tuple[int, int] = Field(description="Width and height of a crop, in pixels.")
    protocol_warning: str = Field(description="A habit of the training that flatters scores.")


class ModelEntry(BaseModel):
    """A model that is served."""

    file: str = Field(description="Where to get the ONNX file from.")
    bytes: int = Field(description="Its size.")
    sha256: str
    card: Card


class ModelList(BaseModel):
    """What is served, and what a browser needs to do the same by itself."""

    models: list[ModelEntry]
    detector: str = Field(description="The detector that this server uses.")
    browser_detector: str | None = Field(
        description="Where to get YuNet's ONNX file from; null if this server does not have it."
    )
    browser_runtime: bool = Field(description="Whether `/static/vendor` has onnxruntime-web.")
    circumplex: dict[str, tuple[float, float]] = Field(
        description="Mean valence and arousal of each class on AffectNet's training labels."
    )


def make_answer_type(card: Card) -> type[BaseModel]:
    """The type of the answer of `/v1/analyze` for a model: its rows have a column per class."""
    share = (float | None, Field(None, description="Probability of the class."))
    columns: dict[str, Any] = {f"p_{label}": share for label in sorted_labels(card)}
    row = create_model("Row", __base__=_Row, __doc__=_Row.__doc__, **columns, **_LAST_COLUMNS)
    picture = create_model(
        "Picture",
        __base__=_Picture,
        __doc__=_Picture.__doc__,
        rows=(list[row], Field(description="One a face, the largest first; at least one.")),  # type: ignore[valid-type]
    )
    return create_model(
        "Analysis",
        __doc__="What the model says of each picture, in the order in which they were sent.",
        model=(ModelFacts, ...),
        images=(list[picture], ...),  # type: ignore[valid-type]
    )


class _Row(BaseModel):
    """A face, or a picture without one, or one that could not be read; as in an analysis table."""

    source: str = Field(description="The file's name, or `image[0]`.")
    face_index: int | None = Field(None, description="0, 1, … in the picture, the largest first.")
    status: str = Field(
        description="`ok`, `no_face_found` or `error`.",
        json_schema_extra={"enum": [OK, NO_FACE_FOUND, ERROR]},
    )
    error: str | None = Field(None, description="Why, where status is `error`.")
    box: tuple[float, float, float, float] | None = Field(
        None, description="x, y, w, h in pixels of the upright picture; null for a crop."
    )
    score: float | None = Field(None, description="The detector's confidence, in [0, 1].")
    detector: str | None = Field(None, description="Its name; null for a crop.")


class _Picture(BaseModel):
    """A picture and its rows."""

    source: str = Field(description="The file's name, or `image[0]`.")
    width: int | None = Field(None, description="In pixels, upright; null if it cannot be read.")
    height: int | None = None
    faces_found: int = Field(description="How many; more than the rows if `max_faces` is less.")


_LAST_COLUMNS: dict[str, Any] = {
    "expression": (
        str | None,
        Field(None, description="The most probable class; null below `min_confidence`."),
    ),
    "confidence": (float | None, Field(None, description="The highest probability.")),
    "valence": (float | None, Field(None, description="In [−1, 1].")),
    "arousal": (float | None, Field(None, description="In [−1, 1].")),
}


def fill_rows(
    found: Detections, face_outputs: FaceOutputs | None, detector: str, params: AnalyzeParams
) -> list[Row]:
    """The rows of a picture.

    Args:
        found: what was found in it.
        face_outputs: of those of its crops that could be cut out, in order; None if there are none.
        detector: the name of the one that looked.
        params: of the request.
    """
    rows = begin_rows(found.name, found.faces, found.crops, detector=detector, error=found.error)
    judged = [row for row in rows if row["status"] == OK]
    if face_outputs is not None:
        for number, row in enumerate(judged):
            fill_row(row, face_outputs, number, min_confidence=params.min_confidence)
    return [{name: _shorten(value) for name, value in row.items()} for row in rows]


def _shorten(value: Any) -> Any:
    """Numbers with the fewest digits that give the same float32 back, as a table holds them."""
    if isinstance(value, float):
        return shorten_float32(value)
    return tuple(map(_shorten, value)) if isinstance(value, list) else value
