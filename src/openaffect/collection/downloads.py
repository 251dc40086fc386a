"""The queue of addresses: claimed, fetched, examined, stored, and written down, batch by batch.

An image is in the store and on disk before a row names it, and a row says that an address is done in
the transaction that names its image. So a process that is killed leaves no half: what it had in
flight is asked for once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from openaffect.collection.examination import Examined, examine_image
from openaffect.collection.fetcher import ImageFetcher
from openaffect.collection.license_filter import LicenseFilter
from openaffect.project import Project, counters, forgotten, tombstones, work
from openaffect.project.database import Connection
from openaffect.project.rows import ImageRow
from openaffect.project.urls import (
    STEP,
    Attempt,
    Candidate,
    HitRow,
    claim_urls,
    finish_urls,
    has_image,
)
from openaffect.withdrawals import Withdrawals, describe_withdrawal

_IN_FLIGHT = 1_024  # addresses that are claimed at the same time
_AHEAD_S = 30.0  # of one host so many as its pace takes in this time: the rest waits in the queue
_CLAIM = 128
_BATCH = 128  # results of one transaction
_BATCH_BYTES = 64_000_000
_BATCH_S = 0.5  # no result waits for longer
_GATHER_S = 0.02  # between two looks for results that come into the same transaction
_RENEW_S = 240.0
_WITHDRAWN = "withdrawn"  # as reasons begin that `withdrawals.Match` gives
_PAUSE_S = 0.2  # between two looks at a queue that was empty


@dataclass(slots=True)
class DownloadSummary:
    """What downloads have brought.

    Attributes:
        stored: images that are new.
        known: addresses that gave an image that was there already.
        refused: number of addresses that a rule refused, by reason.
        failed: number of addresses that gave no image, by reason.
        bytes: of the new images.
    """

    stored: int = 0
    known: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    @property
    def done(self) -> int:
        """How many addresses have come to an end."""
        return self.stored + self.known + self.refused.total() + self.failed.total()


@dataclass(frozen=True, slots=True)
class _Result:
    """One address that has come to its end, with the bytes that are to be stored."""

    attempt: Attempt
    url: str
    data: bytes = b""


class ImageDownloader:
    """Downloads what waits in a project's queue; for one event loop.

    Args:
        project: an open project.
        fetcher: asks the servers.
        licenses: that are wanted.
        owner: who claims addresses.
        limit: at most so many addresses.
        on_batch: called after each transaction.

    Attributes:
        summary: what has come so far.
        pending: addresses that are still to be downloaded.
    """

    def __init__(
        self,
        project: Project,
        fetcher: ImageFetcher,
        licenses: LicenseFilter,
        *,
        owner: str,
        limit: int | None = None,
        on_batch: Callable[[], None] = lambda: None,
    ) -> None:
        self.summary = DownloadSummary()
        self.pending = 0
        self._project = project
        self._fetcher = fetcher
        self._licenses = licenses
        self._owner = owner
        self._left = limit
        self._on_batch = on_batch
        self._withdrawn = Withdrawals()
        self._results: asyncio.Queue[_Result | None] = asyncio.Queue(
            project.settings.collect.connections
        )
        self._hosts: dict[asyncio.Task[None], str] = {}  # of the downloads that have begun
        self._per_host: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._renewed = time.monotonic()
        self._stopping = False
        self._error: BaseException | None = None

    def stop(self) -> None:
        """Claim nothing more; what a server is answering just now is finished."""
        self._stopping = True
        self._wake.set()

    def wake(self) -> None:
        """Look at the queue now: something was added."""
        self._wake.set()

    async def run(self, is_growing: Callable[[], bool] = lambda: False) -> None:
        """Download until the queue is empty, and nobody adds to it any more.

        Args:
            is_growing: whether addresses may still be added.

        Raises:
            StoreError, InputError, OSError: the store takes nothing.
            DatabaseError: the database does not answer.
        """
        await asyncio.to_thread(self._read_withdrawn)
        pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="examine")
        writer = asyncio.create_task(self._write())
        writer.add_done_callback(self._note_end)
        try:
            await self._feed(pool, is_growing)
            await self._drain()
            await self._results.put(None)
            await writer
            if self._error is not None:
                raise self._error
        finally:
            tasks = [*self._hosts, writer]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            pool.shutdown(wait=True)
            self._release()

    async def _feed(self, pool: ThreadPoolExecutor, is_growing: Callable[[], bool]) -> None:
        """Claim addresses as long as there are any, and begin their downloads."""
        while not self._stopping and self._left != 0:
            grows = is_growing()
            self._wake.clear()
            batch = await asyncio.to_thread(self._claim)
            if not batch and not self._hosts and not grows:
                return
            for candidate in batch:
                task = asyncio.create_task(self._download(pool, candidate))
                self._hosts[task] = candidate.host
                self._per_host[candidate.host] += 1
                task.add_done_callback(self._note_end)
            await self._keep_claims()
            if not batch or len(self._hosts) > _IN_FLIGHT - _CLAIM:
                await self._rest(_PAUSE_S if not batch else _RENEW_S)

    async def _drain(self) -> None:
        """Wait for the downloads that have begun; when stopping, only for those that are answered."""
        # While the results are many, the writer may still fail: nobody else would take the last one.
        while self._hosts or self._results.full():
            if self._stopping:
                for task in self._hosts:
                    if not self._fetcher.is_asking(task):
                        task.cancel()
            self._wake.clear()
            await self._rest(_PAUSE_S)
            await self._keep_claims()

    async def _keep_claims(self) -> None:
        """Renew the claims now and then: a host may keep its addresses waiting for long."""
        if time.monotonic() - self._renewed > _RENEW_S:
            self._renewed = time.monotonic()
            await asyncio.to_thread(self._renew)

    async def _rest(self, seconds: float) -> None:
        """Wait until there is something to do, at most for some time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        if self._error is not None:
            raise self._error

    def _note_end(self, task: asyncio.Task[None]) -> None:
        host = self._hosts.pop(task, None)
        if host is not None:
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]  # there may be very many hosts
        if not task.cancelled() and task.exception() is not None:
            self._error = self._error or task.exception()
        if self._error or len(self._hosts) <= _IN_FLIGHT - _CLAIM:
            self._wake.set()

    async def _download(self, pool: ThreadPoolExecutor, candidate: Candidate) -> None:
        """Bring one address to its end."""
        hit, reason = self._choose_hit(candidate)
        if hit is None:
            attempt = Attempt(candidate.id, "refused", reason)
            await self._results.put(_Result(attempt, candidate.url))
            return
        async with self._fetcher.fetch(candidate.url) as found:
            attempt = Attempt(
                candidate.id,
                found.status,
                found.reason,
                http_status=found.http_status,
                final_url=found.final_url,
                rules=found.rules,
                size=None if found.data is None else len(found.data),
                seconds=None if found.seconds is None else round(found.seconds, 3),
            )
            if found.data is not None:
                loop = asyncio.get_running_loop()
                row = make_image_row(hit, candidate.url)
                examined = await loop.run_in_executor(pool, self._examine, found.data, row)
                attempt = _join(attempt, examined)
            data = found.data if attempt.image is not None else None
            await self._results.put(_Result(attempt, candidate.url, data or b""))

    def _choose_hit(self, candidate: Candidate) -> tuple[HitRow | None, str | None]:
        """The first hit that may be downloaded, or why none may."""
        if len(self._withdrawn) and self._withdrawn.find(url=candidate.url) is not None:
            return None, f"{_WITHDRAWN}: by address"
        reason = None
        for hit in candidate.hits:
            why = self._licenses.refuse(hit.license or hit.rights, hit.license_url)
            if why is None:
                return hit, None
            reason = reason or why
        return None, reason or "no license"

    def _examine(self, data: bytes, row: ImageRow) -> Examined:
        return examine_image(data, row, self._project.settings.collect, self._withdrawn)

    async def _write(self) -> None:
        """Store and write down results, a batch at a time, until None comes."""
        ended = False
        while not ended:
            batch: list[_Result] = []
            size = 0
            until: float | None = None
            while len(batch) < _BATCH and size < _BATCH_BYTES:
                if until is not None and self._results.empty():
                    if time.monotonic() > until:
                        break
                    await asyncio.sleep(_GATHER_S)
                    continue
                one = await self._results.get()
                if one is None:
                    ended = True
                    break
                batch.append(one)
                size += len(one.data)
                until = time.monotonic() + _BATCH_S if until is None else until
            if batch:
                await asyncio.to_thread(self._save, batch)
                self._on_batch()

    def _save(self, batch: list[_Result]) -> None:
        with self._project.database.read() as connection:
            batch = self._leave_out_withdrawn(connection, batch)
        self._project.store.put_all(
            {
                (image.sha256, image.suffix): one.data
                for one in batch
                if (image := one.attempt.image) is not None
            }
        )
        with self._project.database.write() as connection:
            batch = self._leave_out_withdrawn(connection, batch)
            ended = finish_urls(connection, self._owner, [one.attempt for one in batch])
            _forget_withdrawn(connection, batch)
            self._read_pending(connection)
        for one in ended:
            kind = (one.reason or "").split(":", maxsplit=1)[0]
            if one.status == "stored":
                self.summary.stored += 1
                self.summary.bytes += one.size or 0
            elif one.status == "known":
                self.summary.known += 1
            else:
                counts = self.summary.refused if one.status == "refused" else self.summary.failed
                counts[kind] += 1

    def _leave_out_withdrawn(self, connection: Connection, batch: list[_Result]) -> list[_Result]:
        """The results without images that somebody has had forgotten since they were examined."""
        withdrawn = tombstones.read_tombstones(connection)
        if not len(withdrawn):
            return batch
        images = [one.attempt.image for one in batch]
        matches = withdrawn.find_rows(
            face_ids=[None] * len(batch),
            urls=[one.url for one in batch],
            files=[None if image is None else image.sha256 for image in images],
            pixels=[None if image is None else image.pixels for image in images],
            dhash=[None if image is None else image.dhash for image in images],
            mirrored=[None if image is None else image.mirrored for image in images],
        )
        left: list[_Result] = []
        for one, image, match in zip(batch, images, matches, strict=True):
            if match is None or image is None:
                left.append(one)
                continue
            # By its address alone: the same bytes may just now come from another one.
            if match.kind != "url" and not has_image(connection, image.sha256):
                self._project.store.delete(image.sha256, image.suffix)
            attempt = replace(
                one.attempt, status="refused", reason=str(match), image=None, thumb=None
            )
            left.append(replace(one, attempt=attempt))
        return left

    def _claim(self) -> list[Candidate]:
        room = min(_CLAIM, _IN_FLIGHT - len(self._hosts))
        room = room if self._left is None else min(room, self._left)
        if room <= 0:
            return []
        # A host that is slow would else come to have all the downloads, and keep the others waiting.
        busy = [
            host
            for host, count in list(self._per_host.items())  # the loop changes it meanwhile
            if count >= self._fetcher.count_turns(host, _AHEAD_S)
        ]
        with self._project.database.write() as connection:
            found = claim_urls(connection, self._owner, room, busy)
            self._read_pending(connection)
        if self._left is not None:
            self._left -= len(found)
        return found

    def _read_pending(self, connection: Connection) -> None:
        name = f"{STEP}.pending"
        self.pending = counters.read(connection, name).get(name, 0)

    def _renew(self) -> None:
        with self._project.database.write() as connection:
            work.renew(connection, STEP, self._owner)
        self._read_withdrawn()  # somebody may have been forgotten meanwhile

    def _release(self) -> None:
        with self._project.database.write() as connection:
            work.release(connection, STEP, self._owner)

    def _read_withdrawn(self) -> None:
        with self._project.database.read() as connection:
            self._withdrawn = tombstones.read_tombstones(connection)


