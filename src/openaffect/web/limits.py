"""What a service takes on: how much in one request, how much at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from openaffect.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one request may ask, and how much waits at once.

    Attributes:
        max_bytes: of the body of a request.
        max_pixels: of a picture, before it is decoded.
        max_files: pictures of a request.
        max_faces: of a picture; the largest are kept.
        queue: pictures that wait or are in work, of all requests; a request that finds no place
            is answered with 503.
        batch: crops that the model sees at once.
        batch_wait_ms: milliseconds that a crop waits for others to fill a batch.
        workers: threads that decode pictures and find faces; 0 for one per CPU core.
        upload_s: seconds in which the body of a request must arrive.
        upload_rate: bytes per second that a body must bring, over five seconds at a time.
        held_bytes: of all bodies that arrive, wait or are in work; one more byte is answered
            with 503.
        connections: at once; one more closes the one that has waited longest.
        header_s: seconds in which the head of a request must arrive.

    Raises:
        InputError: a number out of range, or a queue too small for one request.
    """

    max_bytes: int = 32_000_000
    max_pixels: int = 40_000_000
    max_files: int = 100
    max_faces: int = 256
    queue: int = 256
    batch: int = 32
    batch_wait_ms: float = 2.0
    workers: int = 0
    upload_s: float = 30.0
    upload_rate: int = 2_000
    held_bytes: int = 256_000_000
    connections: int = 512
    header_s: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("batch_wait_ms", "workers", "upload_rate") else 1
            if not least <= value < float("inf"):
                raise InputError(f"expected {field.name} of {least} or more, but got {value}")
        if self.held_bytes < self.max_bytes:
            raise InputError(
                f"expected held_bytes for one request: max_bytes is {self.max_bytes}, "
                f"but held_bytes is {self.held_bytes}"
            )
        if self.queue < self.max_files:
            raise InputError(
                f"expected a queue that holds one request: max_files is {self.max_files}, "
                f"but queue is {self.queue}"
            )

    @property
    def threads(self) -> int:
        """How many threads decode pictures and find faces."""
        return self.workers or os.cpu_count() or 1
