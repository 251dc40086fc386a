"""Analysis into a file, so that a killed run goes on where it was.

The rows so far are kept in parts beside the file; see `openaffect.unfinished`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np
import pyarrow as pa
from PIL import Image

from openaffect.analysis.analyzing import (
    AnalysisChoices,
    AnalysisOptions,
    Cursor,
    as_model,
    describe_run,
    iterate_results,
)
from openaffect.analysis.cameras import Camera
from openaffect.analysis.judging import FrameResult
from openaffect.analysis.sources import SourceLike, open_sources
from openaffect.analysis.table import Analysis, check_suffix, schema_of_run
from openaffect.errors import (
    InputError,
    MismatchError,
    OpenAffectError,
)
from openaffect.inference import sorted_labels
from openaffect.model import Model
from openaffect.progress import OnProgress
from openaffect.recognition import Row
from openaffect.unfinished import Parts, open_parts

_FLUSH_ROWS = 4096
_FLUSH_SECONDS = 2.0
_Value = TypeVar("_Value")


def analyze_to_file(
    source: SourceLike | Iterable[SourceLike],
    model: Model | str | Path,
    path: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    before_saving: Callable[[Analysis], None] | None = None,
    on_progress: OnProgress | None = None,
    warn: Callable[[str], None] | None = None,
    **choices: Unpack[AnalysisChoices],
) -> Analysis:
    """Analyze photos and videos into a file, in constant memory, so that a killed run can go on.

    The rows are kept on disk, about two seconds behind; the file itself is written in whole at
    the end. The end of a camera is Ctrl-C, or that it stops giving frames.

    Args:
        source, model, on_progress, choices: see `analyze`.
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
    model, plan = as_model(model), AnalysisOptions(**choices)
    live = isinstance(source, Camera)
    if live and resume:
        raise InputError("a camera cannot be resumed; start again with --overwrite")
    if not isinstance(source, str | Path | Camera | np.ndarray | Image.Image):
        source = list(source)  # resuming needs them twice
    asked = describe_run(model, plan) | {"sources": _describe_sources(source)}
    schema = schema_of_run(sorted_labels(model.card), describe_run(model, plan))
    open_sources(source)  # refuses what holds no picture before anything is made
    check_suffix(path)
    parts = open_parts(path, schema, asked, _State, resume=resume, overwrite=overwrite)
    if parts.lost and warn is not None:
        warn(
            f"{parts.lost} parts of the unfinished run are damaged; their pictures are analyzed again"
        )
    run = ResumableRun(parts, schema)
    run.check_sources(source)
    try:
        for done in iterate_results(
            source, model, plan, start=run.position, on_progress=on_progress
        ):
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
    parts.remove()
    return analysis


@dataclass(frozen=True, slots=True)
class _State:
    """How far a run had come when it wrote a part; see `Cursor`."""

    place: int
    number: int
    next_track: int
    sources_sha256: str


class ResumableRun:
    """A run whose rows are kept in parts.

    Attributes:
        position: how far the rows in the parts go.
        parts: the rows.
    """

    def __init__(self, parts: Parts[_State], schema: pa.Schema) -> None:
        self.parts = parts
        self._schema = schema
        last = parts.states[-1] if parts.states else _State(-1, -1, 0, "")
        self._sources_sha256 = last.sources_sha256
        self.position = Cursor(last.place, last.number, last.next_track)
        self._names = hashlib.sha256()
        self._rows: list[Row] = []
        self._flushed = time.monotonic()

    def check_sources(self, source: SourceLike | Iterable[SourceLike]) -> None:
        """See that the sources up to here are those of the run, by name and order.

        Raises:
            MismatchError: they are others.
        """
        if self.position.place < 0:
            return
        for place, one in enumerate(open_sources(source)):
            self._names.update(_name_bytes(one.source))
            if place == self.position.place:
                break
        if self._names.hexdigest() != self._sources_sha256:
            raise MismatchError(
                f"cannot resume {self.parts}: the list of sources has changed since; restore "
                "it, or start again with --overwrite"
            )

    def add(self, done: FrameResult) -> None:
        """Keep the rows of the next picture; now and then everything kept goes to disk."""
        picture = done.picture
        next_track = self.position.next_track
        if picture.place != self.position.place:
            self._names.update(_name_bytes(picture.source))
            next_track = 0
        tracks = [row["track_id"] for row in done.rows if row["track_id"] is not None]
        next_track = max([next_track, *(track + 1 for track in tracks)])
        self.position = Cursor(picture.place, picture.number, next_track)
        self._rows.extend(done.rows)
        late = time.monotonic() - self._flushed > _FLUSH_SECONDS
        if late or len(self._rows) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows kept as one more part, and how far the run has come."""
        self._flushed = time.monotonic()
        if not self._rows:
            return
        position = self.position
        self.parts.append(
            pa.RecordBatch.from_pylist(self._rows, schema=self._schema),
            _State(position.place, position.number, position.next_track, self._names.hexdigest()),
        )
        self._rows = []

    def read(self) -> Analysis:
        """All rows; they are mapped from the parts and take no memory until they are looked at."""
        return Analysis(pa.concat_tables([self._schema.empty_table(), *self.parts]))

    def leave(self) -> None:
        """Keep what is done for a later run; a folder without any of it goes."""
        self.flush()
        if self.position.place < 0:
            self.parts.remove()


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
