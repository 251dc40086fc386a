"""Names that are file names: a detector, landmarker, backbone, recipe or format is one file.

A new one is a new file in its folder; nothing is registered anywhere.
A hyphen in a name is an underscore in the file name of a module.
"""

from __future__ import annotations

import importlib
import importlib.resources
from importlib.resources.abc import Traversable
from types import ModuleType

from openaffect.errors import UnknownName


def names(package: str, suffix: str = ".py") -> tuple[str, ...]:
    """The names of all files of a kind in a package's folder, sorted; those with a leading `_` are private.

    >>> "yunet" in names("openaffect.faces.detectors")
    True
    """
    found = []
    for entry in importlib.resources.files(package).iterdir():
        if entry.name.endswith(suffix) and not entry.name.startswith("_"):
            stem = entry.name.removesuffix(suffix)
            found.append(stem.replace("_", "-") if suffix == ".py" else stem)
    return tuple(sorted(found))


def load(package: str, name: str, kind: str) -> ModuleType:
    """The module that a name stands for.

    Raises:
        UnknownName: no such file; the message has the nearest name and the list.
    """
    known = names(package)
    if name.replace("_", "-") not in known:
        raise UnknownName(kind, name, known)
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def find(package: str, name: str, suffix: str, kind: str) -> Traversable:
    """The data file that a name stands for, such as a recipe.

    Raises:
        UnknownName: no such file; the message has the nearest name and the list.
    """
    known = names(package, suffix)
    if name not in known:
        raise UnknownName(kind, name, known)
    return importlib.resources.files(package).joinpath(name + suffix)
