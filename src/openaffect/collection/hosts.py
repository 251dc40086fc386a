"""Hosts: which ones are left alone, how fast the others are asked, and when one is given a rest.

Times are seconds of a monotonic clock that the caller reads; nothing here waits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from openaffect import lookup
from openaffect.documents import read_bytes
from openaffect.errors import DestinationExists, FormatError, InputError
from openaffect.storage import atomic_file

FAILURES = 5
"""After so many failures one after the other a host is left alone."""
RECOVERY_S = 600.0
"""After so many seconds it is tried once more."""

_LISTS = "openaffect.collection.host_lists"
_SUFFIX = ".txt"
_LONGEST_HOST = 253
_is_domain = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+").fullmatch


class HostLists:
    """Hosts that are left alone, by list.

    Args:
        domains: the name of a list by domain, in the form that DNS has.
    """

    def __init__(self, domains: Mapping[str, str]) -> None:
        self._domains = domains

    def find(self, host: str) -> str | None:
        """The name of the list that a host, or a domain above it, is in.

        Args:
            host: in upper or lower case, in Unicode or as DNS has it, with or without a dot at its end.

        >>> HostLists({"stock.example": "stock"}).find("images.Stock.example.")
        'stock'
        """
        name = _to_dns(host) or ""
        while name:
            if name in self._domains:
                return self._domains[name]
            name = name.partition(".")[2]
        return None


def write_host_lists(folder: Path) -> None:
    """Copy our lists to a folder; a list that is there already is left as it is.

    Args:
        folder: `hosts` of a project; it is made.

    Raises:
        InputError: nothing can be written there.
    """
    for name in lookup.names(_LISTS, _SUFFIX):
        path = folder / f"{name}{_SUFFIX}"
        if path.exists():
            continue
        data = lookup.find(_LISTS, name, _SUFFIX, "host list").read_bytes()
        try:
            with atomic_file(path, overwrite=False) as temporary:
                temporary.write_bytes(data)
        except DestinationExists:
            pass  # another process was faster


def read_host_lists(folder: Path) -> HostLists:
    """The lists of a folder: one domain a line, which stands for its subdomains too; `#` begins a comment.

    Args:
        folder: whose files `*.txt` are the lists, each named by its file. A domain that is in two of
            them belongs to the first one by name.

    Raises:
        InputError: no such folder.
        FormatError: a file that is no text in UTF-8, or a line that is no domain.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of host lists at {folder}, but there is none")
    domains: dict[str, str] = {}
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        for domain in _read_list(path):
            domains.setdefault(domain, path.stem)
    return HostLists(domains)


def _read_list(path: Path) -> list[str]:
    try:
        text = read_bytes(path, "a host list").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected text in UTF-8 in {path}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        domain = _to_dns(written)
        if domain is None or not _is_domain(domain):
            raise FormatError(
                f"{path}, line {number}: expected a domain such as example.com, "
                f"but got '{written[:50]}'"
            )
        found.append(domain)
    return found


def _to_dns(host: str) -> str | None:
    """A host as DNS has it: lower case, `xn--` for other letters, no dot at its end; None for no host."""
    name = host.lower().removesuffix(".")
    if len(name) > _LONGEST_HOST:
        return None
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return None


class Pace:
    """When a host may be asked next: a bucket of turns that fills at a steady rate.

    Args:
        rate: turns per second.
        burst: so many turns may be taken at once after a rest.

    Raises:
        InputError: a rate that is not above 0, or a burst below 1.
    """

    def __init__(self, rate: float, burst: int = 1) -> None:
        if not rate > 0:
            raise InputError(f"rate: expected a number above 0, but got {rate:g}")
        if burst < 1:
            raise InputError(f"burst: expected 1 or more, but got {burst}")
        self._interval = 1 / rate
        self._burst = burst
        self._full_at = -math.inf  # when the bucket will have all its turns again
        self._last_turn = -math.inf
        self._paused_until = -math.inf

    def reserve(self, now: float) -> float:
        """Book the next turn, and say how many seconds from now it is.

        Args:
            now: seconds.
        """
        lead = (self._burst - 1) * self._interval
        turn = max(now, self._full_at - lead, self._paused_until)
        self._full_at = max(turn, self._full_at) + self._interval
        self._last_turn = max(turn, self._last_turn)
        return turn - now

    def count_turns(self, now: float, seconds: float) -> int:
        """How many turns come within some time; nothing is booked.

        Args:
            now, seconds: as the clock counts.
        """
        lead = (self._burst - 1) * self._interval
        first = max(now, self._full_at - lead, self._paused_until)
        left = now + seconds - first
        return 0 if left < 0 else 1 + int(left / self._interval)

    def begin(self, now: float) -> None:
        """Count the next turns from a request that begins only now, later than its turn.

        Args:
            now: seconds.
        """
        self._full_at = max(self._full_at, now + self._interval)
        self._last_turn = max(self._last_turn, now)

    def slow_down(self, delay_s: float) -> None:
        """Leave at least so many seconds between two turns; a host is never asked faster for it.

        Args:
            delay_s: what robots.txt asks for, in seconds; a positive one ends bursts.
        """
        if delay_s > 0:
            self._burst = 1
            self._interval = max(self._interval, delay_s)
            self._full_at = max(self._full_at, self._last_turn + self._interval)

    def pause(self, until: float) -> None:
        """Give no turn before a time, as `Retry-After` asks; turns that are booked already stay.

        Args:
            until: seconds; an earlier one than before changes nothing.
        """
        self._paused_until = max(self._paused_until, until)


class Breaker:
    """Whether a host may be asked: not after several failures in a row, until a trial succeeds.

    Args:
        failures: so many one after the other open it.
        recovery_s: seconds until one trial.
    """

    def __init__(self, failures: int = FAILURES, recovery_s: float = RECOVERY_S) -> None:
        self._most = failures
        self._recovery_s = recovery_s
        self._failures = 0
        self._rests_until = -math.inf

    def allow(self, now: float) -> bool:
        """Whether a request may be made now; where only one trial may, a yes books it.

        A trial that nobody hears of again is followed by another one after the same time.

        Args:
            now: seconds.
        """
        if self.is_open(now):
            return False
        if self._failures >= self._most:
            self._rests_until = now + self._recovery_s
        return True

    def is_open(self, now: float) -> bool:
        """Whether no request may be made now; nothing is booked.

        Args:
            now: seconds.
        """
        return self._failures >= self._most and now < self._rests_until

    def note_success(self) -> None:
        """The host has answered: it may be asked as before."""
        self._failures = 0

    def note_failure(self, now: float) -> None:
        """The host has failed.

        Args:
            now: seconds.
        """
        self._failures += 1
        if self._failures >= self._most:
            self._rests_until = now + self._recovery_s
