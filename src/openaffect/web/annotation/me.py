"""Who is signed in: signing in and out, links, passwords, preferences, instructions, training."""

from __future__ import annotations

import datetime
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from openaffect.circumplex import Region
from openaffect.project import accounts, assignments, training
from openaffect.project.accounts import LOCAL, SESSION_HOLDS, Person
from openaffect.web.annotation import texts
from openaffect.web.annotation.messages import (
    NewPassword,
    Nothing,
    Preferences,
    SignIn,
    Token,
    UseLink,
    Version,
)
from openaffect.web.annotation.service import Asking, Caller, Served, Service
from openaffect.web.problems import Forbidden, Unauthorized, Unprocessable
from openaffect.web.shell import reasons

router = APIRouter(tags=["people"], responses=reasons(401, 403, 404, 409, 413, 415, 422, 429, 503))


@router.get("/v1/me")
def get_me(service: Served, caller: Asking) -> dict[str, Any]:
    """Who is signed in, and what their pages need."""
    return _describe_me(service, caller)


@router.patch("/v1/me")
def change_me(body: Preferences, service: Served, caller: Asking) -> dict[str, Any]:
    """Choose a language, keys, or that answers are saved by themselves."""
    person = service.find(caller, "annotator")
    values = body.model_dump(exclude_unset=True)
    if values.get("language") is not None:
        texts.read_texts(values["language"])
    if "auto_save" in values and values["auto_save"] is None:
        raise Unprocessable("expected auto_save to be true or false")
    if values:
        accounts.change_preferences(service.project, person.id, **values)
    return _describe_me(service, caller)


@router.post("/v1/me/instructions")
def read_instructions(body: Version, service: Served, caller: Asking) -> dict[str, Any]:
    """Note that the instructions were opened."""
    person = service.find(caller, "annotator")
    if body.version != texts.instructions_version():
        raise Unprocessable(
            f"expected the version {texts.instructions_version()} of the instructions; they have "
            "changed, so open them again"
        )
    accounts.change_preferences(service.project, person.id, instructions=body.version)
    return _describe_me(service, caller)


@router.post("/v1/me/training")
def repeat_training(_: Nothing, service: Served, caller: Asking) -> dict[str, Any]:
    """Begin a training round anew that was failed."""
    with service.writing(caller, "annotator") as (connection, person):
        training.repeat_training(connection, person, service.project.settings)
    return _describe_me(service, caller)


@router.post("/v1/me/password")
async def change_password(
    body: NewPassword, service: Served, caller: Asking, response: Response, request: Request
) -> dict[str, Any]:
    """Choose another password; other sessions end."""
    person = await run_in_threadpool(service.find, caller, "annotator")
    if person.role == LOCAL:
        raise Forbidden("without accounts there is no password")
    await _check_password(service, caller, person.name, body.old)
    accounts.check_password(body.new)
    hashed = await _hash(service, body.new)
    await run_in_threadpool(accounts.change_password, service.project, person.id, hashed)
    token = await run_in_threadpool(accounts.begin_session, service.project, person.id)
    _keep(service, request, response, token)
    return {}


@router.post("/v1/session")
async def sign_in(
    body: SignIn, service: Served, caller: Asking, response: Response, request: Request
) -> dict[str, Any]:
    """Sign in."""
    _need_accounts(service)
    token = await _check_password(service, caller, body.name, body.password)
    _keep(service, request, response, token)
    return await run_in_threadpool(_describe_me, service, Caller(token, caller.address))


@router.delete("/v1/session")
def sign_out(
    _: Nothing, service: Served, caller: Asking, response: Response, request: Request
) -> dict[str, Any]:
    """Sign out."""
    if caller.token:
        accounts.end_session(service.project, caller.token)
    response.delete_cookie(service.cookie, path=_path(request), httponly=True, samesite="lax")
    return {}


@router.post("/v1/link")
def open_link(body: Token, service: Served, _: Asking) -> dict[str, Any]:
    """Whose one-time link it is; it can still be used afterwards."""
    _need_accounts(service)
    link = accounts.open_link(service.project, body.token)
    return {
        "kind": link.kind,
        "project": service.project.settings.name,
        "name": link.person.name,
        "role": link.person.role,
    }


