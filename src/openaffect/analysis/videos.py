"""Videos, decoded frame by frame; needs the extra `video` (PyAV, which brings FFmpeg).

Only a few frames are held at a time, whatever the length. A damaged packet is a frame that cannot
be read; decoding goes on behind it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from openaffect.analysis.pictures import Picture, raise_on_read
from openaffect.errors import ImageError, MissingExtra
from openaffect.extras import needs
from openaffect.images import Pixels

if TYPE_CHECKING:
    from types import ModuleType

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".mjpeg", ".y4m"),
)
"""File endings of videos, in lower case."""

# FFmpeg's names of the demuxers for the suffixes above. It chooses by content: among the others
# are playlists, which open further files and addresses, and devices.
_DEMUXERS = (
    *("mov", "matroska", "avi", "mpeg", "mpegvideo", "mpegts", "asf", "flv", "ogg", "mjpeg"),
    *("yuv4mpegpipe", "m4v", "h264", "hevc"),
)
MAX_FRAME_PIXELS = 40_000_000
"""The largest frame that is decoded; one of 8K has 33 million pixels."""

_SLACK_S = 0.5  # a video may end this much before it says, or a hundredth of its length
_thread = threading.local()


def is_video(path: str) -> bool:
    """Whether a path ends like a video's.

    >>> is_video("A.MP4"), is_video("a.gif")
    (True, False)
    """
    return path.lower().endswith(SUFFIXES)


def require_av() -> ModuleType:
    """PyAV, imported when a video is.

    Raises:
        MissingExtra: it is not installed.
    """
    with needs("video", "reading videos"):
        import av
    return av


@dataclass(frozen=True, slots=True)
class Video:
    """A video file.

    Attributes:
        source: its path.
    """

    source: str

    def pictures(self, place: int, first: int = 0) -> Iterator[Picture]:
        """Its frames from number `first` on, in the order they are shown.

        A frame that cannot be decoded, and a video that cannot be read or ends too early, is
        a picture whose reading fails with the reason.
        """
        for number, (time_s, frame) in enumerate(_read_video(self.source)):
            if number < first:
                continue
            broken = isinstance(frame, str)
            read = raise_on_read(frame) if isinstance(frame, str) else partial(_to_pixels, frame)
            yield Picture(self.source, place, number, read, number, time_s, broken)


_Read = tuple[float | None, "VideoFrame | str"]


def _read_video(path: str) -> Iterator[_Read]:
    """Each frame with its time in seconds; what cannot be decoded is the reason why."""
    try:
        av = require_av()
    except MissingExtra as error:
        yield None, str(error)
        return
    reason = _why_unreadable(path)
    if reason is not None:
        yield None, reason
        return
    try:
        options = {
            "protocol_whitelist": "file",
            "format_whitelist": ",".join(_DEMUXERS),
            # For the codecs that look for the streams, before `_decode` sets it for its own.
            **_codec_limits(),
        }
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.error.ArgumentError:  # a demuxer that is not among ours
        yield None, "unreadable video (a playlist, or another kind of file that is not opened)"
        return
    except (av.FFmpegError, ValueError) as error:
        yield None, f"unreadable video ({_reason(error)})"
        return
    with container:
        if not container.streams.video:
            yield None, "the file holds no video stream"
            return
        stream = container.streams.video[0]
        if stream.codec_context is None:
            yield None, "the video is of an unknown codec"
            return
        if stream.width * stream.height > MAX_FRAME_PIXELS:
            yield None, _too_large(stream.width, stream.height)
            return
        yield from _decode(av, container, stream)


def _codec_limits() -> dict[str, str]:
    """What FFmpeg itself refuses to decode, with room for codecs that count whole blocks."""
    return {"max_pixels": str(2 * MAX_FRAME_PIXELS)}


def _too_large(width: int, height: int) -> str:
    return f"frames of {width} × {height}; the limit is {MAX_FRAME_PIXELS:,} pixels"


def _why_unreadable(path: str) -> str | None:
    if not os.path.isfile(path):
        return "not a file" if os.path.exists(path) else "missing video"
    return None if os.path.getsize(path) else "empty video (0 bytes)"


def _decode(av: ModuleType, container: InputContainer, stream: VideoStream) -> Iterator[_Read]:
    stream.thread_type = "AUTO"
    stream.codec_context.options = _codec_limits()
    start = (container.start_time or 0) / 1e6
    last: float | None = None
    count = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            yield None, f"the video breaks off: {_reason(error)}"
            return
        if packet is None:
            break
        try:
            frames: list[Any] = packet.decode()
        except av.FFmpegError as error:
            yield _seconds(packet, start), f"broken frame ({_reason(error)})"
            continue
        for frame in frames:
            count += 1
            last = _seconds(frame, start)
            yield last, frame
    reason = _why_short(container, stream, start, last) if count else "the video has no frame"
    if reason is not None:
        yield None, reason


def _seconds(timed: Any, start: float) -> float | None:
    """Seconds since the start of the video, of a frame or a packet."""
    if timed.pts is None or timed.time_base is None:
        return None
    return max(0.0, round(float(timed.pts * timed.time_base) - start, 6))


def _why_short(
    container: InputContainer, stream: VideoStream, start: float, last: float | None
) -> str | None:
    """Why frames must be missing at the end, or None."""
    end = None
    if stream.duration is not None and stream.time_base is not None:
        end = float(((stream.start_time or 0) + stream.duration) * stream.time_base) - start
    elif container.duration is not None and len(container.streams) == 1:
        # Matroska tells when it ends, also where it begins late; others tell how long they are.
        begins = start if "matroska" in container.format.name else 0.0
        end = container.duration / 1e6 - begins
    if end is None or last is None:
        return None
    step = 1 / float(stream.average_rate) if stream.average_rate else 0.0
    if end - last - step <= max(_SLACK_S, end / 100):
        return None
    return f"the video should last {end:.1f} s but ends after {last + step:.1f} s: it is truncated"


def _to_pixels(frame: VideoFrame) -> Pixels:
    """A decoded frame as RGB uint8 (h, w, 3), turned as the video says."""
    av = require_av()
    if frame.width * frame.height > MAX_FRAME_PIXELS:
        raise ImageError(_too_large(frame.width, frame.height))
    if not hasattr(_thread, "reformatter"):
        # A converter that is kept costs less than one a frame; it is not for several threads.
        _thread.reformatter = av.video.reformatter.VideoReformatter()
    try:
        pixels = _thread.reformatter.reformat(frame, format="rgb24").to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        raise ImageError(f"broken frame ({_reason(error)})") from error
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
