"""The project that is served, and who asks: what every route of the annotation application needs."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from openaffect.project import Project, accounts, assignments, counters
from openaffect.project.accounts import Person
from openaffect.project.project import TOML, reread_settings
from openaffect.web.metrics import Registry
from openaffect.web.problems import (
    Forbidden,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from openaffect.project.database import Connection

_FORWARDED = re.compile(r"forwarded|x-forwarded-.*|via|x-real-ip|cf-.*|.*-client-ip|x-original-.*")
_HASHING_AT_ONCE = 2  # passwords, 19 MiB each
_HASHING_WAITING, _HASHING_RETRY_S = 50, 5
_EXPIRE_EACH_S = 2.0
_COUNT_EACH = 50  # answers of a person


class Service:
    """A project that people work on through their browsers.

    Args:
        project: open; it stays the caller's to close.
        without_accounts: let the one person at this computer work without signing in.
        shared: whether other processes serve the project, too.

    What several processes must agree on is in the database or in project.toml, never here.

    Attributes:
        without_accounts: see there.
        cookie: name of the cookie that holds a session.
        registry: of the metrics.
        hashing: bounds the memory and time of checking passwords.

    Raises:
        InputError: the project has accounts, or, with accounts, it has none.
    """

    def __init__(self, project: Project, *, without_accounts: bool, shared: bool) -> None:
        self._project = project
        self._toml: tuple[int, int, int] | None = None
        self.without_accounts = without_accounts
        self.cookie = name_cookie(project)
        self.registry = Registry(shared=shared)
        self.hashing = _Hashing()
        self._expired = -math.inf
        if without_accounts:
            accounts.find_local(project)

    @property
    def project(self) -> Project:
        """The project with the settings of now; they are read again where the file has changed."""
        with contextlib.suppress(OSError):
            found = (self._project.path / TOML).stat()
            toml = (found.st_ino, found.st_size, found.st_mtime_ns)
            if toml != self._toml:
                self._project = reread_settings(self._project)
                self._toml = toml
        return self._project

    @contextlib.contextmanager
    def reading(self, caller: Caller, role: str) -> Iterator[tuple[Connection, Person]]:
        """A transaction that only reads, for a person who may do what is for a role."""
        with self.project.database.read() as connection:
            yield connection, self._find(connection, caller, role)

    @contextlib.contextmanager
    def writing(self, caller: Caller, role: str) -> Iterator[tuple[Connection, Person]]:
        """The same, for a transaction that writes; the person's numbers are written in the end."""
        with self.project.database.write() as connection:
            person = self._find(connection, caller, role)
            before = dict(person.numbers)
            yield connection, person
            if person.numbers != before:
                accounts.save_numbers(connection, person)

    def expire_leases(self) -> None:
        """Give back what was leased for too long, where that was not looked for a moment ago.

        In a transaction of its own: one that has rows of a face must not wait for those of others.
        """
        now = time.monotonic()
        if now >= self._expired + _EXPIRE_EACH_S:
            self._expired = now
            with self.project.database.write() as connection:
                assignments.expire_leases(connection)

    def count_left(self, connection: Connection, person: Person) -> int:
        """About how many answers are wanted, for a person whose numbers are written in the end.

        Each answer of the person takes one away, and the true number is looked up now and then: else
        it would tell work from hidden gold and repetitions, which it does not count.
        """
        numbers = person.numbers
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        given = int(numbers["work"]) - int(numbers["left_at"])
        if numbers["left_day"] != today or not 0 <= given < _COUNT_EACH:
            wanted = counters.read(connection, "answers.")
            left = wanted.get("answers.wanted", 0) - wanted.get("answers.done", 0)
            numbers |= {"left": left, "left_at": numbers["work"], "left_day": today}
            given = 0
        return max(0, int(numbers["left"]) - given)

    def find(self, caller: Caller, role: str) -> Person:
        """Who asks, if they may do what is for a role.

        Raises:
            Unauthorized: nobody is signed in.
            Forbidden: they may not.
        """
        with self.reading(caller, role) as (_, person):
            return person

    def _find(self, connection: Connection, caller: Caller, role: str) -> Person:
        if self.without_accounts:
            if accounts.has_accounts(connection):
                raise Unauthorized("the project has accounts by now: start the server again")
            return accounts.get_local(connection)
        person = accounts.find_session(connection, caller.token) if caller.token else None
        if person is None:
            raise Unauthorized("nobody is signed in")
        if not person.may(role):
            raise Forbidden(f"this is for the role {role}, and yours is {person.role}")
        return person


def name_cookie(project: Project) -> str:
    """The name of the cookie of a project's sessions.

    Each project has its own: browsers send cookies to every port of a host, so that two projects on
    one host would else sign each other's people out.
    """
    return f"openaffect_session_{hashlib.sha256(project.settings.id.encode()).hexdigest()[:12]}"


class _Hashing(asyncio.Semaphore):
    """A turn to hash a password; who would wait for too long is sent away."""

    def __init__(self) -> None:
        super().__init__(_HASHING_AT_ONCE)
        self._queue = 0

    async def __aenter__(self) -> None:
        if self._queue >= _HASHING_WAITING:
            raise TooManyRequests("too many people sign in at this moment", _HASHING_RETRY_S)
        self._queue += 1
        try:
            await super().__aenter__()
        finally:
            self._queue -= 1


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request says of who makes it: the token of a session, and the address."""

    token: str | None
    address: str


async def identify(request: Request) -> Caller:
    """Who makes a request, as far as its head says it.

    Raises:
        Forbidden: a forwarded request to a server without accounts.
        UnsupportedMediaType: a body that is no JSON.
    """
    service: Service = request.app.state.service
    if service.without_accounts and any(map(_FORWARDED.fullmatch, request.headers)):
        raise Forbidden(
            "this server works without accounts, for one person at this computer; a forwarded "
            "request is somebody else's"
        )
    if request.method not in ("GET", "HEAD"):
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UnsupportedMediaType("expected a body of the type application/json")
    client = request.client
    return Caller(request.cookies.get(service.cookie), client.host if client is not None else "")


def get_service(request: Request) -> Service:
    """The service of an application."""
    service: Service = request.app.state.service
    return service


async def _served(request: Request) -> Service:
    return get_service(request)


Asking = Annotated[Caller, Depends(identify)]
Served = Annotated[Service, Depends(_served)]
