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
    """The service as an ASGI application, for any server; see `openaffect.web.analysis.app.make_app`.

    Raises:
        MissingExtra: the extra `web` is not installed.
    """
    with needs("web", "serving"):
        from openaffect.web.analysis.app import make_app as make
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
    """Serve a model until SIGINT or SIGTERM; requests in work are finished then.

    Args:
        model, detector, token, limits, origins: see `openaffect.web.analysis.app.make_app`.
        host: the address to listen at; only this computer can reach a loopback address, and
            only under the names of one.
        port: 0 for any free one.
        ready: called with the address of the page when requests are taken.

    Raises:
        InputError: the host is unknown or the port taken.
        MissingExtra: the extra `web` is not installed.
    """
    with needs("web", "serving"):
        from openaffect.web.server import hosts_of, run
    limits, hosts = limits or Limits(), hosts_of(host)
    app = make_app(
        model, detector=detector, token=token, limits=limits, hosts=hosts, origins=origins
    )
    connections, header_s = limits.connections, limits.header_s
    run(app, host=host, port=port, connections=connections, header_s=header_s, ready=ready)
