"""Weights files that are not in the package: where they lie, and the one function that fetches them.

Nothing here touches the network but `download_weights`, which only the command
`openaffect weights` calls.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from openaffect.addresses import Allowed
from openaffect.download import download
from openaffect.errors import DownloadError, MissingWeights, UnknownName
from openaffect.storage import atomic_file

FOLDER_VARIABLE = "OPENAFFECT_WEIGHTS"

_MAX_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of weights: its name in the folder, where it comes from, what it must hash to."""

    file: str
    url: str
    sha256: str
    license: str
    purpose: str


WEIGHTS: dict[str, Weights] = {
    "yunet": Weights(
        file="yunet_n_320_320.onnx",
        url=(
            "https://github.com/ShiqiYu/libfacedetection.train/raw/"
            "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_n_320_320.onnx"
        ),
        sha256="81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2",
        license="Apache-2.0",
        purpose="the face detector that `--detector auto` prefers",
    ),
}


def weights_folder() -> Path:
    """The folder that weights lie in: `$OPENAFFECT_WEIGHTS`, else the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "openaffect" / "weights"


def known_weights(name: str) -> Weights:
    """What is known of a weights file.

    Raises:
        UnknownName: with the nearest name and the list.
    """
    if name not in WEIGHTS:
        raise UnknownName("weights", name, WEIGHTS)
    return WEIGHTS[name]


def find_weights(name: str) -> Path | None:
    """The path of a weights file that is here and whole, else None; never touches the network."""
    weights = known_weights(name)
    path = weights_folder() / weights.file
    if not path.is_file() or _sha256(path.read_bytes()) != weights.sha256:
        return None
    return path


def require_weights(name: str) -> Path:
    """The path of a weights file.

    Raises:
        MissingWeights: it is not here, or not whole; the message has the command that fetches it.
    """
    path = find_weights(name)
    if path is None:
        wanted = weights_folder() / known_weights(name).file
        state = "has another SHA-256 than it should" if wanted.is_file() else "is missing"
        raise MissingWeights(
            f"{wanted} {state}; fetch it once with `openaffect weights {name}`, "
            f"or set {FOLDER_VARIABLE} to a folder that holds it"
        )
    return path


def download_weights(name: str, timeout: float = 30.0, allow: Allowed = ()) -> Path:
    """Fetch a weights file into the weights folder, check its SHA-256, and return its path.

    A file that is already here and whole is not fetched again.

    Args:
        name: a key of `WEIGHTS`.
        timeout: in seconds, for all of it.
        allow: see `addresses.Allowed`.

    Raises:
        MissingWeights: the address did not answer, or sent something else.
    """
    found = find_weights(name)
    if found is not None:
        return found
    weights = known_weights(name)
    path = weights_folder() / weights.file
    try:
        data = download(weights.url, max_bytes=_MAX_BYTES, seconds=timeout, allow=allow)
    except DownloadError as error:
        raise MissingWeights(
            f"could not fetch {weights.url} ({error}); "
            f"put the file into {path.parent} by hand, or try again"
        ) from error
    if _sha256(data) != weights.sha256:
        raise MissingWeights(
            f"{weights.url} sent {len(data)} bytes with SHA-256 {_sha256(data)}, "
            f"expected {weights.sha256}; nothing was written"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)
    return path


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
