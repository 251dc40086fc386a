"""The routes: what is asked where, who may ask, and how a problem is answered."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

import openaffect
from openaffect.errors import UnknownName
from openaffect.model import Model
from openaffect.web.answers import Health, ModelList, ProblemAnswer, make_answer_type
from openaffect.web.browser import API_PAGE, STATIC, is_installed
from openaffect.web.framing import Frame
from openaffect.web.limits import Limits
from openaffect.web.looking import Wishes
from openaffect.web.meters import CONTENT_TYPE
from openaffect.web.origins import OwnOrigin, check_origin
from openaffect.web.problems import (
    ClientGone,
    Problem,
    Unauthorised,
    Unprocessable,
    make_answer,
)
from openaffect.web.service import DETECTOR_FILE, MODEL_FILE, Service
from openaffect.web.uploads import FIELD, BodyReader, receive_uploads
from openaffect.weights import find_weights

_Result = TypeVar("_Result")

_DESCRIPTION = """Facial expression, valence and arousal of the faces in pictures.

A picture that cannot be read, or has no face, is a row with its `status`; the answer is 200.
Pictures are not kept."""

_FILES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "format": "binary"},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}}
            },
            **{
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/*", "application/octet-stream")
            },
        },
    }
}
_REASONS = {
    404: "This server does not have the file.",
    400: "The body is no whole multipart form.",
    401: "No token, or a wrong one.",
    403: "A page of another origin.",
    408: "The body did not arrive in time.",
    413: "Too many bytes or files; the answer has the limit.",
    415: "The body is of a type that holds no pictures.",
    422: "A parameter is unknown or out of range, or the form has no pictures.",
    503: "The queue is full; the header `Retry-After` says for how many seconds.",
}


def make_app(
    model: Model | str | Path = "default",
    *,
    detector: str = "auto",
    token: str | None = None,
    limits: Limits | None = None,
    hosts: tuple[str, ...] | None = None,
    origins: tuple[str, ...] = (),
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        model: from `open_model`, or what it opens.
        detector: a name, or `auto` for the best one on this machine.
        token: what clients must send as `Authorization: Bearer …`; None for no check. The page
            itself and `/healthz` are open.
        limits: how much is taken on.
        hosts: names that the service is addressed by, without ports; others are refused, so
            that no foreign page can reach a service that only this computer should see. None for
            no check.
        origins: of pages that may use the service, such as `https://lab.example`, beside its
            own page; browsers send no other page's requests past this check.

    Raises:
        FormatError: no such model, or its outputs are no probabilities.
        UnknownName, MissingWeights: no such detector, or its weights are not here.
    """
    service = Service(model, detector, limits or Limits())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="OpenAffect",
        version=openaffect.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its script from another server
        redoc_url=None,
        exception_handlers={
            Problem: _answer_problem,
            RequestValidationError: _answer_validation,
            HTTPException: _answer_http,
            Exception: _answer_error,
        },
    )
    app.state.service = service
    app.state.token = token
    app.include_router(_guarded(make_answer_type(service.model.card)))
    app.include_router(_open)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    allowed = tuple(check_origin(url) for url in origins)
    app.add_middleware(OwnOrigin, origins=allowed)
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(Frame, meters=service.meters)
    return app


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


_Served = Annotated[Service, Depends(_service)]
_bearer = HTTPBearer(auto_error=False, description="Only where the server was given a token.")


