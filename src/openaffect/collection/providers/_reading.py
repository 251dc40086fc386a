"""How answers are read: JSON whose parts may lack or be of another type, texts with HTML in them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from openaffect.addresses import check_shape
from openaffect.collection.answers import Answer
from openaffect.collection.providers import BadAnswer, Cursor, Hit, ResultPage
from openaffect.documents import decode_json
from openaffect.errors import DownloadError, FormatError
from openaffect.licenses import parse_license

LONGEST_URL = 2_000
"""Characters of an address."""


def read_json(answer: Answer) -> dict[str, Any]:
    """The object in an answer's body.

    Raises:
        BadAnswer: no JSON, or no object.
    """
    try:
        return decode_json(answer.body, dict[str, Any], "the answer")
    except FormatError as error:
        raise BadAnswer(str(error)) from error


def read_list(data: Any, *path: str) -> list[dict[str, Any]]:
    """The objects in a list inside the answer; nothing at all where the last name is missing.

    Raises:
        BadAnswer: something else is there.
    """
    for name in path[:-1]:
        data = data.get(name) if isinstance(data, dict) else None
        if not isinstance(data, dict):
            raise BadAnswer(f"expected an object '{name}' in the answer")
    items = data.get(path[-1], [])
    if not isinstance(items, list):
        raise BadAnswer(f"expected a list '{path[-1]}' in the answer")
    return [item for item in items if isinstance(item, dict)]


def read_text(item: dict[str, Any], name: str) -> str | None:
    """A text without HTML and control characters, at most 1,000 characters of it; or None."""
    value = item.get(name)
    if not isinstance(value, str):
        return None
    return strip_html(value)[:1_000] or None


def read_number(item: dict[str, Any], name: str) -> int | None:
    """A count of pixels: a positive whole number, also as text; or None."""
    value = item.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:9])
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value < 1_000_000 else None  # type: ignore[operator]


def read_url(item: dict[str, Any], name: str) -> str | None:
    """An address of http or https without a name and password, or None; the download checks more."""
    value = item.get(name)
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        return None
    try:
        check_shape(value)
    except DownloadError:
        return None
    return value


def make_page(found: list[Hit | None], following: Cursor | None) -> ResultPage:
    """A page of the results that have an address."""
    hits = tuple(hit for hit in found if hit is not None)
    return ResultPage(hits, following, dropped=len(found) - len(hits))


def name_license(text: str | None, url: str | None = None) -> str | None:
    """The SPDX id of a license, or None."""
    found = parse_license(text, url)
    return None if found is None else found.id


def strip_html(text: str) -> str:
    """A text without tags, with characters for entities and single spaces.

    >>> strip_html("<b>Ada &amp; Ben<br>Cem")
    'Ada & Ben Cem'
    """
    parser = _Text()
    parser.feed(text[:20_000])
    parser.close()
    plain = "".join(one if one.isprintable() else " " for one in "".join(parser.parts))
    return " ".join(plain.split())


class _Text(HTMLParser):
    """Collects what is shown."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag in ("br", "p", "div", "li", "td"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)
