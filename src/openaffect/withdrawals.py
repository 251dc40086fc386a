"""Withdrawals: what was forgotten and must not come back, known by hashes alone.

`withdrawn.csv` has one row per hash: `kind`, `hash`, `hash_version`, `at`. The kinds are

- `face_id`, `url`: the SHA-256 of the text; of an address in the form of `normalize_url`;
- `file`: the SHA-256 of the image file;
- `pixels`, `dhash`: what `signatures.sign_face` says of the whole image, as 16 hexadecimal digits;
  a difference hash also stands for images that differ from it in one or two bits, or are mirrored;
- `kept`: the SHA-256 of a file that a difference hash no longer holds back, for somebody has looked.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from openaffect.documents import read_bytes
from openaffect.errors import FormatError, reason
from openaffect.faces.near_search import count_bits
from openaffect.faces.signatures import HASH_VERSION, Signature
from openaffect.storage import atomic_file

FILE = "withdrawn.csv"
"""The name of the file in a project, a dataset and a release."""

DISTANCE = 2
"""The most bits by which the difference hash of a forgotten image may differ."""

Kind: TypeAlias = Literal["face_id", "url", "file", "pixels", "dhash", "kept"]
KINDS: tuple[Kind, ...] = ("face_id", "url", "file", "pixels", "dhash", "kept")

_COLUMNS = ("kind", "hash", "hash_version", "at")
_is_sha256 = re.compile("[0-9a-f]{64}").fullmatch
_is_short = re.compile("[0-9a-f]{16}").fullmatch


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One row of `withdrawn.csv`; see the kinds above.

    Attributes:
        kind: of `KINDS`.
        hash: lower-case hexadecimal digits.
        hash_version: `signatures.HASH_VERSION` of `pixels` and `dhash`; None for the others.
        at: when it was withdrawn, a date such as 2026-11-26, or "".
    """

    kind: Kind
    hash: str
    hash_version: int | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Why something is withdrawn.

    Attributes:
        kind: of the row that matches.
        distance: bits in which the difference hashes differ; 0 for the other kinds.
    """

    kind: Kind
    distance: int = 0

    def __str__(self) -> str:
        texts = {
            "face_id": "withdrawn: by face_id",
            "url": "withdrawn: by address",
            "file": "withdrawn: the same file",
            "pixels": "withdrawn: the same pixels",
        }
        near = f"withdrawn: looks like a forgotten image ({self.distance} of 64 bits differ)"
        return texts.get(self.kind, near)


class Withdrawals:
    """What was withdrawn, ready to be asked.

    Attributes:
        rows: of `withdrawn.csv`, sorted, each once.
    """

    def __init__(self, rows: Iterable[Withdrawal] = ()) -> None:
        first: dict[tuple[str, str], Withdrawal] = {}
        for row in sorted(rows, key=_order):
            first.setdefault((row.kind, row.hash), row)
        self.rows: tuple[Withdrawal, ...] = tuple(first.values())
        self._exact = frozenset(first)
        near = [int(row.hash, 16) for row in self.rows if row.kind == "dhash" and _current(row)]
        self._near = np.array(near, np.uint64)
        self.by_pixels = any(row.kind in ("pixels", "dhash") and _current(row) for row in self.rows)
        """Whether an image must be decoded to know whether it is withdrawn."""

    def __len__(self) -> int:
        return len(self.rows)

    def __or__(self, other: Withdrawals) -> Withdrawals:
        return Withdrawals((*self.rows, *other.rows))

    def find(
        self,
        *,
        face_id: str | None = None,
        url: str | None = None,
        sha256: str | None = None,
        signature: Signature | None = None,
    ) -> Match | None:
        """Whether a face, or an image, is withdrawn, by whatever is known of it.

        Args:
            face_id, url: as texts.
            sha256: of the image file.
            signature: of the whole image.
        """
        asked: list[tuple[Kind, str]] = []
        if face_id is not None:
            asked.append(("face_id", hash_text(face_id)))
        if url is not None:
            asked.append(("url", hash_text(normalize_url(url))))
        if sha256 is not None:
            asked.append(("file", sha256))
        if signature is not None and self.by_pixels:
            asked.append(("pixels", f"{signature.picture:016x}"))
        for kind, value in asked:
            if self.holds(kind, value):
                return Match(kind)
        if signature is None or (sha256 is not None and self.is_kept(sha256)):
            return None
        both = np.array([[signature.dhash], [signature.mirrored]], np.uint64)
        distance = int(self.distances(both[0], both[1])[0])
        return Match("dhash", distance) if distance <= DISTANCE else None

    def find_rows(
        self,
        *,
        face_ids: Sequence[str | None],
        urls: Sequence[str | None],
        files: Sequence[str | None],
        pixels: Sequence[int | None],
        dhash: Sequence[int | None],
        mirrored: Sequence[int | None],
    ) -> list[Match | None]:
        """`find` of many faces or images at once; the hashes of whole images may be signed."""
        found: list[Match | None] = [None] * len(urls)
        if not len(self):
            return found
        known = np.array([value is not None for value in dhash], bool)
        both = (
            np.array([(value or 0) % 2**64 for value in x], np.uint64) for x in (dhash, mirrored)
        )
        distances = np.where(known, self.distances(*both), 64)
        for row, (face_id, url, sha256) in enumerate(zip(face_ids, urls, files, strict=True)):
            found[row] = self.find(face_id=face_id, url=url, sha256=sha256)
            value = pixels[row]
            if found[row] is None and value is not None:
                if self.holds("pixels", f"{value % 2**64:016x}"):
                    found[row] = Match("pixels")
                elif distances[row] <= DISTANCE and not (sha256 and self.is_kept(sha256)):
                    found[row] = Match("dhash", int(distances[row]))
        return found

    def holds(self, kind: Kind, digits: str) -> bool:
        """Whether there is a row of this kind with this very hash."""
        return (kind, digits) in self._exact

    def is_kept(self, sha256: str) -> bool:
        """Whether somebody has found that this file is not what its difference hash says."""
        return self.holds("kept", sha256)

    def distances(
        self, dhash: NDArray[np.uint64], mirrored: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """Bits between each image and the nearest forgotten difference hash, (n,); 64 without any.

        Args:
            dhash, mirrored: of n images, uint64 (n,).
        """
        nearest = np.full(len(dhash), 64, np.uint64)
        for one in self._near:
            for hashes in (dhash, mirrored):
                np.minimum(nearest, count_bits(hashes ^ one), out=nearest)
        return nearest


def describe_withdrawal(
    at: datetime.date,
    *,
    face_ids: Iterable[str] = (),
    urls: Iterable[str] = (),
    files: Iterable[str] = (),
    signatures: Iterable[Signature] = (),
) -> list[Withdrawal]:
    """The rows by which faces and images are known again.

    Args:
        at: the day.
        face_ids, urls: as texts.
        files: SHA-256 of image files.
        signatures: of whole images; one that shows nothing has no difference hash to go by.
    """
    day = at.isoformat()
    rows = [Withdrawal("face_id", hash_text(text), None, day) for text in face_ids]
    rows += [Withdrawal("url", hash_text(normalize_url(text)), None, day) for text in urls]
    rows += [Withdrawal("file", sha256, None, day) for sha256 in files]
    for signature in signatures:
        rows.append(Withdrawal("pixels", f"{signature.picture:016x}", HASH_VERSION, day))
        if not signature.blank:
            rows.append(Withdrawal("dhash", f"{signature.dhash:016x}", HASH_VERSION, day))
    return sorted(set(rows), key=_order)


def hash_text(text: str) -> str:
    """The SHA-256 of a text in UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def normalize_url(url: str) -> str:
    """An address in the form in which it is compared: no fragment, no default port, lower-case host.

    A host in other letters than ASCII's becomes what is asked of name servers.

    >>> normalize_url("HTTP://Example.org:80/A?b#c"), normalize_url("http://bücher.example/")
    ('http://example.org/A?b', 'http://xn--bcher-kva.example/')
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").rstrip(".")
        port = parts.port
    except ValueError:  # a port that is no number
        return url.strip()
    if ":" in host:
        host = f"[{host}]"
    elif not host.isascii():
        with contextlib.suppress(UnicodeError):  # a label that is too long
            host = host.encode("idna").decode("ascii")
    if port is not None and port != {"http": 80, "https": 443}.get(parts.scheme):
        host = f"{host}:{port}"
    return urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))


def read_withdrawn(path: str | Path) -> Withdrawals:
    """What a `withdrawn.csv` holds.

    Raises:
        FormatError: no such file, or none of this kind; the message names the line.
    """
    data = read_bytes(path, "withdrawals")
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        head = next(reader, [])
        if not {"kind", "hash"} <= set(head):
            raise FormatError(
                f"expected the columns {', '.join(_COLUMNS)} in {path}, "
                f"but its first line is: {','.join(head)[:120]}"
            )
        return Withdrawals(
            _parse(dict(zip(head, values, strict=False)), f"{path} line {reader.line_num}")
            for values in reader
            if values
        )
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError(f"expected withdrawals in {path}, but got {reason(error)}") from error


def find_withdrawn(folder: str | Path, *more: str | Path) -> Withdrawals:
    """What the `withdrawn.csv` of a folder, where it has one, and other files hold.

    Raises:
        FormatError: see `read_withdrawn`.
    """
    own = Path(folder) / FILE
    found = read_withdrawn(own) if own.exists() else Withdrawals()
    for path in more:
        found |= read_withdrawn(path)
    return found


def write_withdrawn(withdrawals: Withdrawals, path: str | Path) -> None:
    """Write a `withdrawn.csv`, over one that is there; the same rows give the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in withdrawals.rows:
        version = "" if row.hash_version is None else row.hash_version
        writer.writerow([row.kind, row.hash, version, row.at])
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _order(row: Withdrawal) -> tuple[int, str, int, str]:
    """By kind and hash; the newest version of a hash first, then the earliest day."""
    return KINDS.index(row.kind), row.hash, -(row.hash_version or 0), row.at


def _current(row: Withdrawal) -> bool:
    """Whether a hash is of the version that is computed here."""
    return row.hash_version == HASH_VERSION


def _parse(values: dict[str, str], where: str) -> Withdrawal:
    kind = next((known for known in KINDS if known == values["kind"]), None)
    if kind is None:
        raise FormatError(
            f"expected a kind of {', '.join(KINDS)} in {where}, but got '{values['kind'][:50]}'"
        )
    short = kind in ("pixels", "dhash")
    digits = values.get("hash", "")
    if not (_is_short if short else _is_sha256)(digits):
        raise FormatError(
            f"expected {16 if short else 64} hexadecimal digits in {where}, but got '{digits[:70]}'"
        )
    version = values.get("hash_version") or ""
    if short and not version.isdecimal():
        raise FormatError(f"expected the version of the hash in {where}, but got '{version[:50]}'")
    return Withdrawal(kind, digits, int(version) if short else None, values.get("at") or "")
