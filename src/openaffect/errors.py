"""Every error that openaffect raises on purpose.

::

    OpenAffectError
    ├── InputError             something that was given cannot be used
    │   ├── UnknownName        a name that is in no list (the message has the nearest one)
    │   ├── ImageError         a picture that is missing, empty, broken, or too large
    │   ├── DownloadError      a web address that gives no file
    │   ├── FormatError        a file or folder that is not what it should be
    │   │   └── NewerSchema    written by a newer openaffect than this one
    │   └── MismatchError      two inputs that do not belong together
    ├── DestinationExists      a result would replace something; needs overwrite
    ├── MissingExtra           an optional part of openaffect is not installed
    ├── MissingWeights         a weights file is not on this machine
    └── TrainingError          a training that cannot go on (its last checkpoint is whole)

A message says what was expected, what came, where, and what to do.
The command line prints it on one line and ends with status 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_REASON = 300  # characters of a foreign message that are repeated in ours


class OpenAffectError(Exception):
    """The base of all errors that openaffect raises on purpose."""


class InputError(OpenAffectError):
    """Something that was given cannot be used."""


class UnknownName(InputError):  # noqa: N818 - named after what is wrong
    """A name that is in no list; the message gives the nearest one and the list.

    >>> str(UnknownName("label", "hapy", ["happy", "sad"]))
    "unknown label 'hapy'; did you mean 'happy'? Known: happy, sad"
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], where: str = "") -> None:
        choices = list(known)
        near = difflib.get_close_matches(str(name).lower(), choices, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        place = f" in {where}" if where else ""
        super().__init__(f"unknown {kind} '{name}'{place}{hint} Known: {', '.join(choices)}")
        self.nearest = near[0] if near else None


class ImageError(InputError):
    """A picture that is missing, empty, broken, of no known format, or too large."""


class DownloadError(InputError):
    """A web address that gives no file: no or a bad answer, too slow, or too large."""


class FormatError(InputError):
    """A file or folder that is not in the format that it should have."""


class NewerSchema(FormatError):  # noqa: N818
    """A file that a newer openaffect has written."""


class MismatchError(InputError):
    """Two inputs that do not belong together, such as predictions of other faces."""


class DestinationExists(OpenAffectError):  # noqa: N818
    """A result would replace something that exists; `hint` names another way out."""

    def __init__(self, path: object, hint: str = "") -> None:
        super().__init__(
            f"{path} exists already; choose another destination, {hint}"
            "or replace it with --overwrite"
        )


class MissingExtra(OpenAffectError):  # noqa: N818
    """An optional part of openaffect is not installed.

    >>> str(MissingExtra("train", "training"))
    'training needs an extra that is not installed: pip install "openaffect[train]"'
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs an extra that is not installed: pip install "openaffect[{extra}]"'
        )
        self.extra = extra


class MissingWeights(OpenAffectError):  # noqa: N818
    """A weights file is not on this machine; the message says which command fetches it."""


class TrainingError(OpenAffectError):
    """A training that cannot go on; its last checkpoint is whole."""


def reason(error: BaseException) -> str:
    r"""What a foreign error says, as the end of one of our messages: one line, never empty.

    >>> reason(ValueError("bad header\nat byte 3")), reason(MemoryError())
    ('bad header', 'MemoryError')
    """
    text = str(getattr(error, "strerror", None) or error).strip()
    line = text.splitlines()[0].strip() if text else type(error).__name__
    return line if len(line) <= _MAX_REASON else line[:_MAX_REASON] + "…"