async def _authorise(
    request: Request,
    service: _Served,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    token = request.app.state.token
    if token is None:
        return
    said = given.credentials if given is not None else ""
    if not secrets.compare_digest(said.encode(), token.encode()):
        await BodyReader(request, service.limits).drain()
        raise Unauthorised(
            "expected the server's token as 'Authorization: Bearer …'",
            headers={"WWW-Authenticate": "Bearer"},
        )


async def _check_parameters(request: Request, service: _Served) -> None:
    """Refuse what no route asks for: a parameter that is misspelled would do nothing in silence."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    names = (name for name, _ in request.query_params.multi_items())
    for name, count in Counter(names).items():
        if name not in known:
            problem = str(UnknownName("parameter", name[:50], known or ["none"]))
        elif count > 1:
            problem = f"expected the parameter '{name}' once, but got it {count} times"
        else:
            continue
        await BodyReader(request, service.limits).drain()
        raise Unprocessable(problem)


def _reasons(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {s: {"model": ProblemAnswer, "description": _REASONS[s]} for s in statuses}


def _guarded(answer_type: type[Any]) -> APIRouter:
    """The routes that ask for the token."""
    router = APIRouter(dependencies=[Depends(_authorise), Depends(_check_parameters)])
    router.add_api_route(
        "/v1/analyze",
        analyze,
        methods=["POST"],
        response_model=answer_type,
        responses=_reasons(*(status for status in _REASONS if status != 404)),
        openapi_extra=_BODY,
        tags=["analysis"],
    )
    router.add_api_route(
        "/v1/models",
        list_models,
        response_model=ModelList,
        responses=_reasons(401, 403, 422),
        tags=["models"],
    )
    for path, endpoint in ((MODEL_FILE, get_model), (DETECTOR_FILE, get_detector)):
        router.add_api_route(
            path,
            endpoint,
            response_class=FileResponse,
            responses={
                200: {"content": {"application/octet-stream": {}}, "description": "An ONNX file."},
                **_reasons(401, 403, 404, 422),
            },
            tags=["models"],
        )
    router.add_api_route(
        "/metrics",
        get_metrics,
        response_class=PlainTextResponse,
        responses=_reasons(401, 403, 422),
        tags=["operation"],
    )
    return router


async def analyze(
    request: Request,
    service: _Served,
    crops: Annotated[
        bool, Query(description="The pictures already are face crops: no face is looked for.")
    ] = False,
    max_faces: Annotated[
        int | None, Query(ge=1, description="Of each picture; the largest are kept.")
    ] = None,
    min_score: Annotated[
        float | None,
        Query(ge=0, le=1, description="Leave out faces that the detector is less sure of."),
    ] = None,
    min_confidence: Annotated[
        float, Query(ge=0, le=1, description="Leave the expression empty below this confidence.")
    ] = 0.0,
) -> dict[str, Any]:
    """Every face of one or many pictures: box, expression, valence and arousal."""
    start = time.perf_counter()
    limits = service.limits
    with contextlib.ExitStack() as stack:
        if max_faces is not None and max_faces > limits.faces:
            await BodyReader(request, limits).drain()
            raise Unprocessable(f"the limit is {limits.faces} faces", limit=limits.faces)
        wishes = Wishes(crops, max_faces or limits.faces, min_score, min_confidence)
        async with receive_uploads(request, limits, service.held) as uploads:
            stack.enter_context(service.gate.enter(len(uploads)))
            answer = await _unless_gone(request, service.analyze(uploads, wishes))
    service.meters.time_analysis(time.perf_counter() - start)
    return answer


async def list_models(service: _Served) -> ModelList:
    """The model with its card, and what a browser needs to do the same by itself."""
    return service.list_models()


async def get_model(service: _Served) -> FileResponse:
    """The model: one ONNX file with its card inside."""
    return FileResponse(service.model.path, media_type="application/octet-stream")


async def get_detector() -> FileResponse:
    """YuNet, the face detector (Apache-2.0), if this server has it."""
    path = find_weights("yunet")
    if path is None:
        raise HTTPException(404, "this server does not have YuNet's weights")
    return FileResponse(path, media_type="application/octet-stream")


async def get_metrics(service: _Served) -> Response:
    """Counts and times, for Prometheus."""
    gate = service.gate
    text = service.meters.to_text(gate.taken, gate.places)
    return Response(text, media_type=CONTENT_TYPE)


_open = APIRouter()


@_open.get("/healthz", tags=["operation"])
async def get_health() -> Health:
    """Whether the service works."""
    return Health(status="ok", version=openaffect.__version__)


@_open.get("/", include_in_schema=False)
async def get_page() -> FileResponse:
    """The page to try it."""
    return FileResponse(STATIC / "index.html")


@_open.get("/docs", include_in_schema=False)
async def get_api_page() -> Response:
    """The interface as a page, where Swagger UI was put here by `make web`."""
    if not is_installed(API_PAGE):
        raise HTTPException(404, "this page is not installed; /openapi.json says the same")
    folder = f"/static/vendor/{API_PAGE.name}"
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="OpenAffect: the REST interface",
        swagger_js_url=f"{folder}/swagger-ui-bundle.js",
        swagger_css_url=f"{folder}/swagger-ui.css",
        swagger_favicon_url="/static/icon.svg",
        swagger_ui_parameters={"validatorUrl": None},
    )


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of some work, which is cancelled when the client goes away."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone("the client left before its answer was ready")
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.wait({task, gone})


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return make_answer(error)


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    await BodyReader(request, _service(request).limits).drain()
    text = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _answer(Unprocessable.status, Unprocessable.word, text)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    word = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "bad_request")
    return _answer(error.status_code, word, str(error.detail), headers=error.headers)


async def _answer_error(_: Request, __: Exception) -> Response:
    return _answer(500, "failed", "internal server error; see the server log")


def _answer(
    status: int,
    word: str,
    message: str,
    limit: int | None = None,
    headers: Any = None,
) -> Response:
    content = ProblemAnswer(error=word, message=message, limit=limit)
    return JSONResponse(content.model_dump(exclude_none=True), status, headers=headers)
