"""A project on a port: with accounts, or for the one person at this computer."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import ipaddress
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from openaffect.errors import InputError
from openaffect.project import Project, accounts, open_project
from openaffect.web.annotation.app import make_app
from openaffect.web.hosts import is_loopback
from openaffect.web.metrics import SHARED
from openaffect.web.origins import check_origin
from openaffect.web.server import hosts_of, run, run_workers

_CONNECTIONS = 1_024
_HEADER_S = 10.0


def serve_project(
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
    """See `openaffect.web.annotate`."""
    origin = None if origin is None else check_origin(origin)
    root_path = _check_path(root_path)
    _check_proxies(proxies)
    if workers < 1:
        raise InputError(f"expected 1 or more processes of the server, but got {workers}")
    link = None if owner is None else _link_owner(project, owner)
    without_accounts = not _has_accounts(project)
    if without_accounts:
        _check_alone(host, origin, proxies, root_path)
    options = _Options(without_accounts, _hosts(host, origin), origin, root_path, workers > 1)

    def tell(address: str) -> None:
        if ready is not None:
            public = f"{origin or address}{root_path}/"
            ready(public, None if link is None else f"{public}#link={link.token}")

    listening: dict[str, Any] = {
        "host": host,
        "port": port,
        "connections": _CONNECTIONS,
        "header_s": _HEADER_S,
        "proxies": proxies,
        "ready": tell,
    }
    if workers == 1:
        run(_make_app(project, options), **listening)
        return
    if without_accounts:
        accounts.find_local(project)  # made here, not by several processes at once
    project.database.close()  # connections that nobody needs here
    make = functools.partial(_make_worker_app, project.path.absolute(), options)
    with tempfile.TemporaryDirectory(prefix="openaffect-metrics-") as folder, _counting_in(folder):
        run_workers(make, workers, **listening)


@dataclass(frozen=True, slots=True)
class _Options:
    """What `make_app` is called with."""

    without_accounts: bool
    hosts: tuple[str, ...] | None
    address: str | None
    root_path: str
    shared: bool


def _make_app(project: Project, options: _Options) -> FastAPI:
    project.database.make_durable()
    app = make_app(project, **dataclasses.asdict(options))
    gc.collect()
    gc.freeze()  # what is loaded by now stays: looking through it again and again makes people wait
    return app


def _make_worker_app(path: Path, options: _Options) -> FastAPI:
    return _make_app(open_project(path), options)


@contextlib.contextmanager
def _counting_in(folder: str) -> Iterator[None]:
    """Let processes that begin now count their metrics in a folder."""
    before = os.environ.get(SHARED)
    os.environ[SHARED] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[SHARED]
        else:
            os.environ[SHARED] = before


def _link_owner(project: Project, name: str) -> accounts.Link:
    """A link for an owner, whose account is made where it is not there yet.

    Who can start the server has the database anyway: this is how an owner gets back in.
    """
    name = accounts.check_name(name)
    found = accounts.find_person(project, name)
    if found is None:
        return accounts.invite(project, name, "owner", by="command line")
    if found.role != "owner":
        raise InputError(
            f"{name} has the role {found.role}; an owner can change it, or name another owner"
        )
    return accounts.renew_link(project, found.id, by="command line")


def _has_accounts(project: Project) -> bool:
    with project.database.read() as connection:
        return accounts.has_accounts(connection)


def _check_alone(host: str, origin: str | None, proxies: tuple[str, ...], root_path: str) -> None:
    """Refuse to work without accounts where somebody else could reach the server."""
    if is_loopback(host) and origin is None and not proxies and not root_path:
        return
    why = "a proxy" if is_loopback(host) else f"the address {host}"
    raise InputError(
        f"without accounts only this computer may reach the server, but {why} was named; make an "
        "account for yourself with --owner NAME"
    )


def _hosts(host: str, origin: str | None) -> tuple[str, ...] | None:
    own = hosts_of(host)
    if origin is None:
        return own
    return (*(own or hosts_of("127.0.0.1") or ()), urlsplit(origin).hostname or "")


def _check_path(root_path: str) -> str:
    path = root_path.rstrip("/")
    if path and (not path.startswith("/") or "//" in path or "?" in path or "#" in path):
        raise InputError(f"expected a path such as /faces, but got '{root_path}'")
    return path


def _check_proxies(proxies: tuple[str, ...]) -> None:
    for one in proxies:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError as error:
            raise InputError(
                f"expected the address of a proxy such as 127.0.0.1 or 10.0.0.0/8, but got '{one}'"
            ) from error
