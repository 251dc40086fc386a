"""The bounded queue: how many pictures wait or are in work, and when to come back if it is full."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from openaffect.web.problems import ServiceUnavailable

_REMEMBERED = 64
_LONGEST_S = 60
_RECENT_S = 5.0  # before that there may have been nothing to do


class AdmissionQueue:
    """Counts the pictures inside; used from one thread, the event loop's.

    Attributes:
        places: how many there are.
        in_use: how many of them are taken.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.in_use = 0
        self._left: deque[float] = deque(maxlen=_REMEMBERED)

    @contextmanager
    def enter(self, count: int) -> Iterator[None]:
        """Places for the pictures of a request, once its body is whole; given back at the end.

        Raises:
            ServiceUnavailable: there are not as many.
        """
        if self.in_use + count > self.places:
            raise ServiceUnavailable(
                f"the queue is full ({self.places} pictures wait or are in work)",
                self.places,
                self.retry_after(),
            )
        self.in_use += count
        try:
            yield
        finally:
            self.in_use -= count
            self._left.extend([time.monotonic()] * count)

    def retry_after(self) -> int:
        """Seconds until the pictures inside are done, at the speed of the last ones; 1 to 60."""
        now = time.monotonic()
        recent = [left for left in self._left if now - left < _RECENT_S]
        if len(recent) < 2:
            return 1
        seconds = (now - recent[0]) / (len(recent) - 1)
        return min(max(math.ceil(self.in_use * seconds), 1), _LONGEST_S)
