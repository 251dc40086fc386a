"""What a no is, and how lists such as `train-ai=n, search=y` are read, in headers and in robots.txt.

SOURCE:

- Content-Usage: the text of draft-ietf-aipref-vocab in its working group's repository, as of
  September 2026 (-08), and its labels since -00. By -08 "AI training" is that of generative models
  alone; a site that writes `train-ai=n` is taken at its word.
- Content-Signal: the text of contentsignals.org, as it stands in the robots.txt that Cloudflare
  writes for sites; for `use`, Cloudflare's changelog of 2026-08-31.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from openaffect.errors import shorten

PRODUCT_TOKEN = "openaffect"
"""What sites call us."""

KINDS = {
    "x-robots-tag": "X-Robots-Tag",
    "tdm-reservation": "TDMRep",
    "content-usage": "Content-Usage",
    "content-signal": "Content-Signal",
}
"""The kind of an opt-out by the name of its header or rule, in lower case."""

_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class OptOut:
    """A no.

    Attributes:
        kind: `robots.txt`, `X-Robots-Tag`, `TDMRep`, `Content-Usage` or `Content-Signal`.
        text: the rule, header or entry that says it, on one line of at most 500 characters.
    """

    kind: str
    text: str


def make_opt_out(kind: str, text: str) -> OptOut:
    """An opt-out whose text any database and any page can take.

    >>> make_opt_out("X-Robots-Tag", "X-Robots-Tag:  noai").text
    'X-Robots-Tag: noai'
    """
    # No database takes a zero byte or half a surrogate pair.
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return OptOut(kind, shorten(" ".join(clean.split()), _LONGEST_TEXT - 1))


class _Question(NamedTuple):
    key: str
    no: frozenset[str]
    yes: frozenset[str]


_NO, _YES = frozenset({"n", "no"}), frozenset({"y", "yes"})

# The labels for training come first, and then those for every use by a machine: drafts that had both
# let the narrower one decide. `train-genai`, `ai-use`, `ai-input`, `search` … are other uses than ours.
_USAGE = tuple(_Question(key, _NO, _YES) for key in ("train-ai", "ai", "all", "bots", "tdm"))
_SIGNAL = (
    _Question("ai-train", _NO, _YES),
    # An image that is kept whole is used in full; `reference` stands for a link and an excerpt.
    _Question("use", frozenset({"immediate", "reference"}), frozenset({"full"})),
)
QUESTIONS = {"Content-Usage": _USAGE, "Content-Signal": _SIGNAL}
"""By kind, the keys whose values are a yes or a no to us, the most specific one first."""

_members = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+').findall


def allows_training(kind: str, text: str) -> bool | None:
    """What a list says of training; None where it says nothing of it.

    The syntax is that of a dictionary (RFC 9651), read kindly: keys in any case, `no` for `n`, and a
    member that is broken spoils itself alone. Quoted values are no tokens and say nothing, as in
    the draft. A key that comes with both answers says no.

    Args:
        kind: a key of `QUESTIONS`.
        text: the list.

    >>> allows_training("Content-Usage", "search=y, train-ai=n")
    False
    """
    said: dict[str, set[str]] = {}
    for member in _members(text):
        key, _, value = member.partition("=")
        token = value.partition(";")[0].strip().lower()
        said.setdefault(key.strip().lower(), set()).add(token)
    for question in QUESTIONS[kind]:
        tokens = said.get(question.key, set())
        if tokens & question.no:
            return False
        if tokens & question.yes:
            return True
    return None
