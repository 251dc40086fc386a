"""Pages of other sites: what a browser sends for them is refused.

A page anywhere on the web can make its reader's browser ask a service on that reader's own computer.
Browsers say so in `Origin` and `Sec-Fetch-Site`; programs send neither.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from openaffect.errors import InputError
from openaffect.web.paths import route_path
from openaffect.web.problems import Forbidden, make_answer

PAGES = ("/docs", "/openapi.json")
"""Pages of every application."""


def check_origin(url: str) -> str:
    """An origin as browsers write it: scheme, host, and port unless it is the scheme's own.

    Raises:
        InputError: no such thing.

    >>> check_origin("https://Lab.example:443/")
    'https://lab.example'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise InputError(f"expected an origin such as https://lab.example, but got '{url}'")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    own = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, own) else "")


class OwnOrigin:
    """An ASGI application around another that answers pages of other origins with 403.

    Args:
        app: the application.
        origins: others that are allowed, as `check_origin` gives them.
        pages: paths that a link on any page may lead to.
    """

    def __init__(
        self, app: ASGIApp, origins: tuple[str, ...] = (), pages: tuple[str, ...] = ("/", *PAGES)
    ) -> None:
        self._app = app
        self._origins = origins
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not self._is_allowed(scope):
            error = Forbidden(
                "a page of another origin may not use this service; `--origin URL` allows one"
            )
            await make_answer(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        path = route_path(scope)
        page = path in self._pages or path.startswith("/static/")
        if page and scope["method"] in ("GET", "HEAD"):
            return True  # the same for everybody, and how a link leads here
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if origin in self._origins:
            return True
        # The scheme may differ from ours behind a proxy that speaks TLS.
        host = headers.get("host", "")
        return origin.partition("://")[2] == host.lower() != ""
