"""The bounded queue: how many pictures wait or are in work, and when to come back if it is full."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from openaffect.web.problems import Busy

_REMEMBERED = 64
_LONGEST_S = 60
_RECENT_S = 5.0  # before that there may have been nothing to do


class Gate:
    """Counts the pictures inside; used from one thread, the event loop's.

    Attributes:
        places: how many there are.
        taken: how many of them are taken.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self._left: deque[float] = deque(maxlen=_REMEMBERED)

    @contextmanager
    def enter(self) -> Iterator[Places]:
        """One place, before the body of a request is read; it and those added are given back.

        Raises:
            Busy: there is none.
        """
        held = Places(self)
        held.add(1)
        try:
            yield held
        finally:
            self.taken -= held.count
            self._left.extend([time.monotonic()] * held.count)

    def retry_after(self) -> int:
        """Seconds until the pictures inside are done, at the speed of the last ones; 1 to 60."""
        now = time.monotonic()
        recent = [left for left in self._left if now - left < _RECENT_S]
        if len(recent) < 2:
            return 1
        seconds = (now - recent[0]) / (len(recent) - 1)
        return min(max(math.ceil(self.taken * seconds), 1), _LONGEST_S)


class Places:
    """The places of one request."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.count = 0

    def add(self, count: int) -> None:
        """Take more places, all or none.

        Raises:
            Busy: there are not as many.
        """
        gate = self._gate
        if gate.taken + count > gate.places:
            raise Busy(gate.places, gate.retry_after())
        gate.taken += count
        self.count += count
