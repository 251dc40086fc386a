"""A TCP proxy before a server: it delays what the server says, or is a server that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Proxy:
    """Passes bytes between browsers and a server.

    Attributes:
        port: where browsers connect.
        target: the port of the server; may change while the proxy runs.
        delay: seconds by which each piece of an answer is later.
        is_open: whether there is a server at all.
    """

    def __init__(self, target: int, delay: float = 0.0) -> None:
        self.target, self.delay, self.is_open = target, delay, True
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    def cut(self) -> None:
        """End every connection and take no new one, as a server that was killed."""
        self.is_open = False
        self._loop.call_soon_threadsafe(self._abort)

    def mend(self, target: int | None = None) -> None:
        """Be there again, perhaps for another server."""
        self.target = target or self.target
        self.is_open = True

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_open:
            writer.transport.abort()
            return
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, inner_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._copy(reader, inner_writer, is_answer=False),
                self._copy(inner_reader, writer, is_answer=True),
            )
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay if is_answer else 0)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    @contextlib.contextmanager
    def running(self) -> Iterator[Proxy]:
        """The proxy in a thread of its own, on a free port of this computer."""
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                self._call(self._end(server))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        self._abort()
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # transports close in the next turns of the loop
