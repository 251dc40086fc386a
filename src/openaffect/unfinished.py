"""Work that is not finished: its rows so far in a folder beside the file that it will make.

`.out.parquet.unfinished/` holds `plan.json` (what was asked), the rows in parts as Arrow files, and
`state.json` (for each part that counts, how far the work had come). Parts and states are written
under other names and renamed, the states last, so that a kill loses the part that was being made.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from openaffect.documents import read_json
from openaffect.errors import DestinationExists, FormatError, MismatchError
from openaffect.storage import atomic_file, sync

_State = TypeVar("_State")
_Value = TypeVar("_Value")


class Parts(Generic[_State]):
    """The rows of unfinished work in parts, in order; made by `open_parts`.

    Attributes:
        states: how far the work had come when each part was written, dataclasses of one type.
        lost: parts that a power cut has damaged; they and those behind them do not count.
    """

    def __init__(self, folder: Path, schema: pa.Schema, states: list[_State]) -> None:
        self._folder = folder
        self._schema = schema
        # A power cut may have emptied a part though its state came through, so what counts
        # is how many of them are whole.
        self.states = self._whole_parts(states)
        self.lost = len(states) - len(self.states)

    def _whole_parts(self, states: list[_State]) -> list[_State]:
        for number in range(len(states)):
            try:
                with pa.memory_map(str(self._part(number))) as file:
                    whole = pa.ipc.open_file(file).read_all().schema.equals(self._schema)
            except (pa.ArrowInvalid, OSError):
                whole = False
            if not whole:
                return states[:number]
        return states

    def append(self, batch: pa.RecordBatch, state: _State) -> None:
        """Write rows as one more part, on disk when this returns, and how far the work has come."""
        temporary = self._folder / "part.new"
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, self._schema) as writer:
            writer.write_batch(batch)
        # On disk before a state names it.
        sync(temporary)
        os.replace(temporary, self._part(len(self.states)))
        sync(self._folder)
        self.states.append(state)
        known: list[Any] = self.states
        _write_json(self._folder / "state.json", [dataclasses.asdict(one) for one in known])

    def __iter__(self) -> Iterator[pa.Table]:
        """The parts; they are mapped and take no memory until they are looked at."""
        for number in range(len(self.states)):
            with pa.memory_map(str(self._part(number))) as file:
                yield pa.ipc.open_file(file).read_all()

    def remove(self) -> None:
        """Remove the folder; tables that came from it stay readable."""
        shutil.rmtree(self._folder)

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06}.arrow"

    def __str__(self) -> str:
        return str(self._folder)


def unfinished_folder(path: str | Path) -> Path:
    """Where the rows of unfinished work for a path are."""
    path = Path(path)
    return path.with_name(f".{path.name}.unfinished")


def open_parts(
    path: Path,
    schema: pa.Schema,
    asked: dict[str, Any],
    kind: type[_State],
    *,
    resume: bool,
    overwrite: bool,
) -> Parts[_State]:
    """The parts for a path: none yet, or with `resume` those that are there.

    Args:
        path: the file that the work will make.
        schema: of its rows.
        asked: what decides the rows, JSON-ready; work that was asked for otherwise is not resumed.
        kind: the dataclass of a state.
        resume: go on with the unfinished work for this path, if there is any.
        overwrite: drop it, and a file that is there.

    Raises:
        DestinationExists: the file is there, or unfinished work without `resume`.
        MismatchError: the work that is there was asked for otherwise.
    """
    folder = open_folder(path, asked, resume=resume, overwrite=overwrite)
    return Parts(folder, schema, _read_states(folder / "state.json", kind))


def open_folder(path: Path, asked: dict[str, Any], *, resume: bool, overwrite: bool) -> Path:
    """The folder of the unfinished work for a path, an empty one where there is none to go on with.

    Arguments and errors are those of `open_parts`.
    """
    folder = unfinished_folder(path)
    # Work that is killed after its file was made, and before its folder was removed, goes on.
    if refuse_unfinished(path, resume=resume, overwrite=overwrite):
        if resume:
            _check_plan(folder, asked)
            return folder
    elif path.exists() and not overwrite:
        raise DestinationExists(path)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _write_json(folder / "plan.json", asked)
    return folder


def refuse_unfinished(path: str | Path, *, resume: bool, overwrite: bool) -> bool:
    """Whether there is unfinished work for a path.

    Raises:
        DestinationExists: there is, and neither `resume` nor `overwrite` says what to do with it.
    """
    unfinished = (unfinished_folder(path) / "plan.json").exists()
    if unfinished and not resume and not overwrite:
        raise DestinationExists(f"an unfinished run for {path}", "go on with it by --resume, ")
    return unfinished


def _check_plan(folder: Path, asked: dict[str, Any]) -> None:
    before = _read(folder / "plan.json", dict[str, Any])
    now = json.loads(json.dumps(asked))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        what = "; ".join(f"{key} was {before.get(key)}, now {now.get(key)}" for key in changed)
        raise MismatchError(
            f"cannot resume {folder}: {what}; ask as before, or start again with --overwrite"
        )


def _read_states(path: Path, kind: type[_State]) -> list[_State]:
    if not path.exists():  # killed before the first part
        return []
    states: list[_State] = _read(path, list[kind])  # type: ignore[valid-type]
    return states


def _write_json(path: Path, data: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")


def _read(path: Path, kind: type[_Value]) -> _Value:
    try:
        return read_json(path, kind)
    except FormatError as error:
        raise FormatError(f"{error}; start again with --overwrite") from error