def make_image_row(hit: HitRow, url: str | None, name: str | None = None) -> ImageRow:
    """The row of an image that a provider has found, without what its bytes tell.

    Args:
        hit: what the provider says of it.
        url: its address.
        name: its name in the source; its address by default.
    """
    return ImageRow(
        sha256="",
        suffix="",
        bytes=0,
        source=hit.provider,
        name=name or url or "",
        query=hit.query,
        intended=hit.intended,
        provider=hit.provider,
        url=url,
        page_url=hit.page_url,
        title=hit.title,
        author=hit.author,
        license=hit.license or hit.rights,
        license_url=hit.license_url,
        restrictions=hit.restrictions,
    )


def _forget_withdrawn(connection: Connection, batch: list[_Result]) -> None:
    """Keep of the addresses of forgotten images their hashes alone."""
    gone = {
        one.attempt.url_id: one.url
        for one in batch
        if (one.attempt.reason or "").startswith(_WITHDRAWN)
    }
    if gone:
        today = datetime.datetime.now(datetime.UTC).date()
        rows = describe_withdrawal(today, urls=gone.values())
        tombstones.add_tombstones(connection, rows, "the address of a forgotten image")
        forgotten.delete_urls(connection, list(gone))


def _join(attempt: Attempt, examined: Examined) -> Attempt:
    if examined.refused is not None:
        return replace(attempt, status="refused", reason=examined.refused)
    if examined.failed is not None:
        return replace(attempt, status="failed", reason=examined.failed)
    return replace(attempt, image=examined.image, thumb=examined.thumb)
