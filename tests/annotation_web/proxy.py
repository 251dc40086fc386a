"""A TCP proxy before a server: it delays what the server says, or is a server that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


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
                self._copy(reader, inner_writer, 0.0), self._copy(inner_reader, writer, self.delay)
            )
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(delay)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    @contextlib.contextmanager
    def running(self) -> Iterator[Proxy]:
        """The proxy in a thread, on a free port of this computer."""
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        )
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        self._abort()
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        await asyncio.wait(others, timeout=5) if others else None
