"""Patterns of web addresses as robots.txt and TDMRep write them: `*` and a `$` at the end, else a prefix.

SOURCE: RFC 9309 §2.2.2 and §2.2.3, and Google's page "How Google interprets the robots.txt
specification", which TDMRep (§6.2) names for its own patterns. Read in November 2026.
"""

from __future__ import annotations

import re
import urllib.parse

# Decoded, these would be another path: `%`, `/` and `?`.
_escapes_that_stay = re.compile("%(2[5Ff]|3[Ff])")


class UrlPattern:
    """A pattern, ready to be compared with many paths; time grows with their length and no faster.

    Args:
        text: such as `/images/*.jpg$`; upper and lower case differ.

    Attributes:
        length: in characters as it was written; of two patterns the longer one is more specific.

    >>> UrlPattern("/images/*.jpg$").matches(read_path("https://a.example/images/b/c.jpg"))
    True
    """

    __slots__ = ("_is_anchored", "_parts", "length")

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._is_anchored = text.endswith("$")
        self._parts = [decode_path(part) for part in re.split(r"\*+", text.removesuffix("$"))]

    def matches(self, path: str) -> bool:
        """Whether a path, as `read_path` gives it, fits the pattern."""
        first, *rest = self._parts
        if not path.startswith(first):
            return False
        if not rest:
            return not self._is_anchored or path == first
        *middle, last = rest
        place = len(first)
        # The first place that fits is the best one: it leaves the most for the parts after it.
        for part in middle:
            place = path.find(part, place)
            if place < 0:
                return False
            place += len(part)
        if self._is_anchored:
            return path.endswith(last) and len(path) - len(last) >= place
        return path.find(last, place) >= 0


def read_path(url: str) -> str:
    """The path and query of an address, in the spelling that patterns are compared in."""
    return decode_path(cut_path(url))


def cut_path(url: str) -> str:
    """The path and query of an address as they are written, with a `/` at the beginning.

    >>> cut_path("https://a.example/b.jpg?size=2#top"), cut_path("https://a.example?size=2")
    ('/b.jpg?size=2', '/?size=2')
    """
    rest = url.partition("#")[0].partition("://")[2]
    start = re.search("[/?]", rest)
    path = rest[start.start() :] if start else ""
    return path if path.startswith("/") else f"/{path}"


def decode_path(text: str) -> str:
    """A path without its percent escapes, but for those that would change its meaning.

    >>> decode_path("/caf%C3%A9/a%2fb")
    '/café/a%2Fb'
    """
    kept = _escapes_that_stay.sub(lambda found: "%25" + found[1].upper(), text)
    return urllib.parse.unquote(kept, errors="surrogateescape")
