"""Which licenses an image must have to be downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from openaffect.errors import InputError, shorten
from openaffect.licenses import parse_license

OPEN, ANY = "open", "any"


@dataclass(frozen=True, slots=True)
class LicenseFilter:
    """The licenses that are wanted; made by `parse_licenses`.

    Attributes:
        text: as it was asked for.
        ids: SPDX ids, with a version or without; empty for every license that is known.
        any: whether images without a license are wanted, too.
    """

    text: str = OPEN
    ids: tuple[str, ...] = ()
    any: bool = False

    def refuse(self, license: str | None, url: str | None = None) -> str | None:
        """Why an image is not wanted, or None.

        Args:
            license: as a provider writes it.
            url: of its text.
        """
        if self.any:
            return None
        if not (license or "").strip() and not (url or "").strip():
            return "no license"
        found = parse_license(license, url)
        if found is None:
            return f"unknown license: {shorten(license or url or '')}"
        if self.ids and not {found.id, _without_version(found.id)}.intersection(self.ids):
            return f"license not wanted: {found.id}"
        return None


def parse_licenses(text: str) -> LicenseFilter:
    """The filter that a text such as `open`, `any` or `CC0-1.0,CC-BY` stands for.

    Args:
        text: `open` for every license that `openaffect.licenses` knows, `any` for images without one,
            too, or ids between commas; an id without a version stands for all of them.

    Raises:
        InputError: a license that is not known.

    >>> parse_licenses("CC-BY").refuse("CC BY-NC 4.0")
    'license not wanted: CC-BY-NC-4.0'
    """
    plain = text.strip()
    if plain in (OPEN, ANY):
        return LicenseFilter(plain, any=plain == ANY)
    ids = []
    for name in plain.split(","):
        found = parse_license(name)
        if found is None:
            raise InputError(
                f"expected {OPEN}, {ANY} or licenses such as CC0-1.0,CC-BY, but got '{text[:80]}'"
            )
        ids.append(found.id)
    return LicenseFilter(plain, tuple(ids))


def _without_version(license: str) -> str:
    return re.sub(r"-\d\.\d$", "", license)
