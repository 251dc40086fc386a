"""From searched pictures to finished rows: the model sees the crops of several pictures at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from openaffect.analysis.pictures import Picture
from openaffect.analysis.searching import Detections
from openaffect.analysis.smoothing import Smoother
from openaffect.images import Pixels
from openaffect.inference import FaceOutputs, predict_crops, sorted_labels
from openaffect.model import Model
from openaffect.progress import OnProgress, Progress
from openaffect.recognition import OK, Row, begin_rows, describe_shares, fill_row

if TYPE_CHECKING:
    from openaffect.analysis.analyzing import AnalysisOptions

_SURROGATE = re.compile("[\ud800-\udfff]")
_USUAL_RATE = 25.0  # frames a second of a video that tells no times, for smoothing


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A picture and its finished rows."""

    picture: Picture
    rows: list[Row]


def judge_pictures(
    looks: Iterator[Detections],
    model: Model,
    plan: AnalysisOptions,
    batch_size: int,
    on_progress: OnProgress | None,
) -> Iterator[FrameResult]:
    """The finished pictures, as soon as a batch of crops, or of pictures without one, is full."""
    waiting: list[FrameResult] = []
    crops: list[Pixels] = []
    rows = count = 0
    finish = _RowBuilder(model, plan)
    for look in looks:
        waiting.append(FrameResult(look.picture, _rows_of(look, model, plan.detector)))
        crops.extend(crop for crop in look.crops if not isinstance(crop, str))
        rows += len(waiting[-1].rows)
        count += 1
        if len(crops) >= batch_size or rows >= 2 * batch_size:
            yield from finish(waiting, crops)
            waiting, crops, rows = [], [], 0
            if on_progress is not None:
                on_progress(Progress("analyzing", count))
    yield from finish(waiting, crops)
    if on_progress is not None:
        on_progress(Progress("analyzing", count))


def _rows_of(look: Detections, model: Model, detector: str) -> list[Row]:
    """The rows of a picture, as far as they are known before the model has seen the crops."""
    picture = look.picture
    names = (
        *("source", "frame", "time_s", "face_index", "track_id", "status", "error"),
        *("box", "score", "detector", "landmarks"),
        *(f"p_{label}" for label in sorted_labels(model.card)),
        *("expression", "confidence", "valence", "arousal"),
    )
    empty: Row = dict.fromkeys(names)
    empty |= {"frame": picture.frame, "time_s": picture.time_s}
    # A file name need not be text; a table needs text.
    source = _SURROGATE.sub("\ufffd", picture.source)
    begun = begin_rows(source, look.faces, look.crops, detector=detector, error=look.error)
    rows = [empty | row for row in begun]
    tracks = look.tracks if look.tracks is not None else [None] * len(look.faces)
    for row, face, track in zip(rows, look.faces, tracks, strict=False):
        row["track_id"] = track
        if face.landmarks is not None:
            row["landmarks"] = face.landmarks.ravel().tolist()
    return rows


class _RowBuilder:
    """Fills in what the model says; remembers the means of tracks from batch to batch."""

    def __init__(self, model: Model, plan: AnalysisOptions) -> None:
        self._model = model
        self._plan = plan
        self._smoother = Smoother(plan.smooth)
        self._place = -1

    def __call__(self, waiting: list[FrameResult], crops: list[Pixels]) -> list[FrameResult]:
        face_outputs = predict_crops(self._model, crops, batch_size=self._plan.batch_size)
        number = 0
        for done in waiting:
            if done.picture.place != self._place:
                self._smoother, self._place = Smoother(self._plan.smooth), done.picture.place
            for row in done.rows:
                if row["status"] == OK:
                    self._fill(row, face_outputs, number)
                    number += 1
        return waiting

    def _fill(self, row: Row, face_outputs: FaceOutputs, number: int) -> None:
        if (
            not self._plan.smooth
            or row["track_id"] is None
            or face_outputs.errors[number] is not None
        ):
            fill_row(row, face_outputs, number, min_confidence=self._plan.min_confidence)
            return
        parts = [
            p[number] for p in (face_outputs.probabilities, face_outputs.affect) if p is not None
        ]
        time_s = row["frame"] / _USUAL_RATE if row["time_s"] is None else row["time_s"]
        values = self._smoother.update(row["track_id"], time_s, np.concatenate(parts))
        if face_outputs.probabilities is not None:
            shares = values[: len(face_outputs.labels)]
            least = self._plan.min_confidence
            row |= describe_shares(face_outputs.labels, shares, min_confidence=least)
        if face_outputs.affect is not None:
            row["valence"], row["arousal"] = map(float, values[-2:])
