"""Datasets that link to the images of another one: known, so that these are not deleted.

`split`, `check --write` and `import --images link` make datasets without images of their own. Each
leaves its path in `.linked-by` of the dataset whose images it shows, where it may write there. So
does a release in `.releases` of the dataset that it was made of.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from openaffect.documents import decode_json, read_json
from openaffect.errors import InputError

_FILE = ".linked-by"
_RELEASES = ".releases"
_SHOWN = 3


def record_link(images: Path, dataset: Path) -> None:
    """Note in the dataset that holds a folder of images that another dataset links to it."""
    holder = next((p for p in (images, *images.parents) if (p / "dataset.json").is_file()), None)
    if holder is None or holder == dataset.absolute():
        return
    # A dataset that cannot be written to cannot be replaced by us either.
    with contextlib.suppress(OSError), open(holder / _FILE, "a", encoding="utf-8") as file:
        file.write(f"{dataset.absolute()}\n")


def list_links(path: Path) -> list[str]:
    """The datasets, by their absolute paths, that link to the images of a dataset and are there still."""
    try:
        text = (path / _FILE).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [name for name in dict.fromkeys(text.splitlines()) if _links_to(Path(name), path)]


def check_links(path: Path) -> None:
    """Refuse to replace a dataset whose images others link to.

    Raises:
        InputError: there are such datasets; the message names them.
    """
    linking = list_links(path)
    if linking:
        shown = ", ".join(linking[:_SHOWN]) + (", …" if len(linking) > _SHOWN else "")
        raise InputError(
            f"cannot replace {path}: its images would be deleted, and {len(linking)} "
            f"{'datasets link' if len(linking) > 1 else 'dataset links'} to them ({shown}); "
            "choose another destination, or remove what links to it first"
        )


def _links_to(dataset: Path, holder: Path) -> bool:
    """Whether a dataset is there still, and its images still lie in another one."""
    try:
        info = read_json(dataset / "dataset.json", dict[str, Any])
    except InputError:
        return False
    images = os.path.realpath(dataset / str(info.get("images")))
    return Path(images).is_relative_to(os.path.realpath(holder))


def record_release(dataset: Path, release: Path, version: str, at: str) -> None:
    """Note in a dataset that a release was made of it, where it can be written to."""
    row = {"path": str(release.absolute()), "version": version, "at": at}
    with contextlib.suppress(OSError), open(dataset / _RELEASES, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def list_releases(dataset: Path) -> list[dict[str, str]]:
    """The releases that were made of a dataset: `path`, `version` and `at` of each place, the last one."""
    try:
        lines = (dataset / _RELEASES).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        with contextlib.suppress(InputError):
            row = decode_json(line, dict[str, str], str(dataset / _RELEASES))
            found[row.get("path", "")] = row
    return list(found.values())
