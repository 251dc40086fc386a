"""The path of a request below the one at which a proxy serves the application."""

from __future__ import annotations

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """The path as the routes know it, whether the proxy has left its own prefix in it or not.

    >>> route_path({"path": "/faces/v1/me", "root_path": "/faces"})
    '/v1/me'
    >>> route_path({"path": "/v1/me", "root_path": "/faces"})
    '/v1/me'
    """
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :] or "/"
    return path
