"""What every answer gets: headers that keep the pages to themselves, and a place in the metrics."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openaffect.web.metrics import Registry
from openaffect.web.paths import route_path

# Nothing is loaded from, or sent to, any other server; the browser sees to it.
_OWN = (
    "default-src 'self'; script-src 'self' {script}; style-src 'self' {style}; "
    "img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGES = _OWN.format(script="'wasm-unsafe-eval'", style="")
# Swagger UI starts with a script, and styles, inside its page.
_API_PAGE = _OWN.format(script="'unsafe-inline'", style="'unsafe-inline'")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    # With these two, WebAssembly may use several threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeadersMiddleware:
    """An ASGI application around another: adds headers, counts requests by route and status.

    Args:
        app: the application.
        registry: where requests are counted.
        no_store: beginnings of paths whose answers nobody may keep.
    """

    def __init__(self, app: ASGIApp, registry: Registry, no_store: tuple[str, ...] = ()) -> None:
        self._app = app
        self._registry = registry
        self._no_store = no_store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        status = 500  # what the server answers if nothing was sent before an error

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers["Content-Security-Policy"] = _API_PAGE if path == "/docs" else _PAGES
                if path.startswith(self._no_store):
                    headers["Cache-Control"] = "private, no-store"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            # Paths that clients make up must not make new counters.
            files = "/static" if path.startswith("/static/") else "other"
            route = getattr(scope.get("route"), "path", files)
            self._registry.requests.labels(route, str(status)).inc()
