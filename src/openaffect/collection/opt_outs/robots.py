"""Opt-outs in robots.txt: paths that are closed, what is said of the use of others, and the pace.

Which groups are ours is decided here, for all rules alike; Protego then reads their paths and pace.

SOURCE:

- RFC 9309 (September 2022), §2.2 and §2.3.
- Content-Usage: the text of draft-ietf-aipref-attach in its working group's repository, which
  became -05 in August 2026: the longest path that fits decides, and of two the one that says no.
- Content-Signal: as sites write it, in groups, and now and then with a path like Content-Usage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from openaffect.collection.opt_outs.statements import (
    KINDS,
    PRODUCT_TOKEN,
    QUESTIONS,
    OptOut,
    allows_training,
    make_opt_out,
)
from openaffect.collection.opt_outs.url_patterns import UrlPattern, cut_path, decode_path
from openaffect.extras import needs

with needs("collect", "collecting from the web"):
    import protego

MAX_ROBOTS_BYTES = 500 * 1024
"""So much of a file is read; RFC 9309 asks for at least this."""
LONGEST_DELAY_S = 300.0
"""A site that asks for a longer pause between two requests gets this one."""

_TOO_MANY_REQUESTS = 429
_agent_line = re.compile(r"user[ -]?agent(?:\s*:|\s)\s*(.*)", re.IGNORECASE).fullmatch
# The fields of a group, with the misspellings of Disallow that Protego knows.
_rule_line = re.compile(
    r"(allow|di[as]{1,3}l{1,2}[ao]w|crawl[ -]delay|request[ -]rate|visit[ -]time"
    r"|content-usage|content-signal)(?:\s*:|\s)\s*(.*)",
    re.IGNORECASE,
).fullmatch
_agent_name = re.compile(r"\*|[a-z_-]+").match


class _Rule(NamedTuple):
    field: str
    value: str
    text: str


class _Usage(NamedTuple):
    kind: str
    pattern: UrlPattern
    is_allowed: bool
    text: str


class Robots:
    """What a site's robots.txt says to us; made by `parse_robots`.

    Attributes:
        delay_s: seconds between two requests, from 0 to 300; None if it does not say.
    """

    def __init__(self, rules: Sequence[_Rule], usages: Sequence[_Usage]) -> None:
        lines = ("User-agent: *", *(rule.text for rule in rules))
        self._protego = protego.Protego.parse("\n".join(lines))
        disallowed = [rule for rule in rules if rule.field.startswith("di")]
        self._disallowed = sorted(disallowed, key=lambda rule: -len(rule.value))
        self._usages = sorted(usages, key=lambda one: (-one.pattern.length, one.is_allowed))
        self.delay_s = self._read_delay()

    def find_opt_out(self, url: str) -> OptOut | None:
        """What closes an address of this site to us: a path rule, else what is said of its use.

        Args:
            url: of an image.
        """
        written = cut_path(url)
        path = decode_path(written)
        if not self._protego.can_fetch(f"https://site{written}", PRODUCT_TOKEN):
            return make_opt_out("robots.txt", self._find_disallowing(path))
        for kind in QUESTIONS:
            fitting = (
                one for one in self._usages if one.kind == kind and one.pattern.matches(path)
            )
            usage = next(fitting, None)
            if usage is not None and not usage.is_allowed:
                return make_opt_out(kind, usage.text)
        return None

    def _find_disallowing(self, path: str) -> str:
        for rule in self._disallowed:
            if UrlPattern(rule.value).matches(path):
                return rule.text
        return f"a rule that closes {path}"

    def _read_delay(self) -> float | None:
        found = self._protego.crawl_delay(PRODUCT_TOKEN)
        delays = [] if found is None else [found]
        rate = self._protego.request_rate(PRODUCT_TOKEN)
        if rate is not None:
            # Numbers of thousands of digits do not fit the result of a division.
            most = int(LONGEST_DELAY_S) * rate.requests
            delays.append(min(rate.seconds, most) / rate.requests)
        return min(max(delays), LONGEST_DELAY_S) if delays else None


def parse_robots(body: bytes) -> Robots:
    """What a robots.txt says to us: in the groups that name openaffect, else in those for `*`.

    What stands before the first group closes no path; what it says of use, it says to everybody.

    Args:
        body: of an answer with status 200; the first 500 KiB are read.
    """
    # UTF-16 reads like ASCII without its zero bytes.
    text = body[:MAX_ROBOTS_BYTES].replace(b"\0", b"").decode("utf-8", "replace")
    lines = text.lstrip("\ufeff\ufffd").splitlines(keepends=True)
    if len(body) >= MAX_ROBOTS_BYTES and not text.endswith(("\n", "\r")):
        del lines[-1:]  # it may have been cut: half a rule may say the opposite of the whole one
    rules, common = _choose_rules(lines)
    return Robots(rules, [usage for rule in (*common, *rules) for usage in _read_usage(rule)])


def judge_robots(status: int | None, body: bytes = b"") -> Robots | None:
    """What a site says to us by its answer to a request for robots.txt.

    Args:
        status: of the answer after redirects; None if there was none.
        body: of the answer.

    Returns:
        What it says; a site without such a file (status 4xx, redirects without an end) allows all.
        None if it could not be asked (no answer, 5xx, and 429, which RFC 9309 would let pass): fetch
        nothing from it. That is a failure and no refusal: ask again later.
    """
    if status is None or status == _TOO_MANY_REQUESTS or not 200 <= status < 500:
        return None
    return parse_robots(body) if status < 300 else ALLOWED


def _choose_rules(lines: Sequence[str]) -> tuple[list[_Rule], list[_Rule]]:
    """The rules of the groups that are ours, and those before any group."""
    groups: dict[str, list[_Rule]] = {"": [], "*": [], PRODUCT_TOKEN: []}
    seen: set[str] = set()
    addressed = {""}
    is_heading = False  # the next agent is one more of the same group
    for line in lines:
        text = line.partition("#")[0].strip()
        if found := _agent_line(text):
            names = groups.keys() & {_read_agent(one) for one in found[1].split(",")}
            addressed = addressed | names if is_heading else names
            seen |= names
            is_heading = True
        elif found := _rule_line(text):
            is_heading = False
            rule = _Rule(found[1].lower(), found[2], text)
            for name in addressed:
                groups[name].append(rule)
    return groups[PRODUCT_TOKEN if PRODUCT_TOKEN in seen else "*"], groups[""]


def _read_agent(text: str) -> str | None:
    """The product token of an agent, without its version."""
    found = _agent_name(text.strip().lower())
    return found[0] if found else None


def _read_usage(rule: _Rule) -> Iterator[_Usage]:
    """A rule on use, which may begin with the path that it holds for."""
    kind = KINDS.get(rule.field)
    if kind is None:
        return
    path, value = "", rule.value
    if value.startswith("/"):
        path, *rest = value.split(maxsplit=1)
        value = "".join(rest)
    is_allowed = allows_training(kind, value)
    # A rule that says nothing of training leaves the question to a shorter one.
    if is_allowed is not None:
        yield _Usage(kind, UrlPattern(path), is_allowed, rule.text)


ALLOWED = parse_robots(b"")
"""What a site says that has no robots.txt."""
