"""The pictures of a request: files of a multipart form, or one as the whole body.

Bodies are counted while they arrive, so that one of unknown length is cut off at the limit.
What is larger than a megabyte lies in a temporary file without a name until the answer is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from openaffect.errors import UnknownName
from openaffect.web.limits import Limits
from openaffect.web.problems import (
    BadRequest,
    ClientGone,
    PayloadTooLarge,
    Problem,
    RequestTimeout,
    ServiceUnavailable,
    Unprocessable,
    UnsupportedMediaType,
)

FIELD = "images"
"""The field of a form that holds the files; it may be repeated."""

_IN_MEMORY = 1 << 20
_LONGEST_NAME = 255
_FEW_FIELDS = 10
_WINDOW_S = 5.0  # over which the speed of a body is measured


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A picture as it was sent.

    Attributes:
        name: its file name, or `image[0]`.
        file: its bytes, to be read from the start.
    """

    name: str
    file: IO[bytes]


class HeldBytes:
    """The bytes of all bodies that have arrived and are not done with.

    Attributes:
        count: how many there are.
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


@asynccontextmanager
async def receive_uploads(
    request: Request, limits: Limits, held: HeldBytes
) -> AsyncIterator[list[Upload]]:
    """The pictures of a request; their files are closed at the end.

    Raises:
        PayloadTooLarge: more bytes or files than the limits allow.
        RequestTimeout: the body did not arrive in time.
        ServiceUnavailable: too many bytes of other bodies are here.
        UnsupportedMediaType, BadRequest, Unprocessable: a body without pictures.
        ClientGone: the client left before all was sent.
    """
    reader = BodyReader(request, limits, held)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(reader.release)
        try:
            kind = _content_type(request)
            _check_length(request, limits)
            uploads = await _read(Request(request.scope, reader.receive), kind, limits, stack)
        except Problem as problem:
            if not isinstance(problem, RequestTimeout):  # that one had its time
                await reader.drain()
            raise
        yield uploads


class BodyReader:
    """The body of a request, counted while it arrives; the clock starts when this is made.

    Args:
        request: whose body is read.
        limits: of its bytes, and of its speed.
        held: where its bytes are counted with those of other bodies; None if they are not kept.
    """

    def __init__(self, request: Request, limits: Limits, held: HeldBytes | None = None) -> None:
        self._receive = request.receive
        self._most = limits.max_bytes
        self._seconds = limits.upload_s
        self._rate = limits.upload_rate
        self._held = held
        self._count = 0
        self._kept = 0
        self._more = True
        self._window_end = time.monotonic() + _WINDOW_S
        self._window_count = 0

    async def receive(self) -> Message:
        """The next message; raises PayloadTooLarge at the limit, ServiceUnavailable where all bodies are too many."""
        message = await self._next()
        if self._count > self._most:
            raise _too_many_bytes(self._most)
        if self._held is not None:
            size = len(message.get("body", b""))
            if self._held.count + size > self._held.limit:
                raise ServiceUnavailable(
                    "too many bytes of other requests wait", self._held.limit, 1
                )
            self._held.count += size
            self._kept += size
        return message

    def release(self) -> None:
        """Forget the bytes that were counted."""
        if self._held is not None:
            self._held.count -= self._kept
            self._kept = 0

    async def drain(self) -> None:
        """Take in the rest of a body that is refused, as much again at most, and forget it.

        A client that is still sending when its connection is closed may never see the answer.
        """
        most = self._count + 2 * self._most
        with contextlib.suppress(TimeoutError, RequestTimeout):
            async with asyncio.timeout(self._seconds):
                while self._more and self._count < most:
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive_in_time()
        size = len(message.get("body", b""))
        self._count += size
        self._window_count += size
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def _receive_in_time(self) -> Message:
        """The next message; a body that brings too little in its window is given up."""
        receiving = asyncio.ensure_future(self._receive())
        try:
            while True:
                left = self._window_end - time.monotonic()
                done, _ = await asyncio.wait([receiving], timeout=max(0.0, left))
                if done:
                    return receiving.result()
                if self._window_count < self._rate * _WINDOW_S:
                    raise RequestTimeout(
                        f"the body arrives at less than {self._rate:,} bytes per second"
                    )
                self._window_end, self._window_count = time.monotonic() + _WINDOW_S, 0
        finally:
            receiving.cancel()


async def _read(
    request: Request, kind: str, limits: Limits, stack: contextlib.AsyncExitStack
) -> list[Upload]:
    try:
        async with asyncio.timeout(limits.upload_s):
            if kind == "multipart/form-data":
                return await _read_form(request, limits, stack)
            return [await _read_body(request, stack)]
    except TimeoutError:
        raise RequestTimeout(f"the body did not arrive in {limits.upload_s:g} s") from None
    except ClientDisconnect:
        raise ClientGone("the client left before its pictures had arrived") from None


def _content_type(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/octet-stream") or kind.startswith("image/"):
        return kind
    raise UnsupportedMediaType(
        "expected multipart/form-data with the files in the field 'images', or one picture as the "
        f"body, of type image/… or application/octet-stream, but got {kind or 'no content type'}"
    )


def _check_length(request: Request, limits: Limits) -> None:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limits.max_bytes:
        raise _too_many_bytes(limits.max_bytes)


async def _read_form(
    request: Request, limits: Limits, stack: contextlib.AsyncExitStack
) -> list[Upload]:
    try:
        form = await request.form(max_files=limits.max_files, max_fields=_FEW_FIELDS)
    except HTTPException as error:
        text = str(error.detail)
        if text.startswith("Too many files"):
            raise PayloadTooLarge(
                "too_many_files",
                f"the limit is {limits.max_files:,} files in one request",
                limits.max_files,
            ) from None
        raise BadRequest(f"this is no whole multipart form: {text}") from None
    stack.push_async_callback(form.close)
    files = form.getlist(FIELD)
    if not files:
        raise Unprocessable(
            f"expected files in the field '{FIELD}', but the form has "
            + (", ".join(f"'{_clean(key)}'" for key in dict.fromkeys(form)) or "no field")
        )
    others = [key for key in form if key != FIELD]
    if others:
        raise Unprocessable(str(UnknownName("form field", _clean(others[0]), [FIELD])))
    uploads = []
    for number, file in enumerate(files):
        if not isinstance(file, UploadFile):
            raise Unprocessable(f"expected files in the field '{FIELD}', but got text")
        uploads.append(Upload(_clean(file.filename or f"image[{number}]"), file.file))
    return uploads


async def _read_body(request: Request, stack: contextlib.AsyncExitStack) -> Upload:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the stack closes it
    stack.callback(file.close)
    async for chunk in request.stream():
        file.write(chunk)
    file.seek(0)
    return Upload("image[0]", file)


def _clean(name: str) -> str:
    """A name from outside, fit for messages: printable, and not long."""
    return "".join(c if c.isprintable() else "�" for c in name[:_LONGEST_NAME])


def _too_many_bytes(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge("too_many_bytes", f"the limit is {limit:,} bytes in one request", limit)
