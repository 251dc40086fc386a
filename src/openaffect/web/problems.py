"""What can be wrong with a request, each with its HTTP status and a word that programs can read.

::

    Problem
    ├── Unauthorised      401 unauthorised
    ├── Forbidden         403 forbidden
    ├── TooSlow           408 too_slow
    ├── TooMuch           413 too_many_bytes, too_many_files
    ├── WrongType         415 wrong_type
    ├── BadRequest        400 bad_request
    ├── Unprocessable     422 unprocessable
    ├── ClientGone        499 client_gone (nobody reads it; it is counted)
    └── Busy              503 busy, with Retry-After
"""

from __future__ import annotations

from starlette.responses import JSONResponse

from openaffect.errors import OpenAffectError


class Problem(OpenAffectError):  # noqa: N818 - named after what is wrong
    """A request that is not answered; `status` is of HTTP, `word` is for programs.

    Attributes:
        limit: the limit that was exceeded, where there is one.
        headers: of the answer.
    """

    status = 400
    word = "bad_request"

    def __init__(
        self, message: str, *, limit: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.headers = headers or {}


class BadRequest(Problem):
    """A body that is no multipart form though it says so."""


class Unauthorised(Problem):
    """No token, or another one than the server's."""

    status, word = 401, "unauthorised"


class Forbidden(Problem):
    """A page of another origin than the service's own."""

    status, word = 403, "forbidden"


class TooSlow(Problem):
    """A body that did not arrive in time."""

    status, word = 408, "too_slow"


class TooMuch(Problem):
    """More bytes or files than the server takes in one request."""

    status = 413

    def __init__(self, word: str, message: str, limit: int) -> None:
        super().__init__(message, limit=limit)
        self.word = word


class WrongType(Problem):
    """A body of a type that holds no pictures."""

    status, word = 415, "wrong_type"


class Unprocessable(Problem):
    """A parameter out of range, or a form without pictures."""

    status, word = 422, "unprocessable"


class ClientGone(Problem):
    """The client has closed the connection before its answer was ready."""

    status, word = 499, "client_gone"


class Busy(Problem):
    """No place in the queue, or for the bytes of one more body; `retry_after` is in seconds."""

    status, word = 503, "busy"

    def __init__(self, message: str, limit: int, retry_after: int) -> None:
        super().__init__(
            f"{message}; try again in {retry_after} s",
            limit=limit,
            headers={"Retry-After": str(retry_after)},
        )


def make_answer(problem: Problem) -> JSONResponse:
    """The answer to a request that is not answered."""
    content: dict[str, object] = {"error": problem.word, "message": str(problem)}
    if problem.limit is not None:
        content["limit"] = problem.limit
    return JSONResponse(content, problem.status, headers=problem.headers)
