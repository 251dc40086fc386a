"""What servers answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a server.

    Attributes:
        status: of HTTP.
        headers: names in lower case; of a repeated one all values, with commas.
        body: its bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
