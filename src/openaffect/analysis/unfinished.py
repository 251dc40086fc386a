"""A run that is not finished: its rows so far in a folder beside the file that it will make.

`.out.csv.unfinished/` holds `plan.json` (what was asked), the rows in parts as Arrow files, and
`state.json` (how many parts count, and how far the run has come). Parts and state are written
under other names and renamed, the state last, so that a kill loses the last seconds at most.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np
import pyarrow as pa
from PIL import Image

from openaffect.analysis.analyzing import (
    Choices,
    Done,
    Plan,
    Position,
    as_model,
    describe_run,
    iterate_done,
)
from openaffect.analysis.cameras import Camera
from openaffect.analysis.sources import Named, list_sources
from openaffect.analysis.table import Analysis, check_suffix, schema_of_run
from openaffect.documents import read_json
from openaffect.errors import (
    DestinationExists,
    FormatError,
    InputError,
    MismatchError,
    OpenAffectError,
)
from openaffect.inference import sorted_labels
from openaffect.model import Model
from openaffect.recognition import Row
from openaffect.storage import atomic_file, sync

_FLUSH_ROWS = 4096
_FLUSH_SECONDS = 2.0
_Value = TypeVar("_Value")


def analyze_to_file(
    source: Named | Iterable[Named],
    model: Model | str | Path,
    path: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    before_saving: Callable[[Analysis], None] | None = None,
    progress: Callable[[int], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **choices: Unpack[Choices],
) -> Analysis:
    """Analyze photos and videos into a file, in constant memory, so that a killed run can go on.

    The rows are kept on disk, about two seconds behind; the file itself is written in whole at
    the end. The end of a camera is Ctrl-C, or that it stops giving frames.

    Args:
        source, model, progress, choices: see `analyze`.
        path: ends in `.parquet`, `.csv` or `.jsonl`.
        resume: go on with the unfinished run for this path, if there is one. A video goes on at the
            first frame that is missing; its faces get new track ids from there.
        overwrite: replace the file, and drop an unfinished run.
        before_saving: called with all rows before the file is made, such as to draw them.
        warn: called with what a power cut has damaged, and what is done again for it.
    Returns:
        All rows; they stay on disk until they are looked at.

    Raises:
        DestinationExists: the file is there, or an unfinished run without `resume`.
        MismatchError: the unfinished run is of another model, other settings or sources.
        InputError: resuming a camera, and what `analyze` raises.
    """
    path = Path(path)
    model, plan = as_model(model), Plan(**choices)
    live = isinstance(source, Camera)
    if live and resume:
        raise InputError("a camera cannot be resumed; start again with --overwrite")
    if not isinstance(source, str | Path | Camera | np.ndarray | Image.Image):
        source = list(source)  # resuming needs them twice
    asked = describe_run(model, plan) | {"sources": _describe_sources(source)}
    schema = schema_of_run(sorted_labels(model.card), describe_run(model, plan))
    list_sources(source)  # refuses what holds no picture before anything is made
    run = open_unfinished(path, schema, asked, resume=resume, overwrite=overwrite)
    if run.lost and warn is not None:
        warn(
            f"{run.lost} parts of the unfinished run are damaged; their pictures are analyzed again"
        )
    run.check_sources(source)
    try:
        for done in iterate_done(source, model, plan, start=run.position, progress=progress):
            run.add(done)
    except KeyboardInterrupt:
        if not live:
            run.leave()
            raise
    except OpenAffectError:
        run.leave()
        raise
    run.flush()
    analysis = run.read()
    if before_saving is not None:
        before_saving(analysis)
    analysis.save(path, overwrite=overwrite or resume)
    run.remove()
    return analysis


@dataclass(frozen=True, slots=True)
class _State:
    """How far a run had come when it wrote a part; see `Position`."""

    place: int
    number: int
    next_track: int
    sources_sha256: str


class Unfinished:
    """The folder of an unfinished run; made by `open_unfinished`.

    Attributes:
        position: how far the rows in the folder go.
        lost: parts that are damaged, and whose pictures are analyzed again.
    """

    def __init__(self, folder: Path, schema: pa.Schema, history: list[_State]) -> None:
        self._folder = folder
        self._schema = schema
        # A power cut may have emptied a part though its state came through, so what counts
        # is how many of them are whole.
        self._history: list[_State] = self._whole_parts(history)
        last = self._history[-1] if self._history else _State(-1, -1, 0, "")
        self._sources_sha256 = last.sources_sha256
        self.position = Position(last.place, last.number, last.next_track)
        self.lost = len(history) - len(self._history)
        self._names = hashlib.sha256()
        self._rows: list[Row] = []
        self._flushed = time.monotonic()

    def _whole_parts(self, history: list[_State]) -> list[_State]:
        for number in range(len(history)):
            try:
                with pa.memory_map(str(self._part(number))) as file:
                    whole = pa.ipc.open_file(file).read_all().schema.equals(self._schema)
            except (pa.ArrowInvalid, OSError):
                whole = False
            if not whole:
                return history[:number]
        return history

    def check_sources(self, source: Named | Iterable[Named]) -> None:
        """See that the sources up to here are those of the run, by name and order.

        Raises:
            MismatchError: they are others.
        """
        if self.position.place < 0:
            return
        for place, one in enumerate(list_sources(source)):
            self._names.update(_name_bytes(one.source))
            if place == self.position.place:
                break
        if self._names.hexdigest() != self._sources_sha256:
            raise MismatchError(
                f"cannot resume {self._folder}: the list of sources has changed since; restore "
                "it, or start again with --overwrite"
            )

    def add(self, done: Done) -> None:
        """Keep the rows of the next picture; now and then everything kept goes to disk."""
        picture = done.picture
        next_track = self.position.next_track
        if picture.place != self.position.place:
            self._names.update(_name_bytes(picture.source))
            next_track = 0
        tracks = [row["track_id"] for row in done.rows if row["track_id"] is not None]
        next_track = max([next_track, *(track + 1 for track in tracks)])
        self.position = Position(picture.place, picture.number, next_track)
        self._rows.extend(done.rows)
        late = time.monotonic() - self._flushed > _FLUSH_SECONDS
        if late or len(self._rows) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows kept as one more part, then how far the run has come."""
        self._flushed = time.monotonic()
        if not self._rows:
            return
        batch = pa.RecordBatch.from_pylist(self._rows, schema=self._schema)
        temporary = self._folder / "part.new"
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, self._schema) as writer:
            writer.write_batch(batch)
        # On disk before the state names it.
        sync(temporary)
        os.replace(temporary, self._part(len(self._history)))
        sync(self._folder)
        position = self.position
        self._history.append(
            _State(position.place, position.number, position.next_track, self._names.hexdigest())
        )
        self._rows = []
        _write_json(self._folder / "state.json", [dataclasses.asdict(s) for s in self._history])

    def read(self) -> Analysis:
        """All rows; they are mapped from the parts and take no memory until they are looked at."""
        tables = []
        for number in range(len(self._history)):
            with pa.memory_map(str(self._part(number))) as file:
                tables.append(pa.ipc.open_file(file).read_all())
        empty = self._schema.empty_table()
        return Analysis(pa.concat_tables([empty, *tables]))

    def leave(self) -> None:
        """Keep what is done for a later run; a folder without any of it goes."""
        self.flush()
        if self.position.place < 0:
            self.remove()

    def remove(self) -> None:
        """Remove the folder; what `read` gave stays readable."""
        shutil.rmtree(self._folder)

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06}.arrow"


