"""The web service: a model behind a REST interface, and a page to try it. Needs the extra `web`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.extras import needs
from openaffect.web.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from openaffect.model import Model

__all__ = ["Limits", "make_app", "serve"]


def make_app(
    model: Model | str | Path = "default",
    *,
    detector: str = "auto",
    token: str | None = None,
    limits: Limits | None = None,
    hosts: tuple[str, ...] | None = None,
    origins: tuple[str, ...] = (),
) -> FastAPI:
    """The service as an ASGI application, for any server; see `openaffect.web.app.make_app`.

    Raises:
        MissingExtra: the extra `web` is not installed.
    """
    with needs("web", "serving"):
        from openaffect.web.app import make_app as make
    return make(model, detector=detector, token=token, limits=limits, hosts=hosts, origins=origins)


def serve(
    model: Model | str | Path = "default",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    detector: str = "auto",
    token: str | None = None,
    limits: Limits | None = None,
    origins: tuple[str, ...] = (),
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a model until SIGINT or SIGTERM; see `openaffect.web.server.serve`.

    Raises:
        MissingExtra: the extra `web` is not installed.
    """
    with needs("web", "serving"):
        from openaffect.web.server import serve as run
    run(
        model,
        host=host,
        port=port,
        detector=detector,
        token=token,
        limits=limits,
        origins=origins,
        ready=ready,
    )
