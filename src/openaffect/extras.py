"""The optional parts of an installation, and the error where one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from openaffect.errors import MissingExtra

_TRAIN = (
    *("torch", "torchvision", "accelerate", "timm", "onnx", "onnxscript", "filelock"),
    *("sklearn", "scipy"),
)
_PROJECT = ("sqlalchemy", "alembic")
_WEB = (
    *("fastapi", "starlette", "pydantic", "python_multipart", "multipart", "uvicorn"),
    "prometheus_client",
)
MODULES = {
    "train": _TRAIN,
    "tune": (*_TRAIN, "optuna", "sqlalchemy"),
    "card": ("onnx", "google"),
    "landmarks": ("dlib",),
    "pandas": ("pandas",),
    "video": ("av",),
    "project": _PROJECT,
    "annotate": (*_PROJECT, *_WEB, "argon2"),
    "collect": (*_PROJECT, "aiohttp", "protego", "warcio", "six"),
    "postgres": ("psycopg",),
    "scale": ("ray",),
    "web": _WEB,
}
"""The modules that each extra brings, those of its own requirements included."""


@contextlib.contextmanager
def needs(extra: str, purpose: str) -> Iterator[None]:
    """Import what an extra brings in this block.

    Args:
        extra: a key of `MODULES`.
        purpose: what the extra is needed for, as the start of the message: `training`.

    Raises:
        MissingExtra: a module that the extra brings is not installed.

    >>> with needs("video", "reading videos"):
    ...     import av
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in MODULES[extra]:
            raise
        raise MissingExtra(extra, purpose) from error
