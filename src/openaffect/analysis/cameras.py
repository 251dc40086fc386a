"""Cameras, through OpenCV: frames as they come, until the caller stops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2

from openaffect.addresses import hide_password
from openaffect.analysis.pictures import Picture, raise_on_read
from openaffect.errors import InputError
from openaffect.images import Pixels

_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT: it would write lines of its own to stderr


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera.

    Attributes:
        device: its number, from 0; or the address of a stream such as `rtsp://…`.
    """

    device: int | str

    @property
    def source(self) -> str:
        """What to call it: `camera 0`, or the address without a password."""
        if isinstance(self.device, int):
            return f"camera {self.device}"
        return hide_password(self.device)

    def pictures(self, place: int, first: int = 0) -> Iterator[Picture]:
        """Frames as they come; `time_s` is by the clock, from the first frame on.

        A camera that stops giving frames ends with a picture whose reading fails.

        Raises:
            InputError: there is no such camera.
        """
        level = cv2.utils.logging.setLogLevel(_SILENT)
        try:
            capture = cv2.VideoCapture(self.device)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not capture.isOpened():
            raise InputError(
                f"expected a camera at {self.source}, but it cannot be opened; is it plugged in, "
                "free, and allowed for this user?"
            )
        try:
            # An old frame is worth nothing: keep as few in the queue as the driver allows.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            yield from _read(self.source, place, first, capture)
        finally:
            capture.release()


def _read(source: str, place: int, first: int, capture: cv2.VideoCapture) -> Iterator[Picture]:
    number, start = first, None
    while True:
        done, bgr = capture.read()
        now = time.monotonic()
        start = now if start is None else start
        time_s = round(now - start, 3)
        if not done:
            read = raise_on_read("the camera gives no more frames")
            yield Picture(source, place, number, read, number, time_s, broken=True)
            return
        yield Picture(source, place, number, partial(_to_rgb, bgr), number, time_s)
        number += 1


def _to_rgb(bgr: cv2.typing.MatLike) -> Pixels:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
