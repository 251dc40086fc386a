"""What servers answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a server.

    Attributes:
        status: of HTTP.
        headers: names in lower case; of a repeated one all values, with commas; bytes that are no UTF-8
            as `%FF`.
        body: its bytes, or as many as were asked for.
        raw_headers: the headers as they came, each by itself.
        whole: whether the body is whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    raw_headers: tuple[tuple[str, str], ...] = ()
    whole: bool = True
