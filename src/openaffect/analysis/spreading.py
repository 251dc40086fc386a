"""Photos shared out to processes or to Ray: each is read, searched and judged by one worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.analysis.cameras import Camera
from openaffect.analysis.judging import FrameResult, judge_pictures
from openaffect.analysis.pictures import Photo, Picture, Source, list_pictures
from openaffect.analysis.searching import detect_and_crop
from openaffect.analysis.sources import SourceLike, count_photos, open_sources
from openaffect.errors import InputError
from openaffect.inference import describe_model, open_worker_model
from openaffect.model import Model
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.recognition import Row

if TYPE_CHECKING:
    from openaffect.analysis.analyzing import AnalysisOptions, Cursor

_PHOTOS = 16  # that a worker gets at a time
_AHEAD = 4  # such pieces that lie ready beyond those that are worked on


def spread_photos(
    source: SourceLike | Iterable[SourceLike],
    model: Model,
    plan: AnalysisOptions,
    start: Cursor,
    on_progress: OnProgress | None,
) -> Iterator[FrameResult]:
    """Photos with their finished rows, in order; each is searched and judged by one worker.

    Args:
        source, model, plan, start, on_progress: see `iterate_results`; `plan.engine` is no thread.

    Raises:
        InputError: a video or a camera is among the sources.
    """
    named: object = source
    if isinstance(named, Camera) or (
        isinstance(named, str | Path | list | tuple) and count_photos(named) is None
    ):
        raise InputError(_photos_only(plan.engine))
    under_way: deque[list[Picture]] = deque()

    def share_out() -> Iterator[list[Picture]]:
        pictures = list_pictures(
            _photos(open_sources(source, plan.allow), plan.engine), start.place, start.number
        )
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
        if on_progress is not None:
            on_progress(Progress("analyzing", count))


@dataclass(frozen=True, slots=True)
class _PhotoAnalyzer:
    """What a worker does with photos: all of it; a model is opened once in each process."""

    model: str
    sha256: str
    device: str
    plan: AnalysisOptions

    def __call__(self, pictures: list[Picture]) -> list[list[Row]]:
        model = open_worker_model(self.model, self.sha256, self.device)
        search = self.plan.pipeline(model)
        looks = (detect_and_crop(picture, search) for picture in pictures)
        judged = judge_pictures(looks, model, self.plan, self.plan.batch_size, None)
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