@router.post("/v1/link/use")
async def use_link(
    body: UseLink, service: Served, caller: Asking, response: Response, request: Request
) -> dict[str, Any]:
    """Choose a password by a one-time link, and be signed in."""
    _need_accounts(service)
    if body.language is not None:
        texts.read_texts(body.language)
    await run_in_threadpool(accounts.open_link, service.project, body.token)  # before any hashing
    accounts.check_password(body.password)
    hashed = await _hash(service, body.password)
    token = await run_in_threadpool(
        accounts.use_link, service.project, body.token, hashed, body.language
    )
    _keep(service, request, response, token)
    return await run_in_threadpool(_describe_me, service, Caller(token, caller.address))


@router.get("/v1/texts", responses=reasons(422))
async def list_languages() -> dict[str, Any]:
    """The languages of the pages."""
    return {"languages": texts.languages()}


@router.get("/v1/texts/{code}")
async def get_texts(code: str) -> dict[str, Any]:
    """The texts and instructions of a language."""
    return texts.read_texts(code)


def describe_counts(person: Person) -> dict[str, int]:
    """How much a person has done."""
    numbers = person.numbers
    is_today = numbers["day"] == datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "work": numbers["work"],
        "today": numbers["today"] if is_today else 0,
        "skipped": numbers["skipped"],
    }


def _describe_me(service: Service, caller: Caller) -> dict[str, Any]:
    settings = service.project.settings
    with service.reading(caller, "annotator") as (connection, person):
        faces = assignments.training_faces(connection, person, settings)
    state = training.read_training(person, settings, faces) if faces else None
    version = texts.instructions_version()
    shown = settings.annotation
    return {
        "mode": "local" if service.without_accounts else "accounts",
        "project": settings.name,
        "name": person.name,
        "role": "owner" if person.role == LOCAL else person.role,
        "language": person.language,
        "keys": person.keys,
        "auto_save": person.auto_save,
        "state": person.state,
        "paused_because": person.paused_because,
        "instructions": {"version": version, "read": person.instructions == version},
        "break_minutes": shown.break_minutes,
        "region_shown": shown.region_shown,
        "prelabel_shown": shown.prelabel_shown,
        "labels": [str(label) for label in settings.label_set],
        "regions": {
            str(name): _corners(region) for name, region in settings.expected_regions.items()
        },
        "training": None if state is None else asdict(state),
        "counts": describe_counts(person),
    }


def _corners(region: Region) -> tuple[float, float, float, float]:
    return (*region.valence, *region.arousal)


async def _check_password(service: Service, caller: Caller, name: str, password: str) -> str:
    """Begin a session where name and password fit.

    Raises:
        TooManyAttempts: wrong passwords came before.
        Unauthorized: they do not fit; which of them is not said.
    """
    project = service.project
    stored = await run_in_threadpool(accounts.begin_sign_in, project, name, caller.address)
    async with service.hashing:
        right = await run_in_threadpool(accounts.verify_password, stored, password)
    token = await run_in_threadpool(
        accounts.end_sign_in, project, name, caller.address, stored if right else None
    )
    if token is None:
        raise Unauthorized("name or password is wrong")
    return token


async def _hash(service: Service, password: str) -> str:
    async with service.hashing:
        return await run_in_threadpool(accounts.hash_password, password)


def _keep(service: Service, request: Request, response: Response, token: str) -> None:
    response.set_cookie(
        service.cookie,
        token,
        max_age=int(SESSION_HOLDS.total_seconds()),
        path=_path(request),
        secure=request.url.scheme == "https" or request.app.state.is_secure,
        httponly=True,
        samesite="lax",
    )


def _path(request: Request) -> str:
    return str(request.scope.get("root_path", "")) or "/"


def _need_accounts(service: Service) -> None:
    if service.without_accounts:
        raise Forbidden("this server works without accounts: nobody signs in")
