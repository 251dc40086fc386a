"""Turns at the servers that are asked: many addresses of one host do not go there at once."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """The host and the port that an address names, or "" where it has none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:  # such as `http://[::1`
        return ""


def take_turns(urls: Iterable[str]) -> list[str]:
    """The addresses in another order: one of each host, then the next of each.

    >>> take_turns(["http://a/1", "http://a/2", "http://b/1"])
    ['http://a/1', 'http://b/1', 'http://a/2']
    """
    of_host: dict[str, list[str]] = {}
    for url in urls:
        of_host.setdefault(host_of(url), []).append(url)
    rounds = itertools.zip_longest(*of_host.values())
    return [url for one in rounds for url in one if url is not None]


class HostTurns:
    """Lets at most so many threads at a time ask the same host.

    Args:
        per_host: the most of them.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._lock = threading.Lock()
        self._places: dict[str, threading.Semaphore] = {}

    @contextlib.contextmanager
    def turn(self, url: str) -> Iterator[None]:
        """Wait until the host of an address may be asked, and hold one of its places."""
        with self._lock:
            place = self._places.setdefault(host_of(url), threading.Semaphore(self._per_host))
        with place:
            yield
