"""A fair semaphore: which request has its next picture worked on when a thread is free."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSemaphore:
    """A number of slots, given to requests in turn, whatever the number of their pictures.

    A request of a hundred pictures and one of a single picture that comes later take turns:
    the single one waits for one picture, not for a hundred. Used within one event loop.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def acquire(self, request: object) -> AsyncIterator[None]:
        """Hold a slot; `request` is anything that stands for the request."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(request)
        try:
            yield
        finally:
            self._free += 1
            self._wake()

    async def _wait(self, request: object) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # a slot was given and is not used
                self._free += 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._free and self._waiting:
            request = next(iter(self._waiting))
            queue = self._waiting.pop(request)
            mine = queue.popleft()
            if queue:
                self._waiting[request] = queue  # behind all others
            if not mine.done():  # its request may be gone
                self._free -= 1
                mine.set_result(None)
