"""Analyzing photos, videos and cameras: find the faces, crop them by the model's rule, predict them.

Threads read and search the pictures a few ahead; the tracks of a video are followed in order; the
model sees the crops of several pictures at once. A picture is let go as soon as its faces are cut
out, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from openaffect.addresses import Allowed
from openaffect.analysis.cameras import Camera
from openaffect.analysis.pictures import Photo, Picture, Source
from openaffect.analysis.searching import DetectionPipeline, Detections, detect_and_crop, follow
from openaffect.analysis.smoothing import Smoother
from openaffect.analysis.sources import SourceLike, count_photos, open_sources
from openaffect.analysis.table import Analysis, collect_rows
from openaffect.analysis.tracking import PATIENCE, Tracker
from openaffect.errors import InputError
from openaffect.faces.finding import resolve_detector
from openaffect.images import Pixels
from openaffect.inference import (
    FaceOutputs,
    describe_model,
    open_worker_model,
    predict_crops,
    sorted_labels,
)
from openaffect.model import Model, open_model
from openaffect.parallel import check_engine, map_in_order
from openaffect.recognition import OK, Row, begin_rows, describe_shares, fill_row

_SURROGATE = re.compile("[\ud800-\udfff]")
_PHOTOS = 16  # that a worker gets at a time
_AHEAD = 4  # such pieces that lie ready beyond those that are worked on
_USUAL_RATE = 25.0  # frames a second of a video that tells no times, for smoothing


class AnalysisChoices(TypedDict, total=False):
    """What may be chosen in every function that analyses; all of it may be left out.

    Attributes:
        detector: a name, or `auto` (the default) for the best one on this machine.
        landmarks: the name of a landmarker, such as `dlib`; None for no landmarks.
        min_confidence: below it, in [0, 1], `expression` is null; the probabilities stay.
        min_score: leave out faces that the detector is less sure of, in [0, 1]; None is the
            detector's own choice.
        every: of videos and cameras, analyze one frame in so many; 1 by default.
        patience: analyzed frames of a video that a track waits for its face; 30 by default.
        smooth: time constant in seconds of an exponential mean over each track's probabilities,
            valence and arousal; 0, the default, for none.
        full_size: search every frame of a video at full size: slower, see `searching`.
        batch_size: faces that the model sees at once; 32 by default.
        workers: threads that read pictures and find faces, or with another engine workers that do
            all with a photo, each with one thread; None for one per CPU core.
        engine: `threads`, the default; `processes` or `ray` for photos alone; see
            `parallel.map_in_order`.
        ray_address: of a Ray cluster to join.
        allow: numbers and ports of computers that addresses may lead to although they are not on
            the public internet, such as `[("192.168.1.5", 8080)]`; none by default.
    """

    detector: str
    landmarks: str | None
    min_confidence: float
    min_score: float | None
    every: int
    patience: int
    smooth: float
    full_size: bool
    batch_size: int
    workers: int | None
    engine: str
    ray_address: str | None
    allow: Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisOptions:
    """`AnalysisChoices` with their defaults, checked.

    Raises:
        InputError: a number out of range.
        UnknownName: no such detector or engine.
        MissingExtra: Ray is not installed.
    """

    detector: str = "auto"
    landmarks: str | None = None
    min_confidence: float = 0.0
    min_score: float | None = None
    every: int = 1
    patience: int = PATIENCE
    smooth: float = 0.0
    full_size: bool = False
    batch_size: int = 32
    workers: int | None = None
    engine: str = "threads"
    ray_address: str | None = None
    allow: Allowed = ()

    def __post_init__(self) -> None:
        for name in ("min_confidence", "min_score"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"expected {name} in [0, 1], but got {share}")
        for name, least in (("batch_size", 1), ("workers", 1), ("every", 1), ("patience", 0)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise InputError(f"expected {name} of {least} or more, but got {number}")
        if not 0 <= self.smooth < float("inf"):
            raise InputError(f"expected smooth in seconds, 0 or more, but got {self.smooth}")
        check_engine(self.engine, self.ray_address)
        object.__setattr__(self, "detector", resolve_detector(self.detector))

    def describe(self) -> dict[str, Any]:
        """What of it changes the rows; JSON-ready."""
        names = ("detector", "landmarks", "min_score", "min_confidence")
        video = ("every", "patience", "smooth", "full_size")
        return {name: getattr(self, name) for name in (*names, *video)}


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an analysis has come.

    Attributes:
        place, number: of the last picture that is done; −1 before the first.
        next_track: the first free track id of the video in work.
    """

    place: int = -1
    number: int = -1
    next_track: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A picture and its finished rows."""

    picture: Picture
    rows: list[Row]


def analyze(
    source: SourceLike | Iterable[SourceLike],
    model: Model | str | Path = "default",
    *,
    progress: Callable[[int], None] | None = None,
    **choices: Unpack[AnalysisChoices],
) -> Analysis:
    """Find and judge every face in photos and videos.

    Args:
        source: a picture, a video, a folder, a pattern, an address, a `.txt` list, an array
            (RGB uint8), or several of these; see `sources.open_sources`.
        model: from `open_model`, its path, or the package's own; its card's crop rule frames the
            faces.
        progress: called now and then with the number of pictures and frames done so far.
        choices: see `AnalysisChoices`.

    Returns:
        One row per face, in the order of the pictures. A picture or frame without a face and one
        that cannot be read are one row each, told apart by `status`: neither ends the run.

    Raises:
        InputError: the only source holds no picture, or a number is out of range.
        UnknownName: no such detector, landmarker or engine.
        MissingWeights, MissingExtra: the detector, the landmarker, Ray or what reads videos is not
            on this machine.
    """
    model = as_model(model)
    plan = AnalysisOptions(**choices)
    done = iterate_results(source, model, plan, progress=progress)
    rows = (row for one in done for row in one.rows)
    return collect_rows(rows, sorted_labels(model.card), describe_run(model, plan))


def iterate_rows(
    source: SourceLike | Iterable[SourceLike],
    model: Model | str | Path = "default",
    *,
    progress: Callable[[int], None] | None = None,
    **choices: Unpack[AnalysisChoices],
) -> Iterator[Row]:
    """The rows of `analyze` one by one, for more pictures than a table should hold, and cameras.

    Arguments and errors are those of `analyze`; a row has the columns of `analysis_schema`
    as keys. Pictures are taken from `source` a few ahead of the rows, from a camera one by one.
    """
    done = iterate_results(source, as_model(model), AnalysisOptions(**choices), progress=progress)
    return (row for one in done for row in one.rows)


def as_model(model: Model | str | Path) -> Model:
    """The model itself, opened if it was named by its path."""
    return model if isinstance(model, Model) else open_model(model)


def describe_run(model: Model, plan: AnalysisOptions) -> dict[str, Any]:
    """What the metadata of a table remembers of the run that made it."""
    return describe_model(model) | plan.describe()


def iterate_results(
    source: SourceLike | Iterable[SourceLike],
    model: Model,
    plan: AnalysisOptions,
    *,
    start: Cursor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[FrameResult]:
    """Pictures with their finished rows, in order.

    Args:
        source, model, plan: see `analyze`.
        start: go on behind this position.
        progress: called now and then with the number of pictures done so far.
    """
    start = start or Cursor()
    if plan.engine != "threads":
        return _spread(source, model, plan, start, progress)
    search = _pipeline(model, plan)
    live = isinstance(source, Camera)  # every row at once, and no frame waits
    count = 1 if live else plan.workers or os.cpu_count() or 1
    looks = map_in_order(
        lambda picture: detect_and_crop(picture, search),
        _stream(open_sources(source, plan.allow), start, plan.every),
        workers=count,
        ahead=0 if live else 2 * count,
    )
    followed = _follow(looks, search, plan, start)
    return _judge(followed, model, plan, 1 if live else plan.batch_size, progress)


def _pipeline(model: Model, plan: AnalysisOptions) -> DetectionPipeline:
    return DetectionPipeline(
        card=model.card,
        detector=plan.detector,
        landmarks=plan.landmarks,
        min_score=plan.min_score,
        every=plan.every,
        full_size=plan.full_size,
    )


def _spread(
    source: SourceLike | Iterable[SourceLike],
    model: Model,
    plan: AnalysisOptions,
    start: Cursor,
    progress: Callable[[int], None] | None,
) -> Iterator[FrameResult]:
    """Photos with their finished rows, in order; each is searched and judged by one worker."""
    named: object = source
    if isinstance(named, Camera) or (
        isinstance(named, str | Path | list | tuple) and count_photos(named) is None
    ):
        raise InputError(_photos_only(plan.engine))
    under_way: deque[list[Picture]] = deque()

    def share_out() -> Iterator[list[Picture]]:
        pictures = _stream(_photos(open_sources(source, plan.allow), plan.engine), start, 1)
        for several in iter(lambda: list(islice(pictures, _PHOTOS)), []):
            under_way.append(several)
            yield several

    sha256 = describe_model(model)["model_sha256"]
    analyze_photos = _PhotoAnalyzer(str(model.path.absolute()), sha256, model.device, plan)
    answers = map_in_order(
        analyze_photos,
        share_out(),
        workers=plan.workers,
        ahead=_AHEAD,
        engine=plan.engine,
        ray_address=plan.ray_address,
    )
    count = 0
    for rows in answers:
        yield from map(FrameResult, under_way.popleft(), rows)
        count += len(rows)
        if progress is not None:
            progress(count)


@dataclass(frozen=True, slots=True)
class _PhotoAnalyzer:
    """What a worker does with photos: all of it; a model is opened once in each process."""

    model: str
    sha256: str
    device: str
    plan: AnalysisOptions

    def __call__(self, pictures: list[Picture]) -> list[list[Row]]:
        model = open_worker_model(self.model, self.sha256, self.device)
        search = _pipeline(model, self.plan)
        looks = (detect_and_crop(picture, search) for picture in pictures)
        judged = _judge(looks, model, self.plan, self.plan.batch_size, None)
        return [done.rows for done in judged]


def _photos(sources: Iterator[Source], engine: str) -> Iterator[Source]:
    for source in sources:
        if not isinstance(source, Photo):
            raise InputError(_photos_only(engine))
        yield source


def _photos_only(engine: str) -> str:
    return (
        f"expected photos for the engine {engine}, but a video or camera is among the sources: its "
        "frames are followed one after the other; analyze it with the engine threads"
    )


def _stream(sources: Iterator[Source], start: Cursor, every: int) -> Iterator[Picture]:
    for place, source in enumerate(sources):
        if place < start.place:
            continue
        first = 0
        if place == start.place:
            # A video again from its last frame: the next may be looked at where its faces were.
            first = start.number + 1 if isinstance(source, Photo) else start.number
        for picture in source.pictures(place, first):
            if picture.broken or (picture.frame or 0) % every == 0:
                yield picture


def _follow(
    looks: Iterator[Detections], search: DetectionPipeline, plan: AnalysisOptions, start: Cursor
) -> Iterator[Detections]:
    """The looks with the faces of videos followed from frame to frame."""
    tracker, place = Tracker(plan.patience, start.next_track), start.place
    for look in looks:
        picture, followed = look.picture, look
        if picture.frame is not None:
            if picture.place != place:
                tracker, place = Tracker(plan.patience), picture.place
            followed = follow(look, tracker, search)
        if picture.place != start.place or picture.number > start.number:
            yield followed


def _judge(
    looks: Iterator[Detections],
    model: Model,
    plan: AnalysisOptions,
    batch_size: int,
    progress: Callable[[int], None] | None,
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
            if progress is not None:
                progress(count)
    yield from finish(waiting, crops)
    if progress is not None:
        progress(count)


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
