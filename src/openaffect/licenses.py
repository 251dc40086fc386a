"""What the license of an image allows: one table, by SPDX ids, and the many ways to write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from openaffect.errors import shorten


@dataclass(frozen=True, slots=True)
class License:
    """A license that is known here.

    Attributes:
        id: of SPDX, such as `CC-BY-4.0`; without a version where none was said.
        may_change: whether a crop may be given on; none may of a license with ND.
        non_commercial: whether only a non-commercial release may hold it.
        attribution: whether author, source and license must be named.
        url: of its text, "" where there is none.
    """

    id: str
    may_change: bool = True
    non_commercial: bool = False
    attribution: bool = False
    url: str = ""


_PLAIN = {
    "cc0": License("CC0-1.0", url="https://creativecommons.org/publicdomain/zero/1.0/"),
    "pdm": License("CC-PDM-1.0", url="https://creativecommons.org/publicdomain/mark/1.0/"),
    "apache": License(
        "Apache-2.0", attribution=True, url="https://www.apache.org/licenses/LICENSE-2.0"
    ),
    "mit": License("MIT", attribution=True, url="https://opensource.org/license/mit"),
}
_SPELLINGS = (
    (r"cc[ -]?0([ -]?1\.0)?([ -]universal)?|cc[ -]zero|publicdomain/zero/1\.0", "cc0"),
    (r"(cc[ -])?pdm?([ -]?1\.0)?|public domain( mark)?( 1\.0)?|publicdomain/mark/1\.0", "pdm"),
    (r"apache([ -]license)?,?([ -](version )?2(\.0)?)?", "apache"),
    (r"mit([ -]license)?", "mit"),
)
_CREATIVE_COMMONS = re.compile(
    r"(?:cc[ -])?(by(?:[ -]nc)?(?:[ -](?:sa|nd))?)(?:[ -/](\d\.\d))?(?:[ -/][a-z]{2,3})?"
)
_LONG_FORMS = (
    (r"creative commons", "cc"),
    (r"attribution", "by"),
    (r"non-?commercial", "nc"),
    (r"share-?alike", "sa"),
    (r"no-?deriv(ative)?s|no derivatives", "nd"),
    (r" (license|international|generic|unported|public license)", ""),
)
_ADDRESS = re.compile(r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?:licenses/)?(.*)")


def parse_license(text: str | None, url: str | None = None) -> License | None:
    """The license that a text or an address stands for; None where it is not known.

    Args:
        text: as providers and datasets write it, such as `CC BY-SA 4.0`, `by-sa` or an address.
        url: of the license; it tells the version where the text does not.

    >>> parse_license("CC BY-SA 4.0").id, parse_license("by", "https://creativecommons.org/licenses/by/2.0/").id
    ('CC-BY-SA-4.0', 'CC-BY-2.0')
    """
    found = _parse(text)
    from_url = _parse(url)
    if found is None:
        return from_url if not (text or "").strip() else None
    if from_url is not None and from_url.id.startswith(f"{found.id}-"):
        return from_url  # the same with its version
    return found


def _parse(text: str | None) -> License | None:
    plain = re.sub(r"[\s_]+", " ", (text or "").strip().lower())
    address = _ADDRESS.fullmatch(plain)
    if address is not None:
        plain = re.sub(r"/(deed|legalcode)(\..*)?$", "", address[1].rstrip("/")).rstrip("/")
    for pattern, key in _SPELLINGS:
        if re.fullmatch(pattern, plain):
            return _PLAIN[key]
    for pattern, word in _LONG_FORMS:
        plain = re.sub(pattern, word, plain)
    match = _CREATIVE_COMMONS.fullmatch(plain.strip())
    if match is None:
        return None
    terms = match[1].replace(" ", "-")
    version = match[2]
    return License(
        "-".join(part for part in ("CC", terms.upper(), version) if part),
        may_change="nd" not in terms,
        non_commercial="nc" in terms,
        attribution=True,
        url=f"https://creativecommons.org/licenses/{terms}/{version}/" if version else "",
    )


def refuse_pixels(
    text: str | None, url: str | None = None, *, non_commercial: bool = False
) -> str | None:
    """Why the crop of an image may not be given on, or None where it may.

    Args:
        text, url: see `parse_license`.
        non_commercial: whether the release is for non-commercial use alone.
    """
    if not (text or "").strip() and not (url or "").strip():
        return "no license"
    found = parse_license(text, url)
    if found is None:
        return f"unknown license: {shorten(text or url or '')}"
    if not found.may_change:
        return f"license that allows no crop: {found.id}"
    if found.non_commercial and not non_commercial:
        return f"license for non-commercial use: {found.id}"
    return None


def has_personality_rights(restrictions: str | None) -> bool:
    """Whether a provider says that the person in an image has rights of their own."""
    return "personality" in (restrictions or "").lower()
