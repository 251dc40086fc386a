"""Small videos that tests make with PyAV from synthetic faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.synthetic import synthesize_face

SEED = 2  # a frontal face that the cascade finds at every size used here
CLOCK = 1000


def wandering(
    count: int, size: tuple[int, int] = (200, 150), side: int = 112, hidden: Iterable[int] = ()
) -> list[NDArray[np.uint8]]:
    """Frames in which one synthetic face moves to the right; it is away in the `hidden` ones."""
    face = synthesize_face("happy", seed=SEED, size=side).image
    away = set(hidden)
    frames = []
    for number in range(count):
        frame = np.full((size[1], size[0], 3), 128, np.uint8)
        if number not in away:
            x = round((size[0] - side) * number / max(1, count - 1))
            y = (size[1] - side) // 2
            frame[y : y + side, x : x + side] = face
        frames.append(frame)
    return frames


def write_film(
    path: str | Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    times: Sequence[float] | None = None,
    rotation: int | None = None,
    codec: str = "libx264",
    gop: int = 12,
    container: str | None = None,
) -> Path:
    """Encode frames at 25 a second, or at the `times` in seconds."""
    with av.open(str(path), "w", format=container) as film:
        stream = film.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "12", "tune": "zerolatency"}
        else:
            stream.bit_rate = 4_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, CLOCK)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts = round(times[number] * CLOCK)
                frame.time_base = Fraction(1, CLOCK)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return Path(path)


def write_sound(path: str | Path) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        samples = np.zeros((1, 16000), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square picture at another size."""
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
