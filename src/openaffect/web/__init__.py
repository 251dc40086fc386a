"""Web services: a model behind a REST interface (extra `web`), and annotation (extra `annotate`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openaffect.extras import needs
from openaffect.web.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from openaffect.model import Model
    from openaffect.project import Project

__all__ = ["Limits", "annotate", "make_app", "serve"]


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


def annotate(
    project: Project,
    *,
    owner: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    origin: str | None = None,
    root_path: str = "",
    proxies: tuple[str, ...] = (),
    workers: int = 1,
    ready: Callable[[str, str | None], None] | None = None,
) -> None:
    """Serve a project to its annotators until SIGINT or SIGTERM.

    Without accounts one person works at this computer: the project has none, the host is a
    loopback address, and no origin or proxy is named.

    Args:
        project: open.
        owner: name of an owner, whose account is made if there is none; `ready` gets a one-time
            link by which they choose a password.
        host: the address to listen at.
        port: 0 for any free one.
        origin: where people reach the server, such as `https://lab.example`, if a proxy serves it.
        root_path: the path there, such as `/faces`.
        proxies: addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        workers: processes that answer. Several begin afresh: a program that wants them calls this
            below `if __name__ == "__main__":`, and in its main thread.
        ready: called with the address of the page, and the owner's link, when requests are taken.

    Raises:
        InputError: others could reach a server without accounts, an owner who has another role, no
            origin, no workers, the host is unknown or the port taken.
        WorkerError: one of several processes could not begin.
        MissingExtra: the extra `annotate` is not installed.
    """
    with needs("annotate", "annotating"):
        import argon2  # noqa: F401

        from openaffect.web.annotation.serving import serve_project
    serve_project(
        project,
        owner=owner,
        host=host,
        port=port,
        origin=origin,
        root_path=root_path,
        proxies=proxies,
        workers=workers,
        ready=ready,
    )
