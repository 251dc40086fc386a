"""What every application of ours has around its routes, each in a process of its own.

Hosts and origins are checked, answers get security headers, problems have one form, and there are
`/healthz`, `/metrics`, `/docs`, the page and the static files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.params import Depends
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

import openaffect
from openaffect.pages import color_variables
from openaffect.web.browser import API_PAGE, STATIC, is_installed
from openaffect.web.metrics import Registry
from openaffect.web.origins import PAGES, OwnOrigin, check_origin
from openaffect.web.problems import Problem, Unprocessable, make_answer
from openaffect.web.security_headers import SecurityHeadersMiddleware

REASONS = {
    404: "It is not there, or not for who asks.",
    409: "It does not fit what is there already.",
    429: "Too many wrong passwords; the header `Retry-After` says for how many seconds.",
    400: "The body is no whole multipart form.",
    401: "No token, or a wrong one.",
    403: "A page of another origin.",
    408: "The body did not arrive in time.",
    413: "Too many bytes or files; the answer has the limit.",
    415: "The body is of a type that holds no pictures.",
    422: "A parameter is unknown or out of range, or the form has no pictures.",
    503: "The queue is full; the header `Retry-After` says for how many seconds.",
}
"""What each status means, in the description of the interface."""


class Health(BaseModel):
    """The service works."""

    status: str = Field(description="Always `ok`.")
    version: str = Field(description="Of openaffect.")


class ProblemAnswer(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="A word for programs, such as `too_many_bytes`.")
    message: str = Field(description="What was expected, and what came.")
    limit: int | None = Field(None, description="The limit that was exceeded, if one was.")


def create_shell(
    name: str,
    *,
    description: str,
    registry: Registry,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    guards: Sequence[Depends] = (),
    refuse: Callable[[Request], Awaitable[None]] | None = None,
    static: Path = STATIC,
    no_store: tuple[str, ...] = (),
    hosts: tuple[str, ...] | None = None,
    origins: tuple[str, ...] = (),
    address: str | None = None,
    root_path: str = "",
    pages: Mapping[str, str] = {"/": "index.html"},
) -> FastAPI:
    """An application that lacks nothing but its own routes.

    Args:
        name: of the application.
        description: of its interface.
        registry: its metrics.
        lifespan: what runs while it does.
        guards: what `/metrics` depends on.
        refuse: called before a request with invalid parameters is answered.
        static: the folder of `/static`.
        no_store: beginnings of paths whose answers nobody may keep.
        hosts: names that it is addressed by, without ports; others are refused. None for no check.
        origins: of pages that may use it beside its own.
        address: the origin of its own pages where a proxy serves them.
        root_path: the path at which a proxy serves it.
        pages: file in `static` by the path of a page.

    Raises:
        InputError: what is no origin.
    """

    async def answer_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if refuse is not None:
            await refuse(request)
        text = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return make_answer(Unprocessable(text))

    allowed = tuple(check_origin(url) for url in origins)
    app = FastAPI(
        title=name,
        version=openaffect.__version__,
        description=description,
        lifespan=lifespan,
        root_path=root_path,
        docs_url=None,  # FastAPI's own page loads its script from another server
        redoc_url=None,
        exception_handlers={
            Problem: _answer_problem,
            RequestValidationError: answer_validation,
            HTTPException: _answer_http,
            Exception: _answer_error,
        },
    )
    app.include_router(_common_routes(name, registry, guards))
    for path, file in pages.items():
        app.include_router(_page_route(path, static / file))
    app.mount("/static", StaticFiles(directory=static), name="static")
    own = () if address is None else (check_origin(address),)
    app.add_middleware(OwnOrigin, origins=(*allowed, *own), pages=(*pages, *PAGES))
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityHeadersMiddleware, registry=registry, no_store=no_store)
    return app


def reasons(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route other than 200, as FastAPI describes them."""
    return {s: {"model": ProblemAnswer, "description": REASONS[s]} for s in statuses}


def _page_route(path: str, file: Path) -> APIRouter:
    router = APIRouter()

    @router.get(path, include_in_schema=False)
    async def get_page() -> FileResponse:
        """A page."""
        return FileResponse(file)

    return router


def _common_routes(name: str, registry: Registry, guards: Sequence[Depends]) -> APIRouter:
    router = APIRouter()

    @router.get(
        "/metrics",
        dependencies=list(guards),
        response_class=PlainTextResponse,
        responses=reasons(401, 403, 422),
        tags=["operation"],
    )
    async def get_metrics() -> Response:
        """Counts and times, for Prometheus."""
        return registry.response()

    @router.get("/healthz", tags=["operation"])
    async def get_health() -> Health:
        """Whether the service works."""
        return Health(status="ok", version=openaffect.__version__)

    @router.api_route("/static/colors.css", methods=["GET", "HEAD"], include_in_schema=False)
    async def get_colors() -> Response:
        """The colors of the expressions, as on every other page."""
        return Response(color_variables(), media_type="text/css")

    @router.get("/docs", include_in_schema=False)
    async def get_api_page() -> Response:
        """The interface as a page, where Swagger UI was put here by `make web`."""
        if not is_installed(API_PAGE):
            raise HTTPException(404, "this page is not installed; /openapi.json says the same")
        folder = f"/static/vendor/{API_PAGE.name}"
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{name}: the REST interface",
            swagger_js_url=f"{folder}/swagger-ui-bundle.js",
            swagger_css_url=f"{folder}/swagger-ui.css",
            swagger_favicon_url="/static/icon.svg",
            swagger_ui_parameters={"validatorUrl": None},
        )

    return router


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return make_answer(error)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "bad_request")
    content = {"error": code, "message": str(error.detail)}
    return JSONResponse(content, error.status_code, headers=error.headers)


async def _answer_error(_: Request, __: Exception) -> Response:
    content = {"error": "failed", "message": "internal server error; see the server log"}
    return JSONResponse(content, 500)
