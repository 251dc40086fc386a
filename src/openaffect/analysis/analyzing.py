"""Analyzing photos, videos and cameras: find the faces, crop them by the model's rule, predict them.

Threads read and search the pictures a few ahead; the tracks of a video are followed in order; the
model sees the crops of several pictures at once. A picture is let go as soon as its faces are cut
out, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from openaffect.addresses import Allowed
from openaffect.analysis.cameras import Camera
from openaffect.analysis.judging import FrameResult, judge_pictures
from openaffect.analysis.pictures import list_pictures
from openaffect.analysis.searching import DetectionPipeline, Detections, detect_and_crop, follow
from openaffect.analysis.sources import SourceLike, open_sources
from openaffect.analysis.spreading import spread_photos
from openaffect.analysis.table import Analysis, collect_rows
from openaffect.analysis.tracking import PATIENCE, Tracker
from openaffect.errors import InputError
from openaffect.faces.finding import resolve_detector
from openaffect.inference import (
    describe_model,
    sorted_labels,
)
from openaffect.model import Model, open_model
from openaffect.parallel import check_engine, map_in_order
from openaffect.progress import OnProgress
from openaffect.recognition import Row


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

    def pipeline(self, model: Model) -> DetectionPipeline:
        """How pictures are searched for this model."""
        return DetectionPipeline(
            card=model.card,
            detector=self.detector,
            landmarks=self.landmarks,
            min_score=self.min_score,
            every=self.every,
            full_size=self.full_size,
        )

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


def analyze(
    source: SourceLike | Iterable[SourceLike],
    model: Model | str | Path = "default",
    *,
    on_progress: OnProgress | None = None,
    **choices: Unpack[AnalysisChoices],
) -> Analysis:
    """Find and judge every face in photos and videos.

    Args:
        source: a picture, a video, a folder, a pattern, an address, a `.txt` list, an array
            (RGB uint8), or several of these; see `sources.open_sources`.
        model: from `open_model`, its path, or the package's own; its card's crop rule frames the
            faces.
        on_progress: called now and then with the number of pictures and frames done so far.
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
    done = iterate_results(source, model, plan, on_progress=on_progress)
    rows = (row for one in done for row in one.rows)
    return collect_rows(rows, sorted_labels(model.card), describe_run(model, plan))


def iterate_rows(
    source: SourceLike | Iterable[SourceLike],
    model: Model | str | Path = "default",
    *,
    on_progress: OnProgress | None = None,
    **choices: Unpack[AnalysisChoices],
) -> Iterator[Row]:
    """The rows of `analyze` one by one, for more pictures than a table should hold, and cameras.

    Arguments and errors are those of `analyze`; a row has the columns of `analysis_schema`
    as keys. Pictures are taken from `source` a few ahead of the rows, from a camera one by one.
    """
    done = iterate_results(
        source, as_model(model), AnalysisOptions(**choices), on_progress=on_progress
    )
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
    on_progress: OnProgress | None = None,
) -> Iterator[FrameResult]:
    """Pictures with their finished rows, in order.

    Args:
        source, model, plan: see `analyze`.
        start: go on behind this position.
        on_progress: called now and then with the number of pictures done so far.
    """
    start = start or Cursor()
    if plan.engine != "threads":
        return spread_photos(source, model, plan, start, on_progress)
    search = plan.pipeline(model)
    live = isinstance(source, Camera)  # every row at once, and no frame waits
    count = 1 if live else plan.workers or os.cpu_count() or 1
    looks = map_in_order(
        lambda picture: detect_and_crop(picture, search),
        list_pictures(open_sources(source, plan.allow), start.place, start.number, plan.every),
        workers=count,
        ahead=0 if live else 2 * count,
    )
    followed = _follow(looks, search, plan, start)
    return judge_pictures(followed, model, plan, 1 if live else plan.batch_size, on_progress)


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
