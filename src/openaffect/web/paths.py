"""The path at which a proxy serves an application, whether the proxy leaves it in requests or not."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


def route_path(scope: Scope) -> str:
    """The path of a request as the routes know it.

    >>> route_path({"path": "/faces/v1/me", "root_path": "/faces"})
    '/v1/me'
    >>> route_path({"path": "/v1/me", "root_path": ""})
    '/v1/me'
    """
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    if prefix and _has_prefix(path, prefix):
        return path[len(prefix) :] or "/"
    return path


class WholePath:
    """An ASGI application around another that puts the root path back where a proxy took it away.

    The path of an ASGI request has it, and mounted applications rely on that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        prefix = scope.get("root_path", "")
        if scope["type"] == "http" and prefix and not _has_prefix(scope["path"], prefix):
            scope = {**scope, "path": f"{prefix}{scope['path']}"}
            scope.pop("raw_path", None)
        await self._app(scope, receive, send)


def _has_prefix(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
