"""Bodies of requests: bounded in bytes and in seconds, whatever their head says."""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openaffect.web.paths import route_path
from openaffect.web.problems import PayloadTooLarge, RequestTimeout, make_answer

_LARGER_AT_ONCE = 4


class BodyLimit:
    """An ASGI application around another that gives it a whole body, or answers 413 or 408.

    Args:
        app: the application.
        max_bytes: of a body.
        larger: other limits, by the path; at most four such bodies are held at a time.
        seconds: in which a body must arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        larger: dict[str, int] | None = None,
        seconds: float = 30,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger or {}
        self._seconds = seconds
        self._turns = asyncio.Semaphore(_LARGER_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._larger.get(route_path(scope), self._max_bytes)
        turn = self._turns if limit > self._max_bytes else contextlib.nullcontext()
        try:
            async with turn:
                body = await self._read(scope, receive, limit)
        except (PayloadTooLarge, RequestTimeout) as problem:
            answer = make_answer(problem)
            answer.headers["Connection"] = "close"  # what is left of the body is not read
            await answer(scope, receive, send)
            return
        if body is None:
            return  # the client has gone
        given = False

        async def receive_body() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send)

    async def _read(self, scope: Scope, receive: Receive, limit: int) -> bytes | None:
        said = Headers(scope=scope).get("content-length", "0")
        if said.isdecimal() and int(said) > limit:
            raise _too_large(limit)
        until = time.monotonic() + self._seconds
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except TimeoutError as error:
                raise RequestTimeout(
                    f"expected the whole body within {self._seconds:g} s", limit=int(self._seconds)
                ) from error
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body", False):
                return b"".join(parts)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge("too_many_bytes", f"expected at most {limit:,} bytes", limit)
