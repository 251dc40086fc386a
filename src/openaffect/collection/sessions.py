"""HTTP for collecting: sessions that say who asks, reach the public internet only, and read no more than asked.

`openaffect.download` is for one file of the core; here many connections are open at once, by aiohttp.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import openaffect
from openaffect.addresses import Allowed, check_number, check_url
from openaffect.collection.answers import Answer
from openaffect.errors import DownloadError, InputError, reason
from openaffect.extras import needs

with needs("collect", "collecting from the web"):
    import aiohttp

_is_mail = re.compile(r"[^@\s<>()]+@[^@\s<>()]+\.[^@\s<>()]+").fullmatch
_is_page = re.compile(r"https?://[^\s<>()/]+\.[^\s<>()]+").fullmatch
_Result = TypeVar("_Result")
_is_no_utf8 = re.compile("[\udc80-\udcff]")  # as aiohttp decodes such bytes
_FIRST = 32  # bytes that tell what a body is


def check_contact(contact: str) -> str:
    """How operators of servers reach you, as it goes into the user agent.

    Raises:
        InputError: neither a mail address nor a page.
    """
    contact = contact.strip()
    usable = contact.isascii() and contact.isprintable() and len(contact) <= 200
    if not usable or not (_is_mail(contact) or _is_page(contact)):
        raise InputError(
            "servers are asked only with a contact: expected a mail address or a page of yours, "
            f"but got '{contact[:50]}'"
        )
    return contact


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What a coroutine returns; also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def open_session(
    contact: str, allow: Allowed = (), *, connections: int = 8
) -> aiohttp.ClientSession:
    """A session without cookies and proxies; call it in a running loop, and close it.

    Args:
        contact: see `check_contact`; servers see it in the user agent.
        allow: numbers and ports that may be opened although they are not public.
        connections: at most so many are open at once.

    Raises:
        InputError: no contact.
    """
    agent = f"openaffect/{openaffect.__version__} ({check_contact(contact)})"

    def make_socket(address: Any) -> socket.socket:
        # The last moment before a connection: whatever the name stands for, this is the number.
        family, kind, protocol, _, where = address
        check_number(str(where[0]), int(where[1]), allow)
        return socket.socket(family=family, type=kind, proto=protocol)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, socket_factory=make_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


class TooSlow(DownloadError):  # noqa: N818
    """An answer that takes longer than was allowed."""


class TooLarge(DownloadError):  # noqa: N818
    """An answer of more bytes than were allowed."""


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    allow: Allowed = (),
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    cut: bool = False,
    look: Callable[[Answer], None] | None = None,
) -> Answer:
    """One answer, without following redirects; messages do not repeat `params`, `headers` and `form`.

    Args:
        session: from `open_session`.
        url: http or https.
        max_bytes: the largest body that is read.
        seconds: for all of it: look-up, connection, headers, body.
        allow: as for the session.
        params, headers: of the request.
        form: sent by POST.
        cut: give the first `max_bytes` of a larger body, instead of refusing it.
        look: called when the headers have come, with an empty body, and again with the first part of
            the body; what it raises ends the download.

    Raises:
        AddressRefused: an address that `addresses` refuses.
        TooSlow, TooLarge: as the names say.
        DownloadError: no answer, a broken one, or one that is compressed although that was not
            asked for.
    """
    check_url(url, allow)
    try:
        async with session.request(
            "GET" if form is None else "POST",
            url,
            params=params,
            headers=headers,
            data=form,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as answer:
            found = _read_headers(answer)
            if look is not None:
                look(found)
            encoding = found.headers.get("content-encoding", "identity").lower()
            if encoding != "identity":
                raise DownloadError(
                    f"the address answered in {encoding[:20]}, which was not asked for"
                )
            size = found.headers.get("content-length", "")
            if not cut and size.isdecimal() and int(size[:15]) > max_bytes:
                raise TooLarge(f"the address has more than {max_bytes:,} bytes")
            body, whole = await _read_body(answer, found, max_bytes, cut, look)
            return replace(found, body=body, whole=whole)
    except TimeoutError:
        raise TooSlow(f"the address took more than {seconds:g} s") from None
    except aiohttp.ClientConnectorError as error:
        raise DownloadError(f"no answer from the address: {reason(error.os_error)}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Their texts may hold the whole address, with a key in it.
        raise DownloadError(f"no answer from the address: {type(error).__name__}") from None


async def _read_body(
    answer: aiohttp.ClientResponse,
    found: Answer,
    max_bytes: int,
    cut: bool,
    look: Callable[[Answer], None] | None,
) -> tuple[bytes, bool]:
    """The body, and whether it is whole."""
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if look is not None and size >= _FIRST:
            look(replace(found, body=b"".join(parts)))
            look = None
        if size > max_bytes:
            if cut:
                return b"".join(parts)[:max_bytes], False
            raise TooLarge(f"the address has more than {max_bytes:,} bytes")
    body = b"".join(parts)
    if look is not None and body:
        look(replace(found, body=body))
    return body, True


def _read_headers(answer: aiohttp.ClientResponse) -> Answer:
    raw = tuple((name, value) for name, value in answer.headers.items())
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.lower(), _is_no_utf8.sub(_escape, value)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return Answer(answer.status, found, b"", raw)


def _escape(found: re.Match[str]) -> str:
    """A byte as addresses write it; no database takes half a surrogate pair."""
    return f"%{ord(found[0]) - 0xDC00:02X}"