def unfinished_folder(path: str | Path) -> Path:
    """Where the rows of an unfinished run for a path are."""
    path = Path(path)
    return path.with_name(f".{path.name}.unfinished")


def open_unfinished(
    path: Path, schema: pa.Schema, asked: dict[str, Any], *, resume: bool, overwrite: bool
) -> Unfinished:
    """The unfinished run for a path: a new one, or with `resume` the one that is there.

    Raises:
        DestinationExists: the file is there, or an unfinished run without `resume`.
        MismatchError: the run that is there was asked for otherwise.
    """
    check_suffix(path)
    folder = unfinished_folder(path)
    # A run that is killed after its file was made, and before its folder was removed, goes on.
    if refuse_unfinished(path, resume=resume, overwrite=overwrite):
        if resume:
            _check_plan(folder, asked)
            return Unfinished(folder, schema, _read_state(folder / "state.json"))
    elif path.exists() and not overwrite:
        raise DestinationExists(path)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _write_json(folder / "plan.json", asked)
    return Unfinished(folder, schema, [])


def refuse_unfinished(path: str | Path, *, resume: bool, overwrite: bool) -> bool:
    """Whether there is an unfinished run for a path.

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


def _describe_sources(source: Any) -> list[str]:
    many = source if isinstance(source, list | tuple) else [source]
    return [
        one.source
        if isinstance(one, Camera)
        else str(one)
        if isinstance(one, str | Path)
        else "array"
        for one in many
    ]


def _name_bytes(source: str) -> bytes:
    return source.encode("utf-8", "surrogatepass") + b"\0"


def _write_json(path: Path, data: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")


def _read_state(path: Path) -> list[_State]:
    return _read(path, list[_State]) if path.exists() else []  # killed before the first part


def _read(path: Path, kind: type[_Value]) -> _Value:
    try:
        return read_json(path, kind)
    except FormatError as error:
        raise FormatError(f"{error}; start again with --overwrite") from error
