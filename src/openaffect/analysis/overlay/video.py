"""A video drawn again with its faces marked: H.264 where PyAV has it, else MPEG-4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2

from openaffect.analysis.overlay.image import overlay_image
from openaffect.analysis.pictures import Picture
from openaffect.analysis.videos import Video, require_av
from openaffect.errors import ImageError
from openaffect.images import Pixels, resize_image
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_file

if TYPE_CHECKING:
    from types import ModuleType

    from av.container import OutputContainer
    from av.video.stream import VideoStream

_CLOCK = 90_000  # ticks a second, as in MPEG
_USUAL_RATE = 25
_QUALITY = {"crf": "20", "preset": "veryfast"}

_Row = dict[str, Any]


def overlay_video(
    source: str,
    rows: Iterable[_Row],
    target: Path,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Path | None, int]:
    """Draw the rows of a video into a copy of it, with the times of its frames and without sound.

    A frame that was not analyzed shows what the last one before it showed.

    Args:
        source: the video's path.
        rows: of this video, in the order of its frames.
        target: the `.mp4` to make, whole or not at all.
        overwrite: replace it.
        workers: threads that draw; None for one per CPU core.
        on_progress: called with the number of frames done so far.
    Returns:
        The drawn video, or None where no frame can be read; and the number of its frames.
    """
    av = require_av()
    pairs = _pair(Video(source).pictures(0), rows)
    drawn = map_in_order(_draw, pairs, workers=workers)
    first = next((one for one in drawn if one is not None), None)
    if first is None:
        return None, 0
    with atomic_file(target, overwrite=overwrite) as temporary:
        count = 1
        with av.open(str(temporary), "w", format="mp4") as container:
            writer = _Writer(av, container, first[1])
            writer.add(*first)
            for one in drawn:
                if one is not None:
                    writer.add(*one)
                    count += 1
                    if on_progress is not None:
                        on_progress(Progress("drawing", count))
            writer.end()
    return target, count


def _pair(
    pictures: Iterator[Picture], rows: Iterable[_Row]
) -> Iterator[tuple[Picture, Sequence[_Row]]]:
    """Every picture with its rows, or with those of the last picture that has some."""
    groups = groupby(rows, lambda row: row["frame"])
    waiting: tuple[int | None, list[_Row]] | None = None
    shown: list[_Row] = []
    for picture in pictures:
        if waiting is None and (group := next(groups, None)) is not None:
            waiting = group[0], list(group[1])
        if waiting is not None and waiting[0] == picture.frame:
            shown, waiting = waiting[1], None
        yield picture, shown


def _draw(pair: tuple[Picture, Sequence[_Row]]) -> tuple[float | None, Pixels] | None:
    picture, rows = pair
    try:
        return picture.time_s, overlay_image(picture.read(), rows)
    except ImageError:
        return None


class _Writer:
    """Encodes frames of one size, each at its own time."""

    def __init__(self, av: ModuleType, container: OutputContainer, first: Pixels) -> None:
        self._av = av
        self._container = container
        self._height, self._width = (side + side % 2 for side in first.shape[:2])
        self._stream = self._open_stream()
        self._pts = -1

    def _open_stream(self) -> VideoStream:
        name = "libx264" if "libx264" in self._av.codecs_available else "mpeg4"
        stream = cast("VideoStream", self._container.add_stream(name, rate=_USUAL_RATE))
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        if name == "libx264":
            stream.options = dict(_QUALITY)
        else:
            stream.codec_context.time_base = Fraction(1, 60_000)  # the most that MPEG-4 takes
            stream.bit_rate = 4_000_000
        return stream

    def add(self, time_s: float | None, pixels: Pixels) -> None:
        """Encode a frame; one that has no time follows the last at the usual rate."""
        clock = self._stream.codec_context.time_base
        step = int(1 / clock / _USUAL_RATE)
        pts = self._pts + step if time_s is None else round(time_s / float(clock))
        self._pts = max(pts, self._pts + 1)
        frame = self._av.VideoFrame.from_ndarray(self._fit(pixels), format="rgb24")
        frame.pts, frame.time_base = self._pts, clock
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Encode what the encoder still holds."""
        self._container.mux(self._stream.encode())

    def _fit(self, pixels: Pixels) -> Pixels:
        """The frame with even sides, and at the size of the first one."""
        height, width = pixels.shape[:2]
        if not (0 <= self._height - height <= 1 and 0 <= self._width - width <= 1):
            return resize_image(pixels, self._width, self._height)
        right, bottom = self._width - width, self._height - height
        if not (right or bottom):
            return pixels
        return cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[return-value]
