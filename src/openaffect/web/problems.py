"""What can be wrong with a request, each with its HTTP status and a code that programs can read.

::

    Problem
    ├── BadRequest             400 bad_request
    ├── Unauthorized           401 unauthorized
    ├── Forbidden              403 forbidden
    ├── NotFound               404 not_found
    ├── RequestTimeout         408 too_slow
    ├── Conflict               409 conflict
    ├── PayloadTooLarge        413 too_many_bytes, too_many_files
    ├── UnsupportedMediaType   415 wrong_type
    ├── Unprocessable          422 unprocessable
    ├── TooManyRequests        429 too_many_attempts, with Retry-After
    ├── ClientGone             499 client_gone (nobody reads it; it is counted)
    ├── ServiceUnavailable     503 busy, with Retry-After
    └── DatabaseUnavailable    503 database or database_full, with Retry-After
"""

from __future__ import annotations

from starlette.responses import JSONResponse

from openaffect.errors import OpenAffectError


class Problem(OpenAffectError):  # noqa: N818 - named after what is wrong
    """A request that is not answered; `status` is of HTTP, `code` is for programs.

    Attributes:
        limit: the limit that was exceeded, where there is one.
        headers: of the answer.
    """

    status = 400
    code = "bad_request"

    def __init__(
        self, message: str, *, limit: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.headers = headers or {}


class BadRequest(Problem):
    """A body that is no multipart form though it says so."""


class Unauthorized(Problem):
    """No token, or another one than the server's."""

    status, code = 401, "unauthorized"


class Forbidden(Problem):
    """A page of another origin than the service's own."""

    status, code = 403, "forbidden"


class NotFound(Problem):
    """What a request names is not there, or not for who asks."""

    status, code = 404, "not_found"


class Conflict(Problem):
    """What a request asks does not fit what is there already."""

    status, code = 409, "conflict"


class TooManyRequests(Problem):
    """One has to wait before the next try; `retry_after` is in seconds."""

    status, code = 429, "too_many_attempts"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class RequestTimeout(Problem):
    """A body that did not arrive in time."""

    status, code = 408, "too_slow"


class PayloadTooLarge(Problem):
    """More bytes or files than the server takes in one request."""

    status = 413

    def __init__(self, code: str, message: str, limit: int) -> None:
        super().__init__(message, limit=limit)
        self.code = code


class UnsupportedMediaType(Problem):
    """A body of a type that holds no pictures."""

    status, code = 415, "wrong_type"


class Unprocessable(Problem):
    """A parameter out of range, or a form without pictures."""

    status, code = 422, "unprocessable"


class ClientGone(Problem):
    """The client has closed the connection before its answer was ready."""

    status, code = 499, "client_gone"


class ServiceUnavailable(Problem):
    """No place in the queue, or for the bytes of one more body; `retry_after` is in seconds."""

    status, code = 503, "busy"

    def __init__(self, message: str, limit: int, retry_after: int) -> None:
        super().__init__(
            f"{message}; try again in {retry_after} s",
            limit=limit,
            headers={"Retry-After": str(retry_after)},
        )


class DatabaseUnavailable(Problem):
    """The database, or the store, takes nothing now; the client keeps what it has."""

    status = 503

    def __init__(self, message: str, code: str, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})
        self.code = code


def make_answer(problem: Problem) -> JSONResponse:
    """The answer to a request that is not answered."""
    content: dict[str, object] = {"error": problem.code, "message": _printable(str(problem))}
    if problem.limit is not None:
        content["limit"] = problem.limit
    return JSONResponse(content, problem.status, headers=problem.headers)


def _printable(text: str) -> str:
    """A text without halves of characters, which no answer can hold."""
    return text.encode("utf-8", "backslashreplace").decode()
