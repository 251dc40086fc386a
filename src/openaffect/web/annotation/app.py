"""The annotation application: the routes, the pages, and what surrounds them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request, Response

from openaffect.errors import (
    ConflictError,
    DatabaseError,
    InputError,
    NotFoundError,
    OpenAffectError,
    StoreError,
    TooManyAttempts,
    UnknownName,
)
from openaffect.project import Project
from openaffect.web.annotation import faces, me, reviews, work
from openaffect.web.annotation.service import Asking, Service
from openaffect.web.body_limit import BodyLimit
from openaffect.web.problems import (
    Conflict,
    DatabaseUnavailable,
    NotFound,
    Problem,
    TooManyRequests,
    Unprocessable,
    make_answer,
)
from openaffect.web.shell import create_shell

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html", "/review": "review.html", "/manage": "manage.html"}

_DESCRIPTION = """Several people label faces: eleven expressions, and a point on the circumplex.

Requests that change something have JSON bodies. Who asks is known by a cookie."""

_MAX_BYTES = 64_000  # of a body
_MAX_GOLD_BYTES = 8_000_000  # a CSV text
_THREADS = 4  # more of them only wait for each other's turn
_RETRY_AFTER_S = 2


def make_app(
    project: Project,
    *,
    without_accounts: bool,
    hosts: tuple[str, ...] | None = None,
    address: str | None = None,
    root_path: str = "",
    shared: bool = False,
) -> FastAPI:
    """The annotation application of a project.

    Args:
        project: open; it stays the caller's to close.
        without_accounts: let the one person at this computer work without signing in. The caller
            has made sure that nobody else reaches it.
        hosts: names that it is addressed by, without ports; others are refused. None for no check.
        address: its origin where a proxy serves it, such as `https://lab.example`.
        root_path: the path there, such as `/faces`.
        shared: whether other processes serve it, too; see `openaffect.web.metrics.Registry`.

    Raises:
        InputError: without accounts, though the project has some; or what is no origin.
    """
    service = Service(project, without_accounts=without_accounts, shared=shared)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        yield
        project.database.close()  # a signal may end the process before its caller does that

    app = create_shell(
        "OpenAffect annotation",
        description=_DESCRIPTION,
        registry=service.registry,
        lifespan=lifespan,
        guards=[Depends(_check_owner)],
        static=STATIC,
        no_store=("/v1/",),
        hosts=hosts,
        address=address,
        root_path=root_path,
        pages=PAGES,
    )
    app.state.service = service
    app.state.is_secure = address is not None and address.startswith("https:")
    for one in (faces, me, reviews, work):  # the first is asked most
        app.include_router(one.router)
    app.add_exception_handler(OpenAffectError, _answer_error)
    app.add_middleware(BodyLimit, max_bytes=_MAX_BYTES, larger={"/v1/gold": _MAX_GOLD_BYTES})
    return app


def _check_owner(request: Request, caller: Asking) -> None:
    request.app.state.service.find(caller, "owner")


async def _answer_error(_: Request, error: Exception) -> Response:
    return make_answer(_to_problem(error))


def _to_problem(error: Any) -> Problem:
    """An error of the layers below as what HTTP says of it."""
    text = str(error)
    if isinstance(error, Problem):
        return error
    if isinstance(error, TooManyAttempts):
        return TooManyRequests(text, error.retry_after)
    if isinstance(error, NotFoundError | UnknownName):
        return NotFound(text)
    if isinstance(error, ConflictError):
        return Conflict(text)
    if isinstance(error, InputError):
        return Unprocessable(text)
    if isinstance(error, DatabaseError | StoreError):
        # The path or address of the database is not for everybody who may ask.
        full = "disk is full" in text
        said = "the disk of the server is full" if full else "the server cannot store it now"
        code = "database_full" if full else "database"
        return DatabaseUnavailable(f"{said}; what you have done is kept here", code, _RETRY_AFTER_S)
    raise error
