"""A run that is not finished: its rows so far in a folder beside the file that it will make.

`.out.csv.unfinished/` holds `plan.json` (what was asked), the rows in parts as Arrow files, and
`state.json` (how many parts count, and how far the run has come). Parts and state are written
under other names and renamed, the state last, so that a kill loses the last seconds at most.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
from PIL import Image

from openaffect.analysis.analyzing import (
    Choices,
    Done,
    Plan,
    Position,
    Row,
    as_model,
    describe_run,
    iterate_done,
)
from openaffect.analysis.cameras import Camera
from openaffect.analysis.sources import Named, list_sources
from openaffect.analysis.table import Analysis, check_suffix, schema_of_run
from openaffect.errors import (
    DestinationExists,
    FormatError,
    InputError,
    MismatchError,
    OpenAffectError,
)
from openaffect.inference import sorted_labels
from openaffect.model import Model
from openaffect.storage import atomic_file

_FLUSH_ROWS = 4096
_FLUSH_SECONDS = 2.0


def analyze_to_file(
    source: Named | Iterable[Named],
    model: Model | str | Path,
    path: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    before_saving: Callable[[Analysis], None] | None = None,
    progress: Callable[[int], None] | None = None,
    **choices: Unpack[Choices],
) -> Analysis:
    """Analyse photos and videos into a file, in constant memory, so that a killed run can go on.

    The rows are kept on disk, about two seconds behind; the file itself is written in whole at
    the end. The end of a camera is Ctrl-C, or that it stops giving frames.

    Args:
        source, model, progress, choices: see `analyze`.
        path: ends in `.parquet`, `.csv` or `.jsonl`.
        resume: go on with the unfinished run for this path, if there is one. A video goes on at the
            first frame that is missing; its faces get new track ids from there.
        overwrite: replace the file, and drop an unfinished run.
        before_saving: called with all rows before the file is made, such as to draw them.
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
    analysis.save(path, overwrite=overwrite)
    run.remove()
    return analysis


class Unfinished:
    """The folder of an unfinished run; made by `open_unfinished`.

    Attributes:
        position: how far the rows in the folder go.
    """

    def __init__(self, folder: Path, schema: pa.Schema, state: dict[str, Any]) -> None:
        self._folder = folder
        self._schema = schema
        self._parts: int = state.get("parts", 0)
        self._sources_sha256: str = state.get("sources_sha256", "")
        self.position = Position(
            state.get("place", -1), state.get("number", -1), state.get("next_track", 0)
        )
        self._names = hashlib.sha256()
        self._rows: list[Row] = []
        self._flushed = time.monotonic()

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
        os.replace(temporary, self._part(self._parts))
        self._parts += 1
        self._rows = []
        state = {
            "parts": self._parts,
            "place": self.position.place,
            "number": self.position.number,
            "next_track": self.position.next_track,
            "sources_sha256": self._names.hexdigest(),
        }
        _write_json(self._folder / "state.json", state)

    def read(self) -> Analysis:
        """All rows; they are mapped from the parts and take no memory until they are looked at."""
        tables = []
        for number in range(self._parts):
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
    if path.exists() and not overwrite:
        raise DestinationExists(path)
    folder = unfinished_folder(path)
    if (folder / "plan.json").exists():
        if resume:
            _check_plan(folder, asked)
            return Unfinished(folder, schema, _read_json(folder / "state.json"))
        if not overwrite:
            raise DestinationExists(f"an unfinished run for {path}", "go on with it by --resume, ")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _write_json(folder / "plan.json", asked)
    return Unfinished(folder, schema, {})


def _check_plan(folder: Path, asked: dict[str, Any]) -> None:
    before = _read_json(folder / "plan.json")
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


def _write_json(path: Path, data: dict[str, Any]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():  # killed before the first part
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is damaged; start again with --overwrite") from error
    if not isinstance(data, dict):
        raise FormatError(f"{path} is damaged; start again with --overwrite")
    return data
