"""Opt-outs in `/.well-known/tdmrep.json`, the file of the TDM Reservation Protocol.

SOURCE: "TDM Reservation Protocol (TDMRep)", final report of W3C's community group, 2024-05-10, in the
text of its repository: an array of rules with `location` and `tdm-reservation`, patterns as Google
reads those of robots.txt, the first rule that fits decides, and values other than 0 and 1 are unset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from openaffect.collection.opt_outs.statements import OptOut, make_opt_out
from openaffect.collection.opt_outs.url_patterns import UrlPattern, read_path
from openaffect.documents import decode_json
from openaffect.errors import FormatError

MAX_TDM_BYTES = 1_000_000
"""A larger file says nothing."""

_BOM = b"\xef\xbb\xbf"


class TdmRule(NamedTuple):
    """An entry: whether the addresses that fit a pattern are reserved, and its text."""

    pattern: UrlPattern
    is_reserved: bool
    text: str


@dataclass(frozen=True, slots=True)
class TdmFile:
    """What a site's tdmrep.json says; made by `parse_tdm_file`.

    Attributes:
        rules: its entries that can be used, in their order.
    """

    rules: tuple[TdmRule, ...] = ()

    def find_opt_out(self, url: str) -> OptOut | None:
        """The entry that reserves an address of this site; the first one that fits it decides.

        Args:
            url: of an image.
        """
        path = read_path(url)
        for rule in self.rules:
            if rule.pattern.matches(path):
                return make_opt_out("TDMRep", rule.text) if rule.is_reserved else None
        return None


def parse_tdm_file(body: bytes) -> TdmFile:
    """What a tdmrep.json says; nothing if it is no JSON or too large. An entry that is none is left out.

    Args:
        body: of an answer with status 200; no other answer says anything.
    """
    if len(body) > MAX_TDM_BYTES:
        return TdmFile()
    try:
        entries = decode_json(body.removeprefix(_BOM), list[msgspec.Raw], "tdmrep.json")
    except FormatError:
        return TdmFile()
    return TdmFile(tuple(rule for entry in entries for rule in _read_entry(bytes(entry))))


def _read_entry(entry: bytes) -> Iterator[TdmRule]:
    if not entry.startswith(b"{"):  # asked first: a million errors take seconds
        return
    try:
        found = decode_json(entry, dict[str, Any], "an entry of tdmrep.json")
    except FormatError:
        return
    location, reservation = found.get("location"), found.get("tdm-reservation")
    # The report has numbers; many write them as the header does.
    if isinstance(reservation, bool) or reservation not in (0, 1, "0", "1"):
        return
    if isinstance(location, str) and location.startswith(("/", "*")):
        text = entry.decode("utf-8", "replace")
        yield TdmRule(UrlPattern(location), reservation in (1, "1"), text)
