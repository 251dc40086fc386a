"""Every error that openaffect raises on purpose.

::

    OpenAffectError
    ├── InputError             something that was given cannot be used
    │   ├── UnknownName        a name that is in no list (the message has the nearest one)
    │   ├── ImageError         a picture that is missing, empty, broken, or too large
    │   ├── DownloadError      a web address that gives no file
    │   ├── FormatError        a file or folder that is not what it should be
    │   │   └── NewerSchema    written by a newer openaffect than this one
    │   ├── MismatchError      two inputs that do not belong together
    │   └── NotFoundError      something that a project does not have
    ├── ConflictError          what was asked for does not fit what is there already
    ├── TooManyAttempts        wrong passwords; the next one must wait
    ├── DestinationExists      a result would replace something; needs overwrite
    ├── MissingExtra           an optional part of openaffect is not installed
    ├── MissingWeights         a weights file is not on this machine
    ├── DatabaseError          the database of a project does not answer, or is full or damaged
    ├── StoreError             the images of a project cannot be reached
    ├── WorkerError            a process that shares the work ended without an answer
    └── TrainingError          a training that cannot go on (its last checkpoint is whole)

A message says what was expected, what came, where, and what to do.
The command line prints it on one line and ends with status 1.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_MAX_NAME = 100  # characters of a foreign name
_MAX_REASON = 300  # characters of a foreign message that are repeated in ours


class OpenAffectError(Exception):
    """The base of all errors that openaffect raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An error crosses from a worker as what it says; its `__init__`, which composes that, is
        # not called again.
        return _revive, (type(self), self.args, self.__dict__)


def _revive(
    kind: type[OpenAffectError], args: tuple[Any, ...], state: dict[str, Any]
) -> OpenAffectError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InputError(OpenAffectError):
    """Something that was given cannot be used."""


class UnknownName(InputError):  # noqa: N818 - named after what is wrong
    """A name that is in no list; the message gives the nearest one and the list.

    >>> str(UnknownName("label", "hapy", ["happy", "sad"]))
    "unknown label 'hapy'; did you mean 'happy'? Known: happy, sad"
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], where: str = "") -> None:
        choices, name = list(known), shorten(" ".join(str(name).split()), _MAX_NAME)
        near = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        place = f" in {where}" if where else ""
        super().__init__(f"unknown {kind} '{name}'{place}{hint} Known: {', '.join(choices)}")
        self.nearest = near[0] if near else None


class ImageError(InputError):
    """A picture that is missing, empty, broken, of no known format, or too large."""


class DownloadError(InputError):
    """A web address that gives no file: no or a bad answer, too slow, or too large."""


class AddressRefused(DownloadError):  # noqa: N818
    """A web address that is not opened: of another scheme, or not on the public internet."""


class FormatError(InputError):
    """A file or folder that is not in the format that it should have."""


class NewerSchema(FormatError):  # noqa: N818
    """A file that a newer openaffect has written."""


class MismatchError(InputError):
    """Two inputs that do not belong together, such as predictions of other faces."""


class NotFoundError(InputError):
    """Something that a project does not have."""


class ConflictError(OpenAffectError):
    """What was asked for does not fit what is there already."""


class TooManyAttempts(OpenAffectError):  # noqa: N818 - named after what is wrong
    """Wrong passwords came before; `retry_after` says for how many seconds the next one waits."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many wrong passwords; try again in {retry_after} s")
        self.retry_after = retry_after


class DestinationExists(OpenAffectError):  # noqa: N818
    """A result would replace something that exists; `hint` names another way out."""

    def __init__(self, path: object, hint: str = "") -> None:
        super().__init__(
            f"{path} exists already; choose another destination, {hint}"
            "or replace it with --overwrite"
        )


class MissingExtra(OpenAffectError):  # noqa: N818
    """An optional part of openaffect is not installed.

    The message has the command that works here: in a checkout it names the checkout.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs an extra that is not installed: {install_command(extra)}"
        )
        self.extra = extra


def install_command(extra: str) -> str:
    """The command that adds an extra to this installation of openaffect."""
    checkout = Path(__file__).resolve().parents[2]  # of src/openaffect/errors.py
    if (checkout / "pyproject.toml").is_file():
        place = "." if checkout == Path.cwd() else str(checkout)
        return f'pip install -e "{place}[{extra}]"'
    return f'pip install "{_installed_from() or "openaffect"}[{extra}]"'


def _installed_from() -> str | None:
    """The folder that openaffect was installed from by `pip install FOLDER`, if it is still there."""
    # Slow to load, and needed for an error alone.
    from importlib import metadata
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        text = metadata.distribution("openaffect").read_text("direct_url.json")
        address = urlsplit(json.loads(text or "{}").get("url", ""))
    except (metadata.PackageNotFoundError, ValueError):
        return None
    folder = Path(url2pathname(address.path))
    return str(folder) if address.scheme == "file" and folder.is_dir() else None


class MissingWeights(OpenAffectError):  # noqa: N818
    """A weights file is not on this machine; the message says which command fetches it."""


class DatabaseError(OpenAffectError):
    """The database of a project does not answer, is locked, full or damaged; what was finished is kept."""


class StoreError(OpenAffectError):
    """The images of a project cannot be reached, all of them and not one."""


class WorkerError(OpenAffectError):
    """A process that shares the work ended without an answer; what was finished is kept."""


class TrainingError(OpenAffectError):
    """A training that cannot go on; its last checkpoint is whole."""


def reason(error: BaseException) -> str:
    r"""What a foreign error says, as the end of one of our messages: one line, never empty.

    >>> reason(ValueError("bad header\nat byte 3")), reason(MemoryError())
    ('bad header', 'MemoryError')
    """
    text = str(getattr(error, "strerror", None) or error).strip()
    line = text.splitlines()[0].strip() if text else type(error).__name__
    return shorten(line)


def shorten(text: str, length: int = _MAX_REASON) -> str:
    """Foreign text for a message: cut where it is longer than `length` characters.

    >>> shorten("abcdef", 3)
    'abc…'
    """
    return text if len(text) <= length else text[:length] + "…"
