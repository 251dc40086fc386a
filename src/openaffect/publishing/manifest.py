"""`MANIFEST.sha256`: the hash of every file of a release, as `sha256sum` writes and checks it."""

from __future__ import annotations

import hashlib
import os
import re
from functools import partial
from pathlib import Path

from openaffect.errors import FormatError
from openaffect.parallel import map_in_order

FILE = "MANIFEST.sha256"
_CHUNK = 1 << 20


def write_manifest(folder: Path) -> None:
    """Write the hash of every file below a folder, by name."""
    names = _files(folder)
    hashes = map_in_order(partial(_hash, folder), names)
    lines = [f"{digest}  {name}\n" for digest, name in zip(hashes, names, strict=True)]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")


def verify_release(folder: str | Path) -> list[str]:
    """What does not fit the manifest of a release, a sentence each; [] if all of it does.

    Raises:
        FormatError: there is no manifest, or a line of it is none.
    """
    folder = Path(folder)
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(
            f"expected a release with a {FILE} at {folder}, but found none"
        ) from error
    listed: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise FormatError(f"expected a hash and a name in {folder / FILE} line {number}")
        listed[match[2]] = match[1]
    there = _files(folder)
    problems = [f"{name} is missing" for name in listed if name not in set(there)]
    problems += [f"{name} is not in the manifest" for name in there if name not in listed]
    known = [name for name in there if name in listed]
    hashes = map_in_order(partial(_hash, folder), known)
    problems += [
        f"{name} has changed"
        for name, digest in zip(known, hashes, strict=True)
        if listed[name] != digest
    ]
    return sorted(problems)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            found.update(part)
    return found.hexdigest()


def _hash(folder: Path, name: str) -> str:
    return hash_file(folder / name)


def _files(folder: Path) -> list[str]:
    """Every file below a folder but the manifest, sorted."""
    found = []
    for parent, _, names in os.walk(folder):
        found += [Path(parent, name).relative_to(folder).as_posix() for name in names]
    return sorted(name for name in found if name != FILE)
