"""What can be wrong with a request, each with its HTTP status and a code that programs can read.

::

    Problem
    ├── BadRequest             400 bad_request
    ├── Unauthorized           401 unauthorized
    ├── Forbidden              403 forbidden
    ├── RequestTimeout         408 too_slow
    ├── PayloadTooLarge        413 too_many_bytes, too_many_files
    ├── UnsupportedMediaType   415 wrong_type
    ├── Unprocessable          422 unprocessable
    ├── ClientGone             499 client_gone (nobody reads it; it is counted)
    └── ServiceUnavailable     503 busy, with Retry-After
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


def make_answer(problem: Problem) -> JSONResponse:
    """The answer to a request that is not answered."""
    content: dict[str, object] = {"error": problem.code, "message": str(problem)}
    if problem.limit is not None:
        content["limit"] = problem.limit
    return JSONResponse(content, problem.status, headers=problem.headers)
