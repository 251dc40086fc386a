"""Opt-outs in the headers of an answer.

SOURCE:

- X-Robots-Tag: Google's page "Robots meta tag, data-nosnippet, and X-Robots-Tag specifications" and
  MDN's page on the header. `noai`, `noimageai` and `noml` stand in neither: sites write them, and
  img2dataset heeds the first two.
- `tdm-reservation`: see `tdm_files`. Content-Usage and Content-Signal: see `statements`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from openaffect.collection.opt_outs.statements import (
    KINDS,
    PRODUCT_TOKEN,
    OptOut,
    allows_training,
    make_opt_out,
)

# `none` stands for noindex and nofollow.
_TOKENS = {"noai", "noimageai", "noindex", "noimageindex", "noml", "none"}
_RULES_WITH_VALUE = {
    *("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"),
}
_is_agent = re.compile(r"[\w./*-]+").fullmatch


def find_in_headers(headers: Sequence[tuple[str, str]]) -> OptOut | None:
    """The first header of an answer that says no.

    Args:
        headers: names, in any case, with their values; a repeated one comes repeatedly.
    """
    for name, value in headers:
        kind = KINDS.get(name.lower())
        if kind is not None and _says_no(kind, value):
            return make_opt_out(kind, f"{name}: {value}")
    return None


def speaks_on_tdm(headers: Sequence[tuple[str, str]]) -> bool:
    """Whether an answer reserves text and data mining, or says that it does not.

    What the header says takes the place of what the site's tdmrep.json says of the same address.

    Args:
        headers: as for `find_in_headers`.

    >>> speaks_on_tdm([("TDM-Reservation", "0")])
    True
    """
    values = [value for name, value in headers if name.lower() == "tdm-reservation"]
    return any({"0", "1"}.intersection(_split(value)) for value in values)


def _says_no(kind: str, value: str) -> bool:
    if kind == "X-Robots-Tag":
        return _has_token(value)
    if kind == "TDMRep":
        return "1" in _split(value)
    return allows_training(kind, value) is False


def _has_token(value: str) -> bool:
    """Whether an X-Robots-Tag has one of our tokens, for everybody or for us."""
    is_ours = True
    for rule in _split(value.lower()):
        head, colon, rest = (part.strip() for part in rule.partition(":"))
        if colon and _names_agent(head):
            is_ours = head.partition("/")[0] in ("*", PRODUCT_TOKEN)
            head = rest.partition(":")[0]
        if is_ours and _TOKENS.intersection(head.split()):
            return True
    return False


def _names_agent(head: str) -> bool:
    """Whether what stands before a colon is an agent; it may be a rule with a value, or an hour."""
    is_rule = head in _RULES_WITH_VALUE or head in _TOKENS
    return bool(_is_agent(head)) and not head.isdigit() and not is_rule


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]
