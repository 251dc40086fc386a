"""The routes of the analysis service: what is asked where, and who may ask."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from openaffect.errors import UnknownName
from openaffect.model import Model
from openaffect.web.analysis.answers import ModelList, make_answer_type
from openaffect.web.analysis.preprocessing import AnalyzeParams
from openaffect.web.analysis.service import DETECTOR_FILE, MODEL_FILE, Service
from openaffect.web.analysis.uploads import FIELD, BodyReader, receive_uploads
from openaffect.web.limits import Limits
from openaffect.web.problems import (
    ClientGone,
    Unauthorized,
    Unprocessable,
)
from openaffect.web.shell import REASONS, create_shell, reasons
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

    app = create_shell(
        "OpenAffect",
        description=_DESCRIPTION,
        registry=service.registry,
        lifespan=lifespan,
        guards=_GUARDS,
        refuse=_drain,
        no_store=("/v1/analyze",),
        hosts=hosts,
        origins=origins,
    )
    app.state.service = service
    app.state.token = token
    app.include_router(_guarded(make_answer_type(service.model.card)))
    return app


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


_Served = Annotated[Service, Depends(_service)]
_bearer = HTTPBearer(auto_error=False, description="Only where the server was given a token.")


async def _authorize(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    token = request.app.state.token
    if token is None:
        return
    said = given.credentials if given is not None else ""
    if not secrets.compare_digest(said.encode(), token.encode()):
        await _drain(request)
        raise Unauthorized(
            "expected the server's token as 'Authorization: Bearer …'",
            headers={"WWW-Authenticate": "Bearer"},
        )


async def _check_parameters(request: Request) -> None:
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
        await _drain(request)
        raise Unprocessable(problem)


async def _drain(request: Request) -> None:
    await BodyReader(request, _service(request).limits).drain()


_GUARDS = [Depends(_authorize), Depends(_check_parameters)]


def _guarded(answer_type: type[Any]) -> APIRouter:
    """The routes that ask for the token."""
    router = APIRouter(dependencies=_GUARDS)
    router.add_api_route(
        "/v1/analyze",
        analyze,
        methods=["POST"],
        response_model=answer_type,
        responses=reasons(*(status for status in REASONS if status not in (404, 409, 429))),
        openapi_extra=_BODY,
        tags=["analysis"],
    )
    router.add_api_route(
        "/v1/models",
        list_models,
        response_model=ModelList,
        responses=reasons(401, 403, 422),
        tags=["models"],
    )
    for path, endpoint in ((MODEL_FILE, get_model), (DETECTOR_FILE, get_detector)):
        router.add_api_route(
            path,
            endpoint,
            response_class=FileResponse,
            responses={
                200: {"content": {"application/octet-stream": {}}, "description": "An ONNX file."},
                **reasons(401, 403, 404, 422),
            },
            tags=["models"],
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
        if max_faces is not None and max_faces > limits.max_faces:
            await _drain(request)
            raise Unprocessable(f"the limit is {limits.max_faces} faces", limit=limits.max_faces)
        params = AnalyzeParams(crops, max_faces or limits.max_faces, min_score, min_confidence)
        async with receive_uploads(request, limits, service.held) as uploads:
            stack.enter_context(service.queue.enter(len(uploads)))
            answer = await _unless_gone(request, service.analyze(uploads, params))
    service.metrics.seconds.observe(time.perf_counter() - start)
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
