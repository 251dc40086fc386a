"""Web addresses: which ones may be opened. Every download asks here, at every step.

What a list of addresses names comes from strangers: it must not reach this computer, the network
around it, or a cloud's metadata. So the rule is asked three times: for the address as it is
written, for each redirect, and for the number that a name stands for, at the moment when the
connection is made; a name may stand for another number each time it is looked up.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Collection
from typing import TypeAlias

from openaffect.errors import AddressRefused, shorten

Allowed: TypeAlias = Collection[tuple[str, int]]
"""Numbers and ports that may be opened although they are not public: `{("127.0.0.1", 8000)}`."""

SCHEMES = {"http": 80, "https": 443}
"""The schemes that are opened, and their ports."""

MAX_REDIRECTS = 5

_FIRST_FREE_PORT = 1024  # below it are mail, databases and the like, but for 80 and 443
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")  # private of old, which ipaddress calls global


def is_address(source: str) -> bool:
    """Whether a source is written like a web address.

    >>> is_address("https://a.b/c.jpg"), is_address("c:/x.jpg")
    (True, False)
    """
    return "://" in source


def hide_password(address: str) -> str:
    """The address without a user's name and password, fit for tables and messages.

    >>> hide_password("https://me:secret@a.b/c.jpg")
    'https://a.b/c.jpg'
    """
    scheme, sign, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{sign}{host.rpartition('@')[2]}{slash}{path}"


def check_shape(url: str) -> tuple[str, int]:
    """Refuse what is no web address as it is written; the host and the port of one that is.

    Args:
        url: the address.

    Raises:
        AddressRefused: no address, another scheme than http and https, or a name and password; the
            message does not repeat the address.

    >>> check_shape("https://example.org/a.jpg")
    ('example.org', 443)
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that do not close, a port that is no number
        raise AddressRefused("expected an address such as https://example.org/a.jpg") from None
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise AddressRefused(f"expected an http or https address, but got {shorten(scheme, 20)}://")
    if not host or not url.isprintable() or " " in url:
        raise AddressRefused("expected an address such as https://example.org/a.jpg")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("an address with a name or a password in it is not opened")
    return host, SCHEMES[scheme] if port is None else port


def check_url(url: str, allow: Allowed = ()) -> None:
    """Refuse an address by what is written in it; `check_number` judges what its name stands for.

    Args:
        url: the address.
        allow: numbers and ports that may be opened although they are not public.

    Raises:
        AddressRefused: no address, another scheme than http and https, a name and password, a
            port of another service, or a number that is not public.
    """
    host, port = check_shape(url)
    number = _read_number(host)
    if number is not None:
        check_number(host, port, allow)
    elif port not in SCHEMES.values() and port < _FIRST_FREE_PORT:
        raise AddressRefused(f"port {port} belongs to another service than the web")


def check_number(number: str, port: int, allow: Allowed = ()) -> None:
    """Refuse the number of a computer (IPv4 or IPv6) that is not on the public internet.

    Args:
        number: such as `203.0.113.7` or `2001:db8::1`, as a name was resolved.
        port: of the connection.
        allow: numbers and ports that may be opened all the same.

    Raises:
        AddressRefused: no number, one of this computer, of a private network or of a service, or
            a port of another service.
    """
    parsed = _read_number(number)
    if parsed is None:
        raise AddressRefused(f"expected the number of a computer, but got {number[:100]}")
    if (str(parsed), port) in allow:
        return
    inner = _unwrap(parsed)
    special = inner.is_multicast or inner.is_reserved or inner.is_unspecified
    if special or not inner.is_global or inner in _SITE_LOCAL:
        raise AddressRefused(
            f"the address leads to {parsed}, which is not on the public internet; "
            "save the file and name its path"
        )
    if port not in SCHEMES.values() and port < _FIRST_FREE_PORT:
        raise AddressRefused(f"port {port} belongs to another service than the web")


_Number: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def _read_number(text: str) -> _Number | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])  # without the zone of IPv6
    except ValueError:
        return None


def _unwrap(number: _Number) -> _Number:
    """The IPv4 number that an IPv6 number carries, if it carries one."""
    if isinstance(number, ipaddress.IPv4Address):
        return number
    if number in _NAT64 or int(number) >> 32 == 0:  # translated, or in the form of old: ::1.2.3.4
        return ipaddress.IPv4Address(int(number) & 0xFFFF_FFFF)
    teredo = number.teredo[1] if number.teredo else None
    return number.ipv4_mapped or number.sixtofour or teredo or number
