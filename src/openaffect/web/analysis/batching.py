"""Micro-batching: crops of all requests go through the model together.

The model belongs to one thread. While it works on a batch, the crops for the next one gather;
when it is idle, the first crop waits a few milliseconds for company.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from openaffect.images import Pixels
from openaffect.inference import FaceOutputs

Predict = Callable[[list[Pixels]], FaceOutputs]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    crops: Sequence[Pixels]
    face_outputs: asyncio.Future[FaceOutputs]


class Batcher:
    """Gathers crops into batches; used within one event loop, between `start` and `close`.

    Args:
        predict: from crops to face_outputs; called by one thread, never twice at once.
        most: crops of a batch; those of one picture are not parted, so a batch may be larger.
        wait_s: seconds that a crop waits for others.
        seen: called with the number of crops of each batch.
    """

    def __init__(
        self, predict: Predict, *, most: int, wait_s: float, seen: Callable[[int], None]
    ) -> None:
        self._predict = predict
        self._most = most
        self._wait_s = wait_s
        self._seen = seen
        self._jobs: deque[_Job] = deque()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "openaffect-model")

    def start(self) -> None:
        """Begin to work."""
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._closing = True
        self._some.set()
        self._full.set()
        await self._worker
        self._thread.shutdown()

    async def predict(self, crops: Sequence[Pixels]) -> FaceOutputs:
        """The outputs of a picture's crops; a caller that is cancelled is left out of its batch."""
        job = _Job(crops, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._some.set()
        if self._waiting() >= self._most:
            self._full.set()
        return await job.face_outputs

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            if not self._closing:
                await self._gather()
            jobs = self._take()
            if jobs:
                await self._run(jobs)
            elif self._closing:
                return

    async def _gather(self) -> None:
        """Wait for a full batch, or a little."""
        if self._waiting() < self._most:
            self._full.clear()
            try:
                await asyncio.wait_for(self._full.wait(), self._wait_s)
            except TimeoutError:
                return

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        count = 0
        while self._jobs and (not jobs or count + len(self._jobs[0].crops) <= self._most):
            job = self._jobs.popleft()
            if not job.face_outputs.done():  # cancelled: its client has gone
                jobs.append(job)
                count += len(job.crops)
        if not self._jobs and not self._closing:
            self._some.clear()
        return jobs

    async def _run(self, jobs: list[_Job]) -> None:
        crops = [crop for job in jobs for crop in job.crops]
        work = asyncio.wrap_future(self._thread.submit(self._predict, crops))
        await asyncio.wait([work])
        error = work.exception()
        self._seen(len(crops))
        start = 0
        for job in jobs:
            end = start + len(job.crops)
            if not job.face_outputs.done():
                if error is None:
                    job.face_outputs.set_result(_part(work.result(), start, end))
                else:
                    job.face_outputs.set_exception(error)
            start = end

    def _waiting(self) -> int:
        return sum(len(job.crops) for job in self._jobs)


def _part(face_outputs: FaceOutputs, start: int, end: int) -> FaceOutputs:
    rows = slice(start, end)
    return FaceOutputs(
        face_outputs.labels,
        None if face_outputs.probabilities is None else face_outputs.probabilities[rows],
        None if face_outputs.affect is None else face_outputs.affect[rows],
        face_outputs.errors[rows],
    )
