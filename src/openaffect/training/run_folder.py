"""A run folder: who may write in it, and its checkpoint.

::

    RUN/
    ├── recipe.toml      the recipe, resolved
    ├── checkpoint.pt    weights, optimizer, place; written whole or not at all
    ├── log.csv          one row an epoch
    └── model.onnx       the best epoch, when the training is over
"""

from __future__ import annotations

import contextlib
import csv
import pickle
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from openaffect.errors import DestinationExists, FormatError, InputError, MismatchError, reason
from openaffect.storage import atomic_file
from openaffect.training.recipe import Recipe, load_recipe

CHECKPOINT_VERSION = 1

# What `overwrite` removes; recipe.toml, by which a run is known, comes last.
_FILES = ("model.onnx", "checkpoint.pt", "log.csv", "recipe.toml")
_LOCK = ".lock"

DAMAGED_FILE = (
    *(RuntimeError, EOFError, OSError, LookupError, ValueError),
    *(pickle.PickleError, struct.error),
)
"""What torch's reader raises for damaged files."""

_MAY_CHANGE_ON_RESUME = ("epochs", "accumulate", "source", "unverified", "warning", "extended_from")
"""What a run may go on with otherwise: how long, in how much memory, and what is told of it."""


def check_folder(
    run: Path, recipe: Recipe, *, resume: bool, overwrite: bool, overrides: Collection[str] = ()
) -> list[str]:
    """Raise the error that says why a training may not write in this folder, if there is one.

    Args:
        run: the folder.
        recipe: that is to be trained in it.
        resume, overwrite: what may be there.
        overrides: keys that an unfinished run may go on with otherwise.

    Returns:
        What changes in a run that goes on, a sentence each.
    """
    if resume and overwrite:
        raise InputError("expected either resume or overwrite, but got both")
    if run.exists() and not run.is_dir():
        raise InputError(f"expected a folder for the run, but {run} is a file")
    if resume:
        if (run / "recipe.toml").is_file():
            return _check_recipe(run, recipe, overrides)
    elif run.is_dir() and any(not path.name.startswith(".") for path in run.iterdir()):
        if (run / _LOCK).exists():
            with lock_folder(run):  # whoever works there is what matters most
                pass
        if not overwrite:
            raise DestinationExists(f"the run {run}", "go on in it with --resume, ")
        if not (run / "recipe.toml").is_file():
            raise InputError(f"{run} is no run (it has no recipe.toml), so it is not replaced")
    return []


def _check_recipe(run: Path, recipe: Recipe, overrides: Collection[str]) -> list[str]:
    finished = (run / "model.onnx").is_file()
    before, now = asdict(load_recipe(run / "recipe.toml")), asdict(recipe)
    changed = [key for key in now if now[key] != before[key] and key not in _MAY_CHANGE_ON_RESUME]
    for key in changed:
        if key not in overrides or finished:
            raise MismatchError(
                f"{run} was begun with {key} = {before[key]!r}, but the recipe now has "
                f"{now[key]!r}; resume with the same recipe, or train into another folder"
            )
    notes = [
        f"the run goes on with {key} = {now[key]!r}; it had {before[key]!r}" for key in changed
    ]
    if now["schedule"] == "cosine" and now["epochs"] != before["epochs"]:
        notes.append(
            f"the cosine schedule was made for {before['epochs']} epochs and now has "
            f"{now['epochs']}: the learning rate jumps, and this is another training than one of "
            f"{now['epochs']} epochs from the start; its recipe says so"
        )
    return notes


def continue_recipe(run: Path, recipe: Recipe) -> Recipe:
    """The recipe of a run that goes on; it remembers a cosine schedule that is stretched.

    The learning rate of such a schedule depends on its end. A run that was trained to one end
    and then to another is not the run of a recipe with the second one, and must not have its hash.
    """
    if not ((run / "recipe.toml").is_file() and (run / "checkpoint.pt").is_file()):
        return recipe
    before = load_recipe(run / "recipe.toml")
    stretched = recipe.schedule == "cosine" and before.epochs != recipe.epochs
    return replace(recipe, extended_from=before.epochs if stretched else before.extended_from)


@contextlib.contextmanager
def lock_folder(run: Path) -> Iterator[None]:
    """The run folder for this process alone; the lock ends with the process, however that ends."""
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process trains in {run}; wait for it or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def prepare_folder(run: Path, recipe: Recipe, *, overwrite: bool) -> None:
    """Remove the files of an older run if asked to, and write the recipe."""
    if overwrite:
        for name in _FILES:
            (run / name).unlink(missing_ok=True)
    with atomic_file(run / "recipe.toml") as temporary:
        temporary.write_text(recipe.to_toml(), encoding="utf-8")


def write_log(run: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write log.csv whole, one row an epoch; all rows have the keys of the first."""
    with (
        atomic_file(run / "log.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        FormatError: not a whole checkpoint of this version.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED_FILE as error:
        raise FormatError(
            f"expected a checkpoint at {path}, but it is broken: {reason(error)}"
        ) from error
    if not isinstance(checkpoint, dict) or checkpoint.get("version") != CHECKPOINT_VERSION:
        raise FormatError(f"{path} is no checkpoint of version {CHECKPOINT_VERSION}")
    return checkpoint
